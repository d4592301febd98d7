//! Time and execution, and the bundle of all that a node is given.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::{Disk, Instant, Network, Seed, UnixTime};

/// A future that owns all it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// The two clocks of a node.
pub trait Clock: Send + Sync {
    /// Monotonic time.
    fn now(&self) -> Instant;

    /// Wall-clock time; may jump.
    fn unix_time(&self) -> UnixTime;
}

/// Runs futures.
pub trait Spawn: Send + Sync {
    /// Runs a future to its end beside everything else.
    fn spawn(&self, task: BoxFuture<()>);

    /// A future that is done at `due`, not earlier.
    fn sleep_until(&self, due: Instant) -> BoxFuture<()>;

    /// Asks for leave to go on without yielding. `Pending` means that the current task has had its share; it
    /// is woken again at once. Keeps a loop of calls that never wait from starving its neighbours.
    fn poll_proceed(&self, cx: &mut Context<'_>) -> Poll<()>;
}

/// All that differs between production and simulation.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Execution of handlers.
    pub spawn: Arc<dyn Spawn>,
    /// Peers.
    pub network: Arc<dyn Network>,
    /// Storage.
    pub disk: Arc<dyn Disk>,
    /// The root of this node's randomness.
    pub seed: Seed,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}
