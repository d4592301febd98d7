//! The actors that the load calls. They write down what they do: volatile ones in the history, durable ones in their
//! own state, which is what the checkers are after.

mod alarm;
mod fickle;
mod probe;
mod register;
mod vault;
mod witness;

use std::collections::BTreeMap;
use std::sync::Arc;

use gritmesh_actor::{ActivationError, CallError, Context, Registry, ReminderError, StateError};
use parking_lot::Mutex;

pub(crate) use alarm::{Alarm, AlarmStatement};
pub(crate) use fickle::Fickle;
pub(crate) use probe::{Probe, Relayed};
pub(crate) use register::Register;
pub(crate) use vault::{Entry, Statement, Vault};
pub(crate) use witness::Witness;

use crate::history::History;
use crate::world::{NodeIndex, Notes};

/// Where the actors of one node write down what they did.
#[derive(Debug)]
pub(crate) struct Observer {
    history: Arc<Mutex<History>>,
    node: NodeIndex,
    notes: Notes,
}

/// The types of a node, with the way to the history and to the trace.
pub(crate) fn registry(history: &Arc<Mutex<History>>, node: NodeIndex, notes: Notes) -> Registry {
    const DISTINCT: &str = "one type has one name";
    let mut registry = Registry::new();
    registry.register::<Probe>().expect(DISTINCT);
    registry.register::<Witness>().expect(DISTINCT);
    registry.register::<Vault>().expect(DISTINCT);
    registry.register::<Register>().expect(DISTINCT);
    registry.register::<Alarm>().expect(DISTINCT);
    registry.register::<Fickle>().expect(DISTINCT);
    registry.provide(Arc::new(Observer { history: Arc::clone(history), node, notes }));
    registry
}

/// What a durable actor answers: the number of the operation, and a value.
pub(crate) type Answer = (u64, u64);

/// How often which operation ran.
pub(crate) type Ran = BTreeMap<u64, u32>;

/// Why a durable actor of the load refuses.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    /// As asked for.
    #[error("in a bad mood")]
    Mood,
    #[error("{balance} is not enough")]
    Short { balance: u64 },
    #[error("{code}: {detail}")]
    Call { code: String, detail: String },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Reminder(#[from] ReminderError),
}

impl<E: std::fmt::Display> From<CallError<E>> for Refusal {
    fn from(error: CallError<E>) -> Self {
        Self::Call { code: error.code().as_str().into(), detail: error.to_string() }
    }
}

impl Observer {
    /// Whether this has never happened before, on any node.
    fn is_first(&self, number: u64) -> bool {
        self.history.lock().seen_before.insert(number)
    }
}

/// The observer of the node that an actor is on.
fn observer(ctx: &Context<'_>) -> Result<Arc<Observer>, ActivationError> {
    ctx.resource::<Observer>().ok_or_else(|| ActivationError::new("nobody observes this node"))
}

/// Adds one.
fn count(ran: &mut Ran, number: u64) {
    *ran.entry(number).or_default() += 1;
}

/// Panics without the words that a panic prints by itself: here it is part of the load, and happens often.
fn panic_quietly(words: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(words))
}
