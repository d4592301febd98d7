//! One message of a known type, from its arrival to its answer.

use std::any::Any;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use futures::FutureExt;
use gritmesh_runtime::{BoxFuture, Failure, FailureCode, Instant};

use crate::activation::{Activation, Entered, Held, TurnEnd};
use crate::actor::{Actor, Handler, Message};
use crate::any_activation::AnyActivation;
use crate::call_error::CallError;
use crate::chain::Chain;
use crate::durable::Origin;
use crate::durable::letter::Letter;
use crate::durable::turn::DurableTurn;
use crate::ending::overloaded;
use crate::mailbox::{Background, Job, TURNS_AT_ONCE_MAX, Turn};
use crate::sink::{Sink, WireSink};
use crate::submission::{Header, Payload, Submission, WireReply};

/// What a handler answered, or why it did not.
pub(crate) type Outcome<M> = Result<<M as Message>::Reply, CallError<<M as Message>::Error>>;

/// A call that came as bytes, on its way into an activation.
#[derive(Debug)]
pub struct WireTurn<'a> {
    /// Which method.
    pub method: &'a str,
    /// Its arguments.
    pub arguments: &'a [u8],
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// Who waits for it.
    pub chain: Chain,
    /// Whether nobody waits for an answer.
    pub one_way: bool,
    /// Why it is made.
    pub origin: Origin,
    /// Where the answer goes.
    pub reply: WireReply,
}

/// Runs a message to its end.
pub(crate) async fn run<A: Handler<M>, M: Message>(
    activation: Arc<Activation<A>>,
    mut held: Box<Held<A>>,
    message: M,
    chain: Chain,
    deadline: Option<Instant>,
) -> (TurnEnd<A>, Outcome<M>) {
    let handling = async {
        let mut ctx = activation.context(&chain, deadline, None);
        held.state.handle(message, &mut ctx).await
    };
    match AssertUnwindSafe(handling).catch_unwind().await {
        Ok(outcome) => (TurnEnd::State(held), outcome.map_err(CallError::Failed)),
        Err(panic) => {
            let message = panic_message(panic.as_ref());
            activation.head.host.panicked(&activation.head.address, &message);
            // The state may be half changed, and dropping it may panic once more.
            let _ = contained(|| drop(held));
            (TurnEnd::Panicked, Err(CallError::Panicked { detail: message }))
        }
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Runs code of the application where a panic would hit a stranger. The error is the panic's message.
pub(crate) fn contained<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(code)).map_err(|panic| panic_message(panic.as_ref()))
}

/// A message of a known type that waits, or is on its way to another node.
pub(crate) struct TypedJob<A, M, S> {
    pub(crate) header: Header,
    pub(crate) message: M,
    pub(crate) sink: S,
    pub(crate) actor: std::marker::PhantomData<fn(A)>,
}

impl<A: Handler<M>, M: Message, S: Sink<M>> TypedJob<A, M, S> {
    pub(crate) fn new(header: Header, message: M, sink: S) -> Self {
        Self { header, message, sink, actor: std::marker::PhantomData }
    }

    pub(crate) fn into_submission(self: Box<Self>) -> Submission {
        Submission { header: self.header.clone(), payload: self }
    }

    fn begin(self, held: Box<Held<A>>, activation: &Arc<Activation<A>>) -> Box<dyn Turn<A>> {
        if A::DURABLE {
            return Box::new(DurableTurn::new(activation, held, self.message, self.header, self.sink));
        }
        let Header { chain, deadline, one_way, .. } = self.header;
        let caller_waits = (!one_way).then_some(deadline);
        let running = run(Arc::clone(activation), held, self.message, chain, caller_waits);
        if !one_way {
            return Box::new(SinkTurn::new(Box::pin(running), self.sink, caller_waits));
        }
        let activation = Arc::clone(activation);
        let future = running.map(move |(end, outcome)| {
            if let Err(error) = &outcome {
                activation.bury(M::METHOD, None, &error.to_failure());
            }
            (end, outcome)
        });
        Box::new(SinkTurn::new(Box::pin(future), self.sink, None))
    }

    /// Runs the message, or queues it, or sends it back to the host.
    fn enter(self, activation: &Arc<Activation<A>>) {
        let inline = self.header.runs_inline();
        // For a handler that called it, one turn: its own.
        let turns = if self.header.chain.is_empty() { TURNS_AT_ONCE_MAX } else { 1 };
        let mut job = Some(self);
        let mut take = || job.take().expect("the job is taken once");
        match activation.enter(|| Box::new(take())) {
            Entered::Queued => {}
            Entered::Took(state) => {
                let turn = take().begin(state, activation);
                let background = Background::with(activation, turn);
                match inline {
                    true => background.run_here(turns, &mut TaskContext::from_waker(Waker::noop())),
                    false => background.run_in_background(),
                }
            }
            Entered::Full => activation.end(Box::new(take()), overloaded(activation)),
            Entered::Closed => {
                let host = Arc::clone(&activation.head.host);
                host.submit(Box::new(take()).into_submission());
            }
        }
    }
}

