//! What the code that the macros generate needs and nobody else does. Not part of the interface.

pub use gritmesh_runtime::ActorAddress;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::collections::CollectionField;
use crate::{ActorOptions, Fields, Keeping};

/// What `#[actor]` tells `#[handlers]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not declared as an actor",
    label = "this has handlers, but its definition has no `#[actor]`",
    note = "put `#[actor]` or `#[actor(volatile)]` on the definition of `{Self}`"
)]
pub trait Declared: Sized {
    /// The type's name in addresses.
    const TYPE: &'static str;
    /// How it is kept, if it is durable.
    const KEEPING: Option<Keeping<Self>>;
    /// The typed reference.
    type Ref;

    /// Limits and times.
    fn options() -> ActorOptions;
}

/// An actor that needs nothing to start.
#[diagnostic::on_unimplemented(
    message = "nothing says how `{Self}` comes into memory",
    label = "neither `Default` nor an `activate` function",
    note = "derive `Default` for `{Self}`, or write `async fn activate(ctx: &mut Context<'_>) -> Result<Self, \
            ActivationError>` in its `#[handlers]` block"
)]
pub trait ActivatedByDefault: Sized {
    /// The state of an actor that was never called.
    fn start() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> ActivatedByDefault for T {
    fn start() -> Self {
        Self::default()
    }
}

/// A type that can travel as an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "this argument cannot travel",
    note = "arguments are `Send` and derive `serde::Serialize` and `serde::Deserialize`"
)]
pub trait Argument: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Argument for T {}

/// An actor that is not kept.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is durable, so it has no `activate`",
    label = "a durable actor starts with its `Default`, and comes back as of its newest step",
    note = "fields that are not kept are marked `#[serde(skip)]` and start with their `Default`"
)]
pub trait Volatile {}

/// Does not compile for a durable actor.
pub const fn assert_volatile<A: Volatile>() {}

/// A field of a durable actor, by the name under which a collection is stored.
///
/// The compiler looks for `visit` at `&mut Field` before it does at `&mut &mut Field`, so a collection is found to be
/// one whatever it is called where it is written down, and anything else is left to serde.
#[derive(Debug)]
pub struct Field<'a, T>(pub &'a mut T, pub &'static str);

/// A field that is a collection.
pub trait VisitCollection {
    /// Walks over it.
    fn visit(&mut self, fields: &mut Fields<'_>);
}

impl<T: CollectionField> VisitCollection for Field<'_, T> {
    fn visit(&mut self, fields: &mut Fields<'_>) {
        fields.collection(self.1, self.0);
    }
}

/// Any other field.
pub trait VisitPlain {
    /// Walks past it.
    fn visit(&mut self, _: &mut Fields<'_>) {}
}

impl<T> VisitPlain for &mut Field<'_, T> {}

/// Does not compile for a type that cannot travel.
pub const fn assert_argument<T: Argument>() {}
