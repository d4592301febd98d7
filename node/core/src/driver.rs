//! The driver: runs one machine on whichever thread brings it an event.
//!
//! **Problem.** A machine must see one event at a time. A task of its own with a queue would serialise them, but
//! then every call hops to that task and back, and waking a sleeping core costs more than all the work in a call.
//!
//! **Design.** Whoever posts an event while nobody runs the machine runs it there and then; whoever posts while
//! somebody does leaves the event in the inbox, and the one who runs takes it in the next batch. An idle node
//! answers without a hop; a busy one batches by itself.
//!
//! ```text
//!   post ─► inbox ─► batch ─► handle … flush ─► effects ─► persist ─► then send, answer, run
//!             ▲                                                          │
//!             └────────────────────── events ◄───────────────────────────┘
//! ```
//!
//! The order that makes crashes safe stands in [`Driver::drive`], and only there: what has to be durable is given
//! to the disk before anything of the same batch is sent. A machine that must not speak before a record is
//! durable waits for the event that says so.
//!
//! **Deliberately absent.** User code. Handlers never run while the machine is held: effects that start them
//! are carried out after it was given back.

use std::sync::Arc;

use gritmesh_runtime::{Clock, Instant};
use parking_lot::Mutex;

use crate::limits::DriverLimits;
use crate::machine::Machine;

/// Carries out the effects of a machine.
pub(crate) trait Perform<M: Machine>: Send + Sync {
    /// What is to be done after the machine was given back: starting handlers.
    type Deferred;

    /// Time.
    fn clock(&self) -> &dyn Clock;

    /// Gives to the disk what has to be durable, and returns the other effects.
    fn persist(&self, effects: &mut Vec<M::Effect>);

    /// Sends, answers; or returns what has to wait until the machine is free.
    fn perform(&self, effect: M::Effect, deferred: &mut Vec<Self::Deferred>);

    /// Does what had to wait.
    fn run(self: &Arc<Self>, deferred: Self::Deferred);

    /// The machine broke an invariant and panicked: nothing that it says can be trusted any more.
    fn broken(&self);

    /// Sees to it that the machine hears of the time at `deadline`.
    fn wake_at(self: &Arc<Self>, lane: usize, deadline: Instant);
}

/// A machine with its inbox.
pub(crate) struct Driver<M: Machine> {
    inbox: Mutex<Inbox<M::Event>>,
    machine: Mutex<Held<M>>,
    /// Tells the performer which machine a timer belongs to.
    lane: usize,
    limits: DriverLimits,
}

/// Tells the performer if the batch ends in a panic.
struct Alarm<'a, M: Machine, P: Perform<M>>(&'a P, std::marker::PhantomData<M>);

impl<M: Machine, P: Perform<M>> Drop for Alarm<'_, M, P> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken();
        }
    }
}

struct Inbox<E> {
    events: Vec<E>,
    running: bool,
    /// The earliest instant at which somebody will post a tick.
    armed: Instant,
}

struct Held<M: Machine> {
    machine: M,
    effects: Vec<M::Effect>,
    batch: Vec<M::Event>,
}

impl<M: Machine> Driver<M> {
    pub(crate) const fn new(machine: M, lane: usize, limits: DriverLimits) -> Self {
        Self {
            inbox: Mutex::new(Inbox { events: Vec::new(), running: false, armed: Instant::MAX }),
            machine: Mutex::new(Held { machine, effects: Vec::new(), batch: Vec::new() }),
            lane,
            limits,
        }
    }

    /// Posts one event, and runs the machine if nobody else does.
    pub(crate) fn post<P: Perform<M>>(&self, performer: &Arc<P>, event: M::Event) {
        self.post_all(performer, std::iter::once(event));
    }

    /// Posts several events at once.
    pub(crate) fn post_all<P: Perform<M>>(
        &self,
        performer: &Arc<P>,
        events: impl IntoIterator<Item = M::Event>,
    ) {
        {
            let mut inbox = self.inbox.lock();
            inbox.events.extend(events);
            if inbox.running || inbox.events.is_empty() {
                return;
            }
            inbox.running = true;
        }
        self.drive(performer);
    }

