//! Whether a thread runs an actor's handler on its stack right now, so that the actor is likely to be idle in no time.
//!
//! **Problem.** Callers on two cores that want one actor at the same time have two ways: wait for it, or leave a message.
//! The way through a mailbox costs some microseconds in allocations that another core frees and in waking the caller's
//! task. But to look all the time whether the actor is idle takes the line of memory away from the core that runs it,
//! again and again.
//!
//! **Design.** Whoever waits looks seldom, takes no lock for that, and goes on looking when another caller was faster. So
//! the core that has the actor runs a burst of its own callers meanwhile.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Pauses between the first two looks: long enough for a burst of short handlers. Each further wait is twice as long.
const PAUSES_MIN: u32 = 32;

/// The longest wait between two looks.
const PAUSES_MAX: u32 = 128;

/// How many pauses there are in all before a message goes to the mailbox: some microseconds, as that way costs.
const PAUSES_IN_ALL: u32 = 512;

/// Says so. Only a hint: whoever goes by it looks again under the lock of the activation.
pub(crate) struct OnStack {
    runs: AtomicBool,
    /// Whether messages wait. Then there is nothing to wait for: they come first.
    has_queue: AtomicBool,
}

impl OnStack {
    pub(crate) const fn new() -> Self {
        Self { runs: AtomicBool::new(false), has_queue: AtomicBool::new(false) }
    }

    pub(crate) fn set(&self, runs: bool) {
        self.runs.store(runs, Relaxed);
    }

    pub(crate) fn set_queue(&self, has_queue: bool) {
        self.has_queue.store(has_queue, Relaxed);
    }

    /// Whether the actor is likely to be idle in no time.
    pub(crate) fn is_about_to_end(&self) -> bool {
        self.runs.load(Relaxed) && !self.has_queue.load(Relaxed)
    }
}

/// How long somebody has waited for the end.
pub(crate) struct Patience {
    pauses: u32,
    paused: u32,
}

impl Patience {
    pub(crate) const fn new() -> Self {
        Self { pauses: PAUSES_MIN, paused: 0 }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.paused >= PAUSES_IN_ALL
    }

    pub(crate) fn pause(&mut self) {
        (0..self.pauses).for_each(|_| std::hint::spin_loop());
        self.paused += self.pauses;
        self.pauses = (2 * self.pauses).min(PAUSES_MAX);
    }
}
