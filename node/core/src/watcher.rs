//! What the machines of a node claim, for whoever checks the claims of all nodes against each other.

use gritmesh_runtime::{Instant, ShardId};

/// Hears of claims when they are made. For the simulator's checkers: nothing else tells what one node believes while
/// another one believes something else.
#[doc(hidden)]
pub trait Watcher: Send + Sync {
    /// From now until then, by the clock of the node, it surely leads the shard alone. No more, if that is over.
    fn holds_lease(&self, shard: ShardId, until: Instant);

    /// It leads the shard in this term.
    fn leads(&self, shard: ShardId, term: u64);
}
