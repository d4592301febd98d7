//! Messages that wait, and the task that runs them when their caller cannot.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use futures::FutureExt;
use gritmesh_runtime::{BoxFuture, Failure, Instant};

use crate::activation::{Activation, Held, Next, TurnEnd};
use crate::actor::Actor;
use crate::lifecycle::{LifecycleTurn, deactivate, load};
use crate::submission::{Header, Submission};
use crate::turn::panic_message;

/// Messages that one caller runs for others before it gives the actor to a task of its own, and that such a
/// task runs before it yields. Enough to make scheduling cheap, few enough to be fair.
pub(crate) const TURNS_AT_ONCE_MAX: u32 = 64;

/// A message in a mailbox.
pub(crate) trait Job<A: Actor>: Send {
    /// Its deadline, and who waits for it.
    fn header(&self) -> &Header;
    /// Begins to run it.
    fn start(self: Box<Self>, held: Box<Held<A>>, activation: &Arc<Activation<A>>) -> Box<dyn Turn<A>>;
    /// Its arguments as bytes, unless they cannot be written.
    fn arguments(&self) -> Option<Vec<u8>>;
    /// Tells the caller that it will not run.
    fn refuse(self: Box<Self>, failure: Failure);
    /// Takes it back out, to be routed anew.
    fn into_submission(self: Box<Self>) -> Submission;
}

/// A message while it runs.
pub(crate) trait Turn<A>: Send {
    /// Goes on; answers the caller at the end.
    fn poll_turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<TurnEnd<A>>;
    /// When its caller stops waiting, if one still waits.
    fn deadline(&self) -> Option<Instant>;
    /// Tells the caller that its deadline has passed. The handler goes on.
    fn expire(&mut self);
}

/// Whoever holds the state of an actor: runs turns until the mailbox is empty.
///
/// It is first polled on the stack of whoever began it, if at all, and then given to a task. A task is polled at
/// least once, so a wake-up that went to the first waker is not missed.
pub(crate) struct Background<A: Actor> {
    activation: Arc<Activation<A>>,
    turn: Box<dyn Turn<A>>,
    alarm: Option<(Instant, BoxFuture<()>)>,
    turns_at_once: u32,
    /// Whether it is a task already. Only a task watches deadlines: the stack of a caller, who may belong to
    /// another executor or to none, is left as soon as a handler waits.
    is_task: bool,
    finished: bool,
}

impl<A: Actor> Background<A> {
    /// # Panics
    /// If there is nothing to do.
    pub(crate) fn begin(activation: &Arc<Activation<A>>, next: Next<A>) -> Self {
        let turn = turn_for(next, activation).expect("whoever begins has something to do");
        Self::with(activation, turn)
    }

    pub(crate) fn with(activation: &Arc<Activation<A>>, turn: Box<dyn Turn<A>>) -> Self {
        let activation = Arc::clone(activation);
        Self {
            activation,
            turn,
            alarm: None,
            turns_at_once: TURNS_AT_ONCE_MAX,
            is_task: false,
            finished: false,
        }
    }

    /// Runs on this thread as far as that goes, but not more than `turns`, then in a task.
    pub(crate) fn run_here(mut self, turns: u32, cx: &mut TaskContext<'_>) {
        self.turns_at_once = turns;
        if self.poll_unpin(cx).is_pending() {
            self.run_in_background();
        }
    }

    pub(crate) fn run_in_background(mut self) {
        self.turns_at_once = TURNS_AT_ONCE_MAX;
        self.is_task = true;
        self.activation.leave_stack();
        let host = Arc::clone(&self.activation.head.host);
        host.spawn().spawn(Box::pin(self));
    }

    /// Handlers are caught where they run; what is caught here is the code of an application that nobody
    /// expects to panic, such as that which drops a message.
    fn poll_turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<TurnEnd<A>> {
        catch_unwind(AssertUnwindSafe(|| self.turn.poll_turn(cx))).unwrap_or_else(|panic| {
            let head = &self.activation.head;
            head.host.panicked(&head.address, &panic_message(panic.as_ref()));
            Poll::Ready(TurnEnd::Panicked)
        })
    }

    /// Ends what is late, and makes sure to be woken for what will be. Returns whether to look again at once.
    fn watch_deadlines(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let host = &self.activation.head.host;
        let now = host.clock().now();
        if self.turn.deadline().is_some_and(|deadline| deadline <= now) {
            self.turn.expire();
        }
        let Some(next) = self.activation.expire(now, self.turn.deadline(), cx.waker()) else {
            self.alarm = None;
            return false;
        };
        if self.alarm.as_ref().is_none_or(|(at, _)| *at != next) {
            self.alarm = Some((next, host.spawn().sleep_until(next)));
        }
        self.alarm.as_mut().is_some_and(|(_, sleep)| sleep.poll_unpin(cx).is_ready())
    }
}

impl<A: Actor> Future for Background<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut turns = 0;
        while turns < self.turns_at_once {
            match self.poll_turn(cx) {
                Poll::Pending => {
                    while self.is_task && self.watch_deadlines(cx) {
                        self.alarm = None;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(end) => {
                    self.alarm = None;
                    let next = self.activation.next(end);
                    match turn_for(next, &self.activation) {
                        Some(turn) => self.turn = turn,
                        None => {
                            self.finished = true;
                            return Poll::Ready(());
                        }
                    }
                }
            }
            turns += 1;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<A: Actor> Drop for Background<A> {
    /// The task was dropped by its executor, and the state with it: without this, those who are queued would
    /// wait for ever.
    fn drop(&mut self) {
        if !self.finished {
            self.activation.abandon();
        }
    }
}

fn turn_for<A: Actor>(next: Next<A>, activation: &Arc<Activation<A>>) -> Option<Box<dyn Turn<A>>> {
    match next {
        Next::Run(job, state) if job.header().deadline <= activation.head.host.clock().now() => {
            let activation = Arc::clone(activation);
            Some(Box::new(Expired { activation, job: Some(job), state: Some(state) }))
        }
        Next::Run(job, state) => Some(job.start(state, activation)),
        Next::Load(chain) => Some(Box::new(LifecycleTurn::new(load(Arc::clone(activation), chain)))),
        Next::Deactivate(state) => {
            Some(Box::new(LifecycleTurn::new(deactivate(Arc::clone(activation), state))))
        }
        Next::Done => None,
    }
}

/// A message whose caller stopped waiting before its turn came.
struct Expired<A: Actor> {
    activation: Arc<Activation<A>>,
    job: Option<Box<dyn Job<A>>>,
    state: Option<Box<Held<A>>>,
}

impl<A: Actor> Turn<A> for Expired<A> {
    fn poll_turn(&mut self, _: &mut TaskContext<'_>) -> Poll<TurnEnd<A>> {
        if let Some(job) = self.job.take() {
            self.activation.end_late(job);
        }
        Poll::Ready(TurnEnd::State(self.state.take().expect("a finished turn is not polled again")))
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn expire(&mut self) {}
}
