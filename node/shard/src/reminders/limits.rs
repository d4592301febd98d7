//! The limits of reminders, each with its reason.

use std::time::Duration;

use gritmesh_runtime::limits;

limits! {
    /// Limits of reminders.
    pub struct ReminderLimits in "reminders" {
        /// Firings under way for one shard. Each is a call and a step; more would push aside the calls of users after an
        /// outage, when all that was missed is due at once. Others wait, late.
        firings_per_shard: usize = 64, small ["1", "2"];
        /// Of those, tries that are not the first. Reminders that keep failing leave room for those that do not.
        retries_per_shard: usize = 32, small ["1"];
        /// A firing that nobody answers for so long is tried again; its actor knows it by then if it has read it. Longer
        /// than the deadline of a call, so that this is the exception.
        silence: Duration = Duration::from_secs(60), small ["20ms", "1s"];
    }
}
