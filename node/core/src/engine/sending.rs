//! A call on its way to another node.

use gritmesh_actor::Origin;
use gritmesh_runtime::{ActorAddress, FailureCode, Instant, NodeId, ShardId, frame};
use gritmesh_sharding::Version;

use super::calls::refuse;
use super::pending::{PENDING_MAX, Sent};
use super::{Counted, Effect, Engine, Travelling};
use crate::options::Sabotage;
use crate::wire::{Call, Envelope};

/// Nodes that a message without a waiting caller may pass through. Nobody could follow a redirect for it, so a
/// node that does not serve the shard passes it on.
pub(super) const HOPS_MAX: u8 = 4;

impl Engine {
    pub(super) fn send(
        &mut self,
        now: Instant,
        call: Travelling,
        to: NodeId,
        shard: ShardId,
        version: Version,
        out: &mut Vec<Effect>,
    ) {
        if matches!(call.submission.header.origin, Origin::Reminder { .. }) {
            // Whoever leads the shard now has the reminder too. Elsewhere this would be a call like any other.
            let detail = "a reminder is only delivered by the node that leads its actor's shard";
            return refuse(call, FailureCode::NotDelivered, detail, out);
        }
        let arguments = match call.submission.payload.encode() {
            Ok(arguments) => arguments,
            Err(failure) => return out.push(Effect::Answer(call.submission, Err(failure))),
        };
        let one_way = call.submission.header.one_way;
        if !one_way && self.pending.len() >= PENDING_MAX {
            let detail = format!("{PENDING_MAX} calls to other nodes are already under way");
            return refuse(call, FailureCode::Overloaded, detail, out);
        }
        let hops = call.hops.saturating_add(1);
        if one_way && hops > HOPS_MAX {
            let detail = "the nodes disagree about who serves the shard";
            return refuse(call, FailureCode::NotDelivered, detail, out);
        }
        let relay = self.relay(&call, to);
        out.extend(relay.map(|_| Effect::Count(Counted::Detoured)));
        out.extend((call.relayed && !one_way).then_some(Effect::Count(Counted::Relayed)));
        let relayed = relay.is_some();
        let to = relay.unwrap_or(to);
        // Nobody waits for the answer to a one-way message, so it needs no place among the pending calls.
        let slot = if one_way { 0 } else { self.pending.reserve() };
        let body = self.envelope(now, &call, (to, relayed), (slot, hops), (shard, version), &arguments);
        if body.len() > frame::FRAME_BYTES_MAX {
            self.pending.cancel(slot);
            let detail = format!(
                "the call has {} bytes; at most {} fit into a frame",
                body.len(),
                frame::FRAME_BYTES_MAX
            );
            return refuse(call, FailureCode::TooLarge, detail, out);
        }
        if !one_way {
            self.pending.put(slot, Sent { call, to, since: now });
        }
        out.push(Effect::Send { to, slot, body });
    }

    /// Whom to send a call to instead, as the node that it is for does not answer this one. A call that came here because
    /// its sender does not reach that node takes no second detour; messages without a waiting caller count their hops.
    fn relay(&self, call: &Travelling, to: NodeId) -> Option<NodeId> {
        let second = call.relayed && !call.submission.header.one_way;
        if second || self.sabotage == Sabotage::NeverRelay {
            return None;
        }
        self.routes.as_ref()?.relay(to, call.attempts)
    }

    fn envelope(
        &mut self,
        now: Instant,
        call: &Travelling,
        (to, relayed): (NodeId, bool),
        (slot, hops): (u64, u8),
        (shard, version): (ShardId, Version),
        arguments: &[u8],
    ) -> Vec<u8> {
        let header = &call.submission.header;
        let number = self.numbers.entry(to).or_default();
        *number += 1;
        let chain = header.chain.to_vec();
        let wire = Call {
            slot,
            incarnation: self.incarnation.0,
            number: *number,
            engine: self.index,
            token: header.token.0,
            shard: shard.0,
            term: version.term,
            epoch: version.epoch.0,
            key: header.address.as_key(),
            method: &header.method,
            arguments,
            chain: chain.iter().map(ActorAddress::as_key).collect(),
            timeout_us: u64::try_from((header.deadline - now).as_micros()).unwrap_or(u64::MAX),
            one_way: header.one_way,
            hops,
            relayed,
            origin: (&header.origin).into(),
        };
        let size_hint = arguments.len() + wire.key.len() + wire.method.len();
        Envelope::Call(wire).to_bytes(size_hint)
    }
}
