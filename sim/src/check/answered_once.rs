//! No call is answered twice, and none with the answer to another.

use super::Found;
use crate::history::History;

pub(crate) fn check(history: &History, found: Found<'_>) {
    for (number, call) in history.calls.iter().enumerate() {
        if let Some(again) = call.ends.get(1) {
            found(
                "answered_once",
                again.at,
                format!("call {number} of {} ended {} times: {:?}", call.actor, call.ends.len(), call.ends),
            );
        }
        for end in &call.ends {
            if end.outcome.is_ok_and(|answer| answer != call.operation.unwrap_or(number as u64)) {
                found(
                    "answered_once",
                    end.at,
                    format!("call {number} of {} got another's answer: {end:?}", call.actor),
                );
            }
        }
    }
}
