//! What [`Assignment`](super::Assignment) hears and what it wants done.

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
    /// missing where it was present before has left.
    Candidates(Vec<Candidate>),
    /// A whole table: pulled when joining, restored from disk, or the initial one of a new cluster.
    Table(ShardTable),
    /// Something was said about one shard: by gossip, in a redirect, or by a caller whose envelope names this
    /// node leader in an epoch that is not known here.
    Descriptor(Descriptor),
    /// The engine has finished what ran on the shard since [`Effect::Release`].
    Released(ShardId),
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
    /// [`next_deadline`](super::Assignment::next_deadline) has come.
    Tick,
}

/// What has to be done, in order. None of it depends on the completion of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This node leads the shard: its engine may run the shard's actors. For a shard that it runs already,
    /// the descriptor is newer and nothing else changes.
    Serve(Descriptor),
    /// The engine takes no new work for the shard, finishes what runs and then reports [`Event::Released`].
    /// No [`Self::Serve`] for the shard comes before that.
    Release(ShardId),
    /// All members should hear this, by gossip.
    Broadcast(Descriptor),
    /// This peer should hear this at once.
    Tell {
        /// The peer.
        to: NodeId,
        /// What to tell it.
        descriptor: Descriptor,
    },
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
    /// After [`Event::Drain`]: nothing is served here any more, or there is nobody to take it. Comes once.
    ///
    /// The node should go only after its weight of 0 has had time to spread: who saw it drain knows that its
    /// shards are elsewhere, even where the word about one of them was lost.
    Drained,
}
