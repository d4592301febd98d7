//! Once a peer lies no more, everything is soon served again, and no node has to be started again for it.
//!
//! Judged where one node has lied and nothing else was wrong: in time all nodes see each other and nobody else, and every
//! actor answers through every node.

use gritmesh_runtime::Instant;

use super::Found;
use super::reached_is_served::refusal;
use crate::history::{History, Lies};

const CODE: &str = "lies_forgotten";

pub(crate) fn check(history: &History, found: Found<'_>) {
    for lies in &history.lies {
        let Lies { liar, ended, served_from, wrong } = lies;
        if let Some(wrong) = wrong {
            found(CODE, *served_from, format!("{liar} lied until {ended}, and at {served_from} {wrong}"));
        }
        // While a node leaves, calls may be refused for another reason.
        let departs = history.departures.iter().map(|departure| departure.from).min().unwrap_or(Instant::MAX);
        let judged = *served_from..departs;
        for (number, call) in history.calls.iter().enumerate().filter(|(_, call)| judged.contains(&call.at)) {
            for end in &call.ends {
                if let Some(code) = refusal(end, history) {
                    let (through, actor, code) = (call.through, &call.actor, code.as_str());
                    let detail = format!(
                        "call {number} of {actor} through {through} ended as {code}, although {liar} lies no more since {ended}"
                    );
                    found(CODE, end.at, detail);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gritmesh_runtime::FailureCode;

    use super::super::testing::{Story, at};
    use super::*;
    use crate::history::Action;
    use crate::world::NodeIndex;

    const DEPOSIT: Action = Action::Deposit { amount: 1 };

    fn story(wrong: Option<&str>) -> Story {
        let mut story = Story::new();
        let wrong = wrong.map(str::to_owned);
        story.history.lies.push(Lies {
            liar: NodeIndex(3),
            ended: at(1_000),
            served_from: at(11_000),
            wrong,
        });
        story
    }

    #[test]
    fn what_fails_before_it_must_be_forgotten_is_clean() {
        let mut story = story(None);
        story.failed("v0", DEPOSIT, 10_000, 14_000, FailureCode::Unknown);
        story.done("v0", DEPOSIT, 12_000, 12_100, 1);
        story.failed("v0", DEPOSIT, 12_000, 12_100, FailureCode::ActorError);
        story.is_clean(check);
    }

    #[test]
    fn what_is_not_served_later_is_found() {
        let mut broken = story(None);
        broken.failed("v0", DEPOSIT, 11_000, 15_000, FailureCode::NotDelivered);
        broken.is_broken(check, "call 0 of v0 through n0 ended as not_delivered, although n3 lies no more");
        story(Some("n1 sees a ghost")).is_broken(check, "n1 sees a ghost");
    }
}
