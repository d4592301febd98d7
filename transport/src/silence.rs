//! Watches one connection for silence.
//!
//! A node that was itself stopped for a while must not blame its peers, so what counts is not the time since
//! the last sign of life but the number of punctual ticks without one.

use std::time::{Duration, Instant};

/// Counts ticks without a sign of life.
pub(crate) struct Silence {
    period: Duration,
    last_tick: Option<Instant>,
    last_activity: u64,
    quiet_ticks: u32,
}

/// What a tick makes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Silent {
    /// The peer has been heard lately.
    No,
    /// It is time to ask the peer for a sign of life.
    Ask,
    /// The peer did not answer.
    TooLong,
}

impl Silence {
    /// Ticks in the longest silence. Half of them pass before the peer is asked, half are its time to answer.
    pub(crate) const TICKS: u32 = 4;

    pub(crate) const fn new(longest: Duration) -> Self {
        let period = Duration::from_nanos(longest.as_nanos() as u64 / Self::TICKS as u64);
        Self { period, last_tick: None, last_activity: 0, quiet_ticks: 0 }
    }

    pub(crate) fn tick(&mut self, activity: u64, now: Instant) -> Silent {
        let late = self.last_tick.is_some_and(|last| now.duration_since(last) > self.period * 2);
        self.last_tick = Some(now);
        if activity != self.last_activity {
            self.last_activity = activity;
            self.quiet_ticks = 0;
            return Silent::No;
        }
        if late {
            self.quiet_ticks = self.quiet_ticks.min(Self::TICKS / 2 - 1);
        }
        self.quiet_ticks += 1;
        match self.quiet_ticks {
            ticks if ticks < Self::TICKS / 2 => Silent::No,
            ticks if ticks < Self::TICKS => Silent::Ask,
            _ => Silent::TooLong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(10);

    fn at(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_silent_peer_is_asked_and_then_given_up() {
        let (mut silence, start) = (Silence::new(LONGEST), Instant::now());
        assert_eq!(silence.tick(1, at(start, 0)), Silent::No);
        assert_eq!(silence.tick(1, at(start, 2500)), Silent::No);
        assert_eq!(silence.tick(1, at(start, 5000)), Silent::Ask);
        assert_eq!(silence.tick(1, at(start, 7500)), Silent::Ask);
        assert_eq!(silence.tick(1, at(start, 10_000)), Silent::TooLong);
    }

    #[test]
    fn a_sign_of_life_starts_over() {
        let (mut silence, start) = (Silence::new(LONGEST), Instant::now());
        for round in 0..20 {
            assert_ne!(silence.tick(round / 3, at(start, round * 2500)), Silent::TooLong);
        }
    }

    #[test]
    fn a_stall_of_this_node_is_not_held_against_the_peer() {
        let (mut silence, start) = (Silence::new(LONGEST), Instant::now());
        for tick in 0..4 {
            silence.tick(1, at(start, tick * 2500));
        }
        assert_eq!(silence.tick(1, at(start, 60_000)), Silent::Ask);
        assert_eq!(silence.tick(1, at(start, 62_500)), Silent::Ask);
        assert_eq!(silence.tick(1, at(start, 65_000)), Silent::TooLong);
    }
}
