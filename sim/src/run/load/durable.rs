//! Calls of durable actors: few actors, so that clients get into each other's way, and keys that are used again.

mod draw;
mod perform;

use std::time::Duration;

use gritmesh_core::{Node, ShardStatus};
use gritmesh_runtime::{ActorAddress, Rng};

use self::perform::{Manner, perform};
use super::{Place, Planned};
use crate::history::{Action, Mood, Operation};

/// How many of the calls use an idempotency key that was used before.
const REPEATS: f64 = 0.2;

/// How many keyed operations are remembered to be asked for again.
const REPEATED_LAST: usize = 12;

/// The shard of an actor while nobody knows the shards.
const NO_SHARD: u32 = u32::MAX;

/// The durable actors of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum Kind {
    Vault,
    Register,
    Alarm,
    Fickle,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Vault, Self::Register, Self::Alarm, Self::Fickle];

    /// How many there are.
    const fn number(self) -> u64 {
        match self {
            Self::Vault => 8,
            Self::Register => 4,
            Self::Alarm | Self::Fickle => 3,
        }
    }

    const fn prefix(self) -> char {
        match self {
            Self::Vault => 'v',
            Self::Register => 'r',
            Self::Alarm => 'a',
            Self::Fickle => 'f',
        }
    }

    const fn type_name(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Register => "register",
            Self::Alarm => "alarm",
            Self::Fickle => "fickle",
        }
    }

    fn id(self, number: u64) -> String {
        format!("{}{number}", self.prefix())
    }

    /// The actor of an id.
    pub(in crate::run) fn address(self, id: &str) -> ActorAddress {
        format!("{}/{id}", self.type_name()).parse().expect("the load's names are names")
    }

    /// What it is asked in the end, to see whether it serves.
    const fn proof_of_life(self) -> Action {
        match self {
            Self::Vault => Action::Deposit { amount: 1 },
            Self::Register => Action::Write,
            Self::Alarm => Action::Cancel { reminder: u64::MAX },
            Self::Fickle => Action::Try { mood: Mood::Good },
        }
    }
}

/// Every durable actor of the load.
pub(in crate::run) fn members() -> impl Iterator<Item = (Kind, String)> {
    Kind::ALL.into_iter().flat_map(|kind| (0..kind.number()).map(move |number| (kind, kind.id(number))))
}

/// Makes one call: of something new, or once more under a key.
pub(super) fn call(place: &Place<'_>, timeout: Duration, rng: &mut Rng) {
    let repeated = rng.chance(REPEATS).then(|| recently_keyed(place, rng)).flatten();
    let number = repeated.unwrap_or_else(|| {
        let (kind, operation) = draw::operation(place, rng);
        register(place, kind, operation)
    });
    let operation = place.history.lock().operations[number as usize].clone();
    let manner = match rng.below(10) {
        0 if matches!(operation.action, Action::Deposit { .. }) => Manner::Send,
        1..=3 => Manner::Untyped,
        _ => Manner::Typed,
    };
    begin(place, number, operation, manner, timeout);
}

/// Asks an actor for something new, and gives the number of the call: what must be answered when nothing is wrong.
pub(in crate::run) fn answer_now(
    place: &Place<'_>,
    (kind, id): (Kind, &str),
    action: Option<Action>,
    timeout: Duration,
) -> u64 {
    let action = action.unwrap_or_else(|| kind.proof_of_life());
    let operation = Operation { actor: id.to_owned(), shard: NO_SHARD, action, keyed: false };
    let number = register(place, kind, operation.clone());
    begin(place, number, operation, Manner::Typed, timeout)
}

/// An operation whose key was used not long ago.
fn recently_keyed(place: &Place<'_>, rng: &mut Rng) -> Option<u64> {
    let history = place.history.lock();
    let numbered = history.operations.iter().enumerate().rev().filter(|(_, operation)| operation.keyed);
    let recent: Vec<u64> = numbered.take(REPEATED_LAST).map(|(number, _)| number as u64).collect();
    recent.get(rng.below(recent.len() as u64) as usize).copied()
}

/// Gives an operation its number.
fn register(place: &Place<'_>, kind: Kind, operation: Operation) -> u64 {
    let shard = shard_of(place.node, &kind.address(&operation.actor)).unwrap_or(NO_SHARD);
    let mut history = place.history.lock();
    history.operations.push(Operation { shard, ..operation });
    history.operations.len() as u64 - 1
}

/// Makes a call. Gives its number.
fn begin(place: &Place<'_>, number: u64, operation: Operation, manner: Manner, timeout: Duration) -> u64 {
    let key = if operation.keyed { "keyed, " } else { "" };
    let what = format!("{:?}, operation {number}, {key}{manner:?}", operation.action);
    let one_way = manner == Manner::Send;
    let call =
        place.begin(Planned { actor: &operation.actor, operation: Some(number), timeout, one_way, what });
    place.wait(call, perform(place.node, number, &operation, manner, timeout));
    call
}

/// The shard of an actor, as a node knows it.
fn shard_of(node: &Node, address: &ActorAddress) -> Option<u32> {
    let token = address.token().0;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let has = |shard: &ShardStatus| {
        hex(&shard.start).is_some_and(|start| start <= token)
            && hex(&shard.end).is_some_and(|end| token <= end)
    };
    node.shard_statuses().into_iter().find(has).map(|shard| shard.shard)
}