    /// Posts the event that a timer stands for. `due` is when it was set for.
    pub(crate) fn tick<P: Perform<M>>(&self, performer: &Arc<P>, due: Instant) {
        {
            let mut inbox = self.inbox.lock();
            if inbox.armed == due {
                inbox.armed = Instant::MAX;
            }
        }
        self.post(performer, M::tick());
    }

    /// Looks at the machine while nobody runs it.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.machine.lock().machine)
    }

    /// How many events wait.
    pub(crate) fn waiting(&self) -> usize {
        self.inbox.lock().events.len()
    }

    fn drive<P: Perform<M>>(&self, performer: &Arc<P>) {
        let mut deferred = Vec::new();
        loop {
            while deferred.len() < self.limits.deferred {
                if !self.run_batch(performer, &mut deferred) {
                    deferred.into_iter().for_each(|task| performer.run(task));
                    return;
                }
            }
            // Handlers must not run while the machine is held, so it is given back and taken again.
            self.inbox.lock().running = false;
            deferred.drain(..).for_each(|task| performer.run(task));
            let mut inbox = self.inbox.lock();
            if inbox.running || inbox.events.is_empty() {
                return;
            }
            inbox.running = true;
        }
    }

    /// Handles what is in the inbox. If there was nothing, gives the machine back and returns false.
    fn run_batch<P: Perform<M>>(&self, performer: &Arc<P>, deferred: &mut Vec<P::Deferred>) -> bool {
        let _alarm = Alarm(&**performer, std::marker::PhantomData::<M>);
        let mut held = self.machine.lock();
        let Held { machine, effects, batch } = &mut *held;
        {
            let mut inbox = self.inbox.lock();
            if inbox.events.is_empty() {
                inbox.running = false;
                return false;
            }
            match inbox.events.len() {
                waiting if waiting <= self.limits.batch_events => std::mem::swap(&mut inbox.events, batch),
                _ => batch.extend(inbox.events.drain(..self.limits.batch_events)),
            }
        }
        let now = performer.clock().now();
        for event in batch.drain(..) {
            machine.handle(now, event, effects);
        }
        machine.flush(now, effects);
        performer.persist(effects);
        for effect in effects.drain(..) {
            performer.perform(effect, deferred);
        }
        let deadline = machine.next_deadline();
        drop(held);
        self.arm(performer, deadline);
        true
    }

    fn arm<P: Perform<M>>(&self, performer: &Arc<P>, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        {
            let mut inbox = self.inbox.lock();
            if deadline >= inbox.armed {
                return;
            }
            inbox.armed = deadline;
        }
        performer.wake_at(self.lane, deadline);
    }
}

impl<M: Machine> std::fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Panics when it is told to.
    struct Brittle;

    impl Machine for Brittle {
        type Event = bool;
        type Effect = ();

        fn handle(&mut self, _: Instant, breaks: bool, _: &mut Vec<()>) {
            assert!(!breaks, "on purpose");
        }

        fn next_deadline(&self) -> Option<Instant> {
            None
        }

        fn tick() -> bool {
            false
        }
    }

    struct Stage {
        broken: AtomicBool,
        clock: gritmesh_runtime::tokio::SystemClock,
    }

    impl Perform<Brittle> for Stage {
        type Deferred = ();

        fn clock(&self) -> &dyn Clock {
            &self.clock
        }

        fn persist(&self, _: &mut Vec<()>) {}
        fn perform(&self, (): (), _: &mut Vec<()>) {}
        fn run(self: &Arc<Self>, (): ()) {}

        fn broken(&self) {
            self.broken.store(true, Ordering::Relaxed);
        }

        fn wake_at(self: &Arc<Self>, _: usize, _: Instant) {}
    }

    #[test]
    fn a_machine_that_panics_is_reported() {
        let clock = gritmesh_runtime::tokio::SystemClock::start();
        let stage = Arc::new(Stage { broken: AtomicBool::new(false), clock });
        let driver = Driver::new(Brittle, 0, DriverLimits::PRODUCTION);
        driver.post(&stage, false);
        assert!(!stage.broken.load(Ordering::Relaxed));
        let posted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| driver.post(&stage, true)));
        assert!(posted.is_err());
        assert!(stage.broken.load(Ordering::Relaxed));
    }
}
