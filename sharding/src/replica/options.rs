//! What an operator or a test may choose about a replica, and the bounds that nobody may.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::frame::FRAME_BYTES_MAX;
use gritmesh_runtime::{NodeId, Seed, ShardId};

use super::{LogCodec, ReplicaLimits};

/// Largest command in bytes: a message with one such entry still fits into a frame, with 64 KiB to spare for what
/// stands around it.
pub const COMMAND_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;

/// Greatest term, index or round that is believed. A million a second for two thousand years; without a limit one
/// damaged number would leave none for what follows.
pub(super) const NUMBER_MAX: u64 = 1 << 56;

/// How much shorter a lease is than the promises that it rests on, as a part of their length: clocks of two nodes
/// may differ by one percent in speed, twenty times what a bad quartz does.
pub(super) const LEASE_DRIFT_PART: u32 = 100;

/// Everything that stays the same for as long as a replica lives.
#[derive(Clone, Debug)]
pub struct ReplicaSetup {
    /// The shard.
    pub shard: ShardId,
    /// This node.
    pub me: NodeId,
    /// Times.
    pub options: ReplicaOptions,
    /// Limits.
    pub limits: ReplicaLimits,
    /// Randomness for election timeouts; the node's, the replica derives its own.
    pub seed: Seed,
    /// How commands lie on the disk.
    pub codec: Arc<dyn LogCodec>,
}

/// Times of a replica.
#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    /// The unit of the times below. Fine enough to fail over well within a second and a half, and 64 idle shards
    /// that tick cost nothing that can be measured.
    pub tick: Duration,
    /// Ticks between heartbeats: six reach a follower before it gives its leader up.
    pub heartbeat_ticks: u32,
    /// Ticks without a leader before an election; randomised up to double. 600 ms to 1.2 s with the default tick:
    /// longer than a stall of the operating system or a slow sync, short enough for a failover in two seconds.
    pub election_ticks: u32,
    /// What tests break on purpose, to see it caught.
    #[cfg(test)]
    pub(crate) broken: Broken,
}

/// What a test breaks on purpose.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Nothing.
    #[default]
    Nothing,
    /// A restarted replica votes at once, and forgets what it promised to a leader before.
    VotesAfterRestart,
    /// A follower votes although it promised its leader not to.
    PromisesNothing,
    /// The lease lasts twice as long as what it rests on.
    LeaseTooLong,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(50),
            heartbeat_ticks: 2,
            election_ticks: 12,
            #[cfg(test)]
            broken: Broken::Nothing,
        }
    }
}

impl ReplicaOptions {
    /// The shortest time without a leader before an election, and so the length of a follower's promise.
    pub fn election_timeout(&self) -> Duration {
        self.tick * self.election_ticks
    }
}
