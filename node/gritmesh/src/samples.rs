//! Actors to try a cluster with, registered by the stock binary. They keep their state in memory only.

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
