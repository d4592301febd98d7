//! What an engine hears and what it wants done.

use std::sync::Arc;

use gritmesh_actor::Submission;
use gritmesh_runtime::{Epoch, Failure, NodeId, ShardId};
use gritmesh_sharding::{Routing, ShardTable};

use super::{Caller, Travelling};
use crate::wire::Place;

/// Where everything is, as Control last published it.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) routing: Routing,
    pub(crate) table: ShardTable,
}

impl Routes {
    pub(crate) fn leader(&self, shard: ShardId) -> Option<NodeId> {
        self.table.shard(shard)?.leader
    }

    pub(crate) fn epoch(&self, shard: ShardId) -> Epoch {
        self.table.shard(shard).map_or(Epoch(0), |shard| shard.epoch)
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A call from this node, or one that came back from an activation that closed.
    Submit(Submission),
    /// A call that another engine had before the table told that it is this one's.
    Passed(Travelling),
    /// A call from a peer for an actor that is not in memory here.
    Received { from: Caller, submission: Submission, shard: ShardId, epoch: Epoch, hops: u8 },
    /// A peer answered.
    Reply { slot: u64, result: Result<Vec<u8>, Failure> },
    /// A peer does not serve the shard; the call did not run.
    Redirect { slot: u64, place: Place },
    /// The network did not take the envelope. With a failure the caller is told so; else another way is sought.
    NotSent { slot: u64, failure: Option<Failure> },
    /// The connection to a peer is gone, or the peer is believed dead.
    Lost { peer: NodeId, unsent: Vec<u64> },
    /// Control has published where everything is.
    Routes(Arc<Routes>),
    /// This node leads the shard.
    Serve(ShardId),
    /// This node stops leading the shard.
    Release(ShardId),
    /// No actor of the shard is in memory any more.
    Evicted(ShardId),
    /// The node is shutting down: nothing that cannot be routed now will wait for it.
    Draining,
    /// Time has passed.
    Tick,
}

/// What has to be done, in order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Queue an envelope for a peer; tell [`Event::NotSent`] if that fails.
    Send { to: NodeId, slot: u64, body: Vec<u8> },
    /// Tell a peer where its call should have gone.
    Redirect { to: Caller, place: Place },
    /// Run a call here, bringing its actor into memory.
    Deliver(Submission),
    /// Give a call to the engine of its shard.
    Pass { call: Travelling, shard: ShardId },
    /// End a call.
    Answer(Submission, Result<Vec<u8>, Failure>),
    /// Bring all actors of the shard out of memory, then tell [`Event::Evicted`].
    Evict(ShardId),
    /// Tell Control that the shard is free.
    Released(ShardId),
    /// Tell Control what a peer said of a shard.
    Learn { shard: ShardId, epoch: Epoch, leader: Option<NodeId> },
    /// Add to a metric.
    Count(Counted),
}

/// What is counted.
#[derive(Debug)]
pub(crate) enum Counted {
    /// A call went to a node that did not serve its shard.
    Redirected,
    /// A call named a type that nobody hosts.
    UnknownType {
        /// The type.
        actor_type: String,
    },
}
