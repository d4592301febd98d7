//! The wall clock as a node goes by it: one that does not jump.
//!
//! **Problem.** A wall clock is put forward by two days, and back, by a mistake, a broken time server, a virtual machine
//! that moves. Whatever is dated by it goes wrong in that moment: reminders ring days early, steps and new reminders are
//! dated days ahead, and answers that were to be kept are forgotten.
//!
//! **Design.** When a node starts it believes the wall. From there its time goes on with the monotonic clock, and follows
//! the wall as long as the two differ by little, as they do where a time server corrects the clock bit by bit. A jump,
//! forward or back, is believed once it has lasted for ten minutes; before that, time goes on as if nothing had happened.
//! So a jump that is mended soon is never seen. One that stays is right in most cases: the clock was wrong before, or
//! the machine has slept. What was due in between rings late, and not never.
//!
//! **Deliberately absent.** A protection against a clock that is wrong when the node starts: nobody can tell that from a
//! pause. What must not be lost by it goes by the time of its shard instead, see `engine::shard_time`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gritmesh_runtime::{Clock, Instant, UnixTime};
use parking_lot::Mutex;

/// Differences up to this are followed at once: corrections of a time server.
const FOLLOWED_MS: i64 = 1_000;

/// A clock whose wall time is steady.
pub(crate) struct SteadyClock {
    clock: Arc<dyn Clock>,
    /// How long a jump has to last.
    believed_after: Duration,
    /// What the wall is believed to show beyond the monotonic clock, in milliseconds.
    ahead_ms: AtomicI64,
    /// A jump that is not believed yet: since when, and what the wall shows beyond the monotonic clock with it.
    jump: Mutex<Option<(Instant, i64)>>,
}

impl SteadyClock {
    /// A clock that believes the wall for the first time.
    pub(crate) fn new(clock: Arc<dyn Clock>, believed_after: Duration) -> Self {
        let ahead_ms = AtomicI64::new(shown_ahead_ms(&*clock, clock.now()));
        Self { clock, believed_after, ahead_ms, jump: Mutex::new(None) }
    }

    /// Looks at the wall. To be called every second.
    pub(crate) fn look(&self) {
        let now = self.clock.now();
        let shown = shown_ahead_ms(&*self.clock, now);
        let by_ms = shown.saturating_sub(self.ahead_ms.load(Ordering::Relaxed));
        let mut jump = self.jump.lock();
        if is_near(by_ms) {
            self.ahead_ms.store(shown, Ordering::Relaxed);
            if jump.take().is_some() {
                tracing::warn!("the wall clock is back where it was");
            }
            return;
        }
        match *jump {
            Some((since, last)) if is_near(shown.saturating_sub(last)) => {
                if now - since >= self.believed_after {
                    self.ahead_ms.store(shown, Ordering::Relaxed);
                    *jump = None;
                    tracing::warn!(by_ms, "the wall clock has stayed where it jumped to, and is believed");
                }
            }
            before => {
                if before.is_none() {
                    let believed_after_s = self.believed_after.as_secs();
                    tracing::warn!(
                        by_ms,
                        believed_after_s,
                        "the wall clock has jumped: this is not believed yet"
                    );
                }
                *jump = Some((now, shown));
            }
        }
    }
}

fn is_near(difference_ms: i64) -> bool {
    difference_ms.saturating_abs() <= FOLLOWED_MS
}

fn shown_ahead_ms(clock: &dyn Clock, now: Instant) -> i64 {
    i64::try_from(clock.unix_time().0).unwrap_or(i64::MAX).saturating_sub(millis(now))
}

fn millis(now: Instant) -> i64 {
    // 64 bits of nanoseconds are fewer milliseconds.
    (now.as_nanos() / 1_000_000) as i64
}

