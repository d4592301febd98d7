//! Messages that end without an answer: their callers are told, and of those without a waiting caller the host.

use std::sync::Arc;

use gritmesh_runtime::{Failure, FailureCode};

use crate::activation::{Activation, Head};
use crate::actor::Actor;
use crate::durable::Gate;
use crate::host::DeadLetter;
use crate::mailbox::Job;

impl<A: Actor> Activation<A> {
    /// Ends messages that do not run.
    pub(crate) fn end_all(&self, jobs: impl IntoIterator<Item = Box<dyn Job<A>>>, failure: &Failure) {
        jobs.into_iter().for_each(|job| self.end(job, failure.clone()));
    }

    /// Ends a message that does not run.
    pub(crate) fn end(&self, job: Box<dyn Job<A>>, failure: Failure) {
        if job.header().one_way {
            self.bury(&job.header().method, job.arguments().as_deref(), &failure);
        }
        job.refuse(failure);
    }

    /// Ends a message whose deadline passed before it ran.
    pub(crate) fn end_late(&self, job: Box<dyn Job<A>>) {
        let detail = format!("the deadline passed while {} was busy", self.head.address);
        self.end(job, Failure::new(FailureCode::NotDelivered, detail));
    }

    /// Has the host told of an answer for which nobody waits, if it is none or cannot be kept.
    pub(crate) fn told(
        self: &Arc<Self>,
        method: &'static str,
        answer: Gate,
        refused: Option<Failure>,
    ) -> Gate {
        let activation = Arc::downgrade(self);
        Box::new(move |open| {
            let failure = open.as_ref().err().cloned().or(refused);
            answer(open);
            if let (Some(failure), Some(activation)) = (failure, activation.upgrade()) {
                activation.bury(method, None, &failure);
            }
        })
    }

    /// Tells the host of a message for whose outcome nobody waits.
    pub(crate) fn bury(&self, method: &str, arguments: Option<&[u8]>, failure: &Failure) {
        let address = &self.head.address;
        self.head.host.dead_letter(DeadLetter { address, method, arguments, failure });
    }
}

/// Ends a call whose actor cannot take it.
pub(crate) fn overloaded<A: Actor>(activation: &Activation<A>) -> Failure {
    /// A full mailbox of fast handlers empties within milliseconds; of slow ones it takes longer, and callers
    /// are expected to back off.
    const RETRY_AFTER_MS: u32 = 50;
    let Head { address, entry, .. } = &activation.head;
    let capacity = entry.info.options.mailbox_capacity;
    let detail = format!("the mailbox of {address} holds {capacity} messages and is full");
    Failure { retry_after_ms: RETRY_AFTER_MS, ..Failure::new(FailureCode::Overloaded, detail) }
}
