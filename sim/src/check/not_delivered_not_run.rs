//! A call that ended as surely not run did not run, and no call ran twice.

use super::Found;
use crate::history::History;

pub(crate) fn check(history: &History, found: Found<'_>) {
    let runs = history.runs_by_call();
    for (number, count) in &runs {
        let Some(call) = history.calls.get(*number as usize) else {
            found("not_delivered_not_run", format!("a handler ran call {number}, which nobody made"));
            continue;
        };
        if *count > 1 {
            let nodes: Vec<String> =
                history.runs.iter().filter(|run| run.call == *number).map(|run| run.node.to_string()).collect();
            found("not_delivered_not_run", format!("call {number} of {} ran on {}", call.actor, nodes.join(", ")));
        }
        for end in &call.ends {
            if let Err(code) = end.outcome
                && code.surely_not_run()
            {
                let code = code.as_str();
                found("not_delivered_not_run", format!("call {number} of {} ended as {code}, but ran", call.actor));
            }
        }
    }
}
