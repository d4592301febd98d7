//! What flows over an open connection.

use std::time::Duration;

use gritmesh_runtime::TrafficClass;
use gritmesh_runtime::frame::{self, Frames};

use super::connection::EndState;
use super::{ConnectionId, NetworkOccurrence, Report, Side, WINDOW_BYTES};
use crate::trace::{Kind, class_and_size, digest};
use crate::world::{Event, State};

/// How much later a doubled or overtaken envelope arrives, at most.
const STRAY_DELAY_MAX: Duration = Duration::from_millis(200);

/// Longest time that a write is under way on a link that is not blocked. A link that was slow has no memory of it
/// once it is fast again, so no backlog may be longer than what a node can be asked to wait for.
const UNDER_WAY_MAX: Duration = Duration::from_secs(2);

/// When a stray envelope is tried again that met a blocked link.
const STRAY_RETRY: Duration = Duration::from_millis(100);

impl State {
    /// The instant is over: everything that was queued in it is written, or a connection is opened for it.
    pub(crate) fn flush_dirty(&mut self) {
        if self.network.dirty.is_empty() {
            return;
        }
        let mut dirty = std::mem::take(&mut self.network.dirty);
        for (node, peer_id) in dirty.drain(..) {
            let Some(process) = self.current(node) else { continue };
            let is_stalled = self.host(node).stalled;
            let Some(peer) = self.endpoint(process).peers.get_mut(&peer_id) else { continue };
            peer.is_dirty = false;
            // A stalled process is marked again when it goes on.
            if is_stalled || !peer.has_waiting() {
                continue;
            }
            match (peer.connection, peer.attempt, peer.address) {
                (Some((connection, side)), _, _) => self.write_queues(connection, side),
                (None, None, Some(address)) => self.connect_for_send(process, peer_id, address),
                (None, _, _) => {}
            }
        }
        if self.network.dirty.is_empty() {
            self.network.dirty = dirty;
        }
    }

    /// Writes what waits for a peer, one write for each class, as far as the window allows.
    fn write_queues(&mut self, id: ConnectionId, side: Side) {
        for class in TrafficClass::ALL {
            let Some(connection) = self.network.connections.get(&id) else { return };
            let (process, to) = (connection.ends[side].process, connection.ends[1 - side].node_id);
            let room = WINDOW_BYTES.saturating_sub(connection.flows[side].flight_bytes[class as usize]);
            let Some(peer) = self.endpoint(process).peers.get_mut(&to) else { return };
            if room == 0 || peer.queues[class as usize].is_empty() {
                continue;
            }
            let spare = self.network.spare.pop().unwrap_or_default();
            let peer = self.endpoint(process).peers.get_mut(&to).expect("it was found above");
            let bytes = peer.queues[class as usize].take(room, spare);
            self.write(id, side, class, bytes);
        }
    }

    fn write(&mut self, id: ConnectionId, side: Side, class: TrafficClass, mut bytes: Vec<u8>) {
        let Some(connection) = self.network.connections.get(&id) else { return };
        let link = connection.link_from(side);
        let summary = [class_and_size(class, bytes.len()), digest(&bytes)];
        self.record(Kind::Sent, Some(link.0), Some(link.1), summary);
        self.network.written[class as usize] += bytes.len() as u64;
        if self.options.network.breaks_order() {
            bytes = self.disturb(id, side, class, bytes);
        }
        if bytes.is_empty() {
            return self.network.recycle(bytes);
        }
        let links = &mut self.network.links;
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        let flow = &mut connection.flows[side];
        flow.wire_free = flow.wire_free.max(self.now) + links.transmission(link, bytes.len());
        let mut due = flow.wire_free + links.draw_latency(link, &self.options.network);
        let is_lost = links.chance(self.options.network.retransmit);
        if is_lost {
            due += links.draw_retransmission();
        }
        let latest = self.now + UNDER_WAY_MAX;
        flow.wire_free = flow.wire_free.min(latest);
        due = due.max(flow.held_until).min(latest).max(flow.last_arrival[class as usize]);
        if is_lost {
            flow.held_until = due;
        }
        flow.last_arrival[class as usize] = due;
        flow.flight_bytes[class as usize] += bytes.len();
        flow.flight[class as usize].push_back(bytes);
        let process = connection.ends[1 - side].process;
        let arrive = NetworkOccurrence::Arrive { process, connection: id, side: 1 - side, class };
        self.queue.push(due, Event::Network(arrive));
        if is_lost {
            self.record(Kind::Retransmitted, Some(link.0), Some(link.1), [0, 0]);
        }
    }