impl<A: Handler<M>, M: Message, S: Sink<M>> Job<A> for TypedJob<A, M, S> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn start(self: Box<Self>, held: Box<Held<A>>, activation: &Arc<Activation<A>>) -> Box<dyn Turn<A>> {
        self.begin(held, activation)
    }

    fn arguments(&self) -> Option<Vec<u8>> {
        Payload::encode(self).ok()
    }

    fn refuse(self: Box<Self>, failure: Failure) {
        self.sink.relay(Err(failure));
    }

    fn into_submission(self: Box<Self>) -> Submission {
        Self::into_submission(self)
    }
}

impl<A: Handler<M>, M: Message, S: Sink<M>> Payload for TypedJob<A, M, S> {
    fn encode(&self) -> Result<Vec<u8>, Failure> {
        let unfit = |reason: &dyn std::fmt::Display| {
            Failure::new(FailureCode::BadArguments, format!("the arguments cannot be encoded: {reason}"))
        };
        let encoded = contained(|| self.message.encode()).map_err(|panic| unfit(&panic))?;
        encoded.map_err(|error| unfit(&error))
    }

    fn deliver(mut self: Box<Self>, header: Header, activation: Arc<dyn AnyActivation>) {
        self.header = header;
        match activation.as_any().downcast::<Activation<A>>() {
            Ok(activation) => self.enter(&activation),
            Err(_) => {
                let detail = format!("another type is registered as `{}` on this node", A::TYPE);
                self.sink.relay(Err(Failure::new(FailureCode::UnknownType, detail)));
            }
        }
    }

    fn answer(self: Box<Self>, result: Result<Vec<u8>, Failure>) {
        self.sink.relay(result);
    }
}

/// A message while it runs, with the way back to its caller.
pub(crate) struct SinkTurn<A, M: Message, S> {
    future: BoxFuture<(TurnEnd<A>, Outcome<M>)>,
    sink: Option<S>,
    deadline: Option<Instant>,
}

impl<A, M: Message, S: Sink<M>> SinkTurn<A, M, S> {
    pub(crate) fn new(
        future: BoxFuture<(TurnEnd<A>, Outcome<M>)>,
        sink: S,
        deadline: Option<Instant>,
    ) -> Self {
        Self { future, sink: Some(sink), deadline }
    }
}

impl<A: Actor, M: Message, S: Sink<M>> Turn<A> for SinkTurn<A, M, S> {
    fn poll_turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<TurnEnd<A>> {
        self.future.poll_unpin(cx).map(|(end, outcome)| {
            if let Some(sink) = self.sink.take() {
                sink.finish(outcome);
            }
            end
        })
    }

    fn deadline(&self) -> Option<Instant> {
        self.sink.as_ref().and(self.deadline)
    }

    fn expire(&mut self) {
        if let Some(sink) = self.sink.take() {
            let detail = "the deadline passed while the handler was running";
            sink.relay(Err(Failure::new(FailureCode::Unknown, detail)));
        }
    }
}

/// Whether arguments that came as bytes fit.
pub(crate) fn check_wire<A: Handler<M>, M: Message>(arguments: &[u8]) -> Result<(), Failure> {
    read_arguments::<A, M>(arguments).map(drop)
}

fn read_arguments<A: Handler<M>, M: Message>(arguments: &[u8]) -> Result<M, Failure> {
    let decoded = contained(|| M::decode(arguments).map_err(|error| error.to_string()));
    decoded.and_then(|message| message).map_err(|reason| {
        let detail = format!("the arguments of `{}::{}` do not fit: {reason}", A::TYPE, M::METHOD);
        Failure::new(FailureCode::BadArguments, detail)
    })
}

/// Decodes a call that came as bytes and brings it into the activation.
pub(crate) fn enter_wire<A: Handler<M>, M: Message>(activation: &Arc<Activation<A>>, call: WireTurn<'_>) {
    let message = match read_arguments::<A, M>(call.arguments) {
        Ok(message) => message,
        Err(failure) => return refuse_wire(activation, call, failure),
    };
    let sink = WireSink::new(Arc::clone(&activation.head.host), call.reply);
    let header = Header {
        address: activation.head.address.clone(),
        token: activation.head.token,
        method: Cow::Borrowed(M::METHOD),
        deadline: call.deadline,
        chain: call.chain,
        one_way: call.one_way,
        origin: call.origin,
    };
    TypedJob::<A, M, _>::new(header, message, sink).enter(activation);
}

/// Ends a call that cannot be read. A message that is to be read once and in order has its turn all the same.
pub(crate) fn refuse_wire<A: Actor>(activation: &Arc<Activation<A>>, call: WireTurn<'_>, why: Failure) {
    match A::DURABLE && call.origin.is_delivery() {
        true => Letter::enter(activation, call, Some(why)),
        false => {
            if call.one_way {
                activation.bury(call.method, Some(call.arguments), &why);
            }
            activation.head.host.answer(call.reply, Err(why));
        }
    }
}
