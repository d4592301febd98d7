//! What comes from peers, on the thread that read it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{Chain, DynamicPayload, Header, Origin, Submission, WireReply, WireTurn};
use gritmesh_runtime::admission::Refusal;
use gritmesh_runtime::frame::Frames;
use gritmesh_runtime::{
    ActorAddress, DialError, Epoch, Failure, FailureCode, Incarnation, Instant, NetworkEvent, NetworkHandler,
    NodeId, ShardId, Token, TrafficClass,
};
use gritmesh_sharding::{MessageHeader, Version};
use rkyv::rancor;

use super::Node;
use crate::admin::is_administrative;
use crate::metrics::ReasonLabel;
use crate::options::Sabotage;
use crate::wire::{Answer, ArchivedEnvelope, Call, Envelope, LogMessages};
use crate::{control, engine};

type ArchivedCall = rkyv::Archived<Call<'static>>;

/// Longest time that a peer may ask an answer to be awaited. A deadline only bounds how long a call is kept.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl NetworkHandler for Node {
    fn handle(&self, event: NetworkEvent<'_>) {
        let node = self.this();
        match event {
            NetworkEvent::Received { from, class: TrafficClass::Calls, frames } => {
                node.calls_received(from, frames);
            }
            NetworkEvent::Received { from, class: TrafficClass::Consensus, frames } => {
                node.consensus_received(from, frames);
            }
            NetworkEvent::Received { from, class: TrafficClass::Bulk, frames } => {
                frames.for_each(|body| node.bulk_received(from, body));
            }
            NetworkEvent::Received { from, class: TrafficClass::Gossip, frames } => {
                let events = frames.map(|body| control::Event::Received { from, body: body.to_vec() });
                node.control.post_all(&node, events);
            }
            NetworkEvent::Connected { hello } => {
                node.inbound.lock().connected(hello.info.node_id, hello.info.incarnation);
                node.control.post(&node, control::Event::Connected(hello));
            }
            NetworkEvent::Lost { peer, reason, unsent } => {
                let unsent: Vec<u64> = unsent.iter().map(|tag| tag.0).collect();
                node.asked.lock().lost(peer, &unsent);
                node.engines_lost(peer, &unsent);
                node.control.post(&node, control::Event::Lost { peer, reason });
            }
            NetworkEvent::Resolved { name, mut addresses } => {
                let own = node.info.peer_address;
                if node.options.sabotage == Sabotage::TakeNameForOwn && addresses.contains(&own) {
                    addresses = vec![own];
                }
                node.control.post(&node, control::Event::Resolved { name, addresses });
            }
            NetworkEvent::DialFailed { address, error } => node.dial_failed(address, &error),
            // The network has logged both, as often as strangers may.
            NetworkEvent::Refused { address, by_us, refusal, .. } => {
                node.metrics.refused.get_or_create(&ReasonLabel { reason: refusal.as_str().into() }).inc();
                node.refused(address, by_us, refusal);
            }
            NetworkEvent::Malformed { .. } => {
                node.metrics.malformed.inc();
            }
        }
    }
}

impl Node {
    fn dial_failed(self: &Arc<Self>, address: String, error: &DialError) {
        let own = matches!(error, DialError::Own { .. });
        if let DialError::DuplicateIdentity { .. } = error {
            tracing::error!(address, %error, "identity in use");
            let refusal = Refusal::DuplicateIdentity;
            return self.refused(Some(address), false, refusal);
        }
        match error {
            DialError::Resolve { .. } if self.warn_once(&format!("unknown {address}")) => {
                tracing::warn!(address, %error, "a seed cannot be resolved");
            }
            DialError::Itself { .. } if self.warn_once(&format!("itself at {address}")) => {
                tracing::warn!(address, %error, "a seed leads back to this node");
            }
            _ => tracing::debug!(address, %error, "dial failed"),
        }
        self.control.post(self, control::Event::DialFailed { address, own });
    }

