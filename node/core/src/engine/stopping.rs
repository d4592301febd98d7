//! The end of an engine. Whoever waits for it holds the node, and the node holds the engine: nobody may be left.
//!
//! Each is told what is true: what was proposed or sent may have happened, everything else surely has not.

use gritmesh_runtime::{Failure, FailureCode, Instant};

use super::calls::refuse;
use super::commits::open;
use super::event::{Commit, Effect, Event};
use super::groups::Group;
use super::takeover::Takeover;
use super::{Delivery, Engine, Reminders};

const STOPPED: &str = "the node has stopped";

impl Engine {
    /// Ends everything that waits. Nothing is said to other nodes, and nothing is written any more.
    pub(super) fn stop(&mut self, out: &mut Vec<Effect>) {
        self.stopped = true;
        self.writer.stop();
        self.dirty.clear();
        for (shard, mut group) in std::mem::take(&mut self.groups) {
            end_waiting(&mut group, STOPPED, out);
            out.push(Effect::Lease { shard, until: Instant::ZERO, epoch: group.config.epoch });
        }
        for sent in self.pending.remove_all() {
            let detail = "the node stopped before the answer came";
            refuse(sent.call, FailureCode::Unknown, detail, out);
        }
        for call in self.parked.take_all() {
            refuse(call, FailureCode::NotDelivered, STOPPED, out);
        }
        (self.delivery, self.reminders) = (Delivery::default(), Reminders::default());
        self.takeover = Takeover::new(self.limits.engine);
        self.delivering.clear();
        self.reminding.clear();
        out.push(Effect::Stopped);
    }
}

/// Tells those who wait for a commit of this shard that they will not hear of it any more.
pub(super) fn end_waiting(group: &mut Group, why: &str, out: &mut Vec<Effect>) {
    let unknown = format!("{why} before the change was known to be committed");
    for waiting in group.waiting.drain(..) {
        waiting.end(&Failure::new(FailureCode::Unknown, unknown.as_str()), out);
    }
    let undone = format!("{why} before the change was begun");
    for queued in group.queued.drain(..) {
        open(queued.gate(), Err(Failure::new(FailureCode::NotDelivered, undone.as_str())), out);
    }
}

/// What comes to an engine that has stopped.
pub(super) fn after_the_end(event: Event, out: &mut Vec<Effect>) {
    let failure = || Failure::new(FailureCode::NotDelivered, STOPPED);
    match event {
        Event::Submit(submission) | Event::Received { submission, .. } => {
            out.push(Effect::Answer(submission, Err(failure())));
        }
        Event::Passed(call) => out.push(Effect::Answer(call.submission, Err(failure()))),
        Event::Commit { commit: Commit { gate, .. }, .. } => open(gate, Err(failure()), out),
        Event::Observe { gate, .. } => open(Some(gate), Err(failure()), out),
        _ => {}
    }
}
