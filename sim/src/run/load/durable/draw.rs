//! What a client wants of a durable actor, by lot.

use gritmesh_actor::Late;
use gritmesh_runtime::Rng;

use super::{Kind, NO_SHARD};
use crate::history::{Action, History, Mood, Operation};
use crate::run::load::Place;

/// How many of the operations that may be repeated are given an idempotency key.
const KEYED: f64 = 0.4;

/// Greatest amount of money that is moved at once.
const AMOUNT_MAX: u64 = 100;

/// Longest time until a reminder rings, in milliseconds: all have rung when the run ends.
const REMIND_MS_MAX: u64 = 3_000;

/// Shortest and longest period of a recurring reminder, in milliseconds.
const EVERY_MS: (u64, u64) = (200, 2_000);

/// Draws an operation.
pub(super) fn operation(place: &Place<'_>, rng: &mut Rng) -> (Kind, Operation) {
    let kind = match rng.below(20) {
        0..=8 => Kind::Vault,
        9..=15 => Kind::Register,
        16..=17 => Kind::Alarm,
        _ => Kind::Fickle,
    };
    let number = rng.below(kind.number());
    let id = kind.id(number);
    let history = place.history.lock();
    let action = match kind {
        Kind::Vault => of_vault(number, rng),
        Kind::Register => of_register(&history, &id, rng),
        Kind::Alarm => of_alarm(&history, &id, rng),
        Kind::Fickle => {
            Action::Try { mood: [Mood::Good, Mood::Good, Mood::Bad, Mood::Furious][rng.below(4) as usize] }
        }
    };
    let keyed = rng.chance(KEYED) && !matches!(action, Action::Read | Action::Fetch);
    (kind, Operation { actor: id, shard: NO_SHARD, action, keyed })
}

fn of_vault(own: u64, rng: &mut Rng) -> Action {
    let amount = 1 + rng.below(AMOUNT_MAX);
    let any = rng.below(Kind::Vault.number());
    let other = (own + 1 + rng.below(Kind::Vault.number() - 1)) % Kind::Vault.number();
    match rng.below(20) {
        // More is put in than is taken out, so that most transfers find enough.
        0..=4 => Action::Deposit { amount: 5 * amount },
        5..=6 => Action::Withdraw { amount },
        7..=16 => Action::Transfer { to: Kind::Vault.id(any), amount },
        _ => Action::Pull { from: Kind::Vault.id(other), amount },
    }
}

fn of_register(history: &History, id: &str, rng: &mut Rng) -> Action {
    match rng.below(20) {
        0..=5 => Action::Read,
        6..=8 => Action::Fetch,
        9..=12 => Action::Write,
        13..=15 => Action::Swap,
        _ => Action::CompareAndSet { expected: last_known(history, id) },
    }
}

/// What a register held when it was last heard of.
fn last_known(history: &History, id: &str) -> u64 {
    let told = history.calls.iter().rev().filter(|call| call.actor == id).find_map(|call| {
        let (number, end) = (call.operation?, call.ends.first().filter(|end| end.outcome.is_ok())?);
        let operation = &history.operations[number as usize];
        match operation.leaves_a_trace(end.value) {
            true => Some(Operation::written(number)),
            false => Some(end.value),
        }
    });
    told.unwrap_or(0)
}

fn of_alarm(history: &History, id: &str, rng: &mut Rng) -> Action {
    let after_ms = rng.below(REMIND_MS_MAX);
    let every_ms = EVERY_MS.0 + rng.below(EVERY_MS.1 - EVERY_MS.0);
    // After a jump of an hour, an hour's reminders would have to be caught up with.
    let late = [Late::Skip, Late::Once, if history.clocks_jump { Late::Once } else { Late::CatchUp }];
    let late = late[rng.below(3) as usize];
    let is_reminder =
        |operation: &Operation| operation.actor == id && matches!(operation.action, Action::Remind { .. });
    let numbered = history.operations.iter().enumerate();
    let set: Vec<u64> = numbered.filter(|(_, it)| is_reminder(it)).map(|(number, _)| number as u64).collect();
    match rng.below(10) {
        0..=5 => Action::Remind { after_ms, every_ms: None, late },
        6..=7 => Action::Remind { after_ms, every_ms: Some(every_ms), late },
        _ => match set.get(rng.below(set.len() as u64) as usize) {
            Some(reminder) => Action::Cancel { reminder: *reminder },
            None => Action::Remind { after_ms, every_ms: None, late },
        },
    }
}
