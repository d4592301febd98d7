//! Connections: two ends that open and close at different times.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gritmesh_runtime::admission::Hello;
use gritmesh_runtime::{Instant, LossReason, NodeId, TrafficClass};

use super::link::Link;
use super::{NetworkOccurrence, Report, UNREACHABLE_AFTER, UNREACHABLE_JITTER};
use crate::NodeIndex;
use crate::trace::Kind;
use crate::world::{Event, Process, State};

/// Names a connection. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(super) u64);

/// One of the two ends: 0 dialled, 1 listened.
pub(crate) type Side = usize;

/// How far one end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    /// The other end is open already, this one hears of it soon.
    Opening,
    /// Reported as connected and not yet as lost.
    Open,
    /// Reported as lost, or gone with its process.
    Closed,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) process: Process,
    pub(super) node_id: NodeId,
    pub(super) state: EndState,
}

/// What flows away from one end.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Writes on their way, by class.
    pub(super) flight: [VecDeque<Vec<u8>>; 4],
    pub(super) flight_bytes: [usize; 4],
    /// When the last one of each class arrives; nothing sent later arrives earlier.
    pub(super) last_arrival: [Instant; 4],
    /// Nothing of any class arrives before this: a retransmission is awaited.
    pub(super) held_until: Instant,
    /// When the wire is free again.
    pub(super) wire_free: Instant,
    /// Arrivals that found the link blocked or the other end not open yet.
    pub(super) parked: [u32; 4],
    pub(super) parked_hangup: Option<LossReason>,
}

/// A connection between two processes.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) ends: [End; 2],
    /// By the side that sends.
    pub(super) flows: [Flow; 2],
    /// Counts the times that silence was watched for; an older watch is void.
    watch: u32,
    is_watched: bool,
}

impl Connection {
    pub(super) fn new(dialler: (Process, NodeId), listener: (Process, NodeId), opens_at: Instant) -> Self {
        let end = |(process, node_id), state| End { process, node_id, state };
        let flow = || Flow { last_arrival: [opens_at; 4], ..Flow::default() };
        Self {
            ends: [end(dialler, EndState::Open), end(listener, EndState::Opening)],
            flows: [flow(), flow()],
            watch: 0,
            is_watched: false,
        }
    }

    /// The link over which the given side sends.
    pub(super) const fn link_from(&self, side: Side) -> (NodeIndex, NodeIndex) {
        (self.ends[side].process.node, self.ends[1 - side].process.node)
    }
}

/// The key under which two processes find their connection.
pub(super) fn pair(a: Process, b: Process) -> (Process, Process) {
    (a.min(b), a.max(b))
}

impl State {
    /// Makes the connection that a dialler has accepted. Its end is open at once.
    pub(super) fn open_connection(
        &mut self,
        dialler: (Process, NodeId),
        listener: (Process, NodeId),
        dialler_hello: Box<Hello>,
    ) -> ConnectionId {
        let id = ConnectionId(self.network.next_number());
        let latency =
            self.network.links.draw_latency((dialler.0.node, listener.0.node), &self.options.network);
        let opens_at = self.now + latency;
        self.network.connections.insert(id, Connection::new(dialler, listener, opens_at));
        self.network.pairs.insert(pair(dialler.0, listener.0), id);
        let confirm =
            NetworkOccurrence::Confirm { process: listener.0, connection: id, hello: dialler_hello };
        self.queue.push(opens_at, Event::Network(confirm));
        self.watch_if_blocked(id);
        id
    }

    /// Closes one end. If it was open, its process hears of the loss.
    pub(super) fn close_end(&mut self, id: ConnectionId, side: Side, reason: LossReason) {
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        let end = &mut connection.ends[side];
        let before = std::mem::replace(&mut end.state, EndState::Closed);
        let (process, other) = (connection.ends[side].process, &connection.ends[1 - side]);
        let (other_id, other_is_closed) = (other.node_id, other.state == EndState::Closed);
        if other_is_closed {
            self.remove_connection(id);
        }
        if !self.is_current(process) {
            return;
        }
        if before == EndState::Opening {
            // What waited for this connection to open waits in vain.
            self.fail_waiting(process, other_id);
        }
        if before == EndState::Open {
            let Some(peer) = self.endpoint(process).peers.get_mut(&other_id) else { return };
            peer.connection = None;
            let unsent = peer.take_unsent();
            self.report(process, Report::Lost { peer: other_id, reason, unsent });
        }
    }

