//! The bounds of delivery, each with its reason.

use std::time::Duration;

/// Unacknowledged messages in flight for one pair. A round trip with its commit takes a few milliseconds, so that
/// fifty keep a receiver busy, and twenty such senders do not overflow its mailbox of a thousand.
pub const WINDOW: usize = 50;

/// Bodies in memory for one pair: the window, and the next one while that is under way. Others stay on disk.
pub const BODIES_PER_PAIR_MAX: usize = 2 * WINDOW;

/// Bodies in memory for one shard. Enough for forty pairs at full speed; others take turns.
pub const BODIES_PER_SHARD_MAX: usize = 4_096;

/// Bytes of bodies in memory for one shard. A node leads some twenty shards of a small cluster, so that this
/// stays below half a gibibyte. Exceeded by at most one message, and one for each load under way.
pub const BODY_BYTES_PER_SHARD_MAX: usize = 16 << 20;

/// Loads under way for one shard. A disk answers in well under a millisecond; more would only fill its queue.
pub const LOADS_PER_SHARD_MAX: usize = 8;

/// Acknowledged messages of a pair after which they are pruned at once. One entry of the log removes them all.
pub const PRUNE_AT: u64 = 64;

/// How long acknowledged messages wait to be pruned together.
pub const PRUNE_AFTER: Duration = Duration::from_millis(200);

/// How long a prune has to be heard of before it is said again. Longer than any commit takes that is not lost.
pub(super) const PRUNE_AGAIN: Duration = Duration::from_secs(5);

/// Without an acknowledgement for so long, the first message in flight is sent again. More than a call takes that
/// does not get lost, a change of leadership included.
pub const RESEND_MIN: Duration = Duration::from_secs(2);

/// Longest time between two tries of a message that nobody answers.
pub const RESEND_MAX: Duration = Duration::from_secs(30);

/// Wait after a message came too early, doubled while nothing is acknowledged: its predecessor is usually on its
/// way, and the answers to all that were sent behind it still come in.
pub(crate) const EARLY_MIN: Duration = Duration::from_millis(10);

/// Longest such wait. A receiver that finds even the first one early waits for what will never come.
pub(crate) const EARLY_MAX: Duration = Duration::from_secs(30);

/// Pairs that try again at the very moment at which routes change; as many follow each [`ROUTE_BURST_EVERY`].
/// A node that returns should not meet all that has waited for it in one moment.
pub(crate) const ROUTE_BURST: usize = 256;

/// See [`ROUTE_BURST`].
pub(crate) const ROUTE_BURST_EVERY: Duration = Duration::from_millis(10);

/// The sizes among the bounds, so that tests can make them small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) window: usize,
    pub(crate) bodies_per_pair: usize,
    pub(crate) bodies_per_shard: usize,
    pub(crate) body_bytes_per_shard: usize,
    pub(crate) loads_per_shard: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: WINDOW,
            bodies_per_pair: BODIES_PER_PAIR_MAX,
            bodies_per_shard: BODIES_PER_SHARD_MAX,
            body_bytes_per_shard: BODY_BYTES_PER_SHARD_MAX,
            loads_per_shard: LOADS_PER_SHARD_MAX,
        }
    }
}