    /// Lets single envelopes of a write vanish, double, or go astray. Returns what stays in order.
    fn disturb(&mut self, id: ConnectionId, side: Side, class: TrafficClass, bytes: Vec<u8>) -> Vec<u8> {
        let Some(connection) = self.network.connections.get(&id) else { return bytes };
        let (link, process) = (connection.link_from(side), connection.ends[1 - side].process);
        let faults = self.options.network;
        let mut kept = self.network.spare.pop().unwrap_or_default();
        let (bodies, _) = Frames::split(&bytes).expect("the sender checked every envelope's size");
        for body in bodies {
            let links = &mut self.network.links;
            let stray = if links.chance(faults.vanish) {
                self.record(
                    Kind::Vanished,
                    Some(link.0),
                    Some(link.1),
                    [class_and_size(class, body.len()), 0],
                );
                continue;
            } else if links.chance(faults.overtake) {
                Some(Kind::Overtaken)
            } else {
                frame::append(&mut kept, body);
                links.chance(faults.duplicate).then_some(Kind::Duplicated)
            };
            let Some(kind) = stray else { continue };
            let delay = Duration::from_nanos(links.below(STRAY_DELAY_MAX.as_nanos() as u64));
            let due = self.now + links.draw_latency(link, &faults) + delay;
            let mut copy = self.network.spare.pop().unwrap_or_default();
            frame::append(&mut copy, body);
            let stray =
                NetworkOccurrence::Stray { process, connection: id, side: 1 - side, class, bytes: copy };
            self.queue.push(due, Event::Network(stray));
            self.record(kind, Some(link.0), Some(link.1), [class_and_size(class, body.len()), 0]);
        }
        self.network.recycle(bytes);
        kept
    }

    pub(super) fn on_arrive(&mut self, id: ConnectionId, side: Side, class: TrafficClass) {
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        let from = 1 - side;
        let is_blocked = self.network.links.is_blocked(connection.link_from(from));
        let flow = &mut connection.flows[from];
        if is_blocked || connection.ends[side].state == EndState::Opening {
            flow.parked[class as usize] += 1;
            return;
        }
        let Some(bytes) = flow.flight[class as usize].pop_front() else { return };
        flow.flight_bytes[class as usize] -= bytes.len();
        let sender = &connection.ends[from];
        let (sender, sender_id, sends) = (sender.process, sender.node_id, sender.state == EndState::Open);
        let receiver = &connection.ends[side];
        let (process, receiver_id) = (receiver.process, receiver.node_id);
        if receiver.state == EndState::Open {
            let report = Report::Received { peer: sender.node, from: sender_id, class, bytes };
            self.report(process, report);
        }
        if sends && self.is_current(sender) {
            self.mark_dirty(sender, receiver_id);
        }
    }

    pub(super) fn on_stray(&mut self, id: ConnectionId, side: Side, class: TrafficClass, bytes: Vec<u8>) {
        let Some(connection) = self.network.connections.get(&id) else { return };
        let (sender, receiver) = (&connection.ends[1 - side], &connection.ends[side]);
        let process = receiver.process;
        let must_wait = self.network.links.is_blocked(connection.link_from(1 - side))
            || receiver.state == EndState::Opening;
        if must_wait {
            let again = NetworkOccurrence::Stray { process, connection: id, side, class, bytes };
            self.queue.push(self.now + STRAY_RETRY, Event::Network(again));
        } else if receiver.state == EndState::Open {
            let (peer, from) = (sender.process.node, sender.node_id);
            self.report(process, Report::Received { peer, from, class, bytes });
        }
    }
}
