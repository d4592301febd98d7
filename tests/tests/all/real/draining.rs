//! Nodes that are drained, take part again, and are forgotten: what operators type, and what they see.

use std::time::Instant;

use serde_json::{Value, json};

use crate::process::{Cluster, Finished, finish, until, until_equal};

fn typed(cluster: &Cluster, through: usize, words: &[&str]) -> Finished {
    let node = cluster.nodes[through].web.address();
    finish(cluster.folder.path(), words.iter().copied().chain(["--node", node]))
}

/// The state in a table, and `drain` in JSON, as one node shows them of another one.
fn shown(cluster: &Cluster, through: usize, name: &str) -> (String, Value) {
    let table = typed(cluster, through, &["node", "ls"]).succeeded();
    let row = table.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
    let state = row.replace(" * ", " ").split_whitespace().nth(2).unwrap_or_default().to_owned();
    let list = typed(cluster, through, &["node", "ls", "-o", "json"]).succeeded();
    let list: Value = serde_json::from_str(&list).unwrap();
    let member = list.as_array().unwrap().iter().find(|member| member["name"] == name);
    (state, member.map_or(Value::Null, |member| member["drain"].clone()))
}

#[test]
fn all_nodes_but_the_last_are_drained_and_take_part_again() {
    let cluster = Cluster::start(3);
    let late = typed(&cluster, 1, &["node", "drain", "node-1", "--wait", "--timeout", "1ms", "-o", "json"]);
    let document: Value = serde_json::from_str(&late.stdout).unwrap();
    assert_eq!((late.code, &document["code"]), (Some(3), &json!("not_drained")), "{late:?}");
    for (name, through) in [("node-1", 2), ("node-2", 0)] {
        let begun = Instant::now();
        let drained = typed(&cluster, through, &["node", "drain", name, "--wait", "--timeout", "1m"]);
        let said = drained.stderr.lines().count() as u64;
        assert!(said <= 1 + begun.elapsed().as_secs() / 5, "it says how far it is now and then only");
        assert_eq!(drained.succeeded(), format!("{name} has handed over everything and can be stopped\n"));
        for asked in 0..3 {
            let drained = ("drained".to_owned(), json!("drained"));
            until_equal(&drained, || shown(&cluster, asked, name));
        }
    }
    assert!(!cluster.nodes[0].web.is_ready() && cluster.nodes[2].web.is_ready());
    // Somebody has to stay, and calls work through everybody.
    let refused = typed(&cluster, 0, &["node", "drain", "node-3"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.starts_with("error[last_node]: "), "{refused:?}");
    for (through, total) in [(0, 1), (1, 2), (2, 3)] {
        assert_eq!(cluster.add_one(through, "counter/alice"), total);
    }
    for name in ["node-1", "node-2"] {
        assert_eq!(
            typed(&cluster, 2, &["node", "undrain", name]).succeeded(),
            format!("{name} takes part again\n")
        );
    }
    for node in &cluster.nodes {
        until("it is ready again", || node.web.is_ready().then_some(()));
    }
    until_equal(&("alive".to_owned(), Value::Null), || shown(&cluster, 2, "node-1"));
    until("it leads shards again", || {
        let shards = cluster.nodes[0].member_texts("shards");
        shards.values().all(|shards| shards != "0").then_some(())
    });
    assert_eq!(cluster.add_one(0, "counter/alice"), 4);
}

#[test]
fn a_node_alone_is_drained_only_by_force_and_nobody_waits_for_ever() {
    let mut cluster = Cluster::start(1);
    let refused = typed(&cluster, 0, &["node", "drain", "node-1", "--wait"]);
    assert!(refused.stderr.starts_with("error[last_node]: "), "{refused:?}");
    let logged = cluster.nodes[0].process().logs("an order was refused");
    assert!(logged.contains("order=\"drain\"") && logged.contains("no other node"), "{logged}");
    let logged = cluster.nodes[0].process().stderr();
    assert!(!logged.contains("drains by an order"), "it does not: {logged}");
    assert!(cluster.nodes[0].web.is_ready());
    let forced = typed(&cluster, 0, &["node", "drain", "node-1", "--force", "--wait"]);
    assert_eq!(forced.code, Some(1), "{forced:?}");
    assert!(forced.stderr.contains("no other node can take over"), "{forced:?}");
    assert!(!cluster.nodes[0].web.is_ready());
    typed(&cluster, 0, &["node", "undrain", "node-1"]).succeeded();
    until("it is ready again", || cluster.nodes[0].web.is_ready().then_some(()));
}

#[test]
fn a_dead_node_is_forgotten_everywhere_and_may_come_back() {
    let mut cluster = Cluster::start(3);
    let refused = typed(&cluster, 0, &["node", "forget", "node-3"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.starts_with("error[node_alive]: "), "{refused:?}");
    cluster.nodes[2].kill();
    for node in &cluster.nodes[..2] {
        until("it is down", || (node.states()["node-3"] == "down").then_some(()));
    }
    assert_eq!(typed(&cluster, 0, &["node", "forget", "node-3"]).succeeded(), "node-3 is forgotten\n");
    for node in &cluster.nodes[..2] {
        until("it is not shown any more", || (!node.states().contains_key("node-3")).then_some(()));
    }
    assert_eq!(cluster.add_one(0, "counter/alice"), 1);
    cluster.nodes[2].start();
    cluster.until_whole();
}
