//! The wall clock, as a machine without one knows it.

use std::time::Duration;

use gritmesh_runtime::Instant;

const NANOS_PER_MS: u64 = 1_000_000;

/// What the wall showed at one instant. It goes on evenly from there until it is told anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    at: Instant,
    unix_ms: u64,
}

impl WallClock {
    pub(super) const fn new(at: Instant, unix_ms: u64) -> Self {
        Self { at, unix_ms }
    }

    /// What the wall shows.
    pub(super) const fn unix_ms(&self, now: Instant) -> u64 {
        let passed = now.as_nanos().saturating_sub(self.at.as_nanos()) / NANOS_PER_MS;
        self.unix_ms.saturating_add(passed)
    }

    /// The first instant, not before it was told, at which the wall shows that time or a later one.
    pub(super) fn instant_of(&self, unix_ms: u64) -> Instant {
        self.at + Duration::from_millis(unix_ms.saturating_sub(self.unix_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_reached_to_the_millisecond() {
        let clock = WallClock::new(Instant::from_nanos(1_500_001), 70_000);
        let due = clock.instant_of(70_003);
        assert_eq!(clock.unix_ms(due), 70_003);
        assert_eq!(clock.unix_ms(Instant::from_nanos(due.as_nanos() - 1)), 70_002);
        assert_eq!(clock.instant_of(12), Instant::from_nanos(1_500_001));
        assert_eq!(clock.instant_of(u64::MAX), Instant::MAX);
    }
}
