//! The simulated network: what [`gritmesh_runtime::Network`] promises, over links that can fail.
//!
//! **Problem.** Protocols are wrong in the moments between two states of a connection: a peer that died but is not
//! known to be dead, a message that was handed over but never sent, a link that works in one direction. A network
//! that only delays and drops datagrams does not show these moments.
//!
//! **Design.** Peers have *connections*, as over TCP, and connections have an opening, two ends that close at
//! different times, and an order.
//!
//! ```text
//!   dial ──Syn──►  judge ──Answer──► judge ──Confirm──► both ends open      handshake.rs
//!   send ──queue──► (end of the instant: one write) ──flight──► Received    endpoint.rs, stream.rs
//!   kill, forget, silence ──Hangup──► Lost at the other end                 connection.rs
//! ```
//!
//! * A class of a connection is a queue *in flight*; what travels through the time queue are tokens that release its
//!   front. Order within a class is thus structural and no fault can break it by accident.
//! * A blocked link swallows nothing: as over TCP, what is under way waits, and is retransmitted if the link
//!   comes back within [`UNREACHABLE_AFTER`]. Later each end gives up by itself.
//! * A killed process is seen as a reset one latency later, or not at all while the link is blocked.
//! * Faults that break the order (loss, duplication, reordering of single envelopes) are a class of their own,
//!   see [`NetworkFaults::breaks_order`](crate::NetworkFaults::breaks_order).
//!
//! **Deliberately absent.** Backoff between connection attempts: a peer that does not answer is dialled again by the
//! next send. Encryption, and frames that violate the format: those belong to the tests of the real transport.

mod connection;
mod endpoint;
mod handshake;
mod link;
mod report;
mod stream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::{LossReason, NodeId, Seed, TrafficClass};

pub(crate) use connection::{Connection, ConnectionId, Side};
pub(crate) use endpoint::Endpoint;
pub(crate) use handshake::{Attempt, AttemptId, Verdict};
pub(crate) use link::Links;
pub(crate) use report::Report;

use crate::NodeIndex;
use crate::world::{Process, State};

/// How long a connection survives without anything getting through, before each end gives up.
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(10);

/// How much later than that an end gives up, at most: the two ends do not agree.
pub(crate) const UNREACHABLE_JITTER: Duration = Duration::from_secs(2);

/// How long a connection may take to open.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of envelopes that may wait for one peer and class. Sending answers
/// [`QueueFull`](gritmesh_runtime::SendError::QueueFull) beyond it.
pub const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Envelopes that may wait for one peer and class.
pub const QUEUE_ENVELOPES_MAX: usize = 16 * 1024;

/// Bytes of one class that may be on their way in one direction: what kernels and windows hold.
pub(crate) const WINDOW_BYTES: usize = 1024 * 1024;

/// Buffers kept for further use.
const SPARE_BUFFERS_MAX: usize = 256;

/// Largest buffer kept.
const SPARE_BYTES_MAX: usize = 64 * 1024;

/// Something that happens in the network.
#[derive(Debug)]
pub(crate) enum NetworkOccurrence {
    /// A dialler's first packet arrives.
    Syn { attempt: AttemptId, tries: u32 },
    /// The listener's answer arrives.
    Answer { process: Process, attempt: AttemptId, verdict: Verdict },
    /// The connection did not open in time.
    AttemptTimeout { process: Process, attempt: AttemptId },
    /// The dialler has accepted, too.
    Confirm { process: Process, connection: ConnectionId, hello: Box<Hello> },
    /// The dialler has refused.
    RefusedByDialler { process: Process, peer: NodeId, refusal: Refusal },
    /// A dial failed without anything being sent.
    Report { process: Process, report: Report },
    /// The front of a class in flight arrives.
    Arrive { process: Process, connection: ConnectionId, side: Side, class: TrafficClass },
    /// An envelope arrives out of order.
    Stray { process: Process, connection: ConnectionId, side: Side, class: TrafficClass, bytes: Vec<u8> },
    /// The other end is closed.
    Hangup { process: Process, connection: ConnectionId, side: Side, reason: LossReason },
    /// Nothing was heard for too long.
    Silence { process: Process, connection: ConnectionId, side: Side, watch: u32 },
}

