//! What goes into the machine and what comes out.

use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::{ClusterId, Incarnation, LossReason, NodeId, NodeInfo};

use crate::view::ClusterEvent;

/// What happened outside.
#[derive(Debug)]
pub enum Event<'a> {
    /// A deadline may have passed.
    Tick,
    /// A peer was admitted.
    Connected(&'a Hello),
    /// An envelope of the gossip class arrived.
    Received {
        /// Who sent it.
        from: NodeId,
        /// Its bytes.
        body: &'a [u8],
    },
    /// The last connection to a peer is gone.
    Lost {
        /// Which peer.
        peer: NodeId,
        /// What is known of the cause.
        reason: LossReason,
    },
    /// Nobody was reached at an address that was to be dialled.
    DialFailed {
        /// The address as it was given.
        address: &'a str,
    },
    /// A name that was to be dialled has these addresses.
    Resolved {
        /// The name as it was given, with the port.
        name: &'a str,
        /// What it shows.
        addresses: &'a [std::net::SocketAddr],
    },
    /// An address that was dialled is this node's own.
    OwnAddress {
        /// The address as it was given.
        address: &'a str,
    },
    /// A connection was turned down at admission, or found to lead to another process with this node's key
    /// (to be reported as [`Refusal::DuplicateIdentity`]).
    Refused {
        /// The address that was dialled, if this node dialled.
        address: Option<&'a str>,
        /// Whether this node refused.
        by_us: bool,
        /// Why.
        refusal: &'a Refusal,
    },
    /// The oldest [`Effect::PersistCluster`] that was not confirmed yet is on disk.
    ClusterPersisted,
    /// This node's share of the ring changes; zero drains it.
    SetWeight(u16),
    /// A member that is down or has left is not to be shown any more. Nothing happens to one that is there.
    Forget(NodeId),
    /// This node wants to leave. Nothing else is done afterwards.
    Leave,
    /// Something to tell every member.
    Broadcast(Broadcast<'a>),
}

/// Something for every member that is there now; who joins later does not get it. Of two with the same key, the one with the higher version remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast<'a> {
    /// What it is about.
    pub key: u64,
    /// Which of several about the same thing is newest.
    pub version: u64,
    /// What it says: at most [`BROADCAST_BYTES_MAX`](crate::BROADCAST_BYTES_MAX) bytes.
    pub bytes: &'a [u8],
}

/// What is to be done outside, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send an envelope of the gossip class.
    Send {
        /// To whom.
        to: NodeId,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// Connect to whoever listens at an address, or report what addresses a name has.
    Dial {
        /// `host:port`.
        address: String,
    },
    /// Note where a member listens.
    Learn(NodeInfo),
    /// Drop what is known of a node.
    Forget(NodeId),
    /// Say this to peers that connect from now on.
    SetHello(Hello),
    /// Write the cluster id to disk, then report [`Event::ClusterPersisted`].
    PersistCluster {
        /// The cluster.
        cluster: ClusterId,
        /// Whether this node founds it.
        founded: bool,
    },
    /// The view is another one now.
    ViewChanged,
    /// Other members than before are reached over others only, see
    /// [`Membership::detours`](crate::Membership::detours).
    DetoursChanged,
    /// Tell whoever follows the cluster.
    Notify(ClusterEvent),
    /// A member told everyone something that is new here.
    Broadcast {
        /// What it is about.
        key: u64,
        /// Its version.
        version: u64,
        /// What it says.
        bytes: Vec<u8>,
    },
    /// This node founded a cluster, and its id is on disk.
    Founded(ClusterId),
    /// This node belongs to a cluster that others founded, and its id is on disk.
    Joined(ClusterId),
    /// This process must stop.
    Fatal(Fatal),
    /// The leave has been announced; the process may stop.
    Left,
}

/// Why a process must stop. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// Another process has the same key and keeps running.
    #[error("another running node has the same identity; every node needs a data directory of its own")]
    DuplicateIdentity,
    /// The cluster knows a later start of this node, at another address.
    #[error(
        "this node's identity was started again at {address}; its data directory was copied, and the later start goes on"
    )]
    Superseded {
        /// Where the other one listens.
        address: std::net::SocketAddr,
    },
    /// The cluster knows a later start of this node, at this address.
    #[error(
        "the cluster has seen start {seen:?} of this node, but this is start {ours:?}; the data directory is an older copy, so use an empty one"
    )]
    StaleIncarnation {
        /// This process.
        ours: Incarnation,
        /// What was seen.
        seen: Incarnation,
    },
}

/// Things that went wrong and were ignored, and a few that went right. Counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Envelopes that were no message, or not from who they claimed.
    pub malformed: u64,
    /// Messages from nodes that are not peers, or of another cluster.
    pub unexpected: u64,
    /// Errors of foca that are no fault of the bytes.
    pub swim_errors: u64,
    /// Members, peers or broadcasts that found their table full, and broadcasts of this node that were too large
    /// or older than one it knows.
    pub overflowed: u64,
    /// Requests that came faster than they are answered.
    pub throttled: u64,
    /// Connections turned down at admission.
    pub refused: u64,
    /// Times that this process found itself to have been stopped.
    pub stalls: u64,
    /// Probes of this node that nobody answered.
    pub probes_failed: u64,
    /// Times that this node was falsely declared down and came back.
    pub rejoins: u64,
}