    fn refused(self: &Arc<Self>, address: Option<String>, by_us: bool, refusal: Refusal) {
        if let Some(address) = &address {
            self.refusals.lock().add(self.environment.clock.now(), address, &refusal);
        }
        self.control.post(self, control::Event::Refused { address, by_us, refusal });
    }

    /// The engines hear of the loss of a peer, or of its death.
    pub(super) fn engines_lost(self: &Arc<Self>, peer: NodeId, unsent: &[u64]) {
        for (index, engine) in self.engines.iter().enumerate() {
            let own = |slot: &&u64| **slot != 0 && usize::from(engine::engine_of(**slot)) == index;
            let unsent = unsent.iter().filter(own).copied().collect();
            engine.post(self, engine::Event::Lost { peer, unsent });
        }
    }

    /// Gives the messages of logs to the engines of their shards, each engine one event for all of them.
    fn consensus_received(self: &Arc<Self>, from: NodeId, frames: Frames<'_>) {
        let mut bodies: Vec<Vec<Vec<u8>>> = self.engines.iter().map(|_| Vec::new()).collect();
        let mut full = false;
        for message in frames.flat_map(LogMessages::read) {
            match MessageHeader::read(message) {
                _ if message.is_empty() => full = true,
                Ok(header) => bodies[self.engine_of(header.shard)].push(message.to_vec()),
                Err(error) => {
                    self.metrics.malformed.inc();
                    tracing::warn!(peer = %from.short(), %error, "a message of a log cannot be read");
                }
            }
        }
        for (engine, mut messages) in self.engines.iter().zip(bodies) {
            if !messages.is_empty() {
                messages.extend(full.then(Vec::new));
                engine.post(self, engine::Event::Consensus { from, messages });
            }
        }
    }

    /// Runs calls of actors that are in memory right here; what else there is goes to the engines, in one post.
    fn calls_received(self: &Arc<Self>, from: NodeId, frames: Frames<'_>) {
        let now = self.environment.clock.now();
        let mut events: Vec<Vec<engine::Event>> = self.engines.iter().map(|_| Vec::new()).collect();
        for body in frames {
            let Ok(envelope) = Envelope::access(body) else {
                self.metrics.malformed.inc();
                tracing::warn!(peer = %from.short(), "an envelope cannot be read");
                continue;
            };
            match envelope {
                ArchivedEnvelope::Call(call) => {
                    if let Some((engine, event)) = self.call_received(now, from, call) {
                        events[engine].push(event);
                    }
                }
                ArchivedEnvelope::Reply(reply) => {
                    let Ok(reply) = rkyv::deserialize::<crate::wire::Reply, rancor::Error>(reply) else {
                        continue;
                    };
                    let event = engine::Event::Reply { slot: reply.slot, result: reply.result };
                    self.collect(&mut events, reply.slot, reply.incarnation, event);
                }
                ArchivedEnvelope::Redirect { slot, incarnation, place } => {
                    let Ok(place) = rkyv::deserialize::<_, rancor::Error>(place) else { continue };
                    let slot = slot.to_native();
                    let event = engine::Event::Redirect { slot, place };
                    self.collect(&mut events, slot, incarnation.to_native(), event);
                }
                ArchivedEnvelope::Request(request) => {
                    if let Ok(request) = rkyv::deserialize::<_, rancor::Error>(request) {
                        self.request_received(from, body.len(), request);
                    }
                }
                ArchivedEnvelope::Answer(answer) => {
                    if let Ok(Answer { number, incarnation, result }) =
                        rkyv::deserialize::<_, rancor::Error>(answer)
                        && incarnation == self.info.incarnation.0
                    {
                        self.asked.lock().answered(from, number, result);
                    }
                }
            }
        }
        for (engine, events) in self.engines.iter().zip(events) {
            engine.post_all(self, events);
        }
    }

