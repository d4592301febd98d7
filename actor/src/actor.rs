//! What an application writes: actors, their messages and handlers.
//!
//! The attribute macros `#[actor]` and `#[handlers]` expand to these traits; all of them can be written by hand.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::Failure;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::CodecError;
use crate::durable::keeping::Keeping;
use crate::reference::ActorRef;
use crate::turn::{self, WireTurn};
use crate::{Activation, Context};

/// A virtual actor: an address that always exists, and a state that is in memory while it is used.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    label = "this has no handlers yet",
    note = "put `#[actor]` on the definition of `{Self}` and `#[handlers]` on an `impl {Self}` block, \
            which may be empty"
)]
pub trait Actor: Sized + Send + 'static {
    /// The type's name in addresses, unique within a cluster.
    const TYPE: &'static str;

    /// The typed reference that callers hold: [`ActorRef`] itself, or a wrapper with a method for each handler.
    type Ref: From<ActorRef<Self>>;

    /// How its state is kept, if it is durable.
    const KEEPING: Option<Keeping<Self>> = None;

    /// Whether its state is kept. Follows from [`Self::KEEPING`].
    const DURABLE: bool = Self::KEEPING.is_some();

    /// Brings a volatile actor into memory: called before its first message, and again after it was idle, moved, or
    /// panicked. A durable actor starts with its `Default`, and comes back as of its newest step.
    ///
    /// # Errors
    /// Refuses the activation; every waiting caller is told, and the next call tries again.
    fn activate(ctx: &mut Context<'_>) -> impl Future<Output = Result<Self, ActivationError>> + Send;

    /// Called before the state leaves memory in good order; not after a crash, a panic, or when a durable actor's
    /// step was refused. What it does to a durable state is not kept.
    fn deactivate(&mut self, _ctx: &mut Context<'_>) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Limits and times of this type.
    fn options() -> ActorOptions {
        ActorOptions::default()
    }

    /// The methods that can be called by name.
    fn methods() -> Vec<Method<Self>>;
}

/// The arguments of one method, and what it answers.
pub trait Message: Send + Sized + 'static {
    /// The method's name.
    const METHOD: &'static str;
    /// Whether the method only reads.
    const QUERY: bool = false;
    /// What the method answers.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// How the method refuses; [`NoError`] if it never does.
    type Error: Error + Serialize + DeserializeOwned + Send + 'static;

    /// The arguments as a MessagePack array.
    ///
    /// # Errors
    /// If a value cannot be represented.
    fn encode(&self) -> Result<Vec<u8>, CodecError>;

    /// Reads what [`Self::encode`] wrote, or what a caller without Rust sent.
    ///
    /// # Errors
    /// If the arguments do not fit.
    fn decode(arguments: &[u8]) -> Result<Self, CodecError>;
}

/// How an actor answers one kind of message. It runs to its end before the next message starts.
pub trait Handler<M: Message>: Actor {
    /// Runs the message.
    ///
    /// # Errors
    /// The application's refusal, which reaches the caller as `CallError::Failed`.
    fn handle(
        &mut self,
        message: M,
        ctx: &mut Context<'_>,
    ) -> impl Future<Output = Result<M::Reply, M::Error>> + Send;
}

/// The error of methods that never refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoError {}

impl fmt::Display for NoError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Error for NoError {}

/// Why an actor could not be brought into memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ActivationError {
    reason: String,
}

impl ActivationError {
    /// An error with a sentence for the caller.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Limits and times of an actor type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorOptions {
    /// How long an actor stays in memory after its last message. Default 300 s.
    pub idle_after: Duration,
    /// How many messages may wait for one actor; one more is answered with `Overloaded`. Default 1000.
    pub mailbox_capacity: usize,
}

impl ActorOptions {
    /// The defaults.
    pub const DEFAULT: Self = Self { idle_after: Duration::from_secs(300), mailbox_capacity: 1000 };

    /// Changes how long an idle actor stays in memory. Whole seconds count.
    #[must_use]
    pub const fn with_idle_after(mut self, idle_after: Duration) -> Self {
        self.idle_after = idle_after;
        self
    }

    /// Changes how many messages may wait for one actor.
    #[must_use]
    pub const fn with_mailbox_capacity(mut self, capacity: usize) -> Self {
        self.mailbox_capacity = capacity;
        self
    }
}

impl Default for ActorOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One method of a type, callable by name with encoded arguments.
pub struct Method<A: Actor> {
    name: &'static str,
    query: bool,
    pub(crate) enter: fn(&Arc<Activation<A>>, WireTurn<'_>),
    pub(crate) check: fn(&[u8]) -> Result<(), Failure>,
}

impl<A: Actor> Method<A> {
    /// The method that handles `M`.
    pub fn of<M: Message>() -> Self
    where
        A: Handler<M>,
    {
        let (enter, check) = (turn::enter_wire::<A, M>, turn::check_wire::<A, M>);
        Self { name: M::METHOD, query: M::QUERY, enter, check }
    }

    /// The method's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the method only reads.
    pub const fn is_query(&self) -> bool {
        self.query
    }
}

impl<A: Actor> fmt::Debug for Method<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", A::TYPE, self.name)
    }
}
