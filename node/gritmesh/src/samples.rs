//! Actors to try a cluster with, registered by the stock binary: two durable ones, and `echo`, which has nothing to keep.

mod account;
mod counter;
mod echo;

pub use account::{Account, AccountError, AccountRef};
pub use counter::{Counter, CounterError, CounterRef};
pub use echo::{Echo, EchoRef};

use crate::NodeBuilder;

/// Hosts all samples.
pub fn register(node: NodeBuilder) -> NodeBuilder {
    node.register::<Counter>().register::<Account>().register::<Echo>()
}
