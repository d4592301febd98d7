//! A call as its caller sees it: built, awaited, and ended in one of a closed set of ways.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use gritmesh_runtime::{BoxFuture, Failure, FailureCode, Instant};

use crate::activation::{Activation, Entered, TurnEnd, overloaded};
use crate::actor::{Handler, Message, NoError};
use crate::mailbox::{Background, Job};
use crate::reference::ActorRef;
use crate::sink::TypedSink;
use crate::turn::{Outcome, SinkTurn, TypedJob, run};

/// Why a call has no answer. What matters most to a caller is whether the handler may have run:
/// [`CallError::surely_not_run`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E = NoError> {
    /// The handler ran and refused.
    #[error("{0}")]
    Failed(E),
    /// The call surely did not run; it may be tried again.
    #[error("not delivered: {detail}")]
    NotDelivered {
        /// What stood in the way.
        detail: String,
    },
    /// The call may have run: its deadline passed or the connection broke while the answer was outstanding.
    #[error("unknown outcome: {detail}")]
    Unknown {
        /// What happened.
        detail: String,
    },
    /// A queue on the way was full; the call did not run.
    #[error("overloaded: {detail}")]
    Overloaded {
        /// Which queue.
        detail: String,
        /// How long to wait before trying again.
        retry_after: Duration,
    },
    /// The call would have waited for itself; it did not run.
    #[error("deadlock: {cycle}")]
    Deadlock {
        /// The actors that would wait for each other, as `a -> b -> a`.
        cycle: String,
    },
    /// The call did not run: the type, the method or the arguments do not fit, or the actor cannot be loaded.
    #[error("{}: {detail}", code.as_str())]
    Refused {
        /// Which of these.
        code: FailureCode,
        /// The particulars.
        detail: String,
    },
    /// The handler panicked.
    #[error("the handler panicked: {detail}")]
    Panicked {
        /// The panic's message.
        detail: String,
    },
    /// The handler ran, but its answer could not be brought here.
    #[error("{}: {detail}", code.as_str())]
    AnswerLost {
        /// Too large, or of another shape than expected.
        code: FailureCode,
        /// The particulars.
        detail: String,
    },
}

impl<E> CallError<E> {
    /// The stable code.
    pub const fn code(&self) -> FailureCode {
        match self {
            Self::Failed(_) => FailureCode::ActorError,
            Self::NotDelivered { .. } => FailureCode::NotDelivered,
            Self::Unknown { .. } => FailureCode::Unknown,
            Self::Overloaded { .. } => FailureCode::Overloaded,
            Self::Deadlock { .. } => FailureCode::Deadlock,
            Self::Refused { code, .. } | Self::AnswerLost { code, .. } => *code,
            Self::Panicked { .. } => FailureCode::Panicked,
        }
    }

    /// Whether the handler surely did not run, so that trying again cannot run it twice.
    pub const fn surely_not_run(&self) -> bool {
        self.code().surely_not_run()
    }
}

impl<E: fmt::Display> CallError<E> {
    pub(crate) fn into_failure(self) -> Failure {
        let code = self.code();
        match self {
            Self::Overloaded { detail, retry_after } => {
                let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
                Failure { retry_after_ms, ..Failure::new(code, detail) }
            }
            Self::NotDelivered { detail }
            | Self::Unknown { detail }
            | Self::Deadlock { cycle: detail }
            | Self::Refused { detail, .. }
            | Self::Panicked { detail }
            | Self::AnswerLost { detail, .. } => Failure::new(code, detail),
            Self::Failed(error) => Failure::new(code, error.to_string()),
        }
    }
}

impl<E> From<Failure> for CallError<E> {
    fn from(failure: Failure) -> Self {
        let Failure { code, detail, retry_after_ms, .. } = failure;
        match code {
            FailureCode::NotDelivered => Self::NotDelivered { detail },
            FailureCode::Unknown => Self::Unknown { detail },
            FailureCode::Overloaded => {
                Self::Overloaded { detail, retry_after: Duration::from_millis(u64::from(retry_after_ms)) }
            }
            FailureCode::Deadlock => Self::Deadlock { cycle: detail },
            FailureCode::Panicked => Self::Panicked { detail },
            FailureCode::UnknownType
            | FailureCode::UnknownMethod
            | FailureCode::BadArguments
            | FailureCode::BadAddress
            | FailureCode::ActivationFailed => Self::Refused { code, detail },
            FailureCode::TooLarge | FailureCode::ActorError | FailureCode::BadAnswer => {
                Self::AnswerLost { code, detail }
            }
        }
    }
}

/// A call that has not been made yet: await it, or [`send`](Self::send) it.
#[must_use = "a call does nothing unless it is awaited or sent"]
pub struct Call<'a, A: Handler<M>, M: Message> {
    reference: &'a ActorRef<A>,
    message: M,
    deadline: Option<Duration>,
}

impl<'a, A: Handler<M>, M: Message> Call<'a, A, M> {
    /// A call of `message` to the actor.
    pub const fn new(reference: &'a ActorRef<A>, message: M) -> Self {
        Self { reference, message, deadline: None }
    }

    /// Changes how long the caller waits for the answer; the default is the node's, 30 s.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sends the message without waiting for the handler. It runs at most once; if it is lost on the way, or
    /// refuses, nobody hears of it.
    pub fn send(self) -> SendFuture {
        SendFuture(send(self.reference, self.message, self.deadline))
    }
}

impl<'a, A: Handler<M>, M: Message> IntoFuture for Call<'a, A, M> {
    type Output = Outcome<M>;
    type IntoFuture = CallFuture<'a, A, M>;

    fn into_future(self) -> CallFuture<'a, A, M> {
        CallFuture { reference: self.reference, stage: Stage::Start(Some(self.message), self.deadline) }
    }
}

