//! Calls on their way to other nodes: into the network's queues, and out of them again if they were not sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::Submission;
use gritmesh_runtime::{Failure, FailureCode, NodeId, SendError, Tag, TrafficClass};

use super::Node;
use crate::engine;
use crate::engine::{Caller, Routes};
use crate::wire::{Envelope, Place};

/// How long nobody is warned again of the same node: a link that comes and goes would fill the log.
const WARN_PAUSE: Duration = Duration::from_secs(60);

impl Node {
    pub(super) fn send_call(&self, to: NodeId, slot: u64, body: &[u8]) {
        let Err(error) = self.send_call_class(to, Tag(slot), body) else { return };
        if slot == 0 {
            return self.refuse_unsent(body, &error);
        }
        let failure = match error {
            SendError::UnknownPeer => None,
            SendError::QueueFull => {
                let detail = format!("the queue to node {} is full", self.name_of(to));
                Some(Failure { retry_after_ms: 50, ..Failure::new(FailureCode::Overloaded, detail) })
            }
            SendError::TooLarge { .. } => Some(Failure::new(FailureCode::TooLarge, error.to_string())),
            SendError::Closed => Some(Failure::new(FailureCode::NotDelivered, error.to_string())),
        };
        let engine = &self.engines[usize::from(engine::engine_of(slot))];
        engine.post(&self.this(), engine::Event::NotSent { slot, failure });
    }

    pub(super) fn send_redirect(&self, to: Caller, place: Place) {
        let body = Envelope::Redirect { slot: to.slot, incarnation: to.incarnation.0, place }.to_bytes(0);
        self.network_send(TrafficClass::Calls, to.peer, &body);
    }

    /// Ends calls that were not answered in time. What is still queued was surely not sent.
    pub(super) fn expire_calls(&self, to: NodeId, calls: Vec<(u64, Submission)>) {
        let slots: BTreeSet<u64> = calls.iter().map(|(slot, _)| *slot).collect();
        let chosen = |tag: Tag| slots.contains(&tag.0);
        let unsent = self.environment.network.withdraw(to, TrafficClass::Calls, &chosen);
        let unsent: BTreeSet<Tag> = unsent.into_iter().collect();
        let name = self.name_of(to);
        for (slot, submission) in calls {
            let failure = match unsent.contains(&Tag(slot)) {
                true => Failure::new(
                    FailureCode::NotDelivered,
                    format!("the call was not sent to node {name} by the deadline: there is no connection"),
                ),
                false => Failure::new(
                    FailureCode::Unknown,
                    format!("no answer came from node {name} by the deadline"),
                ),
            };
            self.end(submission, Err(failure));
        }
    }

    /// A node is dead: what is still queued for it looks for another way, what was sent ends.
    pub(super) fn withdraw_calls(self: &Arc<Self>, peer: NodeId) {
        let chosen = |tag: Tag| tag != Tag::default();
        let unsent = self.environment.network.withdraw(peer, TrafficClass::Calls, &chosen);
        let unsent: Vec<u64> = unsent.into_iter().map(|tag| tag.0).collect();
        self.asked.lock().lost(peer, &unsent);
        self.engines_lost(peer, &unsent);
    }

    /// Says which nodes do not answer this one any more, or do so again. What is queued for them looks for another way.
    pub(super) fn detours_changed(self: &Arc<Self>, before: Option<&Routes>, routes: &Routes) {
        let none = BTreeMap::new();
        let before = before.map_or(&none, |routes| &routes.detours);
        self.metrics.detours.set(routes.detours.len() as i64);
        for (peer, relays) in routes.detours.iter().filter(|(peer, _)| !before.contains_key(peer)) {
            let over = relays.iter().map(|relay| self.name_of(*relay)).collect::<Vec<_>>().join(", ");
            if self.warn_of_detour(*peer) {
                tracing::warn!(
                    peer = self.name_of(*peer),
                    over,
                    "a node does not answer this one, but others: calls to it go over them; is the network between the two cut?"
                );
            }
            let is_call = |tag: Tag| {
                tag != Tag::default() && usize::from(engine::engine_of(tag.0)) < self.engines.len()
            };
            for tag in self.environment.network.withdraw(*peer, TrafficClass::Calls, &is_call) {
                let engine = &self.engines[usize::from(engine::engine_of(tag.0))];
                engine.post(self, engine::Event::NotSent { slot: tag.0, failure: None });
            }
        }
        for peer in before.keys().filter(|peer| !routes.detours.contains_key(peer)) {
            tracing::info!(peer = self.name_of(*peer), "calls to a node go to it directly again");
        }
    }

    /// Whether it is time to warn of a node again.
    fn warn_of_detour(&self, peer: NodeId) -> bool {
        let now = self.environment.clock.now();
        let mut warned = self.detours_warned.lock();
        warned.retain(|_, at| now - *at < WARN_PAUSE);
        warned.insert(peer, now).is_none()
    }
}
