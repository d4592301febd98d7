//! The limits of delivery, each with its reason.

use std::time::Duration;

use gritmesh_runtime::limits;

limits! {
    /// Limits of delivery.
    pub struct DeliveryLimits in "delivery" {
        /// Unacknowledged messages in flight for one pair. A round trip with its commit takes a few milliseconds, so that
        /// fifty keep a receiver busy, and twenty such senders do not overflow its mailbox of a thousand.
        window: usize = 50, small ["1", "2", "3"];
        /// Bodies in memory for one pair: the window, and the next one while that is under way. Others stay on disk.
        bodies_per_pair: usize = 2 * 50, small ["1", "2", "4"];
        /// Bodies in memory for one shard. Enough for forty pairs at full speed; others take turns.
        bodies_per_shard: usize = 4_096, small ["1", "3", "8"];
        /// Bytes of bodies in memory for one shard. A node leads some twenty shards of a small cluster, so that this
        /// stays below half a gibibyte. Exceeded by at most one message, and one for each load under way.
        body_bytes_per_shard: usize = 16 << 20, small ["1", "500"];
        /// Loads under way for one shard. A disk answers in well under a millisecond; more would only fill its queue.
        loads_per_shard: usize = 8, small ["1"];
        /// Acknowledged messages of a pair after which they are pruned at once. One entry of the log removes them all.
        prune_at: u64 = 64, small ["1", "3"];
        /// How long acknowledged messages wait to be pruned together.
        prune_after: Duration = Duration::from_millis(200), small ["0ms", "2s"];
        /// How long a prune has to be heard of before it is said again. Longer than any commit takes that is not lost.
        prune_again: Duration = Duration::from_secs(5), small ["20ms", "500ms"];
        /// Without an acknowledgement for so long, the first message in flight is sent again. More than a call takes that
        /// does not get lost, a change of leadership included.
        resend_min: Duration = Duration::from_secs(2), small ["5ms", "100ms"];
        /// Longest time between two tries of a message that nobody answers.
        resend_max: Duration = Duration::from_secs(30), small ["1s"];
        /// Wait after a message came too early, doubled while nothing is acknowledged: its predecessor is usually on its
        /// way, and the answers to all that were sent behind it still come in.
        early_min: Duration = Duration::from_millis(10), small ["1ms"];
        /// Longest such wait. A receiver that finds even the first one early waits for what will never come.
        early_max: Duration = Duration::from_secs(30), small ["500ms"];
        /// Pairs that try again at the very moment at which routes change; as many follow each `route_burst_every`.
        /// A node that returns should not meet all that has waited for it in one moment.
        route_burst: usize = 256, small ["1", "4"];
        /// See `route_burst`.
        route_burst_every: Duration = Duration::from_millis(10), small ["50ms"];
    }
}
