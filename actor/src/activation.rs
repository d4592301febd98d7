//! An actor in memory: its state while nobody runs it, its mailbox, and the way out of memory.
//!
//! Whoever takes the state out of [`Phase::Idle`] is its only holder until they give it back, so a handler runs
//! alone without a lock being held meanwhile. The lock here guards only the hand-over, for some nanoseconds.
//!
//! Locks are taken in one order: an activation's, then a part's of the directory. The directory never calls an
//! activation back.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};

use gritmesh_runtime::{ActorAddress, Failure, FailureCode, Instant, Token};
use parking_lot::{Mutex, MutexGuard};

use crate::actor::Actor;
use crate::any_activation::{ActivationPhase, ActivationStatus};
use crate::durable::gate::Tie;
use crate::durable::keeping::Thread;
use crate::durable::notes::Notes;
use crate::host::Host;
use crate::mailbox::{Background, Job, TURNS_AT_ONCE_MAX};
use crate::on_stack::{OnStack, Patience};
use crate::registry::TypeEntry;
pub(crate) use crate::stages::{Entered, Next, TurnEnd};
use crate::turn::contained;
use crate::{Chain, Context, ReleaseGuard};

/// Turns that a new activation runs on the thread of a handler that called it: one to load it, one to answer.
const TURNS_TO_START: u32 = 2;

/// One actor in memory. At rest it is a few hundred bytes of plain data.
pub struct Activation<A: Actor> {
    pub(crate) head: Head<A>,
    inner: Mutex<Inner<A>>,
    on_stack: OnStack,
}

/// What never changes during an activation.
pub(crate) struct Head<A: Actor> {
    pub(crate) address: ActorAddress,
    pub(crate) token: Token,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) entry: Arc<TypeEntry<A>>,
}

struct Inner<A: Actor> {
    phase: Phase<A>,
    queue: Jobs<A>,
    last_used_s: u32,
    /// Calls that found it idle and that nobody has added up yet.
    untold_calls: u32,
    /// Leave memory as soon as the present turn has ended.
    closing: bool,
    /// Leave it without a word to the state, which never was.
    undone: bool,
    /// Held until the activation is closed, and by every gate that it has handed out. Made when first needed.
    tie: Option<Arc<Tie>>,
    /// When the background task next looks for passed deadlines, and how to wake it earlier.
    alarm: Option<(Instant, Waker)>,
}

type Jobs<A> = VecDeque<Box<dyn Job<A>>>;

/// The state of an actor, and with a durable one its thread through the store. While a handler of it runs, its
/// notes have the thread.
pub(crate) struct Held<A> {
    pub(crate) state: A,
    pub(crate) thread: Option<Box<Thread>>,
}

impl<A> Held<A> {
    pub(crate) fn tie(&self) -> &Tie {
        &self.thread.as_ref().expect("a durable actor at rest has its thread").tie
    }
}

enum Phase<A> {
    /// Created; nobody has begun to load it.
    New,
    /// The state is here, and nobody uses it.
    Idle(Box<Held<A>>),
    /// Somebody has the state, or loads it.
    Running,
    /// Out of memory for good, and not in the directory any more. A new activation may exist.
    Closed,
}

impl<A: Actor> Activation<A> {
    pub(crate) const fn new(head: Head<A>, last_used_s: u32) -> Self {
        let inner = Inner {
            phase: Phase::New,
            queue: VecDeque::new(),
            last_used_s,
            untold_calls: 0,
            closing: false,
            undone: false,
            tie: None,
            alarm: None,
        };
        Self { head, inner: Mutex::new(inner), on_stack: OnStack::new() }
    }

