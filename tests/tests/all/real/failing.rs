//! Nodes that die, that come back, and that stand still.

use std::time::{Duration, Instant};

use crate::process::{Cluster, until, until_within};

/// How long the others may take to declare a killed node down. The figure to reach is 1 s.
const DOWN_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a node stands still that must not be taken for dead by itself when it goes on.
const STALL: Duration = Duration::from_secs(2);

#[test]
fn a_killed_host_is_replaced_and_comes_back() {
    let mut cluster = Cluster::start(5);
    assert_eq!(cluster.add_one(0, "counter/alice"), 1);
    let host = cluster.host_of("counter/alice");
    let others: Vec<usize> = (0..5).filter(|index| *index != host).collect();
    let (name, id) = (cluster.nodes[host].name.clone(), cluster.nodes[host].status()["node_id"].clone());

    cluster.nodes[host].kill();
    for other in &others {
        until_within(DOWN_TIME_MAX, "the death is known", || {
            (cluster.nodes[*other].states()[&name] == "down").then_some(())
        });
    }
    // It goes on where it was.
    assert_eq!(cluster.add_one(others[0], "counter/alice"), 2);
    assert_eq!(cluster.add_one(others[3], "counter/alice"), 3);

    cluster.nodes[host].start();
    cluster.until_whole();
    let back = &cluster.nodes[host];
    assert_eq!(back.status()["node_id"], id);
    assert_eq!(back.member_texts("incarnation")[&name], "2");
    until("it gets shards back", || (back.member_texts("shards")[&name] != "0").then_some(()));
    assert_eq!(cluster.add_one(host, "counter/carol"), 1);
    assert_eq!(cluster.add_one(others[1], "counter/carol"), 2);
}

#[test]
fn a_node_that_stands_still_declares_nobody_dead() {
    let mut cluster = Cluster::start(5);
    let stopped = 4;
    cluster.nodes[stopped].process().signal("STOP");
    // The others go on working while it stands still.
    let start = Instant::now();
    while start.elapsed() < STALL {
        for index in 0..stopped {
            let states = cluster.nodes[index].states();
            let wrong =
                states.iter().find(|(name, state)| **name != cluster.nodes[stopped].name && *state == "down");
            assert_eq!(wrong, None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    cluster.nodes[stopped].process().signal("CONT");
    until("it has noticed", || {
        (cluster.nodes[stopped].web.metric("gritmesh_stalls_total") >= 1.0).then_some(())
    });
    cluster.until_whole();
    // What is past shows in the logs only: nobody was ever declared down but the one that stood still.
    let name = format!("name={:?}", cluster.nodes[stopped].name);
    let mut declared = 0;
    for node in &mut cluster.nodes {
        let log = node.process().stderr();
        let (right, wrong): (Vec<&str>, Vec<&str>) = log
            .lines()
            .filter(|line| line.contains("a member is down"))
            .partition(|line| line.contains(&name));
        assert!(wrong.is_empty(), "{} says {wrong:?}", node.name);
        declared += right.len();
    }
    assert!(declared > 0, "the words that this test looks for are those of the log");
    assert!(cluster.add_one(stopped, "counter/alice") == 1);
}
