//! Registers are linearizable: some order of all operations, in which each falls between its first call and its first
//! answer, explains every answer.
//!
//! An operation whose outcome is unknown may take effect at any later time or never; one that surely did not run
//! has no place in the order. The search is that of Wing and Gong with Lowe's memory of what was tried. Every write
//! writes a value of its own and every answer tells a value, so an unknown write whose value nobody saw can be left
//! out without losing an order.

use std::collections::{BTreeMap, BTreeSet};

use gritmesh_runtime::Instant;

use super::Found;
use crate::history::{Action, Fate, History, Operation};

const CODE: &str = "linearizable";

/// States that are tried for one register before the search is given up, which is a finding too: a few hundred
/// operations of which few overlap need a few thousand.
const STATES_MAX: usize = 500_000;

/// What a register holds at first.
const INITIAL: u64 = 0;

/// An operation on a register, with its place in time.
struct Event {
    number: u64,
    from: Instant,
    /// When it was answered, if it was; without that it may be left out.
    by: Option<Instant>,
    effect: Effect,
    /// What the answer told, if that counts.
    told: Option<u64>,
}

enum Effect {
    Reads,
    Writes(u64),
    WritesIf { expected: u64, value: u64 },
}

pub(crate) fn check(history: &History, found: Found<'_>) {
    let mut registers: BTreeMap<&str, Vec<Event>> = BTreeMap::new();
    for (number, operation, fate) in history.judged() {
        if let Some(event) = event(number, operation, fate) {
            registers.entry(&operation.actor).or_default().push(event);
        }
    }
    for (register, events) in registers {
        if let Err((at, detail)) = explain(events) {
            found(CODE, at, format!("{register}: {detail}"));
        }
    }
}

/// The event that an operation is, if it is one of a register and can matter.
fn event(number: u64, operation: &Operation, fate: Fate) -> Option<Event> {
    let value = Operation::written(number);
    let (effect, tells) = match operation.action {
        Action::Read | Action::Fetch => (Effect::Reads, true),
        Action::Write => (Effect::Writes(value), false),
        Action::Swap => (Effect::Writes(value), true),
        Action::CompareAndSet { expected } => (Effect::WritesIf { expected, value }, true),
        _ => return None,
    };
    match fate {
        Fate::Done { from, by, value } => {
            Some(Event { number, from, by: Some(by), effect, told: tells.then_some(value) })
        }
        Fate::Perhaps { .. } if matches!(effect, Effect::Reads) => None,
        Fate::Perhaps { from } => Some(Event { number, from, by: None, effect, told: None }),
        Fate::Refused | Fate::Never => None,
    }
}

impl Event {
    /// What the register holds after it, if it can follow there on `held`.
    fn follow(&self, held: u64) -> Option<u64> {
        if self.told.is_some_and(|told| told != held) {
            return None;
        }
        match self.effect {
            Effect::Reads => Some(held),
            Effect::Writes(value) => Some(value),
            Effect::WritesIf { expected, value } => Some(if held == expected { value } else { held }),
        }
    }

    const fn written(&self) -> Option<u64> {
        match self.effect {
            Effect::Reads => None,
            Effect::Writes(value) | Effect::WritesIf { value, .. } => Some(value),
        }
    }
}

/// A point of the search: what has taken place, and what the register holds.
type State = (Vec<u64>, u64);

/// Looks for an order. What cannot be explained is told with the instant at which it was answered.
fn explain(mut events: Vec<Event>) -> Result<(), (Instant, String)> {
    let seen: BTreeSet<u64> = events.iter().filter_map(|event| event.told).collect();
    let expected = |value: u64| seen.contains(&value);
    events.retain(|event| event.by.is_some() || event.written().is_some_and(expected));
    events.sort_by_key(|event| (event.from, event.number));
    let mut tried: BTreeSet<State> = BTreeSet::new();
    let mut open: Vec<State> = vec![(vec![0; events.len().div_ceil(64)], INITIAL)];
    let mut furthest: (usize, Vec<u64>, u64) = (0, Vec::new(), INITIAL);
    while let Some((taken, held)) = open.pop() {
        let has = |at: usize| taken[at / 64] >> (at % 64) & 1 == 1;
        let waiting = || events.iter().enumerate().filter(|(at, _)| !has(*at));
        // Whatever comes next must have begun before anything that still waits was answered.
        let Some(limit) = waiting().filter_map(|(_, event)| event.by).min() else { return Ok(()) };
        let count = taken.iter().map(|word| word.count_ones() as usize).sum();
        if count >= furthest.0 {
            furthest = (count, taken.clone(), held);
        }
        for (at, event) in waiting().take_while(|(_, event)| event.from <= limit) {
            let Some(after) = event.follow(held) else { continue };
            let mut then = taken.clone();
            then[at / 64] |= 1 << (at % 64);
            let state = (then, after);
            if tried.insert(state.clone()) {
                open.push(state);
            }
        }
        if tried.len() > STATES_MAX {
            let at = events.last().map_or(Instant::ZERO, |event| event.from);
            return Err((
                at,
                format!("no order was found in {STATES_MAX} states; nobody knows whether there is one"),
            ));
        }
    }
    Err(blame(&events, &furthest.1, furthest.2))
}

