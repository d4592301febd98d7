//! What is shown of the cluster: members and shards.

use gritmesh_core::{ClusterStatus, DrainState, Location, NodeStatus, ShardState, ShardStatus};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::arguments::{Asking, WhereArguments};
use super::output::{Failed, Output, cell};
use super::printable::one_row;
use crate::ask::{Ask, Refusal, encoded};

/// Digits of a node's id in tables.
const ID_DIGITS: usize = 8;

pub(super) fn status(asking: &Asking, output: &Output) -> Result<(), Failed> {
    let (value, status) = read::<ClusterStatus>(&asking.ask()?, "/v1/cluster")?;
    if output.is_json() {
        output.json(&value);
        return Ok(());
    }
    let ready = match status.readiness.ready {
        true => "ready".to_owned(),
        false => format!("not ready, waits for {}", one_row(&status.readiness.waits_for.join("; "))),
    };
    let alive = status.members.iter().filter(|member| is_up(member)).count();
    output.line(&format!(
        "cluster  {}\nasked    {}, {ready}\nmembers  {alive} of {} up\nshards   {} of {} led\n",
        one_row(status.cluster_id.as_deref().unwrap_or("none yet")),
        one_row(&status.name),
        status.members.len(),
        status.shards_led,
        status.shards,
    ));
    print_members(&status.members, output);
    for note in &status.readiness.notes {
        output.line(&format!("\nnote: {}", one_row(note)));
    }
    Ok(())
}

pub(super) fn nodes(asking: &Asking, output: &Output) -> Result<(), Failed> {
    let (value, status) = read::<ClusterStatus>(&asking.ask()?, "/v1/cluster")?;
    match output.is_json() {
        true => output.json(&value["members"]),
        false => print_members(&status.members, output),
    }
    Ok(())
}

fn print_members(members: &[NodeStatus], output: &Output) {
    let row = |member: &NodeStatus| {
        [
            format!("{}{}", member.name, if member.this_node { " *" } else { "" }),
            short(&member.node_id),
            state(member),
            member.peer_address.clone(),
            member.http_address.clone().unwrap_or_else(|| "-".into()),
            cell(&Value::from(member.zone.as_str())),
            member.weight.to_string(),
            member.shards.to_string(),
        ]
    };
    let mut sorted: Vec<&NodeStatus> = members.iter().collect();
    sorted.sort_by(|a, b| (&a.name, &a.node_id).cmp(&(&b.name, &b.node_id)));
    let rows = sorted.into_iter().map(row).collect();
    output.table(["name", "id", "state", "peers", "http", "zone", "weight", "shards"], rows);
}

/// Whether it is there, or, if it is, how far it is with a drain.
fn state(member: &NodeStatus) -> String {
    match member.drain.filter(|_| member.state == "alive") {
        Some(DrainState::Draining) => "draining".to_owned(),
        Some(DrainState::Drained) => "drained".to_owned(),
        None => member.state.clone(),
    }
}

pub(super) fn shards(asking: &Asking, output: &Output) -> Result<(), Failed> {
    let (value, shards) = read::<Vec<ShardStatus>>(&asking.ask()?, "/v1/shards")?;
    if output.is_json() {
        output.json(&value);
        return Ok(());
    }
    let row = |shard: &ShardStatus| {
        let state = match shard.state {
            ShardState::Serving => "serving",
            ShardState::Changing => "changing",
            ShardState::Remote => "remote",
            ShardState::Leaderless => "leaderless",
            ShardState::Damaged => "damaged",
        };
        [
            shard.shard.to_string(),
            shard.start.clone(),
            shard.end.clone(),
            shard.epoch.to_string(),
            shard.term.to_string(),
            shard.leader.clone().unwrap_or_else(|| "-".into()),
            cell(&Value::from(shard.replicas.join(","))),
            state.to_owned(),
            shard.moving.clone().unwrap_or_else(|| "-".into()),
        ]
    };
    let header = ["shard", "start", "end", "epoch", "term", "leader", "replicas", "here", "moving"];
    output.table(header, shards.iter().map(row).collect());
    let (led, whole) = shards.iter().fold((0, 0), |(led, whole), shard| {
        (led + usize::from(shard.leader.is_some()), whole.max(shard.replicas.len()))
    });
    let full = shards.iter().filter(|shard| shard.replicas.len() == whole).count();
    output.note(&format!("{led} of {} led, {full} with {whole} replicas", shards.len()));
    Ok(())
}

pub(super) fn locate(arguments: &WhereArguments, output: &Output) -> Result<(), Failed> {
    let address = arguments.subject.address()?;
    let path = format!("/v1/where/{}/{}", encoded(address.actor_type()), encoded(address.id()));
    let ask = arguments.asking.ask()?.with_tenant(address.tenant());
    let (value, location) = read::<Location>(&ask, &path)?;
    if output.is_json() {
        output.json(&value);
        return Ok(());
    }
    let memory = match location.active {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known: that node does not answer",
    };
    output.line(&format!(
        "actor      {address}\nnode       {}\nid         {}\nhttp       {}\nshard      {} (epoch {})\ntoken      {}\nin memory  {memory}",
        one_row(&location.name),
        location.node_id,
        location.http_address.as_deref().unwrap_or("-"),
        location.shard,
        location.epoch,
        location.token,
    ));
    Ok(())
}

/// An answer as it came, and as what it is.
pub(super) fn read<T: DeserializeOwned>(ask: &Ask, path: &str) -> Result<(Value, T), Refusal> {
    let value = ask.get(path)?;
    let typed = serde_json::from_value(value.clone());
    let typed = typed
        .map_err(|error| Refusal::new("not_a_node", format!("the answer has another shape: {error}")))?;
    Ok((value, typed))
}

pub(super) fn is_up(member: &NodeStatus) -> bool {
    matches!(member.state.as_str(), "alive" | "unreachable")
}

fn short(id: &str) -> String {
    id.chars().take(ID_DIGITS).collect()
}
