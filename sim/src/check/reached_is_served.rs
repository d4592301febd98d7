//! An actor whose leader is reached by some node that the caller reaches is served.
//!
//! Judged where one pair of nodes is cut, in both directions or in one, and nothing else is wrong: every call through one
//! of the two ends well, wherever the actor is, once they have had the time to find out.

use std::time::Duration;

use gritmesh_runtime::FailureCode;

use super::Found;
use crate::history::{Call, End, History, PairCut};

const CODE: &str = "reached_is_served";

/// How long two nodes take, at most, to find out that they do not reach each other: some probes without an answer.
const DETECTION: Duration = Duration::from_millis(3_500);

pub(crate) fn check(history: &History, found: Found<'_>) {
    for (number, call) in history.calls.iter().enumerate() {
        for end in &call.ends {
            if let Some(code) = refusal(end, history)
                && let Some(cut) = history.pair_cuts.iter().find(|cut| is_within(cut, call, end))
            {
                let Call { through, actor, .. } = call;
                let [one, other] = cut.nodes;
                let detail = format!(
                    "call {number} of {actor} through {through} ended as {}, although only {one} and {other} are cut off \
                     from each other, since {}",
                    code.as_str(),
                    cut.from
                );
                found(CODE, end.at, detail);
            }
        }
    }
}

/// How a call ended that was not served. Where limits are small, that one is reached is no fault.
pub(super) fn refusal(end: &End, history: &History) -> Option<FailureCode> {
    use FailureCode::{NoQuorum, NotDelivered, Overloaded, Unknown};
    let code =
        end.outcome.err().filter(|code| matches!(code, NotDelivered | Unknown | NoQuorum | Overloaded));
    code.filter(|code| !(history.limits_are_small && *code == Overloaded))
}

fn is_within(cut: &PairCut, call: &Call, end: &End) -> bool {
    let lasts = cut.until.is_none_or(|until| end.at <= until);
    cut.nodes.contains(&call.through) && lasts && call.at >= cut.from + DETECTION && !call.one_way
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at};
    use super::*;
    use crate::history::Action;
    use crate::world::NodeIndex;

    const DEPOSIT: Action = Action::Deposit { amount: 1 };

    /// n0 and n1 are cut off from each other from 1 s to 20 s.
    fn cut() -> Story {
        let mut story = Story::new();
        let nodes = [NodeIndex(0), NodeIndex(1)];
        story.history.pair_cuts.push(PairCut { from: at(1_000), until: Some(at(20_000)), nodes });
        story
    }

    #[test]
    fn answers_and_what_is_outside_of_it_are_clean() {
        let mut story = cut();
        story.done("v0", DEPOSIT, 6_000, 6_100, 1);
        story.failed("v0", DEPOSIT, 6_000, 6_100, FailureCode::ActorError);
        // Before they can know, and over the end of it.
        story.failed("v0", DEPOSIT, 2_000, 6_000, FailureCode::Unknown);
        story.failed("v0", DEPOSIT, 18_000, 20_001, FailureCode::Unknown);
        let other = story.operation("v0", DEPOSIT, false);
        story.call_through(2, other, 6_000, 6_001, Err(FailureCode::Unknown));
        story.is_clean(check);
    }

    #[test]
    fn a_call_that_is_not_served_is_found() {
        for code in [FailureCode::Unknown, FailureCode::NotDelivered, FailureCode::NoQuorum] {
            let mut story = cut();
            story.failed("v0", DEPOSIT, 5_000, 9_000, code);
            story.is_broken(check, "call 0 of v0 through n0 ended as");
        }
    }
}
