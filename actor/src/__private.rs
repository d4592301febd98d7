//! What the code that the macros generate needs and nobody else does. Not part of the interface.

pub use gritmesh_runtime::ActorAddress;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ActorOptions;

/// What `#[actor]` tells `#[handlers]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not declared as an actor",
    label = "this has handlers, but its definition has no `#[actor(volatile)]`",
    note = "put `#[actor(volatile)]` on the definition of `{Self}`"
)]
pub trait Declared: Sized {
    /// The type's name in addresses.
    const TYPE: &'static str;
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

/// Does not compile for a type that cannot travel.
pub const fn assert_argument<T: Argument>() {}
