//! Calls that wait because nobody is known to serve their shard.

use std::fmt;

use gritmesh_runtime::{Instant, NodeId, ShardId};
use gritmesh_sharding::Version;

use super::Travelling;

/// Calls that may wait at once. They wait for a second or two while a dead leader is replaced, so this is the load
/// of a busy node over that time; a caller beyond it is told `Overloaded`.
pub(super) const PARKED_MAX: usize = 1 << 15;

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NoCluster,
    NoLeader(ShardId),
    Moving(ShardId, Version),
    Unsettled(ShardId),
    Unreachable(NodeId),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCluster => f.write_str("this node had not joined a cluster by the deadline"),
            Self::NoLeader(shard) => write!(f, "no node served shard {shard} by the deadline"),
            Self::Moving(shard, _) => write!(f, "shard {shard} was still moving at the deadline"),
            Self::Unsettled(shard) => write!(f, "shard {shard} was still writing at the deadline"),
            Self::Unreachable(node) => {
                write!(f, "node {} could not be reached by the deadline", node.short())
            }
        }
    }
}

/// The waiting calls, in the order of their arrival.
#[derive(Debug)]
pub(super) struct Parked {
    waiting: Vec<Waiting>,
    /// Not later than anything that one of them waits for.
    earliest: Instant,
}

#[derive(Debug)]
struct Waiting {
    call: Travelling,
    reason: Reason,
    retry_at: Instant,
}

impl Parked {
    pub(super) const fn new() -> Self {
        Self { waiting: Vec::new(), earliest: Instant::MAX }
    }

    pub(super) const fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn insert(&mut self, call: Travelling, reason: Reason, retry_at: Instant) {
        self.earliest = self.earliest.min(retry_at).min(call.submission.header.deadline);
        self.waiting.push(Waiting { call, reason, retry_at });
    }

    pub(super) fn take_all(&mut self) -> Vec<Travelling> {
        self.earliest = Instant::MAX;
        self.waiting.drain(..).map(|waiting| waiting.call).collect()
    }

    /// Takes the calls that wait for steps to be on the disk.
    pub(super) fn take_unsettled(&mut self) -> Vec<Travelling> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let unsettled = |waiting: &mut Waiting| matches!(waiting.reason, Reason::Unsettled(_));
        self.waiting.extract_if(.., unsettled).map(|waiting| waiting.call).collect()
    }

    /// Takes the calls whose deadline has passed, and those that have paused long enough.
    pub(super) fn take_due(&mut self, now: Instant) -> (Vec<(Travelling, Reason)>, Vec<Travelling>) {
        if now < self.earliest {
            return (Vec::new(), Vec::new());
        }
        let late = |waiting: &mut Waiting| waiting.call.submission.header.deadline <= now;
        let expired =
            self.waiting.extract_if(.., late).map(|waiting| (waiting.call, waiting.reason)).collect();
        let due = |waiting: &mut Waiting| waiting.retry_at <= now;
        let again = self.waiting.extract_if(.., due).map(|waiting| waiting.call).collect();
        let wakes = |waiting: &Waiting| waiting.retry_at.min(waiting.call.submission.header.deadline);
        self.earliest = self.waiting.iter().map(wakes).min().unwrap_or(Instant::MAX);
        (expired, again)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        (self.earliest < Instant::MAX).then_some(self.earliest)
    }
}
