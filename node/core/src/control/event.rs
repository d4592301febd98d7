//! What Control hears and what it wants done.

use std::sync::Arc;

use gritmesh_membership as membership;
use gritmesh_membership::{ClusterEvent, View};
use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::{Change, ClusterId, DiskError, LossReason, NodeId, NodeInfo, ShardId};
use gritmesh_sharding as sharding;
use gritmesh_sharding::{Descriptor, Shard, ShardTable, Version};

use crate::engine::Routes;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The first event of all: the node shows itself to its callers.
    Start,
    Tick,
    Connected(Hello),
    Received {
        from: NodeId,
        body: Vec<u8>,
    },
    Lost {
        peer: NodeId,
        reason: LossReason,
    },
    Resolved {
        name: String,
        addresses: Vec<std::net::SocketAddr>,
    },
    DialFailed {
        address: String,
        own: bool,
    },
    Refused {
        address: Option<String>,
        by_us: bool,
        refusal: Refusal,
    },
    /// What was to be persisted is on the disk, or is not.
    Persisted {
        what: Persisting,
        result: Result<(), DiskError>,
    },
    /// What a peer said of a shard.
    Learn {
        shard: ShardId,
        version: Version,
        leader: Option<NodeId>,
    },
    /// What a shard that this node leads is now.
    Own(Descriptor),
    /// This node leads the shard no more.
    LostLeadership(ShardId),
    /// Whether this node holds a replica of the shard.
    Holds {
        shard: ShardId,
        holds: bool,
    },
    /// One engine has all shards on the disk that it had to found.
    Founded,
    Drain,
    /// The node stays after all, with this share of the ring.
    Undrain {
        weight: u16,
    },
    /// A member that is gone is not to be shown any more.
    Forget(NodeId),
    Leave,
}

/// What has to be done, in order. What is persisted goes before everything else of its batch.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Make records durable, then tell [`Event::Persisted`].
    Persist {
        what: Persisting,
        changes: Vec<Change>,
    },
    Send {
        to: NodeId,
        body: Vec<u8>,
    },
    Dial(String),
    Learn(NodeInfo),
    Forget(NodeId),
    SetHello(Hello),
    /// Show callers the members.
    View(Arc<View>),
    /// Tell callers and engines where everything is.
    Routes {
        routes: Arc<Routes>,
        mixed: bool,
    },
    /// The node founds the cluster: the engines create these shards.
    Found(Vec<Shard>),
    /// Where a shard that this node leads should be.
    Want {
        shard: ShardId,
        voters: Vec<NodeId>,
        leader: NodeId,
    },
    /// Others say that this node leads a shard no more: its replica asks its followers.
    Doubt(ShardId),
    /// A member is dead: what it owes will not come.
    Gone(NodeId),
    Notify(ClusterEvent),
    /// The node belongs to this cluster, and the disk knows it.
    Member(ClusterId),
    /// The process must stop.
    Fatal(String),
    Drained,
    Left,
}

/// What Control has on its way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persisting {
    /// The cluster's id.
    Cluster,
    /// The ranges of the shards, or that all of them were founded.
    Table,
}

/// What Control is at birth.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) membership: membership::Start,
    pub(crate) membership_options: membership::Options,
    pub(crate) sharding_options: sharding::Options,
    pub(crate) shards: u32,
    pub(crate) engines: usize,
    /// The table, if the disk has one.
    pub(crate) table: Option<ShardTable>,
    /// Whether this node was founding a cluster when it stopped.
    pub(crate) founding: bool,
}
