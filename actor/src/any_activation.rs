//! Activations as the node sees them: without their types.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use gritmesh_runtime::{ActorAddress, Token};

use crate::activation::Activation;
use crate::actor::Actor;
use crate::durable::letter::Letter;
use crate::registry::TypeInfo;
use crate::turn::{WireTurn, refuse_wire};

/// An activation whose type is hidden.
pub trait AnyActivation: Send + Sync {
    /// Which actor it is.
    fn address(&self) -> &ActorAddress;
    /// Where it falls on the ring.
    fn token(&self) -> Token;
    /// What is known of its type.
    fn info(&self) -> &TypeInfo;
    /// The activation itself, to be turned into its real type.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    /// Runs a call that came as bytes, on this thread if the actor is idle and the chain is short.
    fn enter_wire(self: Arc<Self>, call: WireTurn<'_>);
    /// Begins to load a new activation, after the call for which it was created was delivered to it; one that
    /// holds no call leaves memory at once. Runs on this thread as far as that goes without waiting, or in the
    /// background if `here` is false, or the first call is one-way or at the end of a long chain.
    fn start(self: Arc<Self>, here: bool);
    /// Leaves memory after the present turn, then drops the guard and gives queued calls back to the host. The guard
    /// of a durable actor is held until each of its steps is committed or refused.
    fn close(self: Arc<Self>, guard: Option<Arc<ReleaseGuard>>);
    /// Leaves memory if it is idle and has not been used since, in the host's coarse seconds. Returns whether
    /// it does.
    fn close_if_unused(self: Arc<Self>, since_s: u32) -> bool;
    /// A step was refused, or this node leads the actor no more: drops the state after the present turn without a
    /// word to it. What waits is routed anew.
    fn undo(self: Arc<Self>);
    /// Calls that found it idle, since this was last asked. A counter of the whole node would be a place in memory that
    /// all threads write to with every call; here each activation counts while it is locked anyway.
    fn untold_calls(&self) -> u64;
    /// What to show of it.
    fn status(&self) -> ActivationStatus;
}

/// A glimpse of an activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationStatus {
    /// What it is doing.
    pub phase: ActivationPhase,
    /// How many messages wait.
    pub queued: usize,
    /// How many answers of a durable actor wait for the commit of a step.
    pub outstanding: usize,
    /// When it last finished a message, in the host's coarse seconds.
    pub last_used_s: u32,
}

/// What an activation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationPhase {
    /// Nothing; it could be passivated.
    Idle,
    /// It runs a message, or is being loaded.
    Busy,
    /// It leaves memory after the present turn, or has left.
    Closing,
}

/// What is told when an activation has left memory: dropped by every activation that was asked to close.
pub struct ReleaseGuard(Option<Box<dyn FnOnce() + Send + Sync>>);

impl ReleaseGuard {
    /// Calls `released` when the last clone of the returned guard is gone.
    pub fn new(released: impl FnOnce() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self(Some(Box::new(released))))
    }
}

impl Drop for ReleaseGuard {
    fn drop(&mut self) {
        if let Some(released) = self.0.take() {
            released();
        }
    }
}

impl fmt::Debug for ReleaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReleaseGuard")
    }
}

impl<A: Actor> AnyActivation for Activation<A> {
    fn address(&self) -> &ActorAddress {
        &self.head.address
    }

    fn token(&self) -> Token {
        self.head.token
    }

    fn info(&self) -> &TypeInfo {
        &self.head.entry.info
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn enter_wire(self: Arc<Self>, call: WireTurn<'_>) {
        if A::DURABLE && call.origin.is_skipped() {
            return Letter::enter(&self, call, None);
        }
        match self.head.entry.method(call.method) {
            Ok(method) => (method.enter)(&self, call),
            Err(failure) => refuse_wire(&self, call, failure),
        }
    }

    fn start(self: Arc<Self>, here: bool) {
        self.begin_to_load(here);
    }

    fn untold_calls(&self) -> u64 {
        self.take_untold_calls()
    }

    fn close(self: Arc<Self>, guard: Option<Arc<ReleaseGuard>>) {
        self.leave(guard, false, |_| true);
    }

    fn close_if_unused(self: Arc<Self>, since_s: u32) -> bool {
        let unused = |status: &ActivationStatus| {
            let idle = status.phase == ActivationPhase::Idle && status.outstanding == 0;
            idle && status.last_used_s <= since_s
        };
        self.leave(None, false, unused)
    }

    fn undo(self: Arc<Self>) {
        self.leave(None, true, |_| true);
    }

    fn status(&self) -> ActivationStatus {
        self.describe()
    }
}
