//! What [`Placement`](super::Placement) hears and what it wants done.

use gritmesh_runtime::{NodeId, ShardId};

use crate::table::{Descriptor, ShardTable};

/// A member of the cluster, as far as placing shards is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// Its share relative to the others'; 0 takes nothing and gives away what it has.
    pub weight: u16,
    /// Its failure zone; empty if none was given.
    pub zone: String,
    /// Whether it is believed to live. A suspected member is.
    pub alive: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The view changed. All candidates, this node among them once it is a member. A candidate that is
    /// missing where it was alive before has left.
    Candidates(Vec<Candidate>),
    /// A whole table: pulled when joining, restored from disk, or the initial one of a new cluster.
    Table(ShardTable),
    /// Something was said about one shard: by gossip or in a redirect.
    Descriptor(Descriptor),
    /// A local replica leads its shard, with these voters: it was elected, or the voters changed. Or it has
    /// learned from the shard's log that another one leads.
    Own(Descriptor),
    /// The local replica has stopped leading its shard.
    Lost(ShardId),
    /// This node has a replica of the shard from now on, or has none any more.
    Holds {
        /// The shard.
        shard: ShardId,
        /// Whether there is one.
        holds: bool,
    },
    /// A peer's table has this hash.
    Summary {
        /// The peer.
        from: NodeId,
        /// [`ShardTable::hash`] of its table; 0 if it has none.
        hash: u64,
    },
    /// A peer sent its table, as an answer to a summary.
    TableFrom {
        /// The peer.
        from: NodeId,
        /// Its table.
        table: ShardTable,
    },
    /// This node is about to leave: give everything away.
    Drain,
    /// This node stays after all.
    Undrain,
    /// [`next_deadline`](super::Placement::next_deadline) has come.
    Tick,
}

/// What has to be done, in order. None of it depends on the completion of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The local leader of this shard should move it there: make these its only voters, and then hand over to
    /// this leader, which may still be itself. Replaces what was wanted before; what is there already means
    /// that nothing should change any more. Comes again as long as the shard is not there.
    Want {
        /// The shard.
        shard: ShardId,
        /// Its voters, sorted.
        voters: Vec<NodeId>,
        /// Its leader, one of the voters.
        leader: NodeId,
    },
    /// All members should hear this, by gossip.
    Broadcast(Descriptor),
    /// This peer should hear this at once.
    Tell {
        /// The peer.
        to: NodeId,
        /// What to tell it.
        descriptor: Descriptor,
    },
    /// Somebody says that another node leads a shard that is led here: its replica should find out.
    Doubt(ShardId),
    /// The peer should compare its table with ours.
    SendSummary {
        /// The peer.
        to: NodeId,
        /// [`ShardTable::hash`] of our table; 0 if there is none.
        hash: u64,
    },
    /// The peer lacks something of our table.
    SendTable {
        /// The peer.
        to: NodeId,
        /// Our table.
        table: ShardTable,
    },
    /// The table differs from before this event: routing has to be published anew. Comes last and once.
    TableChanged,
    /// After [`Event::Drain`]: this node keeps nothing any more, or there is nobody to take it. Comes once.
    Drained,
}
