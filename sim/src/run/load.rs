//! The clients: calls of every kind, through every node, to a few actors.

mod durable;
mod volatile;

use std::sync::Arc;
use std::time::Duration;

use gritmesh_core::Node;
use gritmesh_runtime::{BoxFuture, Clock, Environment, FailureCode, Instant, Rng};
use parking_lot::Mutex;

pub(super) use durable::{Kind, answer_now, members};
pub(super) use volatile::{PROBES, probe_now};

use crate::history::{Call, End, History};
use crate::world::{NodeIndex, Notes};

/// Shortest and longest time that a client waits, in milliseconds.
const TIMEOUT_MS: (u64, u64) = (50, 4000);

/// How many of the calls go to durable actors.
const DURABLE_SHARE: f64 = 0.6;

/// Where a client stands: at a node, with its clock.
pub(super) struct Place<'a> {
    pub(super) history: &'a Arc<Mutex<History>>,
    pub(super) through: NodeIndex,
    pub(super) node: &'a Arc<Node>,
    pub(super) environment: &'a Environment,
    pub(super) notes: &'a Notes,
}

/// A call that is about to be made.
pub(super) struct Planned<'a> {
    pub(super) actor: &'a str,
    pub(super) operation: Option<u64>,
    pub(super) timeout: Duration,
    pub(super) one_way: bool,
    /// What it is, in the trace.
    pub(super) what: String,
}

/// How a call ends: with a number and a value, or as a failure.
pub(super) type Ended = Result<(u64, u64), FailureCode>;

/// Makes one call of a random kind, and writes down how it ends.
pub(super) fn call(place: &Place<'_>, rng: &mut Rng) {
    let timeout = Duration::from_millis(TIMEOUT_MS.0 + rng.below(TIMEOUT_MS.1 - TIMEOUT_MS.0));
    match rng.chance(DURABLE_SHARE) {
        true => durable::call(place, timeout, rng),
        false => volatile::call(place, timeout, rng),
    }
}

impl Place<'_> {
    /// Writes a call down, in the trace and in the history. Returns its number.
    pub(super) fn begin(&self, planned: Planned<'_>) -> u64 {
        let Planned { actor, operation, timeout, one_way, what } = planned;
        let number = next(self.history);
        let at = self.notes.note(&format!("call {number} of {actor}, {what}, within {timeout:?}"));
        let mut history = self.history.lock();
        let stopped_before = history.stopped[usize::from(self.through.0)];
        history.calls.push(Call {
            at,
            through: self.through,
            actor: actor.to_owned(),
            operation,
            timeout,
            one_way,
            abandoned: false,
            stopped_before,
            ends: Vec::new(),
        });
        number
    }

    /// Waits for the end of a call that was begun, in a task of the node.
    pub(super) fn wait(&self, number: u64, call: BoxFuture<Ended>) {
        let waiting = Waiting {
            history: Arc::clone(self.history),
            notes: self.notes.clone(),
            number,
            begun: self.environment.clock.now(),
            clock: Arc::clone(&self.environment.clock),
        };
        self.environment.spawn.spawn(Box::pin(async move { waiting.end(call.await) }));
    }
}

/// The number of the next call.
pub(super) fn next(history: &Mutex<History>) -> u64 {
    history.lock().calls.len() as u64
}

/// A client that waits. Dropped with its node, it has no outcome and wants none.
struct Waiting {
    history: Arc<Mutex<History>>,
    notes: Notes,
    number: u64,
    begun: Instant,
    clock: Arc<dyn Clock>,
}

impl Waiting {
    fn end(&self, ended: Ended) {
        let after = self.clock.now() - self.begun;
        let at = match ended {
            Ok(answer) => self.notes.note(&format!("call {} ends with {answer:?}", self.number)),
            Err(code) => self.notes.note(&format!("call {} ends as {}", self.number, code.as_str())),
        };
        let mut history = self.history.lock();
        let call = &history.calls[self.number as usize];
        let stopped = history.stopped[usize::from(call.through.0)] - call.stopped_before;
        let (outcome, value) = (ended.map(|(number, _)| number), ended.map_or(0, |(_, value)| value));
        history.calls[self.number as usize].ends.push(End { at, after, stopped, outcome, value });
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut history = self.history.lock();
        let call = &mut history.calls[self.number as usize];
        call.abandoned |= call.ends.is_empty();
    }
}
