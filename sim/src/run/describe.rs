//! Why a cluster is not ready, in words: what each node waits for, and where the nodes disagree.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Sim;

/// What the nodes wait for, and what they do not agree on.
pub(super) fn describe(sim: &Sim) -> String {
    let mut text = String::new();
    for number in 0..sim.len() {
        let Some(node) = sim.node(number) else {
            text.push_str(&format!(" n{number} does not run;"));
            continue;
        };
        let members = node.view().active().count();
        text.push_str(&format!(" n{number} sees {members}, waits for {:?};", node.readiness().waits_for));
        for shard in node.shard_statuses() {
            if let Some(moving) = shard.moving {
                text.push_str(&format!(" shard {}: {moving};", shard.shard));
            }
        }
    }
    differences(&mut text, "shard", shards(sim));
    differences(&mut text, "member", members(sim));
    text
}

/// What each node says of each shard.
fn shards(sim: &Sim) -> BTreeMap<String, Vec<(String, String)>> {
    let mut said: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (number, node) in sim.running() {
        for it in node.shard_statuses() {
            let leader = it.leader.unwrap_or_else(|| "nobody".to_owned());
            let words =
                format!("term {} epoch {} led by {leader} on {}", it.term, it.epoch, it.replicas.join(","));
            said.entry(it.shard.to_string()).or_default().push((number.to_string(), words));
        }
    }
    said
}

/// What each node says of each member.
fn members(sim: &Sim) -> BTreeMap<String, Vec<(String, String)>> {
    let mut said: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (number, node) in sim.running() {
        for member in node.view().members.values() {
            let info = &member.info;
            let (name, state) = (info.name.clone(), member.state.as_str());
            let words = format!(
                "{state}, start {}, weight {}, at {}",
                info.incarnation.0, info.weight, info.peer_address
            );
            said.entry(name).or_default().push((number.to_string(), words));
        }
    }
    said
}

/// Adds what is said in several ways, and by whom each.
fn differences(text: &mut String, what: &str, said: BTreeMap<String, Vec<(String, String)>>) {
    for (name, said) in said {
        let ways: BTreeSet<&str> = said.iter().map(|(_, words)| words.as_str()).collect();
        if ways.len() < 2 {
            continue;
        }
        for way in ways {
            let who: Vec<&str> =
                said.iter().filter(|(_, words)| words == way).map(|(who, _)| who.as_str()).collect();
            text.push_str(&format!(" {what} {name} is {way} for {};", who.join(",")));
        }
    }
}
