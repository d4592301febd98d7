//! What Control hears and what it wants done.

use std::sync::Arc;

use gritmesh_membership as membership;
use gritmesh_membership::{ClusterEvent, View};
use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::{ClusterId, DiskError, Epoch, LossReason, NodeId, NodeInfo, Record, ShardId};
use gritmesh_sharding as sharding;

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
    DialFailed {
        address: String,
        own: bool,
    },
    Refused {
        address: Option<String>,
        by_us: bool,
        refusal: Refusal,
    },
    Persisted(Result<(), DiskError>),
    Learn {
        shard: ShardId,
        epoch: Epoch,
        leader: Option<NodeId>,
    },
    Released(ShardId),
    Drain,
    Leave,
}

/// What has to be done, in order. What is persisted goes before everything else of its batch.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Make records durable, then tell [`Event::Persisted`].
    Persist {
        records: Vec<Record>,
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
    Serve(ShardId),
    Release(ShardId),
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

/// What Control is at birth.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) membership: membership::Start,
    pub(crate) membership_options: membership::Options,
    pub(crate) sharding_options: sharding::Options,
    pub(crate) shards: u32,
}
