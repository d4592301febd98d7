//! Calls that wait because nobody is known to serve their shard.

use std::fmt;

use gritmesh_runtime::{Instant, NodeId, ShardId};
use gritmesh_sharding::Version;

use super::Travelling;

/// Calls that may wait at once. They wait for a second or two while a dead leader is replaced, so this is the load
/// of a busy node over that time; a caller beyond it is told `Overloaded`.
pub(super) const PARKED_MAX: usize = 1 << 15;

/// Bytes of arguments that may wait at once: a message that nobody waits for may be parked for a day.
pub(super) const PARKED_BYTES_MAX: usize = 64 << 20;

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
    /// Of the arguments of all of them.
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    call: Travelling,
    reason: Reason,
    retry_at: Instant,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.call.submission.payload.bytes()
    }
}

impl Parked {
    pub(super) const fn new() -> Self {
        Self { waiting: Vec::new(), earliest: Instant::MAX, bytes: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Why no more calls may wait, if that is so.
    pub(super) fn is_full(&self) -> Option<String> {
        if self.waiting.len() >= PARKED_MAX {
            return Some(format!("{PARKED_MAX} calls already wait for their shard to be served"));
        }
        let full = self.bytes >= PARKED_BYTES_MAX;
        full.then(|| format!("calls with {} bytes already wait for their shard to be served", self.bytes))
    }

    pub(super) fn insert(&mut self, call: Travelling, reason: Reason, retry_at: Instant) {
        self.earliest = self.earliest.min(retry_at).min(call.submission.header.deadline);
        let waiting = Waiting { call, reason, retry_at };
        self.bytes += waiting.bytes();
        self.waiting.push(waiting);
    }

    pub(super) fn take_all(&mut self) -> Vec<Travelling> {
        self.earliest = Instant::MAX;
        self.bytes = 0;
        self.waiting.drain(..).map(|waiting| waiting.call).collect()
    }

    /// Takes the calls that wait for steps to be on the disk.
    pub(super) fn take_unsettled(&mut self) -> Vec<Travelling> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let unsettled = self.take(|waiting| matches!(waiting.reason, Reason::Unsettled(_)));
        unsettled.into_iter().map(|waiting| waiting.call).collect()
    }

    /// Takes the calls whose deadline has passed, and those that have paused long enough.
    pub(super) fn take_due(&mut self, now: Instant) -> (Vec<(Travelling, Reason)>, Vec<Travelling>) {
        if now < self.earliest {
            return (Vec::new(), Vec::new());
        }
        let late = self.take(|waiting| waiting.call.submission.header.deadline <= now);
        let expired = late.into_iter().map(|waiting| (waiting.call, waiting.reason)).collect();
        let due = self.take(|waiting| waiting.retry_at <= now);
        let again = due.into_iter().map(|waiting| waiting.call).collect();
        let wakes = |waiting: &Waiting| waiting.retry_at.min(waiting.call.submission.header.deadline);
        self.earliest = self.waiting.iter().map(wakes).min().unwrap_or(Instant::MAX);
        (expired, again)
    }

    fn take(&mut self, is_chosen: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let taken: Vec<Waiting> = self.waiting.extract_if(.., |waiting| is_chosen(waiting)).collect();
        self.bytes -= taken.iter().map(Waiting::bytes).sum::<usize>();
        taken
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        (self.earliest < Instant::MAX).then_some(self.earliest)
    }
}
