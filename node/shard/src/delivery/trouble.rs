//! What keeps a pair from flowing, and how often it did of late.

use gritmesh_runtime::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    No,
    /// The receiver has not read one before.
    Early {
        until: Instant,
    },
    /// The receiver was not reached, or would or could not read it.
    Refused {
        until: Instant,
        unrouted: bool,
    },
}

/// What went wrong since the last acknowledgement. Troubles of different kinds do not add up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    /// It was not reached, since the last time that it was, or that routes changed.
    pub(super) unrouted: u32,
    /// It was reached, and would or could not read.
    pub(super) failures: u32,
    pub(super) panics: u32,
    pub(super) silences: u32,
    pub(super) earlies: u32,
}
