//! A call as its caller sees it: built, awaited, and ended in one of a closed set of ways.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use gritmesh_runtime::{BoxFuture, Failure, FailureCode, Instant};

use crate::activation::{Activation, Entered, TurnEnd};
use crate::actor::{Handler, Message};
use crate::call_error::CallError;
use crate::durable::notes::{Asking, Notes};
use crate::durable::{KEY_BYTES_MAX, Outgoing};
use crate::ending::overloaded;
use crate::mailbox::{Background, Job, TURNS_AT_ONCE_MAX};
use crate::reference::ActorRef;
use crate::sink::TypedSink;
use crate::submission::Payload;
use crate::turn::{Outcome, SinkTurn, TypedJob, run};

/// A call that has not been made yet: await it, or [`send`](Self::send) it.
///
/// What a durable handler sends is part of its step: it leaves when that is committed, and only then. A durable
/// receiver reads it once, in the order in which it was sent, whatever crashes in between. What a durable handler
/// awaits leaves at once, as soon as everything that the handler has built on is committed; a durable receiver
/// answers it once, however often the handler is repeated.
#[must_use = "a call does nothing unless it is awaited or sent"]
pub struct Call<'a, A: Handler<M>, M: Message> {
    pub(crate) reference: &'a ActorRef<A>,
    pub(crate) message: M,
    deadline: Option<Duration>,
    pub(crate) key: Option<Arc<[u8]>>,
}

impl<'a, A: Handler<M>, M: Message> Call<'a, A, M> {
    /// A call of `message` to the actor.
    pub const fn new(reference: &'a ActorRef<A>, message: M) -> Self {
        Self { reference, message, deadline: None, key: None }
    }

    /// Changes how long the caller waits for the answer; the default is the node's, 30 s.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sends the message without waiting for the handler. Unless both ends are durable it runs at most once; if it
    /// is lost on the way, or refuses, nobody hears of it.
    pub fn send(self) -> SendFuture {
        SendFuture(send(self))
    }
}

impl<'a, A: Handler<M>, M: Message> IntoFuture for Call<'a, A, M> {
    type Output = Outcome<M>;
    type IntoFuture = CallFuture<'a, A, M>;

    fn into_future(self) -> CallFuture<'a, A, M> {
        let Self { reference, message, deadline, key } = self;
        CallFuture { reference, stage: Stage::Start(Some(Asked { message, deadline, key })) }
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
    Start(Option<Asked<M>>),
    /// The caller is a durable handler that has built on steps which are not committed.
    Settling(Option<Asked<M>>, oneshot::Receiver<Result<(), Failure>>),
    Waiting(oneshot::Receiver<Outcome<M>>),
}

struct Asked<M> {
    message: M,
    deadline: Option<Duration>,
    key: Option<Arc<[u8]>>,
}

impl<A: Handler<M>, M: Message> Unpin for CallFuture<'_, A, M> {}

impl<A: Handler<M>, M: Message> Future for CallFuture<'_, A, M> {
    type Output = Outcome<M>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Outcome<M>> {
        match self.get_mut().poll_call(cx) {
            // It may run once more: a query changes nothing.
            Poll::Ready(Err(CallError::Unknown { detail })) if M::QUERY => {
                Poll::Ready(Err(CallError::NoAnswer { detail }))
            }
            outcome => outcome,
        }
    }
}

impl<A: Handler<M>, M: Message> CallFuture<'_, A, M> {
    fn poll_call(&mut self, cx: &mut TaskContext<'_>) -> Poll<Outcome<M>> {
        let this = self;
        loop {
            let started = match &mut this.stage {
                Stage::Start(asked) => {
                    ready!(this.reference.host().spawn().poll_proceed(cx));
                    let mut asked = asked.take().expect("a call starts once");
                    match this.reference.notes() {
                        None => start(this.reference, asked, cx),
                        Some(notes) => match settle(this.reference, notes, &mut asked) {
                            Ok(settled) => {
                                this.stage = Stage::Settling(Some(asked), settled);
                                continue;
                            }
                            Err(failure) => return Poll::Ready(Err(failure.into())),
                        },
                    }
                }
                Stage::Settling(asked, settled) => match ready!(settled.poll_unpin(cx)) {
                    Ok(Ok(())) => start(this.reference, asked.take().expect("a call starts once"), cx),
                    Ok(Err(failure)) => return Poll::Ready(Err(unsettled(&failure).into())),
                    Err(oneshot::Canceled) => return Poll::Ready(Err(dropped())),
                },
                Stage::Waiting(answer) => {
                    let answer = ready!(answer.poll_unpin(cx));
                    return Poll::Ready(answer.unwrap_or_else(|oneshot::Canceled| Err(dropped())));
                }
            };
            match started {
                Started::Done(outcome) => return Poll::Ready(outcome),
                Started::Waiting(answer) => this.stage = Stage::Waiting(answer),
            }
        }
    }
}

/// Notes the call of a durable handler, and has it wait for what the handler has built on.
fn settle<A: Handler<M>, M: Message>(
    reference: &ActorRef<A>,
    notes: &Notes,
    asked: &mut Asked<M>,
) -> Result<oneshot::Receiver<Result<(), Failure>>, Failure> {
    reference.check_chain()?;
    let Asking { key, settled } = notes.ask(reference.host().as_ref(), A::DURABLE)?;
    if asked.key.is_none() {
        asked.key = key;
    }
    Ok(settled)
}

/// The call was not made.
fn unsettled(failure: &Failure) -> Failure {
    let detail = format!("the handler has built on a step that was not committed: {failure}");
    Failure::new(FailureCode::NotDelivered, detail)
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
    asked: Asked<M>,
    cx: &mut TaskContext<'_>,
) -> Started<M> {
    let Asked { message, deadline, mut key } = asked;
    if let Err(failure) = check_key(key.as_deref()) {
        return Started::Done(Err(failure.into()));
    }
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
        let header = reference.header(M::METHOD, deadline, false, key.take());
        Box::new(TypedJob::<A, M, _>::new(header, message, TypedSink(Some(sink))))
    };
    match reference.enter(|| job()) {
        Some((_, Entered::Queued)) => {}
        Some((activation, Entered::Took(state))) if A::DURABLE && reference.runs_inline() => {
            // It may wait for its commit long after its turn, so it needs the way back in any case.
            let turns = if reference.chain().is_empty() { TURNS_AT_ONCE_MAX } else { 1 };
            Background::with(&activation, job().start(state, &activation)).run_here(turns, cx);
        }
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

fn send<A: Handler<M>, M: Message>(call: Call<'_, A, M>) -> Result<(), CallError> {
    let Call { reference, message, deadline, key } = call;
    check_key(key.as_deref())?;
    let header = reference.header(M::METHOD, reference.deadline(deadline), true, key);
    let job = Box::new(TypedJob::<A, M, _>::new(header, message, TypedSink(None)));
    if let Some(notes) = reference.notes() {
        let arguments = job.encode()?;
        let (to, method) = (reference.address().clone(), Cow::Borrowed(M::METHOD));
        return Ok(notes.send(Outgoing { to, method, arguments, durable: A::DURABLE })?);
    }
    let mut job = Some(job);
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

fn check_key(key: Option<&[u8]>) -> Result<(), Failure> {
    match key.map_or(0, <[u8]>::len) {
        0..=KEY_BYTES_MAX => Ok(()),
        long => {
            let detail = format!("an idempotency key has {long} bytes, more than {KEY_BYTES_MAX}");
            Err(Failure::new(FailureCode::BadArguments, detail))
        }
    }
}
