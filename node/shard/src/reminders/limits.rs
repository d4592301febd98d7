//! The bounds of reminders, each with its reason.

use std::time::Duration;

/// Firings under way for one shard. Each is a call and a step; more would push aside the calls of users after an
/// outage, when all that was missed is due at once. Others wait, late.
pub const FIRINGS_PER_SHARD_MAX: usize = 64;

/// Of those, tries that are not the first. Reminders that keep failing leave room for those that do not.
pub const RETRIES_PER_SHARD_MAX: usize = 32;

/// A firing that nobody answers for so long is tried again; its actor knows it by then if it has read it. Longer
/// than the deadline of a call, so that this is the exception.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);
