//! One message of a durable actor, from its admission to the gate behind which its answer waits.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use futures::FutureExt;
use gritmesh_runtime::{BoxFuture, Failure, FailureCode, Instant};

use crate::activation::{Activation, Held, TurnEnd};
use crate::actor::{Actor, Handler, Message};
use crate::call_error::CallError;
use crate::chain::Chain;
use crate::durable::gate::Waiting;
use crate::durable::keeping::{Keeping, SaveError, Saved, Thread};
use crate::durable::notes::{Notes, Record};
use crate::durable::{Admission, Draft, Gate, Origin, Outgoing};
use crate::host::Host;
use crate::mailbox::Turn;
use crate::sink::{Sink, encode_outcome};
use crate::submission::{DynamicPayload, Header, Submission, WireReply};
use crate::turn::{Outcome, contained, panic_message};

/// A message while it is admitted, runs and is written.
pub(crate) struct DurableTurn<A: Actor, M: Message, S> {
    activation: Arc<Activation<A>>,
    sink: Option<S>,
    /// When the caller stops waiting, if it waits.
    deadline: Option<Instant>,
    one_way: bool,
    stage: Stage<A, M>,
}

enum Stage<A: Actor, M: Message> {
    /// Not admitted yet.
    New(Box<New<A, M>>),
    /// The handler has the state, and its notes the thread.
    Running(BoxFuture<Ran<A, M>>, Arc<Notes>),
    Ended,
}

struct New<A: Actor, M> {
    held: Box<Held<A>>,
    message: M,
    chain: Chain,
    origin: Origin,
}

/// The state and the outcome, or the message of a panic.
type Ran<A, M> = Result<(Box<Held<A>>, Result<<M as Message>::Reply, <M as Message>::Error>), String>;

/// What is to be done about an outcome.
enum Verdict<M: Message> {
    /// It becomes a step, if it changed anything.
    Keep(Outcome<M>, Saved),
    /// The state goes back to what it was; that the message was read is remembered.
    Refuse(Outcome<M>),
    /// The message did not run, as far as anyone will see.
    Fail(Failure),
    /// A mistake of the application.
    Panic(String),
}

impl<A: Handler<M>, M: Message, S: Sink<M>> DurableTurn<A, M, S> {
    pub(crate) fn new(
        activation: &Arc<Activation<A>>,
        held: Box<Held<A>>,
        message: M,
        header: Header,
        sink: S,
    ) -> Self {
        let Header { chain, deadline, one_way, origin, .. } = header;
        Self {
            activation: Arc::clone(activation),
            sink: Some(sink),
            deadline: (!one_way).then_some(deadline),
            one_way,
            stage: Stage::New(Box::new(New { held, message, chain, origin })),
        }
    }

    fn begin(&mut self, new: New<A, M>) -> Result<(), Box<Held<A>>> {
        let New { mut held, message, chain, origin } = new;
        let mut thread = held.thread.take().expect("a durable actor at rest has its thread");
        // A query of a caller changes nothing, so it may as well run again.
        let admission = match M::QUERY && !origin.is_delivery() {
            true => Admission::Run,
            false => thread.history.admit(&origin),
        };
        if let Some(passed) = pass(&admission) {
            self.pass(&mut thread, passed);
            held.thread = Some(thread);
            return Err(held);
        }
        let notes = Notes::new(self.activation.head.address.clone(), origin, thread, M::QUERY);
        let (activation, noting, deadline) =
            (Arc::clone(&self.activation), Arc::clone(&notes), self.deadline);
        let future = async move {
            let handling = async {
                let mut ctx = activation.context(&chain, deadline, Some(&noting));
                held.state.handle(message, &mut ctx).await
            };
            match AssertUnwindSafe(handling).catch_unwind().await {
                Ok(outcome) => Ok((held, outcome)),
                Err(panic) => {
                    // The state may be half changed, and dropping it may panic once more.
                    let _ = contained(|| drop(held));
                    Err(panic_message(panic.as_ref()))
                }
            }
        };
        self.stage = Stage::Running(Box::pin(future), notes);
        Ok(())
    }

    /// Answers a message that does not run.
    fn pass(&mut self, thread: &mut Thread, passed: Passed) {
        let Some(sink) = self.sink.take() else {
            return;
        };
        match passed {
            Passed::Now(failure) => sink.relay(Err(failure)),
            Passed::Observed(result) => {
                let gate: Gate = Box::new(move |open| sink.relay(open.and(result)));
                self.let_go(thread, gate, None);
            }
        }
    }

    /// Hands the answer to the history, and has the caller's deadline watched while it waits there.
    fn let_go(&self, thread: &mut Thread, answer: Gate, draft: Option<Draft>) {
        let_go(&self.activation, thread, answer, draft, self.deadline);
    }