impl NetworkOccurrence {
    pub(crate) const fn owner(&self) -> Option<Process> {
        match self {
            Self::Syn { .. } => None,
            Self::Answer { process, .. }
            | Self::AttemptTimeout { process, .. }
            | Self::Confirm { process, .. }
            | Self::RefusedByDialler { process, .. }
            | Self::Report { process, .. }
            | Self::Arrive { process, .. }
            | Self::Stray { process, .. }
            | Self::Hangup { process, .. }
            | Self::Silence { process, .. } => Some(*process),
        }
    }
}

/// All that the network knows.
#[derive(Debug)]
pub(crate) struct NetworkState {
    pub(crate) links: Links,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The newest connection of two processes, smaller one first.
    pairs: BTreeMap<(Process, Process), ConnectionId>,
    attempts: BTreeMap<AttemptId, Attempt>,
    addresses: BTreeMap<SocketAddr, NodeIndex>,
    /// Hosts that a resolver knows, and what it says of them.
    names: BTreeMap<String, Vec<NodeIndex>>,
    ids: BTreeMap<NodeId, NodeIndex>,
    /// Peers with something to send at the end of this instant.
    dirty: Vec<(NodeIndex, NodeId)>,
    spare: Vec<Vec<u8>>,
    /// Bytes written by all nodes, by class.
    pub(crate) written: [u64; 4],
    numbered: u64,
}

impl NetworkState {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self {
            links: Links::new(seed),
            connections: BTreeMap::new(),
            pairs: BTreeMap::new(),
            attempts: BTreeMap::new(),
            addresses: BTreeMap::new(),
            names: BTreeMap::new(),
            ids: BTreeMap::new(),
            dirty: Vec::new(),
            spare: Vec::new(),
            written: [0; 4],
            numbered: 0,
        }
    }

    /// Lets a node be found. False if the address is taken.
    pub(crate) fn register(&mut self, node: NodeIndex, id: NodeId, address: SocketAddr) -> bool {
        // Two nodes may share an identity, as after copying a data directory; the trace then names the first.
        self.ids.entry(id).or_insert(node);
        self.addresses.insert(address, node).is_none()
    }

    /// From now on a name stands for these nodes, in this order; for none, it is not known.
    pub(crate) fn set_name(&mut self, name: &str, nodes: Vec<NodeIndex>) {
        self.names.insert(name.to_owned(), nodes);
    }

    pub(crate) fn node_by_id(&self, id: NodeId) -> Option<NodeIndex> {
        self.ids.get(&id).copied()
    }

    fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

impl State {
    pub(crate) fn on_network(&mut self, occurrence: NetworkOccurrence) {
        match occurrence {
            NetworkOccurrence::Syn { attempt, tries } => self.on_syn(attempt, tries),
            NetworkOccurrence::Answer { process, attempt, verdict } => {
                self.on_answer(process, attempt, verdict);
            }
            NetworkOccurrence::AttemptTimeout { attempt, .. } => self.on_attempt_timeout(attempt),
            NetworkOccurrence::Confirm { process, connection, hello } => {
                self.on_confirm(process, connection, hello);
            }
            NetworkOccurrence::RefusedByDialler { process, peer, refusal } => {
                let report = Report::Refused { address: None, peer: Some(peer), by_us: false, refusal };
                self.report(process, report);
            }
            NetworkOccurrence::Report { process, report } => self.report(process, report),
            NetworkOccurrence::Arrive { connection, side, class, .. } => {
                self.on_arrive(connection, side, class);
            }
            NetworkOccurrence::Stray { connection, side, class, bytes, .. } => {
                self.on_stray(connection, side, class, bytes);
            }
            NetworkOccurrence::Hangup { connection, side, reason, .. } => {
                self.on_hangup(connection, side, reason);
            }
            NetworkOccurrence::Silence { connection, side, watch, .. } => {
                self.on_silence(connection, side, watch);
            }
        }
    }
}