/// Says what could not be explained: the first answer that is missing in the longest order that was found.
fn blame(events: &[Event], taken: &[u64], held: u64) -> (Instant, String) {
    let waits = |at: &usize| taken.get(at / 64).is_none_or(|word| word >> (at % 64) & 1 == 0);
    let missing = (0..events.len()).filter(waits).filter(|at| events[*at].by.is_some());
    let first = missing.min_by_key(|at| events[*at].by).expect("an answer is missing, or there was an order");
    let event = &events[first];
    let told = event.told.map_or_else(String::new, |told| format!(", which told {told},"));
    let by = event.by.expect("it was answered");
    let number = event.number;
    let detail = format!(
        "no order explains operation {number}{told} asked for at {} and answered at {by}; at best the register \
         then holds {held}, after {} operations",
        event.from,
        taken.iter().map(|word| word.count_ones()).sum::<u32>()
    );
    (by, detail)
}

#[cfg(test)]
mod tests {
    use gritmesh_runtime::FailureCode;

    use super::super::testing::Story;
    use super::*;

    #[test]
    fn one_after_another_is_an_order() {
        let mut story = Story::new();
        story.done("r0", Action::Read, 0, 1, 0);
        let write = story.done("r0", Action::Write, 2, 3, 0);
        story.done("r0", Action::Fetch, 4, 5, Operation::written(write));
        let swap = story.done("r0", Action::Swap, 6, 7, Operation::written(write));
        let set = Action::CompareAndSet { expected: Operation::written(swap) };
        let set = story.done("r0", set, 8, 9, Operation::written(swap));
        let unset = Action::CompareAndSet { expected: 0 };
        story.done("r0", unset, 10, 11, Operation::written(set));
        story.done("r0", Action::Read, 12, 13, Operation::written(set));
        // Another register has a life of its own.
        story.done("r1", Action::Read, 14, 15, 0);
        story.is_clean(check);
    }

    #[test]
    fn what_overlaps_may_take_either_order() {
        let mut story = Story::new();
        let one = story.done("r0", Action::Write, 0, 10, 0);
        let two = story.done("r0", Action::Write, 0, 10, 0);
        story.done("r0", Action::Read, 1, 2, Operation::written(two));
        story.done("r0", Action::Read, 3, 4, Operation::written(one));
        story.is_clean(check);
        // But not both.
        story.done("r0", Action::Read, 5, 6, Operation::written(two));
        story.is_broken(check, "r0: no order explains");
    }

    #[test]
    fn a_stale_read_is_found() {
        let mut story = Story::new();
        story.done("r0", Action::Write, 0, 1, 0);
        story.done("r0", Action::Read, 2, 3, 0);
        story.is_broken(check, "operation 1, which told 0,");
    }

    #[test]
    fn an_unknown_write_happens_late_or_never_but_once() {
        let mut story = Story::new();
        let lost = story.failed("r0", Action::Write, 0, 1, FailureCode::Unknown);
        story.done("r0", Action::Read, 2, 3, 0);
        story.is_clean(check);
        story.done("r0", Action::Read, 4, 5, Operation::written(lost));
        story.is_clean(check);
        let after = story.done("r0", Action::Swap, 6, 7, Operation::written(lost));
        story.done("r0", Action::Read, 8, 9, Operation::written(after));
        story.is_clean(check);
        story.done("r0", Action::Read, 10, 11, Operation::written(lost));
        story.is_broken(check, "no order");
    }

    #[test]
    fn what_surely_did_not_run_is_never_seen() {
        let mut story = Story::new();
        let denied = story.failed("r0", Action::Write, 0, 1, FailureCode::NotDelivered);
        story.done("r0", Action::Read, 2, 3, 0);
        story.is_clean(check);
        story.done("r0", Action::Read, 4, 5, Operation::written(denied));
        story.is_broken(check, "no order");
    }

    #[test]
    fn two_who_compare_with_the_same_do_not_both_set() {
        let mut story = Story::new();
        let set = Action::CompareAndSet { expected: 0 };
        story.done("r0", set.clone(), 0, 10, 0);
        story.done("r0", set, 0, 10, 0);
        story.is_broken(check, "no order");
    }

    #[test]
    fn one_key_has_one_effect_from_its_first_call_to_its_first_answer() {
        let mut story = Story::new();
        let write = story.operation("r0", Action::Write, true);
        story.call(write, 0, 5, Err(FailureCode::Unknown));
        story.done("r0", Action::Read, 6, 7, Operation::written(write));
        story.call(write, 8, 9, Ok(0));
        let other = story.done("r0", Action::Write, 10, 11, 0);
        story.call(write, 12, 13, Ok(0));
        story.done("r0", Action::Read, 14, 15, Operation::written(other));
        story.is_clean(check);
        story.done("r0", Action::Read, 16, 17, Operation::written(write));
        story.is_broken(check, "no order");
    }

    #[test]
    fn many_unknown_writes_that_nobody_saw_cost_nothing() {
        let mut story = Story::new();
        for _ in 0..200 {
            story.failed("r0", Action::Write, 0, 1, FailureCode::Unknown);
        }
        for at in 0..200 {
            story.done("r0", Action::Read, 2 * at, 2 * at + 3, 0);
        }
        story.is_clean(check);
    }
}