    pub(crate) fn context<'a>(
        &'a self,
        chain: &'a Chain,
        deadline: Option<Instant>,
        notes: Option<&'a Arc<Notes>>,
    ) -> Context<'a> {
        Context { host: &self.head.host, address: &self.head.address, chain, deadline, notes }
    }

    /// What ties the gates of this activation to it.
    pub(crate) fn tie(&self) -> Arc<Tie> {
        Arc::clone(self.inner.lock().tie.get_or_insert_default())
    }

    /// Takes the state if the actor is idle, or is about to be; else queues the job that `make` returns.
    pub(crate) fn enter(&self, make: impl FnOnce() -> Box<dyn Job<A>>) -> Entered<A> {
        let mut inner = self.lock_when_idle();
        match std::mem::replace(&mut inner.phase, Phase::Running) {
            Phase::Idle(state) => {
                inner.untold_calls = inner.untold_calls.saturating_add(1);
                self.on_stack.set(true);
                Entered::Took(state)
            }
            Phase::Closed => {
                inner.phase = Phase::Closed;
                Entered::Closed
            }
            busy @ (Phase::New | Phase::Running) => {
                inner.phase = busy;
                if inner.queue.len() >= self.head.entry.info.options.mailbox_capacity {
                    return Entered::Full;
                }
                let woken = inner.push(make());
                self.on_stack.set_queue(true);
                drop(inner);
                woken.iter().for_each(Waker::wake_by_ref);
                Entered::Queued
            }
        }
    }

    /// Waits for a moment for the end of a handler that another thread runs, if nobody else waits.
    fn lock_when_idle(&self) -> MutexGuard<'_, Inner<A>> {
        let mut patience = Patience::new();
        while !patience.is_over() {
            // A look takes nothing from whoever runs; the lock would.
            if !self.on_stack.is_about_to_end()
                && let Some(inner) = self.inner.try_lock()
                // Whoever has just left may be back already.
                && !(matches!(inner.phase, Phase::Running) && self.on_stack.is_about_to_end())
            {
                return inner;
            }
            patience.pause();
        }
        self.inner.lock()
    }

    /// Says that the present turn goes on in a task.
    pub(crate) fn leave_stack(&self) {
        self.on_stack.set(false);
    }

    /// Gives the state back after a turn that ran on the caller's thread, and has run what was queued meanwhile:
    /// here, or in a task if the caller is itself `nested` in the turn of an actor. That one shall not wait for
    /// the calls of strangers, and the stack shall not grow by their chains.
    pub(crate) fn finish(self: &Arc<Self>, end: TurnEnd<A>, nested: bool, cx: &mut TaskContext<'_>) {
        match self.next(end) {
            Next::Done => {}
            next if nested => Background::begin(self, next).run_in_background(),
            next => Background::begin(self, next).run_here(TURNS_AT_ONCE_MAX, cx),
        }
    }

    /// Decides what the holder of the state does after a turn.
    pub(crate) fn next(&self, end: TurnEnd<A>) -> Next<A> {
        let mut inner = self.inner.lock();
        inner.alarm = None;
        match end {
            TurnEnd::State(state) if A::DURABLE && inner.undone => {
                self.forget(inner, state);
                Next::Done
            }
            TurnEnd::State(state) if inner.closing => Next::Deactivate(state),
            TurnEnd::State(state) => match inner.queue.pop_front() {
                Some(job) => {
                    self.on_stack.set_queue(!inner.queue.is_empty());
                    Next::Run(job, state)
                }
                None => {
                    self.on_stack.set_queue(false);
                    self.on_stack.set(false);
                    inner.phase = Phase::Idle(state);
                    inner.last_used_s = self.head.host.coarse_seconds();
                    Next::Done
                }
            },
            // A durable actor's steps may not be where it would be loaded from: whoever routes the calls anew knows.
            TurnEnd::Panicked if !A::DURABLE && !inner.closing && !inner.queue.is_empty() => {
                Next::Load(inner.load_chain())
            }
            TurnEnd::LoadFailed(error) if !inner.closing => {
                let detail = format!("{} could not be activated: {error}", self.head.address);
                self.end_all(self.retire(inner), &Failure::new(FailureCode::ActivationFailed, detail));
                Next::Done
            }
            TurnEnd::NotOpened(failure) if !inner.closing => {
                self.end_all(self.retire(inner), &failure);
                Next::Done
            }
            TurnEnd::Panicked | TurnEnd::LoadFailed(_) | TurnEnd::NotOpened(_) | TurnEnd::Deactivated => {
                self.resubmit(self.retire(inner));
                Next::Done
            }
        }
    }

    /// Leaves the directory, and returns what was queued. There is no state any more.
    fn retire(&self, mut inner: MutexGuard<'_, Inner<A>>) -> Jobs<A> {
        let Head { address, token, host, .. } = &self.head;
        // Before anyone can find it closed: a call that does is routed anew and must not find it once more.
        host.directory().remove(*token, address, std::ptr::from_ref(self).cast());
        inner.phase = Phase::Closed;
        self.leave_stack();
        let jobs = std::mem::take(&mut inner.queue);
        let tie = inner.tie.take();
        drop(inner);
        host.deactivated(address);
        // Whoever waits for the release must know of it before the calls that were queued come to be routed, unless
        // gates are outstanding: the last of them releases it.
        drop(tie);
        jobs
    }

    /// Leaves memory without a word to the state.
    fn forget(&self, inner: MutexGuard<'_, Inner<A>>, state: Box<Held<A>>) {
        // Still marked as running, so nobody else touches it meanwhile.
        drop(inner);
        if let Err(message) = contained(|| drop(state)) {
            self.head.host.panicked(&self.head.address, &message);
        }
        self.resubmit(self.retire(self.inner.lock()));
    }

    fn resubmit(&self, jobs: Jobs<A>) {
        for job in jobs {
            Arc::clone(&self.head.host).submit(job.into_submission());
        }
    }

    /// Closes an activation whose state is lost with the task that held it.
    pub(crate) fn abandon(&self) {
        let jobs = self.retire(self.inner.lock());
        let stopped = "the node stopped before the call could run";
        self.end_all(jobs, &Failure::new(FailureCode::NotDelivered, stopped));
    }

    /// Ends queued jobs whose deadline has passed, notes when to look again, and returns that instant.
    /// `running` is when the present turn wants to be told of its own deadline.
    pub(crate) fn expire(&self, now: Instant, running: Option<Instant>, waker: &Waker) -> Option<Instant> {
        let mut inner = self.inner.lock();
        let noted = inner.alarm.as_ref().filter(|(at, known)| now < *at && known.will_wake(waker));
        let (at, late) = match noted {
            Some((at, _)) => (*at, Jobs::new()),
            None => {
                let late = inner.remove_late(now);
                let at = inner.queue.iter().map(|job| job.header().deadline).chain(running).min();
                // Even with no deadline to watch, the task has to hear of one that is queued later.
                let at = at.unwrap_or(Instant::MAX);
                inner.alarm = Some((at, waker.clone()));
                (at, late)
            }
        };
        drop(inner);
        late.into_iter().for_each(|job| self.end_late(job));
        (at < Instant::MAX).then_some(at)
    }

    pub(crate) fn begin_to_load(self: &Arc<Self>, here: bool) {
        let mut inner = self.inner.lock();
        if !matches!(inner.phase, Phase::New) {
            return;
        }
        let Some(first) = inner.queue.front().map(|job| job.header()) else {
            // The call for which it was created did not fit, and leaves no trace.
            self.retire(inner);
            return;
        };
        let here = here && first.runs_inline();
        let turns = if first.chain.is_empty() { TURNS_AT_ONCE_MAX } else { TURNS_TO_START };
        let chain = inner.load_chain();
        inner.phase = Phase::Running;
        drop(inner);
        let loading = Background::begin(self, Next::Load(chain));
        match here {
            true => loading.run_here(turns, &mut TaskContext::from_waker(Waker::noop())),
            false => loading.run_in_background(),
        }
    }

    /// Leaves memory after the present turn, if `allowed` says so; without a word to the state if it is `undone`.
    /// Returns whether it will.
    pub(crate) fn leave(
        self: &Arc<Self>,
        guard: Option<Arc<ReleaseGuard>>,
        undone: bool,
        allowed: impl FnOnce(&ActivationStatus) -> bool,
    ) -> bool {
        let mut inner = self.inner.lock();
        if matches!(inner.phase, Phase::Closed) || !allowed(&inner.status()) {
            return false;
        }
        inner.closing = true;
        inner.undone |= undone;
        if let Some(guard) = guard {
            inner.tie.get_or_insert_default().hold(guard);
        }
        match std::mem::replace(&mut inner.phase, Phase::Running) {
            Phase::Idle(state) if undone => self.forget(inner, state),
            Phase::Idle(state) => {
                drop(inner);
                let last = Background::begin(self, Next::Deactivate(state));
                last.run_here(TURNS_AT_ONCE_MAX, &mut TaskContext::from_waker(Waker::noop()));
            }
            Phase::New => {
                let jobs = self.retire(inner);
                self.resubmit(jobs);
            }
            // What is queued stays, in order, until the present turn has ended.
            busy @ (Phase::Running | Phase::Closed) => inner.phase = busy,
        }
        true
    }

    pub(crate) fn take_untold_calls(&self) -> u64 {
        u64::from(std::mem::take(&mut self.inner.lock().untold_calls))
    }

    pub(crate) fn describe(&self) -> ActivationStatus {
        self.inner.lock().status()
    }
}

