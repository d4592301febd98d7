//! What an operator or a test may choose about a replica, and the limits that nobody may.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::frame::FRAME_BYTES_MAX;
use gritmesh_runtime::{NodeId, Seed, ShardId};

use super::LogCodec;

/// Largest command in bytes: a message with one such entry still fits into a frame, with 64 KiB to spare for what
/// stands around it.
pub const COMMAND_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;

/// Greatest term, index or round that is believed. A million a second for two thousand years; without a limit one
/// damaged number would leave none for what follows.
pub(super) const NUMBER_MAX: u64 = 1 << 56;

/// How much shorter a lease is than the promises that it rests on, as a part of their length: clocks of two nodes
/// may differ by one percent in speed, twenty times what a bad quartz does.
pub(super) const LEASE_DRIFT_PART: u32 = 100;

/// Messages that wait for the disk, at most. Beyond that the newest is dropped, which raft survives like a loss on
/// the network; a disk that is that slow has other worries.
pub(super) const PARKED_MAX: usize = 1024;

/// A log is cut in steps of at least this many entries, so that cutting costs one record in as many.
pub(super) const CUT_ENTRIES_MIN: u64 = 64;

/// How many times more log is kept while a follower pulls state, so that it finds the rest when it is done.
pub(super) const KEPT_WHILE_PULLING: usize = 8;

/// A learner that lacks at most this many entries may become a voter: one full window on its way.
pub(super) const CAUGHT_UP_ENTRIES: u64 = 256;

/// Heartbeat rounds whose time of sending is remembered: at ten a second more than any lease lasts.
pub(super) const ROUNDS_MAX: usize = 64;

/// Peers beyond the configuration whose node is remembered, to be answered: those that a replica hears of before
/// it has applied that they are members. Two full sets of replicas.
pub(super) const LEARNED_MAX: usize = 16;

/// Election timeouts without a leader after which a replica asks the others whether it was removed.
pub(super) const ASK_AFTER_ELECTIONS: u32 = 8;

/// Election timeouts after which the leader offers state again to a follower that has not got it: the offer may
/// have been lost, and it costs next to nothing.
pub(super) const OFFER_AGAIN_ELECTIONS: u32 = 2;

/// Everything that stays the same for as long as a replica lives.
#[derive(Clone, Debug)]
pub struct ReplicaSetup {
    /// The shard.
    pub shard: ShardId,
    /// This node.
    pub me: NodeId,
    /// Times and sizes.
    pub options: ReplicaOptions,
    /// Randomness for election timeouts; the node's, the replica derives its own.
    pub seed: Seed,
    /// How commands lie on the disk.
    pub codec: Arc<dyn LogCodec>,
}

/// Times and sizes of a replica.
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
    /// Append messages on their way to one follower: enough to fill a link of 10 ms at 1 GB/s with full messages.
    pub inflight_max: usize,
    /// Bytes of entries in one message: big ones save messages, small ones let heartbeats through.
    pub message_bytes_max: usize,
    /// Bytes that were proposed and are not committed. Beyond it proposals are refused as full.
    pub uncommitted_bytes_max: usize,
    /// Bytes of commands in one [`Progress`](super::Progress), so that applying never takes the whole loop.
    pub committed_bytes_max: usize,
    /// Applied entries that are kept in memory and on disk for followers that lack them: more than what is written
    /// in the pause of a garbage collection, or a reconnect.
    pub kept_entries_max: usize,
    /// The same in bytes. 64 shards hold at most 256 MiB, and only while followers lag.
    pub kept_bytes_max: usize,
    /// Without a proposal for this long, an idle shard stops its heartbeats. Never, if there is none.
    pub hibernate_after: Option<Duration>,
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
            inflight_max: 64,
            message_bytes_max: 256 * 1024,
            uncommitted_bytes_max: 16 * 1024 * 1024,
            committed_bytes_max: 1024 * 1024,
            kept_entries_max: 4096,
            kept_bytes_max: 4 * 1024 * 1024,
            hibernate_after: Some(Duration::from_secs(5)),
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
