//! The node as its actors see it.

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{DeadLetter, Directory, History, Host, Submission, WireReply};
use gritmesh_runtime::{
    ActorAddress, Clock, Failure, FailureCode, NodeId, SendError, Spawn, Tag, Token, TrafficClass, frame,
};

use super::Node;
use crate::engine;
use crate::wire::{Envelope, Reply};

impl Host for Node {
    fn clock(&self) -> &dyn Clock {
        &*self.environment.clock
    }

    fn spawn(&self) -> &dyn Spawn {
        &*self.environment.spawn
    }

    fn directory(&self) -> &Directory {
        &self.directory
    }

    fn submit(self: Arc<Self>, submission: Submission) {
        let routes = self.routes.load();
        let engine = match &*routes {
            Some(routes) => self.engine_of(routes.table.shard_of(submission.header.token).id),
            None => 0,
        };
        drop(routes);
        self.engines[engine].post(&self, engine::Event::Submit(submission));
    }

    fn answer(&self, reply: WireReply, result: Result<Vec<u8>, Failure>) {
        match reply {
            WireReply::None => {}
            WireReply::Local(caller) => {
                // A caller who went away does not want to know.
                let _ = caller.send(result);
            }
            WireReply::Told(told) => told(result),
            WireReply::Peer { peer, slot, incarnation } => {
                self.answer_peer(peer, Reply { slot, incarnation: incarnation.0, result });
            }
        }
    }

    fn random(&self) -> u64 {
        self.rng.lock().next_u64()
    }

    fn coarse_seconds(&self) -> u32 {
        self.elapsed_seconds()
    }

    fn default_deadline(&self) -> Duration {
        self.options.call_timeout
    }

    fn resource(&self, of_type: TypeId) -> Option<Arc<dyn Any + Send + Sync>> {
        self.registry.resource(of_type)
    }

    fn deactivated(&self, _: &ActorAddress) {
        self.metrics.deactivations.inc();
    }

    fn open(self: Arc<Self>, address: &ActorAddress, token: Token) -> Result<Box<dyn History>, Failure> {
        self.open_history(address, token)
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) {
        self.bury(letter);
    }

    fn panicked(&self, address: &ActorAddress, message: &str) {
        self.metrics.panics.inc();
        tracing::error!(actor = %address, reason = message, "a handler panicked; the actor starts anew with its next message");
    }
}

impl Node {
    fn answer_peer(&self, peer: NodeId, reply: Reply) {
        let (slot, incarnation) = (reply.slot, reply.incarnation);
        let size_hint = reply.result.as_ref().map_or(0, Vec::len);
        let mut body = Envelope::Reply(reply).to_bytes(size_hint);
        if body.len() > frame::FRAME_BYTES_MAX {
            let detail = format!(
                "the answer has {} bytes; at most {} fit into a frame",
                body.len(),
                frame::FRAME_BYTES_MAX
            );
            let failure = Failure::new(FailureCode::TooLarge, detail);
            body = Envelope::Reply(Reply::failed(slot, incarnation, failure)).to_bytes(0);
        }
        if let Err(error) = self.send_call_class(peer, Tag(0), &body) {
            // The caller's node learns of it by its own loss of the connection, or by the deadline.
            self.metrics.answers_lost.inc();
            tracing::debug!(peer = %peer.short(), %error, "an answer was not sent");
        }
    }

    pub(super) fn send_call_class(&self, peer: NodeId, tag: Tag, body: &[u8]) -> Result<(), SendError> {
        self.environment.network.send(peer, TrafficClass::Calls, tag, body)
    }
}
