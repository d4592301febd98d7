//! Every call ends by its deadline, with a typed outcome. A process that is stopped cannot tell its clients
//! anything, so the time it was stopped for does not count; nor does a client that died with its node.

use std::time::Duration;

use super::Found;
use crate::history::History;

/// Timers and tasks may be late by this much: late timers of the plan, and a handler that runs to its end.
const SLACK: Duration = Duration::from_millis(250);

pub(crate) fn check(history: &History, found: Found<'_>) {
    for (number, call) in history.calls.iter().enumerate() {
        let about =
            || format!("call {number} of {} through {} ({:?})", call.actor, call.through, call.timeout);
        match call.ends.first() {
            None if call.abandoned || call.one_way => {}
            None => found("ends_by_deadline", call.at + call.timeout, format!("{} never ended", about())),
            Some(end) => {
                let limit = call.timeout + end.stopped + SLACK;
                if end.after > limit {
                    found(
                        "ends_by_deadline",
                        end.at,
                        format!("{} ended after {:?}: {:?}", about(), end.after, end.outcome),
                    );
                }
            }
        }
    }
}
