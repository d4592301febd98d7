//! On a side of a partition that has no majority of a shard's replicas, no call to its actors is answered.
//!
//! A leader on that side holds its lease for a moment longer, and may until then say what it knows; but no step can be
//! committed there from the first moment on. That what it says is not stale is `linearizable`'s.

use std::time::Duration;

use gritmesh_runtime::FailureCode;

use super::Found;
use crate::history::{Call, Cut, End, History, Operation};

const CODE: &str = "minority_refuses";

/// How long a leader that has lost its majority may go on answering what needs no step: its lease, and clocks that run
/// wrong.
const DETECTION: Duration = Duration::from_millis(1_500);

pub(crate) fn check(history: &History, found: Found<'_>) {
    for (number, call) in history.calls.iter().enumerate() {
        let Some(operation) = call.operation.map(|number| &history.operations[number as usize]) else {
            continue;
        };
        for end in &call.ends {
            if let Some(cut) = history.cuts.iter().find(|cut| is_within(cut, call, end, operation))
                && is_wrong(cut, call, end, operation)
            {
                let Call { through, actor, .. } = call;
                let detail = format!(
                    "call {number} of {actor}, {:?}, through {through} was answered {:?}, although its side has had no \
                     majority of shard {} since {}",
                    operation.action, end.outcome, operation.shard, cut.from
                );
                found(CODE, end.at, detail);
            }
        }
    }
}

/// Whether a call was made and ended on that side while it was cut off from the actor's majority.
fn is_within(cut: &Cut, call: &Call, end: &End, operation: &Operation) -> bool {
    let lasts = cut.until.is_none_or(|until| end.at < until);
    let concerns = cut.side.contains(&call.through) && cut.shards.contains(&operation.shard);
    concerns && lasts && call.at >= cut.from && !call.one_way
}

fn is_wrong(cut: &Cut, call: &Call, end: &End, operation: &Operation) -> bool {
    let is_answer = matches!(end.outcome, Ok(_) | Err(FailureCode::ActorError));
    let made_a_step = !operation.keyed && end.outcome.is_ok() && operation.leaves_a_trace(end.value);
    is_answer && (made_a_step || call.at >= cut.from + DETECTION)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at};
    use super::*;
    use crate::history::Action;
    use crate::world::NodeIndex;

    const DEPOSIT: Action = Action::Deposit { amount: 1 };

    /// n0 and n1 are cut off from shard 0 from 1 s to 9 s.
    fn cut() -> Story {
        let mut story = Story::new();
        let side = vec![NodeIndex(0), NodeIndex(1)];
        story.history.cuts.push(Cut { from: at(1_000), until: Some(at(9_000)), side, shards: vec![0] });
        story
    }

    #[test]
    fn refusals_and_the_other_side_are_clean() {
        let mut story = cut();
        story.failed("v0", DEPOSIT, 1_000, 2_000, FailureCode::NoQuorum);
        story.failed("v0", DEPOSIT, 3_000, 7_000, FailureCode::Unknown);
        // Before, after, and over the end of it.
        story.done("v0", DEPOSIT, 500, 1_001, 1);
        story.done("v0", DEPOSIT, 5_000, 9_001, 1);
        let other = story.operation("v0", DEPOSIT, false);
        story.call_through(2, other, 5_000, 5_001, Ok(1));
        story.is_clean(check);
    }

    #[test]
    fn a_step_on_that_side_is_found_at_once() {
        let mut story = cut();
        story.done("v0", DEPOSIT, 1_000, 1_100, 1);
        story.is_broken(check, "call 0 of v0, Deposit { amount: 1 }, through n0 was answered Ok(0)");
    }

    #[test]
    fn a_lease_is_used_up_before_that_is_found() {
        let mut story = cut();
        story.done("r0", Action::Read, 1_100, 1_200, 0);
        story.is_clean(check);
        story.done("r0", Action::Read, 3_000, 3_001, 0);
        story.is_broken(check, "call 1 of r0, Read");
    }

    #[test]
    fn a_cut_without_an_end_goes_on() {
        let mut story = cut();
        story.history.cuts[0].until = None;
        story.done("v0", DEPOSIT, 5_000, 9_001, 1);
        story.is_broken(check, "since");
    }
}