impl Clock for SteadyClock {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn unix_time(&self) -> UnixTime {
        let shown = millis(self.clock.now()).saturating_add(self.ahead_ms.load(Ordering::Relaxed));
        UnixTime(u64::try_from(shown).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    const BELIEVED_AFTER: Duration = Duration::from_secs(600);
    const START_MS: i64 = 20_000 * DAY_MS;

    /// Both clocks, set by hand.
    #[derive(Default)]
    struct Hands(Mutex<(u64, i64)>);

    impl Clock for Hands {
        fn now(&self) -> Instant {
            Instant::from_nanos(self.0.lock().0 * 1_000_000)
        }

        fn unix_time(&self) -> UnixTime {
            let (now_ms, ahead_ms) = *self.0.lock();
            UnixTime(u64::try_from(ahead_ms + now_ms as i64).unwrap_or(0))
        }
    }

    struct Bench {
        hands: Arc<Hands>,
        steady: SteadyClock,
    }

    impl Bench {
        fn new() -> Self {
            let hands = Arc::new(Hands(Mutex::new((5_000, START_MS))));
            Self { steady: SteadyClock::new(Arc::clone(&hands) as _, BELIEVED_AFTER), hands }
        }

        fn jump(&self, by_ms: i64) {
            self.hands.0.lock().1 += by_ms;
        }

        /// Time passes, and each second somebody looks.
        fn pass(&self, seconds: u64) {
            for _ in 0..seconds {
                self.hands.0.lock().0 += 1_000;
                self.steady.look();
            }
        }

        /// By how much the clock is ahead of one that never jumps.
        fn off_ms(&self) -> i64 {
            self.steady.unix_time().0 as i64 - START_MS - self.hands.0.lock().0 as i64
        }
    }

    #[test]
    fn a_jump_that_is_mended_is_never_seen() {
        let bench = Bench::new();
        for by_ms in [2 * DAY_MS, -2 * DAY_MS, 40 * 365 * DAY_MS, -20_001 * DAY_MS] {
            bench.jump(by_ms);
            assert_eq!(bench.off_ms(), 0, "nobody has looked yet");
            bench.pass(BELIEVED_AFTER.as_secs() - 1);
            assert_eq!(bench.off_ms(), 0);
            bench.jump(-by_ms);
            bench.pass(2 * BELIEVED_AFTER.as_secs());
            assert_eq!(bench.off_ms(), 0);
        }
    }

    #[test]
    fn a_jump_that_lasts_is_believed() {
        for by_ms in [2 * DAY_MS, -2 * DAY_MS] {
            let bench = Bench::new();
            bench.jump(by_ms);
            bench.pass(BELIEVED_AFTER.as_secs());
            assert_eq!(bench.off_ms(), 0);
            bench.pass(2);
            assert_eq!(bench.off_ms(), by_ms);
        }
    }

    #[test]
    fn a_second_jump_has_to_last_anew() {
        let bench = Bench::new();
        bench.jump(DAY_MS);
        bench.pass(500);
        bench.jump(DAY_MS);
        bench.pass(500);
        assert_eq!(bench.off_ms(), 0);
        bench.pass(102);
        assert_eq!(bench.off_ms(), 2 * DAY_MS);
    }

    #[test]
    fn small_corrections_are_followed() {
        let bench = Bench::new();
        for _ in 0..100 {
            bench.jump(-900);
            bench.pass(1);
        }
        assert_eq!(bench.off_ms(), -90_000);
    }

    #[test]
    fn before_1970_it_is_1970_until_the_clock_is_set() {
        let hands = Arc::new(Hands(Mutex::new((5_000, -START_MS))));
        let bench = Bench { steady: SteadyClock::new(Arc::clone(&hands) as _, BELIEVED_AFTER), hands };
        bench.pass(10);
        assert!(bench.steady.unix_time().0 <= 1_000);
        bench.jump(2 * START_MS);
        bench.pass(BELIEVED_AFTER.as_secs() + 2);
        assert_eq!(bench.off_ms(), 0);
    }
}
