//! A message that does not run and is read all the same. One that cannot be read keeps its place in the order, and
//! becomes a letter of its receiver; a reminder that comes too late moves on.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use gritmesh_runtime::{Failure, Instant};

use crate::activation::{Activation, Entered, Held, TurnEnd};
use crate::actor::Actor;
use crate::durable::turn::{Passed, let_go, pass};
use crate::durable::{Draft, Gate};
use crate::ending::overloaded;
use crate::mailbox::{Background, Job, TURNS_AT_ONCE_MAX, Turn};
use crate::submission::{DynamicPayload, Header, Payload, Submission};
use crate::turn::WireTurn;

/// A message of a durable actor or a reminder, of an unknown method or with arguments that do not fit, or a reminder
/// that is skipped.
pub(crate) struct Letter {
    header: Header,
    payload: Box<DynamicPayload>,
    /// Why it cannot be read.
    why: Option<Failure>,
}

impl Letter {
    /// Brings it into the activation, to be written down when its turn comes.
    pub(crate) fn enter<A: Actor>(activation: &Arc<Activation<A>>, call: WireTurn<'_>, why: Option<Failure>) {
        let header = Header {
            address: activation.head.address.clone(),
            token: activation.head.token,
            method: Cow::Owned(call.method.to_owned()),
            deadline: call.deadline,
            chain: call.chain,
            one_way: call.one_way,
            origin: call.origin,
        };
        let host = &activation.head.host;
        let payload = DynamicPayload::new(call.arguments.to_vec(), call.reply, Arc::clone(host));
        let mut letter = Some(Box::new(Self { header, payload: Box::new(payload), why }));
        let mut take = || letter.take().expect("the letter is taken once");
        match activation.enter(|| take()) {
            Entered::Queued => {}
            Entered::Took(held) => {
                let turn = Job::start(take(), held, activation);
                let mut cx = TaskContext::from_waker(Waker::noop());
                Background::with(activation, turn).run_here(TURNS_AT_ONCE_MAX, &mut cx);
            }
            Entered::Full => Job::<A>::refuse(take(), overloaded(activation)),
            Entered::Closed => Arc::clone(host).submit(Job::<A>::into_submission(take())),
        }
    }
}

impl<A: Actor> Job<A> for Letter {
    fn header(&self) -> &Header {
        &self.header
    }

    fn start(self: Box<Self>, held: Box<Held<A>>, activation: &Arc<Activation<A>>) -> Box<dyn Turn<A>> {
        Box::new(LetterTurn { activation: Arc::clone(activation), work: Some((self, held)) })
    }

    fn arguments(&self) -> Option<Vec<u8>> {
        self.payload.encode().ok()
    }

    fn refuse(self: Box<Self>, failure: Failure) {
        self.payload.answer(Err(failure));
    }

    fn into_submission(self: Box<Self>) -> Submission {
        Submission { header: self.header, payload: self.payload }
    }
}

struct LetterTurn<A: Actor> {
    activation: Arc<Activation<A>>,
    work: Option<(Box<Letter>, Box<Held<A>>)>,
}

impl<A: Actor> Turn<A> for LetterTurn<A> {
    fn poll_turn(&mut self, cx: &mut TaskContext<'_>) -> Poll<TurnEnd<A>> {
        let (letter, mut held) = self.work.take().expect("a finished turn is not polled again");
        let thread = held.thread.as_mut().expect("a durable actor at rest has its thread");
        if thread.tie.is_full(cx.waker()) {
            self.work = Some((letter, held));
            return Poll::Pending;
        }
        let Letter { header, payload, why } = *letter;
        let deadline = (!header.one_way).then_some(header.deadline);
        match pass(&thread.history.admit(&header.origin)) {
            None => {
                let draft = Draft { letter: why, ..Draft::new(header.method, header.origin) };
                let answer: Gate = Box::new(move |open| payload.answer(open.map(|()| Vec::new())));
                let_go(&self.activation, thread, answer, Some(draft), deadline);
            }
            Some(Passed::Now(failure)) => payload.answer(Err(failure)),
            Some(Passed::Observed(result)) => {
                let answer: Gate = Box::new(move |open| payload.answer(open.and(result)));
                let_go(&self.activation, thread, answer, None, deadline);
            }
        }
        Poll::Ready(TurnEnd::State(held))
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn expire(&mut self) {}
}
