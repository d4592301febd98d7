//! A call that ended as surely not run did not run, and no call ran twice.

use std::collections::BTreeMap;

use super::Found;
use crate::history::{History, Run};

const CODE: &str = "not_delivered_not_run";

pub(crate) fn check(history: &History, found: Found<'_>) {
    let mut runs: BTreeMap<u64, Vec<&Run>> = BTreeMap::new();
    for run in &history.runs {
        runs.entry(run.call).or_default().push(run);
    }
    for (number, runs) in runs {
        let Some(call) = history.calls.get(number as usize) else {
            found(CODE, runs[0].at, format!("a handler ran call {number}, which nobody made"));
            continue;
        };
        if let Some(again) = runs.get(1) {
            let nodes: Vec<String> = runs.iter().map(|run| run.node.to_string()).collect();
            found(CODE, again.at, format!("call {number} of {} ran on {}", call.actor, nodes.join(", ")));
        }
        for end in &call.ends {
            if let Err(code) = end.outcome
                && code.surely_not_run()
            {
                let code = code.as_str();
                let detail = format!("call {number} of {} ended as {code}, but ran", call.actor);
                found(CODE, end.at.max(runs[0].at), detail);
            }
        }
    }
}
