//! While one node leaves as planned, and comes back, and nothing else is wrong, no call through another one ends in doubt.
//!
//! Whoever is told that it is not known whether a call ran has to find out. Deploys happen every day, so they must not
//! be a reason for that. A call may be refused, and repeated.

use gritmesh_runtime::FailureCode;

use super::Found;
use crate::history::History;

const CODE: &str = "leaves_quietly";

pub(crate) fn check(history: &History, found: Found<'_>) {
    for departure in history.departures.iter().filter(|departure| departure.in_time) {
        let made = |at| departure.from <= at && at < departure.until;
        let calls = history.calls.iter().enumerate().filter(|(_, call)| made(call.at));
        for (number, call) in calls.filter(|(_, call)| call.through != departure.node) {
            for end in call.ends.iter().filter(|end| end.outcome == Err(FailureCode::Unknown)) {
                let (through, actor, node) = (call.through, &call.actor, departure.node);
                let detail = format!(
                    "call {number} of {actor} through {through} ended in doubt, while {node} left as planned"
                );
                found(CODE, end.at, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at};
    use super::*;
    use crate::history::{Action, Departure};
    use crate::world::NodeIndex;

    const DEPOSIT: Action = Action::Deposit { amount: 1 };

    fn story(node: u16) -> Story {
        let mut story = Story::new();
        let (from, until) = (at(1_000), at(5_000));
        story.history.departures.push(Departure { node: NodeIndex(node), from, until, in_time: true });
        story
    }

    #[test]
    fn refusals_and_doubts_of_another_time_or_of_the_leaver_are_clean() {
        let mut story = story(1);
        story.failed("v0", DEPOSIT, 900, 1_400, FailureCode::Unknown);
        story.failed("v0", DEPOSIT, 1_200, 1_400, FailureCode::NotDelivered);
        story.done("v0", DEPOSIT, 1_200, 1_300, 1);
        story.is_clean(check);
        let mut story = self::story(0);
        story.failed("v0", DEPOSIT, 1_200, 1_400, FailureCode::Unknown);
        story.is_clean(check);
        let mut story = self::story(1);
        story.history.departures[0].in_time = false;
        story.failed("v0", DEPOSIT, 1_200, 1_400, FailureCode::Unknown);
        story.is_clean(check);
    }

    #[test]
    fn a_call_that_ends_in_doubt_meanwhile_is_found() {
        let mut story = story(1);
        story.failed("v0", DEPOSIT, 1_200, 1_400, FailureCode::Unknown);
        story.is_broken(check, "call 0 of v0 through n0 ended in doubt, while n1 left as planned");
    }
}