    /// Sorts an answer to its engine. One to a call of an earlier start of this node is nobody's: slots are
    /// counted anew by each start.
    fn collect(&self, events: &mut [Vec<engine::Event>], slot: u64, incarnation: u64, event: engine::Event) {
        if incarnation != self.info.incarnation.0 && self.options.sabotage != Sabotage::BelieveOldAnswers {
            return;
        }
        match events.get_mut(usize::from(engine::engine_of(slot))) {
            Some(events) => events.push(event),
            None => {
                self.metrics.malformed.inc();
            }
        }
    }

    fn call_received(
        self: &Arc<Self>,
        now: Instant,
        from: NodeId,
        call: &ArchivedCall,
    ) -> Option<(usize, engine::Event)> {
        self.metrics.received.inc();
        let new = self.inbound.lock().is_new(from, call.engine, call.number.to_native());
        if !new && self.options.sabotage != Sabotage::RunRepeated {
            self.metrics.repeated.inc();
            return None;
        }
        let (slot, incarnation) = (call.slot.to_native(), Incarnation(call.incarnation.to_native()));
        let reply = match call.one_way {
            true => WireReply::None,
            false => WireReply::Peer { peer: from, slot, incarnation },
        };
        let chain = match read_chain(call) {
            Ok(chain) => chain,
            Err(failure) => {
                gritmesh_actor::Host::answer(&**self, reply, Err(failure));
                return None;
            }
        };
        let origin = match call.origin.read() {
            Ok(origin) => origin,
            Err(error) => {
                let failure = Failure::new(FailureCode::BadAddress, format!("of the sender: {error}"));
                gritmesh_actor::Host::answer(&**self, reply, Err(failure));
                return None;
            }
        };
        let deadline = now + Duration::from_micros(call.timeout_us.to_native()).min(TIMEOUT_MAX);
        let token = Token(call.token.to_native());
        let asks_engine = is_administrative(&call.method);
        let in_memory = if asks_engine { None } else { self.directory.get_by_key(token, &call.key) };
        if let Some(activation) = in_memory {
            let (method, arguments, one_way) = (&*call.method, &*call.arguments, call.one_way);
            activation.enter_wire(WireTurn { method, arguments, deadline, chain, one_way, reply, origin });
            return None;
        }
        self.route_received(from, call, (deadline, chain, origin), reply)
    }

    fn route_received(
        self: &Arc<Self>,
        from: NodeId,
        call: &ArchivedCall,
        (deadline, chain, origin): (Instant, Chain, Origin),
        reply: WireReply,
    ) -> Option<(usize, engine::Event)> {
        let address = match ActorAddress::from_key(&call.key) {
            Ok(address) => address,
            Err(error) => {
                let failure = Failure::new(FailureCode::BadAddress, error.to_string());
                gritmesh_actor::Host::answer(&**self, reply, Err(failure));
                return None;
            }
        };
        // The sender's token only finds what is in memory; what is created stands at its true place.
        let token = address.token();
        let method = Cow::Owned((*call.method).to_owned());
        let header = Header { address, token, method, deadline, chain, one_way: call.one_way, origin };
        let payload = Box::new(DynamicPayload::new(call.arguments.to_vec(), reply, self.as_host()));
        let shard = ShardId(call.shard.to_native());
        let engine = match &*self.routes.load() {
            Some(routes) => self.engine_of(routes.table.shard_of(token).id),
            None => 0,
        };
        let event = engine::Event::Received {
            from: engine::Caller {
                peer: from,
                slot: call.slot.to_native(),
                incarnation: Incarnation(call.incarnation.to_native()),
            },
            submission: Submission { header, payload },
            shard,
            version: Version { term: call.term.to_native(), epoch: Epoch(call.epoch.to_native()) },
            hops: call.hops,
            relayed: call.relayed,
        };
        Some((engine, event))
    }
}

fn read_chain(call: &ArchivedCall) -> Result<Chain, Failure> {
    let links = call.chain.iter().map(|link| ActorAddress::from_key(link));
    let links: Result<Vec<ActorAddress>, _> = links.collect();
    match links {
        Ok(links) => Ok(links.into_iter().collect()),
        Err(error) => Err(Failure::new(FailureCode::BadAddress, format!("in the chain of callers: {error}"))),
    }
}
