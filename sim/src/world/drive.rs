//! Moving the world: the only place where code of nodes is called, and never with the lock held.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use gritmesh_runtime::Instant;

use super::World;
use super::state::Action;

/// Why [`World::block_on`] gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The deadline has passed.
    #[error("the future was not done at {deadline} of virtual time")]
    Deadline {
        /// When that was.
        deadline: Instant,
    },
    /// Nothing is going to happen any more, so the future never ends.
    #[error("the future waits, and nothing is going to happen any more after {at}")]
    Idle {
        /// Since when.
        at: Instant,
    },
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl World {
    /// Lets the next thing happen, whenever that is. False if nothing is going to happen.
    pub fn step(&mut self) -> bool {
        self.step_until(Instant::MAX)
    }

    /// Lets everything happen up to and including an instant; it is then that instant.
    pub fn run_until(&mut self, until: Instant) {
        while self.step_until(until) {}
        self.shared.lock().advance_to(until);
    }

    /// Lets an amount of virtual time pass.
    pub fn advance(&mut self, by: Duration) {
        self.run_until(self.now() + by);
    }

    /// Jumps to the next instant at which something happens, and lets all of that instant happen. False if
    /// nothing is going to happen.
    pub fn advance_to_next(&mut self) -> bool {
        if !self.step() {
            return false;
        }
        self.run_until(self.now());
        true
    }

    /// Lets everything happen until nothing is left to happen, or `limit` has passed. True if nothing is left.
    /// Nodes that probe each other never come to an end.
    pub fn run_until_idle(&mut self, limit: Duration) -> bool {
        let until = self.now() + limit;
        while self.step_until(until) {}
        let state = self.shared.lock();
        state.queue.next_due().is_none() && state.executor.is_idle()
    }

    /// Runs the world until a future is done, for at most `limit` of virtual time. The future belongs to no node:
    /// it is the client, or the test.
    ///
    /// # Errors
    /// If the future is not done by then, or cannot be done any more.
    pub fn block_on<F: Future>(&mut self, future: F, limit: Duration) -> Result<F::Output, BlockError> {
        let deadline = self.now() + limit;
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut future = pin!(future);
        loop {
            if flag.0.swap(false, Ordering::Relaxed)
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Ok(output);
            }
            if !self.step_until(deadline) && !flag.0.load(Ordering::Relaxed) {
                let mut state = self.shared.lock();
                return match state.queue.next_due() {
                    None => Err(BlockError::Idle { at: state.now }),
                    Some(_) => {
                        state.advance_to(deadline);
                        Err(BlockError::Deadline { deadline })
                    }
                };
            }
        }
    }

    fn step_until(&mut self, limit: Instant) -> bool {
        let action = {
            let mut state = self.shared.lock();
            state.settle_woken(&self.shared.woken);
            state.next_action(limit)
        };
        let Some(action) = action else { return false };
        match action {
            Action::Poll(key) => self.shared.poll_task(key),
            Action::Call { handler, call } => {
                let (node, mut buffer) = (call.process.node, None);
                self.shared.guarded(node, || buffer = call.report.deliver(&*handler));
                if let Some(buffer) = buffer {
                    self.shared.lock().network.recycle(buffer);
                }
                self.shared.guarded(node, || drop(handler));
            }
            Action::Wake { node, waker } => self.shared.guarded(node, || waker.wake()),
            Action::Persisted { node, done, result } => self.shared.guarded(node, || done(result)),
            Action::Discard { .. } | Action::Internal => {}
        }
        true
    }
}
