//! What a caller finds at an activation, how a turn ends, and what comes after it.

use gritmesh_runtime::Failure;

use crate::Chain;
use crate::activation::Held;
use crate::actor::{ActivationError, Actor};
use crate::mailbox::Job;

/// What a caller who wants to run a message finds.
pub(crate) enum Entered<A> {
    /// The actor was idle: run the message, then call [`Activation::finish`].
    Took(Box<Held<A>>),
    /// The message is in the mailbox.
    Queued,
    /// The mailbox is full.
    Full,
    /// The actor has left memory.
    Closed,
}

/// How a turn ended.
pub(crate) enum TurnEnd<A> {
    /// The state is whole.
    State(Box<Held<A>>),
    /// The state was lost in a panic.
    Panicked,
    /// There never was a state.
    LoadFailed(ActivationError),
    /// The store has not given a durable actor's state.
    NotOpened(Failure),
    /// The state has said good-bye.
    Deactivated,
}

/// What the holder of the state does next.
pub(crate) enum Next<A: Actor> {
    Run(Box<dyn Job<A>>, Box<Held<A>>),
    /// Load the state, on behalf of the call at the end of this chain.
    Load(Chain),
    Deactivate(Box<Held<A>>),
    Done,
}
