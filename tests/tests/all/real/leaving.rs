//! A node that is asked to stop does so without anyone noticing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use serde_json::json;

use crate::process::{Cluster, until};

/// Calls that must have succeeded before and after the node leaves.
const CALLS_EACH: usize = 300;

/// Actors that are called: enough for every shard to have some.
const ACTORS: usize = 200;

#[test]
fn a_node_that_leaves_under_load_costs_no_call() {
    let mut cluster = Cluster::start(5);
    let leaving = 2;
    let (answered, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let webs: Vec<_> = cluster.nodes.iter().map(|node| node.web.clone()).collect();
    let others = webs.iter().enumerate().filter(|(index, _)| *index != leaving).map(|(_, web)| web);
    let node = &mut cluster.nodes[leaving];
    let failures: Vec<String> = thread::scope(|scope| {
        let load: Vec<_> = others
            .enumerate()
            .map(|(offset, web)| {
                let (answered, stop) = (&answered, &stop);
                scope.spawn(move || {
                    let mut failures = Vec::new();
                    let mut number = offset * 7;
                    while !stop.load(Relaxed) {
                        number += 1;
                        let actor = format!("counter/c{}", number % ACTORS);
                        match web.call(&actor, "add", &json!([1])) {
                            Ok(_) => drop(answered.fetch_add(1, Relaxed)),
                            Err(code) => failures.push(code),
                        }
                    }
                    failures
                })
            })
            .collect();
        let more = |count: usize| {
            let enough = answered.load(Relaxed) + count;
            until("calls are answered", || (answered.load(Relaxed) >= enough).then_some(()));
        };
        more(CALLS_EACH);
        node.process().signal("TERM");
        let status = node.process().ended();
        more(CALLS_EACH);
        stop.store(true, Relaxed);
        assert_eq!(status.code(), Some(0));
        load.into_iter().flat_map(|thread| thread.join().expect("the load goes on")).collect()
    });
    assert_eq!(failures, [""; 0], "of {} calls", answered.load(Relaxed));
    let name = cluster.nodes[leaving].name.clone();
    for (index, node) in cluster.nodes.iter().enumerate().filter(|(index, _)| *index != leaving) {
        until("it is known to have left", || (node.states()[&name] == "left").then_some(()));
        assert_eq!(cluster.nodes[index].status()["shards_led"], 64);
    }
}

/// What an orchestrator does: one node after the other.
#[test]
fn a_rolling_restart_keeps_every_node_and_the_cluster() {
    let mut cluster = Cluster::start(3);
    let id = cluster.nodes[0].status()["cluster_id"].clone();
    for index in 0..3 {
        cluster.nodes[index].process().signal("TERM");
        assert_eq!(cluster.nodes[index].process().ended().code(), Some(0));
        cluster.nodes[index].start();
        cluster.until_whole();
    }
    assert_eq!(cluster.nodes[1].status()["cluster_id"], id);
    assert_eq!(cluster.add_one(0, "counter/alice"), 1);
}
