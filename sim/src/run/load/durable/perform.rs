//! Asking a durable actor for an operation.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{Call, CallError, Durable, Handler, Message, codec};
use gritmesh_core::{DynamicCall, Node};
use gritmesh_runtime::{BoxFuture, FailureCode};

use super::Kind;
use crate::history::{Action, Operation, Ring};
use crate::run::load::Ended;
use crate::workload::{Alarm, Answer, Fickle, Register, Vault};

/// Longest time that a slow handler takes, in milliseconds.
const MILLIS_MAX: u64 = 40;

/// Every so many operations on an actor that has slow handlers are slow.
const SLOW_EVERY: u64 = 6;

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Through a reference of the actor's type.
    Typed,
    /// As from outside, in bytes; where that is not written, as [`Self::Typed`].
    Untyped,
    /// Without waiting for an answer.
    Send,
}

/// How long to wait, and under which key.
struct Terms {
    timeout: Duration,
    key: Option<String>,
}

/// Asks for an operation.
pub(super) fn perform(
    node: &Arc<Node>,
    number: u64,
    operation: &Operation,
    manner: Manner,
    timeout: Duration,
) -> BoxFuture<Ended> {
    let key = operation.keyed.then(|| format!("operation {number}"));
    let terms = Terms { timeout, key };
    if let (Manner::Untyped, Some((kind, method, arguments))) = (manner, untyped(number, &operation.action)) {
        let Terms { timeout, key } = terms;
        let (address, timeout) = (kind.address(&operation.actor), Some(timeout));
        return outside(
            Arc::clone(node),
            DynamicCall { address, method: method.into(), arguments, timeout, key },
        );
    }
    let id = operation.actor.clone();
    match operation.action.clone() {
        Action::Deposit { .. } | Action::Withdraw { .. } | Action::Transfer { .. } | Action::Pull { .. } => {
            of_vault(node, &id, number, operation.action.clone(), manner, terms)
        }
        Action::Read | Action::Fetch | Action::Write | Action::Swap | Action::CompareAndSet { .. } => {
            of_register(node, &id, number, operation.action.clone(), terms)
        }
        Action::Remind { after_ms, every_ms, late } => {
            let (alarm, ring) = (node.actor::<Alarm>(&id), Ring::new(after_ms, every_ms, late));
            Box::pin(async move { terms.ask(alarm.set(number, ring)).await })
        }
        Action::Cancel { reminder } => {
            let alarm = node.actor::<Alarm>(&id);
            Box::pin(async move { terms.ask(alarm.cancel(number, reminder)).await })
        }
        Action::Try { mood } => {
            let fickle = node.actor::<Fickle>(&id);
            Box::pin(async move { terms.ask(fickle.attempt(number, mood, slow(number))).await })
        }
    }
}

fn of_vault(
    node: &Arc<Node>,
    id: &str,
    number: u64,
    action: Action,
    manner: Manner,
    terms: Terms,
) -> BoxFuture<Ended> {
    let vault = node.actor::<Vault>(id);
    Box::pin(async move {
        match action {
            Action::Deposit { amount } if manner == Manner::Send => {
                let sent = terms.of(vault.deposit(number, amount)).send().await;
                sent.map(|()| (number, 0)).map_err(|error| error.code())
            }
            Action::Deposit { amount } => terms.ask(vault.deposit(number, amount)).await,
            Action::Withdraw { amount } => terms.ask(vault.withdraw(number, amount)).await,
            Action::Transfer { to, amount } => terms.ask(vault.transfer(number, to, amount)).await,
            Action::Pull { from, amount } => terms.ask(vault.pull(number, from, amount)).await,
            _ => unreachable!("this is no operation of a vault"),
        }
    })
}

fn of_register(node: &Arc<Node>, id: &str, number: u64, action: Action, terms: Terms) -> BoxFuture<Ended> {
    let register = node.actor::<Register>(id);
    Box::pin(async move {
        match action {
            Action::Read => terms.ask(register.read(number)).await,
            Action::Fetch => terms.ask(register.fetch(number)).await,
            Action::Write => terms.ask(register.write(number, slow(number))).await,
            Action::Swap => terms.ask(register.swap(number)).await,
            Action::CompareAndSet { expected } => terms.ask(register.compare_and_set(number, expected)).await,
            _ => unreachable!("this is no operation of a register"),
        }
    })
}

/// An operation in bytes, as it comes from outside.
fn untyped(number: u64, action: &Action) -> Option<(Kind, &'static str, Vec<u8>)> {
    let (kind, method, arguments) = match action {
        Action::Deposit { amount } => (Kind::Vault, "deposit", codec::encode(&(number, amount))),
        Action::Transfer { to, amount } => (Kind::Vault, "transfer", codec::encode(&(number, to, amount))),
        Action::Swap => (Kind::Register, "swap", codec::encode(&(number,))),
        Action::CompareAndSet { expected } => {
            (Kind::Register, "compare_and_set", codec::encode(&(number, expected)))
        }
        _ => return None,
    };
    Some((kind, method, arguments.expect("numbers and texts can be encoded")))
}

fn outside(node: Arc<Node>, call: DynamicCall) -> BoxFuture<Ended> {
    Box::pin(async move {
        let answer = node.call_dynamic(call).await.map_err(|failure| failure.code)?;
        codec::decode::<Answer>(&answer).map_err(|_| FailureCode::BadAnswer)
    })
}

impl Terms {
    fn of<'a, A: Handler<M> + Durable, M: Message>(&self, call: Call<'a, A, M>) -> Call<'a, A, M> {
        let call = call.deadline(self.timeout);
        match &self.key {
            Some(key) => call.key(key),
            None => call,
        }
    }

    async fn ask<A: Handler<M> + Durable, M: Message<Reply = Answer>>(&self, call: Call<'_, A, M>) -> Ended {
        self.of(call).await.map_err(|error: CallError<M::Error>| error.code())
    }
}

/// How long the handler takes, in milliseconds.
const fn slow(number: u64) -> u64 {
    if number.is_multiple_of(SLOW_EVERY) { number * 7 % MILLIS_MAX } else { 0 }
}