    fn remove_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.network.connections.remove(&id) else { return };
        let key = pair(connection.ends[0].process, connection.ends[1].process);
        if self.network.pairs.get(&key) == Some(&id) {
            self.network.pairs.remove(&key);
        }
    }

    /// Lets the other side know that `side` has closed, after everything that is still on its way.
    pub(super) fn hang_up(&mut self, id: ConnectionId, side: Side, reason: LossReason) {
        let Some(connection) = self.network.connections.get(&id) else { return };
        let link = connection.link_from(side);
        let (process, flow) = (connection.ends[1 - side].process, &connection.flows[side]);
        let last = flow.last_arrival.into_iter().max().unwrap_or_default();
        let latency = self.network.links.draw_latency(link, &self.options.network);
        let due = (self.now + latency).max(last).max(flow.held_until);
        let hangup = NetworkOccurrence::Hangup { process, connection: id, side: 1 - side, reason };
        self.queue.push(due, Event::Network(hangup));
    }

    pub(super) fn on_hangup(&mut self, id: ConnectionId, side: Side, reason: LossReason) {
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        if self.network.links.is_blocked(connection.link_from(1 - side)) {
            connection.flows[1 - side].parked_hangup = Some(reason);
        } else {
            self.close_end(id, side, reason);
        }
    }

    /// All connections of a process that dies end; the others hear of it if the links carry it.
    pub(crate) fn hang_up_all(&mut self, process: Process, reason: LossReason) {
        let mut ended = Vec::new();
        for (id, connection) in &self.network.connections {
            let side = connection.ends.iter().position(|end| end.process == process);
            ended.extend(side.map(|side| (*id, side)));
        }
        for (id, side) in ended {
            // What the kernel had not yet put on the wire may go with the process.
            if reason == LossReason::Reset && self.network.links.chance(0.5) {
                let Some(connection) = self.network.connections.get_mut(&id) else { continue };
                connection.flows[side].flight = Default::default();
            }
            self.close_end(id, side, reason);
            self.hang_up(id, side, reason);
        }
        let abandoned = self.network.attempts.extract_if(.., |_, attempt| attempt.dialler == process);
        abandoned.for_each(drop);
    }

    /// If a link of the connection is blocked, each end starts to lose patience.
    fn watch_if_blocked(&mut self, id: ConnectionId) {
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        let links = &mut self.network.links;
        let is_blocked = (0..2).any(|side| links.is_blocked(connection.link_from(side)));
        if !is_blocked || connection.is_watched {
            return;
        }
        connection.is_watched = true;
        connection.watch += 1;
        for side in 0..2 {
            let process = connection.ends[side].process;
            let jitter = Duration::from_nanos(links.below(UNREACHABLE_JITTER.as_nanos() as u64));
            let silence =
                NetworkOccurrence::Silence { process, connection: id, side, watch: connection.watch };
            self.queue.push(self.now + UNREACHABLE_AFTER + jitter, Event::Network(silence));
        }
    }

    pub(super) fn on_silence(&mut self, id: ConnectionId, side: Side, watch: u32) {
        let Some(connection) = self.network.connections.get(&id) else { return };
        let is_over = !connection.is_watched || connection.watch != watch;
        if is_over || connection.ends[side].state == EndState::Closed {
            return;
        }
        self.close_end(id, side, LossReason::Unreachable);
        self.hang_up(id, side, LossReason::Reset);
    }

    /// Links have been blocked: connections over them fall silent.
    pub(crate) fn watch_connections(&mut self) {
        let ids: Vec<ConnectionId> = self.network.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.watch_if_blocked(id));
    }

    /// These links work again: what was parked is retransmitted, and ends that were given up are reset.
    pub(crate) fn unblock_links(&mut self, unblocked: &BTreeMap<Link, Instant>) {
        let mut parked = Vec::new();
        for (id, connection) in &mut self.network.connections {
            connection.is_watched = false;
            for side in 0..2 {
                if let Some(since) = unblocked.get(&connection.link_from(side)) {
                    parked.push((*id, side, self.now.saturating_since(*since)));
                }
            }
        }
        for (id, side, blocked) in parked {
            let recovery = self.network.links.draw_recovery(blocked);
            self.release_parked(id, side, self.now + recovery);
            let Some(connection) = self.network.connections.get_mut(&id) else { continue };
            if let Some(reason) = connection.flows[side].parked_hangup.take() {
                self.hang_up(id, side, reason);
            }
        }
        // Silence is counted anew where a link is still blocked.
        self.watch_connections();
    }

    /// Lets arrivals that were parked happen.
    pub(super) fn release_parked(&mut self, id: ConnectionId, side: Side, at: Instant) {
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        let link = connection.link_from(side);
        let process = connection.ends[1 - side].process;
        let flow = &mut connection.flows[side];
        let parked = std::mem::take(&mut flow.parked);
        if parked.iter().all(|count| *count == 0) {
            return;
        }
        flow.held_until = flow.held_until.max(at);
        for (class, count) in TrafficClass::ALL.into_iter().zip(parked) {
            for _ in 0..count {
                let arrive = NetworkOccurrence::Arrive { process, connection: id, side: 1 - side, class };
                self.queue.push(at, Event::Network(arrive));
            }
        }
        self.record(Kind::Retransmitted, Some(link.0), Some(link.1), [0, 0]);
    }
}
