//! The clocks of one computer: they run a little too fast or too slow, and the wall clock jumps.
//!
//! A node sees only its own clock. What it waits for is translated to the world's time with rounding up, so that
//! no sleep ends early by the clock that asked for it. Reading a clock costs no time; a task that spins until
//! its clock moves is handled by the executor.

use gritmesh_runtime::{Clock, Instant, Rng, UnixTime};

use super::Handle;

/// Wall-clock time at the start of every world: 2026-01-01T00:00:00Z, in milliseconds.
const UNIX_START_MILLIS: i64 = 1_767_225_600_000;

/// Where a process's monotonic clock starts, at most: far apart, so that instants of two nodes that were
/// compared by mistake do not look alike.
const ORIGIN_NANOS_MAX: u64 = 1_000_000_000_000;

const MILLION: i128 = 1_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;

/// The state of one computer's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostClock {
    /// World time at which the current process started.
    started: Instant,
    /// What the monotonic clock showed then.
    origin: Instant,
    /// How much faster than the world this clock runs, in millionths. Belongs to the computer, not the process.
    drift_ppm: i64,
    /// What faults have added to the wall clock.
    wall_offset_millis: i64,
}

impl HostClock {
    pub(crate) fn new(drift_ppm_max: u32, rng: &mut Rng) -> Self {
        let span = u64::from(drift_ppm_max) * 2 + 1;
        let drift_ppm = rng.below(span) as i64 - i64::from(drift_ppm_max);
        Self { started: Instant::ZERO, origin: Instant::ZERO, drift_ppm, wall_offset_millis: 0 }
    }

    /// A new process starts: its monotonic clock starts anywhere.
    pub(crate) fn start_process(&mut self, now: Instant, rng: &mut Rng) {
        self.started = now;
        self.origin = Instant::from_nanos(rng.below(ORIGIN_NANOS_MAX));
    }

    pub(crate) fn jump_wall(&mut self, millis: i64) {
        self.wall_offset_millis = self.wall_offset_millis.saturating_add(millis);
    }

    /// What the monotonic clock shows at a point of the world's time.
    pub(crate) fn local(&self, world: Instant) -> Instant {
        let elapsed = self.scaled(world.as_nanos().saturating_sub(self.started.as_nanos()));
        Instant::from_nanos(self.origin.as_nanos().saturating_add(elapsed))
    }

    /// The first point of the world's time at which the monotonic clock shows at least `local`.
    pub(crate) fn world(&self, local: Instant) -> Instant {
        let wanted = i128::from(local.as_nanos().saturating_sub(self.origin.as_nanos()));
        let rate = MILLION + i128::from(self.drift_ppm);
        let elapsed = (wanted * MILLION + rate - 1) / rate;
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        Instant::from_nanos(self.started.as_nanos().saturating_add(elapsed))
    }

    pub(crate) fn wall(&self, world: Instant) -> UnixTime {
        let millis = (i128::from(self.scaled(world.as_nanos())) / NANOS_PER_MILLI) as i64;
        let shown = UNIX_START_MILLIS.saturating_add(millis).saturating_add(self.wall_offset_millis);
        UnixTime(u64::try_from(shown).unwrap_or(0))
    }

    fn scaled(&self, nanos: u64) -> u64 {
        // Rounded down, so that `world`, which rounds up, is its exact inverse.
        let scaled = i128::from(nanos) * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

impl Clock for Handle {
    fn now(&self) -> Instant {
        let state = self.lock();
        state.host(self.process.node).clock.local(state.now)
    }

    fn unix_time(&self) -> UnixTime {
        let state = self.lock();
        state.host(self.process.node).clock.wall(state.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gritmesh_runtime::Seed;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_deadline_is_reached_not_missed_and_not_early(
            seed: u64,
            started in 0u64..1 << 50,
            ahead in 0u64..1 << 50,
        ) {
            let mut rng = Seed::from_number(seed).rng();
            let mut clock = HostClock::new(500, &mut rng);
            clock.start_process(Instant::from_nanos(started), &mut rng);
            let due = Instant::from_nanos(clock.origin.as_nanos() + ahead);
            let world = clock.world(due);
            prop_assert!(clock.local(world) >= due);
            prop_assert!(world.as_nanos() == started
                || clock.local(Instant::from_nanos(world.as_nanos() - 1)) < due);
        }

        #[test]
        fn the_monotonic_clock_never_goes_back(seed: u64, a in 0u64..1 << 50, b in 0u64..1 << 50) {
            let clock = HostClock::new(500, &mut Seed::from_number(seed).rng());
            let (a, b) = (Instant::from_nanos(a.min(b)), Instant::from_nanos(a.max(b)));
            prop_assert!(clock.local(a) <= clock.local(b));
        }
    }

    #[test]
    fn the_far_future_saturates_and_the_wall_clock_stops_at_zero() {
        let mut clock = HostClock::new(500, &mut Seed::from_number(1).rng());
        assert!(clock.world(Instant::MAX).as_nanos() > u64::MAX / 2);
        clock.jump_wall(i64::MIN);
        assert_eq!(clock.wall(Instant::ZERO), UnixTime(0));
    }
}