    fn conclude(&mut self, ran: Ran<A, M>, notes: &Notes) -> TurnEnd<A> {
        let record = notes.close();
        let (mut held, outcome) = match ran {
            Ok(ran) => ran,
            Err(panic) => {
                let _ = contained(|| drop(record));
                return self.panicked(panic);
            }
        };
        let Record { mut thread, sends, reminders, exceeded, .. } = record;
        let keeping = keeping::<A>();
        let verdict = match (Thread::failure(&keeping, &mut held.state), exceeded) {
            (Some(failure), _) => Verdict::Fail(failure),
            (None, Some(exceeded)) => Verdict::Refuse(Err(exceeded.into())),
            (None, None) => judge::<A, M>(&keeping, &mut thread, &mut held.state, outcome, &notes.origin),
        };
        let mut draft = Draft::new(Cow::Borrowed(M::METHOD), notes.origin.clone());
        let intact = match verdict {
            Verdict::Keep(outcome, saved) => {
                draft =
                    Draft { state: saved.state, collections: saved.collections, sends, reminders, ..draft };
                self.answer(&mut thread, outcome, draft);
                true
            }
            Verdict::Refuse(outcome) => {
                self.answer(&mut thread, outcome, draft);
                self.roll_back(&keeping, &thread, &mut held)
            }
            Verdict::Fail(failure) => {
                self.bury(&failure);
                if let Some(sink) = self.sink.take() {
                    sink.relay(Err(failure));
                }
                self.roll_back(&keeping, &thread, &mut held)
            }
            Verdict::Panic(panic) => {
                let _ = contained(|| drop((held, thread)));
                return self.panicked(panic);
            }
        };
        match intact {
            true => {
                held.thread = Some(thread);
                TurnEnd::State(held)
            }
            // Loading says why, to those who wait for it.
            false => {
                let _ = contained(|| drop(held));
                TurnEnd::Panicked
            }
        }
    }

    /// Lets the answer go with the step, or with the newest one if this turn makes none.
    fn answer(&mut self, thread: &mut Thread, outcome: Outcome<M>, mut draft: Draft) {
        let plain_query = M::QUERY && !draft.origin.is_delivery();
        let encoded = match &draft.origin {
            Origin::Call => None,
            Origin::Keyed { .. } if plain_query => None,
            Origin::Keyed { .. } => Some(encode_outcome::<M>(&outcome)),
            Origin::Message { .. } | Origin::Reminder { .. } => Some(Ok(Vec::new())),
        };
        if matches!(draft.origin, Origin::Keyed { .. }) {
            draft.answer.clone_from(&encoded);
        }
        let refused = if self.one_way { outcome.as_ref().err().map(CallError::to_failure) } else { None };
        let mut answer: Gate = match self.sink.take() {
            Some(sink) => sink.hold(outcome, encoded),
            None => Box::new(|_| ()),
        };
        if self.one_way {
            answer = self.activation.told(M::METHOD, answer, refused);
        }
        let silent = matches!(draft.origin, Origin::Call) && draft.is_empty();
        if plain_query {
            let sends = std::mem::take(&mut draft.sends);
            if !sends.is_empty() {
                answer = self.with_sends(answer, sends);
            }
        }
        let draft = (!plain_query && !silent).then_some(draft);
        self.let_go(thread, answer, draft);
    }

    fn bury(&self, failure: &Failure) {
        if self.one_way {
            self.activation.bury(M::METHOD, None, failure);
        }
    }

    /// A query makes no step that could carry its messages, so they leave with its answer, at most once.
    fn with_sends(&self, answer: Gate, sends: Vec<Outgoing>) -> Gate {
        let host = Arc::clone(&self.activation.head.host);
        Box::new(move |open| {
            let deliver = open.is_ok();
            answer(open);
            if deliver {
                sends.into_iter().for_each(|message| submit(&host, message));
            }
        })
    }

    /// Gives the state back what it was before this turn. Returns whether that could be read.
    fn roll_back(&self, keeping: &Keeping<A>, thread: &Thread, held: &mut Held<A>) -> bool {
        match thread.restore(keeping) {
            Ok(state) => {
                let spoilt = std::mem::replace(&mut held.state, state);
                let _ = contained(|| drop(spoilt));
                true
            }
            Err(failure) => {
                tracing::warn!(actor = %self.activation.head.address, %failure, "the state is read anew");
                false
            }
        }
    }

