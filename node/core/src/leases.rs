//! What this node surely is for each shard, for everybody to read without asking an engine: until when it leads the
//! shard alone, and in which epoch.
//!
//! A reader that finds a lease that has not ended knows that no other node had become leader when it looked: what it
//! then answers was true at a moment between the question and the answer.

use std::sync::atomic::{AtomicU64, Ordering};

use gritmesh_runtime::{Epoch, Instant, ShardId};
use gritmesh_sharding::SHARDS_MAX;

pub(crate) struct Leases {
    shards: Vec<Lease>,
}

#[derive(Default)]
struct Lease {
    until: AtomicU64,
    epoch: AtomicU64,
}

impl Leases {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS_MAX).map(|_| Lease::default()).collect() }
    }

    pub(crate) fn set(&self, shard: ShardId, until: Instant, epoch: Epoch) {
        if let Some(lease) = self.shards.get(shard.0 as usize) {
            lease.epoch.store(epoch.0, Ordering::Release);
            lease.until.store(until.as_nanos(), Ordering::Release);
        }
    }

    pub(crate) fn holds(&self, shard: ShardId, now: Instant) -> bool {
        let lease = self.shards.get(shard.0 as usize);
        lease.is_some_and(|lease| now.as_nanos() < lease.until.load(Ordering::Acquire))
    }

    /// The epoch in which this node leads the shard, or last led it.
    pub(crate) fn epoch(&self, shard: ShardId) -> Epoch {
        Epoch(self.shards.get(shard.0 as usize).map_or(0, |lease| lease.epoch.load(Ordering::Acquire)))
    }
}
