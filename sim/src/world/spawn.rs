//! What a process may ask of the executor, and its sleeps.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gritmesh_runtime::{BoxFuture, Instant, Spawn};

use super::queue::{Event, QueueKey};
use super::state::Handle;

/// A sleep until this or later never ends: no process lives for a hundred years.
const FOREVER: Instant = Instant::from_nanos(1 << 62);

impl Spawn for Handle {
    fn spawn(&self, task: BoxFuture<()>) {
        let mut state = self.lock();
        if !state.is_current(self.process) {
            drop(state);
            return drop(task);
        }
        state.add_task(self.process.node, task, &self.shared.woken);
    }

    fn sleep_until(&self, due: Instant) -> BoxFuture<()> {
        Box::pin(Sleep { handle: self.clone(), due, waiting: None })
    }

    fn poll_proceed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        match state.executor.budget.checked_sub(1) {
            Some(left) => {
                state.executor.budget = left;
                Poll::Ready(())
            }
            None => {
                drop(state);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

/// Waits for the clock of one process.
struct Sleep {
    handle: Handle,
    due: Instant,
    waiting: Option<(QueueKey, Waker)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.handle.lock();
        let process = this.handle.process;
        if !state.is_current(process) || this.due >= FOREVER {
            return Poll::Pending;
        }
        let clock = state.host(process.node).clock;
        if clock.local(state.now) >= this.due {
            return Poll::Ready(());
        }
        let stale = match &this.waiting {
            Some((_, waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            _ => this.waiting.take(),
        };
        let cancelled = stale.as_ref().and_then(|(key, _)| state.queue.cancel(*key));
        let lateness = match u64::from(state.options.scheduling.timers_late_micros_max) * 1000 {
            0 => 0,
            most => state.executor.rng.below(most),
        };
        let due = clock.world(this.due) + Duration::from_nanos(lateness);
        let waker = cx.waker().clone();
        let key = state.queue.push(due, Event::Wake { process, waker: waker.clone() });
        drop(state);
        this.waiting = Some((key, waker));
        drop((stale, cancelled));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((key, _)) = self.waiting {
            let cancelled = self.handle.lock().queue.cancel(key);
            drop(cancelled);
        }
    }
}
