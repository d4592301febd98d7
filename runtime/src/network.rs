//! Peers, as a node sees them: envelopes out, events in.

use std::net::SocketAddr;

use crate::admission::{Hello, Refusal};
use crate::frame::Frames;
use crate::{NodeId, NodeInfo};

/// Names an envelope to its sender, so that the network can say which ones were surely not sent.
/// Zero means that the sender does not want to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// What an envelope is about. Each class has a stream of its own to every peer, so that a big transfer never
/// delays a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TrafficClass {
    /// Membership and the shard table.
    Gossip,
    /// Replicated logs.
    Consensus,
    /// Messages between actors.
    Calls,
    /// Objects.
    Bulk,
}

impl TrafficClass {
    /// Every class, in order of urgency.
    pub const ALL: [Self; 4] = [Self::Gossip, Self::Consensus, Self::Calls, Self::Bulk];

    /// The class as it stands in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gossip => "gossip",
            Self::Consensus => "consensus",
            Self::Calls => "calls",
            Self::Bulk => "bulk",
        }
    }
}

/// A node's way to its peers.
///
/// Within one class and one peer, envelopes arrive in the order they were sent, or not at all. After a
/// connection is lost, some of the last ones may be missing. No method blocks or waits.
///
/// Sending to a peer that is known but not connected starts a connection; envelopes wait in the bounded queue
/// meanwhile.
pub trait Network: Send + Sync {
    /// Appends one envelope to the peer's queue for its class. The body is copied.
    ///
    /// # Errors
    /// If the envelope was not queued. It surely does not arrive then.
    fn send(&self, to: NodeId, class: TrafficClass, tag: Tag, body: &[u8]) -> Result<(), SendError>;

    /// Takes back envelopes that are still queued for a peer: those of the class whose tag is chosen. What is returned
    /// surely does not arrive, and is reported no more; what is not returned may be on its way.
    fn withdraw(&self, to: NodeId, class: TrafficClass, chosen: &dyn Fn(Tag) -> bool) -> Vec<Tag>;

    /// Connects to whoever listens at `address`, as to a seed. The outcome is an event, unless a peer
    /// answers that is connected already: for each peer, [`NetworkEvent::Connected`] and [`NetworkEvent::Lost`] take
    /// turns. Of `host:port`, what the name stands for is reported, as [`NetworkEvent::Resolved`], and nobody is dialled.
    fn dial(&self, address: &str);

    /// Notes where a peer listens, so that it can be connected to on demand.
    fn learn(&self, info: &NodeInfo);

    /// Drops what is known of a peer, closes its connection and fails what is queued for it.
    fn forget(&self, peer: NodeId);

    /// Changes what this node says of itself to peers that connect from now on.
    fn set_hello(&self, hello: Hello);
}

/// Why an envelope was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer's address is not known.
    #[error("no address is known for the peer")]
    UnknownPeer,
    /// The peer's queue for this class is full.
    #[error("the queue to the peer is full")]
    QueueFull,
    /// The envelope is larger than a frame may be.
    #[error("the envelope has {bytes} bytes; a frame holds at most {limit}")]
    TooLarge {
        /// Size of the envelope.
        bytes: usize,
        /// Largest size.
        limit: usize,
    },
    /// The network is shutting down.
    #[error("the network is shutting down")]
    Closed,
}

/// What the network reports. Events about one peer come in the order in which they happened.
#[derive(Debug)]
pub enum NetworkEvent<'a> {
    /// A peer was admitted; envelopes flow in both directions from here on.
    Connected {
        /// What the peer said of itself.
        hello: Hello,
    },
    /// Whole envelopes from an admitted peer.
    Received {
        /// Who sent them.
        from: NodeId,
        /// On which stream.
        class: TrafficClass,
        /// Their bodies, one or more.
        frames: Frames<'a>,
    },
    /// The last connection to a peer is gone.
    Lost {
        /// Who is gone.
        peer: NodeId,
        /// What is known of the cause.
        reason: LossReason,
        /// Tags of envelopes that were queued and surely not sent.
        unsent: Vec<Tag>,
    },
    /// What a name given to [`Network::dial`] stands for now. None of it was dialled.
    Resolved {
        /// The name with its port, as it was given.
        name: String,
        /// Its addresses, at least one.
        addresses: Vec<SocketAddr>,
    },
    /// [`Network::dial`] did not reach anyone.
    DialFailed {
        /// The address that was dialled.
        address: String,
        /// Why.
        error: DialError,
    },
    /// A connection was turned down at admission, by us or by the other side. Both sides hear of it; where both had
    /// the reason, each may hear that it refused.
    Refused {
        /// The address that was dialled, if we dialled.
        address: Option<String>,
        /// Who it was, as far as known.
        peer: Option<NodeId>,
        /// Whether this node refused; else the other one did.
        by_us: bool,
        /// The reason, in the refuser's words.
        refusal: Refusal,
    },
    /// The peer broke the protocol and was disconnected. Counted; a [`Self::Lost`] follows.
    Malformed {
        /// Who.
        from: Option<NodeId>,
        /// What was wrong.
        detail: String,
    },
}

/// What is known of why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// The other side's process ended or reset the connection.
    Reset,
    /// The other side closed in good order.
    Closed,
    /// Nothing was heard for too long, or the peer could not be reached at all.
    Unreachable,
    /// This node closed it.
    Local,
}

impl LossReason {
    /// The reason as it stands in log lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Unreachable => "unreachable",
            Self::Local => "local",
        }
    }
}

/// Why a dial failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The address is not `host:port` or its host has no address.
    #[error("cannot resolve `{address}`: {detail}")]
    Resolve {
        /// What was to be resolved.
        address: String,
        /// The resolver's words.
        detail: String,
    },
    /// Nobody answered.
    #[error("cannot connect to {address}: {detail}")]
    Connect {
        /// Who was called.
        address: SocketAddr,
        /// The cause.
        detail: String,
    },
    /// The address is this node's own.
    #[error("{address} is this node itself")]
    Own {
        /// The address.
        address: SocketAddr,
    },
    /// This very process answered, at an address that is not its own: a balancer, a proxy or a router is between.
    /// Somebody else may answer there the next time.
    #[error(
        "this node itself answers at {address}, through a balancer, a proxy or a router: name the nodes' own addresses as seeds"
    )]
    Itself {
        /// The address.
        address: SocketAddr,
    },
    /// Another process at that address uses this node's identity. It hears nothing of this dial: two ends with one
    /// key part before they are introduced.
    #[error("the node at {address} has this node's identity: the data directory was copied")]
    DuplicateIdentity {
        /// The address.
        address: SocketAddr,
    },
}

/// Receives what the network reports. Called on the thread that read from the peer: what can be answered at
/// once is answered there, and what was queued meanwhile leaves in one write.
pub trait NetworkHandler: Send + Sync {
    /// One event.
    fn handle(&self, event: NetworkEvent<'_>);
}
