//! `node drain`: a node hands over what it serves.
//!
//! Any node is asked, and passes the order on by the peers to the node that it names: an HTTP address does not say who
//! answers there.

use std::time::Duration;

use gritmesh_core::{ClusterStatus, NodeReport, NodeStatus};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::arguments::DrainArguments;
use super::cluster::{is_up, read};
use super::output::{Failed, Output};
use crate::ask::{Ask, Refusal};

/// How often the node is asked how far it is.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

pub(super) fn run(arguments: &DrainArguments, output: &Output) -> Result<(), Failed> {
    let ask = arguments.asking.ask()?;
    let (_, status) = read::<ClusterStatus>(&ask, "/v1/cluster")?;
    let member = find(&status.members, &arguments.target)?;
    let others = status
        .members
        .iter()
        .filter(|other| is_up(other) && other.node_id != member.node_id && other.weight > 0);
    if others.count() == 0 {
        output.note(&format!("warning: no other node can take over from {}", member.name));
    }
    let answer = ask.post("/v1/node/drain", &json!({ "node": member.node_id }))?;
    if arguments.wait {
        wait(&ask, member, output)?;
    }
    match (output.is_json(), arguments.wait) {
        (true, _) => output.json(&answer),
        (false, true) => {
            output.line(&format!("{} has handed over everything and can be stopped", member.name))
        }
        (false, false) => output.line(&format!("{} hands over {} shards", member.name, member.shards)),
    }
    Ok(())
}

fn find<'a>(members: &'a [NodeStatus], target: &str) -> Result<&'a NodeStatus, Failed> {
    let by_name = |member: &&NodeStatus| member.name == target;
    let by_id = |member: &&NodeStatus| member.node_id.starts_with(target);
    let up = || members.iter().filter(|member| is_up(member));
    let mut found: Vec<&NodeStatus> = up().filter(by_name).collect();
    if found.is_empty() {
        found = up().filter(by_id).collect();
    }
    match found.as_slice() {
        [member] => Ok(member),
        [] => {
            let names: Vec<&str> = up().map(|member| member.name.as_str()).collect();
            Err(Failed::Unusable(format!("no node is called `{target}`; there are {}", names.join(", "))))
        }
        several => {
            let ids: Vec<&str> =
                several.iter().map(|member| &member.node_id[..8.min(member.node_id.len())]).collect();
            Err(Failed::Unusable(format!("`{target}` may be any of {}; give the id", ids.join(", "))))
        }
    }
}

/// Waits until the node leads nothing any more, by its own word. Ends with the person who waits.
fn wait(ask: &Ask, member: &NodeStatus, output: &Output) -> Result<(), Refusal> {
    let shards = member.shards as u64;
    let bar = ProgressBar::new(shards);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} shards handed over, {elapsed}") {
        bar.set_style(style);
    }
    loop {
        let (_, report) = read::<NodeReport>(ask, &format!("/v1/node?node={}", member.node_id))?;
        let left = u64::from(report.shards_led);
        bar.set_position(shards.saturating_sub(left));
        if left == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        if bar.is_hidden() {
            output.note(&format!("{left} shards left"));
        }
        std::thread::sleep(PROGRESS_PERIOD);
    }
}