    fn panicked(&mut self, message: String) -> TurnEnd<A> {
        let head = &self.activation.head;
        head.host.panicked(&head.address, &message);
        let failure = Failure::new(FailureCode::Panicked, message);
        self.bury(&failure);
        if let Some(sink) = self.sink.take() {
            sink.relay(Err(failure));
        }
        TurnEnd::Panicked
    }
}

impl<A: Handler<M>, M: Message, S: Sink<M>> Turn<A> for DurableTurn<A, M, S> {
    fn poll_turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<TurnEnd<A>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::New(new) if self.sink.is_none() => return Poll::Ready(TurnEnd::State(new.held)),
                Stage::New(new) if new.held.tie().is_full(cx.waker()) => {
                    self.stage = Stage::New(new);
                    return Poll::Pending;
                }
                Stage::New(new) => {
                    if let Err(held) = self.begin(*new) {
                        return Poll::Ready(TurnEnd::State(held));
                    }
                }
                Stage::Running(mut future, notes) => match future.poll_unpin(cx) {
                    Poll::Ready(ran) => return Poll::Ready(self.conclude(ran, &notes)),
                    Poll::Pending => {
                        self.stage = Stage::Running(future, notes);
                        return Poll::Pending;
                    }
                },
                Stage::Ended => unreachable!("a finished turn is not polled again"),
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.sink.as_ref().and(self.deadline)
    }

    fn expire(&mut self) {
        let Some(sink) = self.sink.take() else {
            return;
        };
        let failure = match &self.stage {
            Stage::New(_) => {
                let detail = "the deadline passed while the actor's earlier steps were being committed";
                Failure::new(FailureCode::NotDelivered, detail)
            }
            Stage::Running(..) | Stage::Ended => {
                Failure::new(FailureCode::Unknown, "the deadline passed while the handler was running")
            }
        };
        sink.relay(Err(failure));
    }
}

/// What a message that does not run is answered.
pub(crate) enum Passed {
    Now(Failure),
    Observed(Result<Vec<u8>, Failure>),
}

/// The answer to a message that is not to run.
pub(crate) fn pass(admission: &Admission) -> Option<Passed> {
    match admission {
        Admission::Run => None,
        Admission::Answered(result) => Some(Passed::Observed(result.clone())),
        Admission::Repeated => Some(Passed::Observed(Ok(Vec::new()))),
        Admission::Early => {
            let detail = "a message that was sent before it has not been read yet";
            Some(Passed::Now(Failure::new(FailureCode::Early, detail)))
        }
    }
}

/// Hands an answer to the history: with a step, or to wait for the newest one.
pub(crate) fn let_go<A: Actor>(
    activation: &Arc<Activation<A>>,
    thread: &mut Thread,
    answer: Gate,
    draft: Option<Draft>,
    deadline: Option<Instant>,
) {
    let (gate, waiting) = Waiting::gate(activation, &thread.tie, answer);
    match draft {
        Some(draft) => thread.history.commit(draft, gate),
        None => thread.history.observe(gate),
    }
    let host = &activation.head.host;
    let watch = host.directory().watch();
    if let Some(deadline) = deadline
        && waiting.until(deadline, watch)
    {
        watch.begin(host);
    }
}

pub(crate) fn keeping<A: Actor>() -> Keeping<A> {
    A::KEEPING.expect("only a durable actor has durable turns")
}

fn judge<A: Handler<M>, M: Message>(
    keeping: &Keeping<A>,
    thread: &mut Thread,
    state: &mut A,
    outcome: Result<M::Reply, M::Error>,
    origin: &Origin,
) -> Verdict<M> {
    let reply = match outcome {
        Ok(reply) => reply,
        Err(error) => return Verdict::Refuse(Err(CallError::Failed(error))),
    };
    if M::QUERY && !origin.is_delivery() {
        return Verdict::Keep(Ok(reply), Saved::default());
    }
    match thread.save(keeping, state) {
        Ok(saved) => Verdict::Keep(Ok(reply), saved),
        Err(SaveError::TooLarge(failure)) => Verdict::Refuse(Err(failure.into())),
        Err(SaveError::Store(failure)) => Verdict::Fail(failure),
        Err(SaveError::Code(reason)) => Verdict::Panic(format!("its state cannot be saved: {reason}")),
    }
}

fn submit(host: &Arc<dyn Host>, message: Outgoing) {
    let Outgoing { to, method, arguments, .. } = message;
    let header = Header {
        token: to.token(),
        address: to,
        method,
        deadline: host.clock().now() + host.default_deadline(),
        chain: Chain::EMPTY,
        one_way: true,
        origin: Origin::Call,
    };
    let payload = DynamicPayload::new(arguments, WireReply::None, Arc::clone(host));
    Arc::clone(host).submit(Submission { header, payload: Box::new(payload) });
}
