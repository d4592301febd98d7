//! What may break which rule, and why. One table, so that a reader sees all of it at once.

/// Leave for one place to break one rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exception {
    /// The name that the check gives to `settle`.
    pub(super) check: &'static str,
    /// A path from the root, or the name of a package.
    pub(super) place: &'static str,
    pub(super) reason: &'static str,
}

const GENERATED: &str =
    "the attributes are generated into the user's crate, where an unneeded `expect` would warn";

pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception { check: "attributes", place: "actor/macros/src/actor.rs", reason: GENERATED },
    Exception { check: "attributes", place: "actor/macros/src/expansion.rs", reason: GENERATED },
    Exception { check: "attributes", place: "actor/macros/src/handlers.rs", reason: GENERATED },
];
