//! What waits for a commit: an answer that is ready but must not be seen yet.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use gritmesh_runtime::{Failure, FailureCode, Instant};
use parking_lot::Mutex;

use crate::activation::Activation;
use crate::actor::Actor;
use crate::any_activation::{AnyActivation, ReleaseGuard};
use crate::durable::Gate;
use crate::durable::watch::{Watch, WatchKey};

/// Gates of one actor that may be outstanding before its next message has to wait. As many as a mailbox holds by
/// default: beyond that the store is so slow that running further ahead only makes more to undo.
const OUTSTANDING_MAX: usize = 1_000;

/// What ties an activation to the gates that it has handed out. Whoever waits for an actor to leave memory waits
/// for its gates too: until then it is open what the newest step is.
#[derive(Default)]
pub(crate) struct Tie {
    /// Dropped with the last gate, and not before the activation has left.
    guards: Mutex<Vec<Arc<ReleaseGuard>>>,
    outstanding: AtomicUsize,
    /// The turn that waits for fewer to be outstanding.
    waiting: Mutex<Option<Waker>>,
}

impl Tie {
    pub(crate) fn hold(&self, guard: Arc<ReleaseGuard>) {
        self.guards.lock().push(guard);
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    /// Whether a further turn has to wait. It is woken when it may try again.
    pub(crate) fn is_full(&self, waker: &Waker) -> bool {
        if self.outstanding() < OUTSTANDING_MAX {
            return false;
        }
        *self.waiting.lock() = Some(waker.clone());
        // A gate that opened in between found nobody to wake.
        self.outstanding() >= OUTSTANDING_MAX
    }
}

impl fmt::Debug for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tie({} outstanding)", self.outstanding())
    }
}

/// One gate that is not decided.
struct Outstanding(Arc<Tie>);

impl Outstanding {
    fn new(tie: &Arc<Tie>) -> Self {
        tie.outstanding.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(tie))
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::AcqRel);
        let waker = self.0.waiting.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// An answer behind its gate. Whichever comes first decides it: the gate, or the caller's deadline.
pub(crate) struct Waiting(Mutex<Answer>);

enum Answer {
    Held(Gate),
    Watched(Gate, WatchKey, Arc<Watch>),
    Gone,
}

impl Waiting {
    /// A gate for an answer, to be handed to the history of an activation.
    pub(crate) fn gate<A: Actor>(
        activation: &Arc<Activation<A>>,
        tie: &Arc<Tie>,
        answer: Gate,
    ) -> (Gate, Arc<Self>) {
        let waiting = Arc::new(Self(Mutex::new(Answer::Held(answer))));
        let (decided, outstanding) = (Arc::clone(&waiting), Outstanding::new(tie));
        // Whoever holds the gate may be held by the host, which holds the activation.
        let activation = Arc::downgrade(activation);
        let gate = move |result: Result<(), Failure>| {
            if result.is_err()
                && let Some(activation) = activation.upgrade()
            {
                // Before the caller is told: if it tries again, it must not find the state of a refused step.
                activation.undo();
            }
            decided.decide(result);
            drop(outstanding);
        };
        (Box::new(gate), waiting)
    }

    /// Watches the deadline of the caller, if the gate is still closed.
    pub(crate) fn until(self: &Arc<Self>, deadline: Instant, watch: &Arc<Watch>) -> bool {
        let mut answer = self.0.lock();
        match std::mem::replace(&mut *answer, Answer::Gone) {
            Answer::Held(gate) => {
                let key = watch.insert(deadline, Arc::clone(self));
                *answer = Answer::Watched(gate, key, Arc::clone(watch));
                true
            }
            decided => {
                *answer = decided;
                false
            }
        }
    }

    /// The caller's deadline has passed.
    pub(crate) fn expire(&self) {
        let detail = "the deadline passed while the step was being committed";
        self.decide(Err(Failure::new(FailureCode::Unknown, detail)));
    }

    fn decide(&self, result: Result<(), Failure>) {
        let answer = std::mem::replace(&mut *self.0.lock(), Answer::Gone);
        match answer {
            Answer::Held(gate) => gate(result),
            Answer::Watched(gate, key, watch) => {
                watch.remove(key);
                gate(result);
            }
            Answer::Gone => {}
        }
    }
}