impl<A: Actor> Inner<A> {
    /// Queues a job. Returns whom to wake because its deadline is earlier than those known.
    fn push(&mut self, job: Box<dyn Job<A>>) -> Option<Waker> {
        let deadline = job.header().deadline;
        self.queue.push_back(job);
        let (alarm, waker) = self.alarm.as_mut().filter(|(alarm, _)| deadline < *alarm)?;
        *alarm = deadline;
        Some(waker.clone())
    }

    fn remove_late(&mut self, now: Instant) -> Jobs<A> {
        if self.queue.iter().all(|job| job.header().deadline > now) {
            return Jobs::new();
        }
        let queue = std::mem::take(&mut self.queue);
        let (late, kept): (Jobs<A>, Jobs<A>) =
            queue.into_iter().partition(|job| job.header().deadline <= now);
        self.queue = kept;
        late
    }

    /// Who waits while the state is loaded. With it, a cycle that leads through loading is found too.
    fn load_chain(&self) -> Chain {
        self.queue.front().map_or(Chain::EMPTY, |job| job.header().chain.clone())
    }

    fn status(&self) -> ActivationStatus {
        let phase = match self.phase {
            _ if self.closing => ActivationPhase::Closing,
            Phase::Idle(_) => ActivationPhase::Idle,
            Phase::New | Phase::Running => ActivationPhase::Busy,
            Phase::Closed => ActivationPhase::Closing,
        };
        let outstanding = self.tie.as_ref().map_or(0, |tie| tie.outstanding());
        ActivationStatus { phase, queued: self.queue.len(), outstanding, last_used_s: self.last_used_s }
    }
}

impl<A: Actor> fmt::Debug for Activation<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Activation({})", self.head.address)
    }
}