impl<A: Handler<M>, M: Message> fmt::Debug for Call<'_, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({}.{})", self.reference.address(), M::METHOD)
    }
}

/// The outcome of [`Call::send`]: whether the message left this caller.
#[must_use = "the result tells whether the message was accepted"]
pub struct SendFuture(Result<(), CallError>);

impl Future for SendFuture {
    type Output = Result<(), CallError>;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Poll::Ready(self.0.clone())
    }
}

impl fmt::Debug for SendFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendFuture({:?})", self.0)
    }
}

/// A call that is being made. Dropping it stops the waiting, not the handler.
pub struct CallFuture<'a, A: Handler<M>, M: Message> {
    reference: &'a ActorRef<A>,
    stage: Stage<M>,
}

enum Stage<M: Message> {
    Start(Option<M>, Option<Duration>),
    Waiting(oneshot::Receiver<Outcome<M>>),
}

impl<A: Handler<M>, M: Message> Unpin for CallFuture<'_, A, M> {}

impl<A: Handler<M>, M: Message> Future for CallFuture<'_, A, M> {
    type Output = Outcome<M>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Outcome<M>> {
        let this = self.get_mut();
        if let Stage::Start(message, deadline) = &mut this.stage {
            ready!(this.reference.host().spawn().poll_proceed(cx));
            let message = message.take().expect("a call starts once");
            let deadline = *deadline;
            match start(this.reference, message, deadline, cx) {
                Started::Done(outcome) => return Poll::Ready(outcome),
                Started::Waiting(answer) => this.stage = Stage::Waiting(answer),
            }
        }
        let Stage::Waiting(answer) = &mut this.stage else {
            unreachable!("a started call waits");
        };
        answer.poll_unpin(cx).map(|answer| answer.unwrap_or_else(|oneshot::Canceled| Err(dropped())))
    }
}

impl<A: Handler<M>, M: Message> fmt::Debug for CallFuture<'_, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallFuture({}.{})", self.reference.address(), M::METHOD)
    }
}

/// A turn or a queue that is dropped as a whole, as when the node shuts down, drops the way back to its caller.
fn dropped<E>() -> CallError<E> {
    CallError::Unknown { detail: "the node stopped while the call was under way".into() }
}

enum Started<M: Message> {
    Done(Outcome<M>),
    Waiting(oneshot::Receiver<Outcome<M>>),
}

fn start<A: Handler<M>, M: Message>(
    reference: &ActorRef<A>,
    message: M,
    deadline: Option<Duration>,
    cx: &mut TaskContext<'_>,
) -> Started<M> {
    if let Err(failure) = reference.check_chain() {
        return Started::Done(Err(failure.into()));
    }
    let deadline = reference.call_deadline(deadline);
    let mut message = Some(message);
    let mut answer = None;
    // Most calls find their actor idle, and need neither the job nor the way back.
    let mut job = || {
        let message = message.take().expect("the message is taken once");
        let (sink, receiver) = oneshot::channel();
        answer = Some(receiver);
        let header = reference.header(M::METHOD, deadline, false);
        Box::new(TypedJob::<A, M, _>::new(header, message, TypedSink(Some(sink))))
    };
    match reference.enter(|| job()) {
        Some((_, Entered::Queued)) => {}
        Some((activation, Entered::Took(state))) if reference.runs_inline() => {
            let message = message.take().expect("the message is taken once");
            let chain = reference.chain();
            let turn = run(Arc::clone(&activation), state, message, chain.clone(), Some(deadline));
            return run_here(&activation, Box::pin(turn), deadline, !chain.is_empty(), cx);
        }
        Some((activation, Entered::Took(state))) => {
            Background::with(&activation, job().start(state, &activation)).run_in_background();
        }
        Some((activation, Entered::Full)) => return Started::Done(Err(overloaded(&activation).into())),
        Some((_, Entered::Closed)) | None => Arc::clone(reference.host()).submit(job().into_submission()),
    }
    Started::Waiting(answer.expect("a job was made, and with it the way back"))
}

/// The fast path: the handler runs on the caller's stack, and only if it waits does it get a task.
fn run_here<A: Handler<M>, M: Message>(
    activation: &Arc<Activation<A>>,
    mut turn: BoxFuture<(TurnEnd<A>, Outcome<M>)>,
    deadline: Instant,
    nested: bool,
    cx: &mut TaskContext<'_>,
) -> Started<M> {
    match turn.poll_unpin(cx) {
        Poll::Ready((end, outcome)) => {
            activation.finish(end, nested, cx);
            Started::Done(outcome)
        }
        Poll::Pending => {
            let (sink, answer) = oneshot::channel();
            let turn = SinkTurn::new(turn, TypedSink::<M>(Some(sink)), Some(deadline));
            Background::with(activation, Box::new(turn)).run_in_background();
            Started::Waiting(answer)
        }
    }
}

fn send<A: Handler<M>, M: Message>(
    reference: &ActorRef<A>,
    message: M,
    deadline: Option<Duration>,
) -> Result<(), CallError> {
    let header = reference.header(M::METHOD, reference.deadline(deadline), true);
    let mut job = Some(Box::new(TypedJob::<A, M, _>::new(header, message, TypedSink(None))));
    let mut job = || job.take().expect("the job is taken once");
    match reference.enter(|| job()) {
        Some((_, Entered::Queued)) => {}
        Some((activation, Entered::Took(state))) => {
            Background::with(&activation, job().start(state, &activation)).run_in_background();
        }
        Some((activation, Entered::Full)) => return Err(overloaded(&activation).into()),
        Some((_, Entered::Closed)) | None => Arc::clone(reference.host()).submit(job().into_submission()),
    }
    Ok(())
}
