//! The clients: calls of every kind, through every node, to a few actors.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::CallError;
use gritmesh_core::Node;
use gritmesh_runtime::{Clock, Environment, FailureCode, Instant, Rng};
use parking_lot::Mutex;

use crate::history::{Call, End, History};
use crate::probe::Probe;
use crate::world::{NodeIndex, Notes};

/// Actors that are called. Few enough that every one is called often.
pub(super) const ACTORS: u64 = 24;

/// Shortest and longest time that a client waits, in milliseconds.
const TIMEOUT_MS: (u64, u64) = (50, 4000);

/// What a client does.
#[derive(Debug)]
enum Kind {
    Run { millis: u64 },
    Relay { to: String },
    Circle { over: String },
    Send,
}

/// Makes one call of a random kind through a node, and writes down how it ends.
pub(super) fn call(
    history: &Arc<Mutex<History>>,
    node: (NodeIndex, &Arc<Node>),
    environment: &Environment,
    notes: Notes,
    rng: &mut Rng,
) {
    let (through, node) = node;
    let actor = actor_id(rng);
    let kind = match rng.below(20) {
        0..=11 => Kind::Run { millis: if rng.chance(0.2) { rng.below(40) } else { 0 } },
        12..=15 => Kind::Relay { to: actor_id(rng) },
        16 => Kind::Circle { over: actor_id(rng) },
        _ => Kind::Send,
    };
    let timeout = Duration::from_millis(TIMEOUT_MS.0 + rng.below(TIMEOUT_MS.1 - TIMEOUT_MS.0));
    let one_way = matches!(kind, Kind::Send);
    let at = notes.note(&format!("call {} of {actor}, {kind:?}, within {timeout:?}", next(history)));
    let number = begin(history, at, through, &actor, timeout, one_way);
    let client = Client {
        history: Arc::clone(history),
        notes,
        number,
        begun: environment.clock.now(),
        clock: Arc::clone(&environment.clock),
    };
    let target = node.actor::<Probe>(&actor);
    environment.spawn.spawn(Box::pin(async move {
        let outcome = match kind {
            Kind::Run { millis } => target.run(number, millis).deadline(timeout).await.map_err(|e| e.code()),
            Kind::Relay { to } => relayed(target.relay(number, to).deadline(timeout).await),
            Kind::Circle { over } => relayed(target.circle(number, over).deadline(timeout).await),
            Kind::Send => {
                let sent = target.run(number, 0).deadline(timeout).send().await;
                sent.map(|()| number).map_err(|e| e.code())
            }
        };
        client.end(outcome);
    }));
}

fn actor_id(rng: &mut Rng) -> String {
    format!("p{}", rng.below(ACTORS))
}

/// The number of the next call.
pub(super) fn next(history: &Mutex<History>) -> u64 {
    history.lock().calls.len() as u64
}

/// Writes a call down. Returns its number.
pub(super) fn begin(
    history: &Mutex<History>,
    at: Instant,
    through: NodeIndex,
    actor: &str,
    timeout: Duration,
    one_way: bool,
) -> u64 {
    let mut history = history.lock();
    let stopped_before = history.stopped[usize::from(through.0)];
    let actor = actor.to_owned();
    history.calls.push(Call {
        at,
        through,
        actor,
        timeout,
        one_way,
        abandoned: false,
        stopped_before,
        ends: Vec::new(),
    });
    history.calls.len() as u64 - 1
}

/// The inner call of a relay ends like a call of its own, except that its actor surely ran the outer one.
fn relayed(outcome: Result<u64, CallError<crate::probe::Relayed>>) -> Result<u64, FailureCode> {
    match outcome {
        Ok(number) => Ok(number),
        Err(CallError::Failed(inner)) => {
            let code = FailureCode::ALL.into_iter().find(|code| code.as_str() == inner.code);
            Err(code.unwrap_or(FailureCode::ActorError))
        }
        Err(error) => Err(error.code()),
    }
}

/// A client that waits. Dropped with its node, it has no outcome and wants none.
struct Client {
    history: Arc<Mutex<History>>,
    notes: Notes,
    number: u64,
    begun: Instant,
    clock: Arc<dyn Clock>,
}

impl Client {
    fn end(&self, outcome: Result<u64, FailureCode>) {
        let after = self.clock.now() - self.begun;
        let at = match outcome {
            Ok(answer) => self.notes.note(&format!("call {} ends with {answer}", self.number)),
            Err(code) => self.notes.note(&format!("call {} ends as {}", self.number, code.as_str())),
        };
        let mut history = self.history.lock();
        let call = &history.calls[self.number as usize];
        let stopped = history.stopped[usize::from(call.through.0)] - call.stopped_before;
        history.calls[self.number as usize].ends.push(End { at, after, stopped, outcome });
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut history = self.history.lock();
        let call = &mut history.calls[self.number as usize];
        call.abandoned |= call.ends.is_empty();
    }
}
