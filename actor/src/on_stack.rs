//! Whether a thread runs an actor's handler on its stack right now, so that the actor is likely to be idle in no time.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// How often a caller looks whether a handler that another thread runs has ended, before its message goes to the
/// mailbox: some microseconds in all, which is what the way through a mailbox costs in allocations that another core
/// frees and in waking the caller's task. With fewer looks two cores fall into that way now and then, and stay there.
const LOOKS_MAX: u32 = 400;

/// Says so. Only a hint: whoever goes by it looks again under the lock of the activation.
pub(crate) struct OnStack(AtomicBool);

impl OnStack {
    pub(crate) const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, is_so: bool) {
        self.0.store(is_so, Relaxed);
    }

    /// Waits for a moment until it is so no more.
    pub(crate) fn look_for_the_end(&self) {
        for _ in 0..LOOKS_MAX {
            if !self.is_so() {
                return;
            }
            std::hint::spin_loop();
        }
    }
}
