//! The real clock and tasks. The only place of this crate that touches the operating system.

#![expect(clippy::disallowed_methods, reason = "this module is where ambient time and tasks enter")]

use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use crate::{BoxFuture, Clock, Instant, Spawn, UnixTime};

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock that starts at zero now.
    pub fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn unix_time(&self) -> UnixTime {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Tasks on a tokio runtime.
#[derive(Clone, Debug)]
pub struct TokioSpawn {
    handle: tokio::runtime::Handle,
    clock: SystemClock,
}

impl TokioSpawn {
    /// Spawns on the given runtime, reading deadlines by the given clock.
    pub const fn new(handle: tokio::runtime::Handle, clock: SystemClock) -> Self {
        Self { handle, clock }
    }
}

impl Spawn for TokioSpawn {
    fn spawn(&self, task: BoxFuture<()>) {
        // Detached on purpose: an activation ends its own task, and shutdown drops the runtime.
        drop(self.handle.spawn(task));
    }

    fn sleep_until(&self, due: Instant) -> BoxFuture<()> {
        let due = self.clock.origin + std::time::Duration::from_nanos(due.as_nanos());
        // Machines run on whichever thread brings an event, and the disk's is none of tokio's.
        let _context = self.handle.enter();
        Box::pin(tokio::time::sleep_until(due.into()))
    }

    fn poll_proceed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        budget.made_progress();
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_of_no_executor_may_ask_for_a_sleep() {
        let clock = SystemClock::start();
        let spawn = TokioSpawn::new(tokio::runtime::Handle::current(), clock);
        let due = clock.now();
        std::thread::spawn(move || spawn.sleep_until(due)).join().unwrap().await;
    }

    #[tokio::test]
    async fn sleeping_lasts_until_the_deadline() {
        let clock = SystemClock::start();
        let spawn = TokioSpawn::new(tokio::runtime::Handle::current(), clock);
        let due = clock.now() + std::time::Duration::from_millis(20);
        spawn.sleep_until(due).await;
        assert!(clock.now() >= due);
    }

    #[tokio::test]
    async fn a_thread_outside_of_the_runtime_may_ask_for_sleep() {
        let clock = SystemClock::start();
        let spawn = TokioSpawn::new(tokio::runtime::Handle::current(), clock);
        let sleep = std::thread::spawn(move || spawn.sleep_until(clock.now())).join().unwrap();
        sleep.await;
    }
}
