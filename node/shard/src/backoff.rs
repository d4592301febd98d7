//! How long to wait before the next try of something that a receiver refused.

use std::time::Duration;

use gritmesh_runtime::{ActorAddress, limits};

limits! {
    /// How long to wait before the next try of something that a receiver refused.
    pub struct BackoffLimits in "backoff" {
        /// Wait before the second try. Long enough for an election or a restart of an actor, which are the usual reasons.
        min: Duration = Duration::from_millis(500), small ["5ms", "50ms"];
        /// Longest wait between two tries. It bounds how late the work goes on after the reason is gone, and a thousand
        /// receivers that are down still cost only some sixteen calls a second.
        max: Duration = Duration::from_secs(60), small ["1s"];
        /// Longest wait between two tries of something whose receiver cannot be reached. Such a try waits on its way
        /// itself, up to its deadline of half a minute, so that it does not pay to pause for long in addition.
        route_max: Duration = Duration::from_secs(5), small ["200ms"];
    }
}

/// Tries that end in a panic before the receiver should be paused: with the waits above more than an hour, in
/// which a fixed build may be deployed.
pub const ATTEMPTS_BEFORE_PAUSE: u32 = 70;

/// `min`, then twice as much with each failed attempt, at most `max`. The first failure is attempt 1.
pub(crate) fn doubled(attempts: u32, min: Duration, max: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    min.saturating_mul(1 << doublings).min(max)
}

impl BackoffLimits {
    /// How long to wait after so many failed attempts. `hash` spreads those that failed at the same moment by up to an
    /// eighth: a wait is the same in every run, and differs from pair to pair. A receiver that asks for more gets it,
    /// up to the longest wait.
    pub(crate) fn backoff(&self, attempts: u32, hash: u64, retry_after_ms: u32) -> Duration {
        let asked = Duration::from_millis(u64::from(retry_after_ms)).min(self.max);
        spread(attempts, hash, doubled(attempts, self.min, self.max).max(asked))
    }

    /// As [`Self::backoff`], for a receiver that was not reached so many times.
    pub(crate) fn route_backoff(&self, attempts: u32, hash: u64) -> Duration {
        spread(attempts, hash, doubled(attempts, self.min, self.route_max))
    }
}

fn spread(attempts: u32, hash: u64, wait: Duration) -> Duration {
    let spread = (hash.rotate_left(attempts % 64) % 1024) as u32;
    wait + wait / 8 * spread / 1024
}

/// What [`BackoffLimits::backoff`] is spread by for messages from one actor to another.
pub(crate) fn pair_hash(sender: &ActorAddress, receiver: &ActorAddress) -> u64 {
    sender.token().0 ^ receiver.token().0.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BackoffLimits = BackoffLimits::PRODUCTION;

    #[test]
    fn waits_double_up_to_a_minute_and_are_spread_by_an_eighth() {
        let waits: Vec<u128> = (1..=9).map(|attempts| LIMITS.backoff(attempts, 0, 0).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        for attempts in [1, 2, 8, 70, u32::MAX] {
            let plain = LIMITS.backoff(attempts, 0, 0);
            let spread = LIMITS.backoff(attempts, u64::MAX, 0);
            assert!(spread > plain && spread <= plain + plain / 8, "attempt {attempts}: {spread:?}");
        }
    }

    #[test]
    fn who_is_not_reached_is_tried_more_often() {
        let waits: Vec<u128> =
            (1..=6).map(|attempts| LIMITS.route_backoff(attempts, 0).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
    }

    #[test]
    fn a_receiver_may_ask_for_more_but_not_for_ever() {
        assert_eq!(LIMITS.backoff(1, 0, 3_000), Duration::from_secs(3));
        assert_eq!(LIMITS.backoff(1, 0, 10), LIMITS.min);
        assert_eq!(LIMITS.backoff(1, 0, u32::MAX), LIMITS.max);
    }
}
