//! What was acknowledged is there, whoever is killed: one host, the same caller's key across two hosts, all nodes at
//! once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::process::{Cluster, until};

/// Counters: more than there are shards on one node, so that every node leads some of them.
const COUNTERS: usize = 40;

#[test]
fn a_counter_goes_on_where_it_was_when_its_host_is_killed() {
    let mut cluster = Cluster::start(3);
    for number in 1..=12 {
        assert_eq!(cluster.add_one(number % 3, "counter/alice"), number);
    }
    let host = cluster.host_of("counter/alice");
    cluster.nodes[host].kill();
    let survivors = [(host + 1) % 3, (host + 2) % 3];
    assert_eq!(cluster.add_one(survivors[0], "counter/alice"), 13);
    assert_eq!(cluster.add_one(survivors[1], "counter/alice"), 14);
    cluster.nodes[host].start();
    cluster.until_whole();
    assert_eq!(cluster.add_one(host, "counter/alice"), 15);
}

#[test]
fn a_key_is_answered_by_the_next_host_too() {
    let mut cluster = Cluster::start(3);
    let add = |cluster: &Cluster, through: usize, n: u64, key: &str| {
        until("the call is answered", || {
            match cluster.nodes[through].web.keyed("counter/alice", "add", &json!([n]), key) {
                Ok(total) => Some(total),
                Err(code) => {
                    assert!(Cluster::PASSING.contains(&code.as_str()), "{code}");
                    None
                }
            }
        })
    };
    assert_eq!(add(&cluster, 0, 5, "first"), 5);
    assert_eq!(add(&cluster, 1, 5, "first"), 5, "another node knows the key, too");
    assert_eq!(add(&cluster, 2, 2, "second"), 7);
    let host = cluster.host_of("counter/alice");
    cluster.nodes[host].kill();
    let survivor = (host + 1) % 3;
    assert_eq!(add(&cluster, survivor, 5, "first"), 5);
    assert_eq!(add(&cluster, survivor, 2, "second"), 7);
    assert_eq!(add(&cluster, survivor, 1, "third"), 8, "nothing ran twice");
}

#[test]
fn everything_acknowledged_survives_the_death_of_all_nodes() {
    let mut cluster = Cluster::start(3);
    let mut totals = BTreeMap::new();
    for number in 0..COUNTERS * 3 {
        let actor = format!("counter/c{}", number % COUNTERS);
        let total = cluster.add_one(number % 3, &actor);
        totals.insert(actor, total);
    }
    // Credits that may still be under way when everything ends.
    let account = |id: usize| format!("account/a{id}");
    for id in 0..10 {
        keyed(&cluster, id % 3, &account(id), "deposit", &json!([100]));
    }
    for id in 0..10 {
        let receiver = format!("a{}", (id + 1) % 10);
        keyed(&cluster, id % 3, &account(id), "transfer", &json!([receiver, 30 + id]));
    }
    cluster.nodes.iter_mut().for_each(|node| node.kill());
    for index in [2, 0, 1] {
        cluster.nodes[index].start();
    }
    cluster.until_whole();
    for (actor, total) in &totals {
        let found = until("the counter answers", || cluster.nodes[1].web.call(actor, "get", &json!([])).ok());
        assert_eq!(&found, total, "{actor}");
    }
    for id in 0..10 {
        let expected = 100 - (30 + id) + (30 + (id + 9) % 10);
        until(&format!("{} holds {expected}", account(id)), || {
            let balance = cluster.nodes[0].web.call(&account(id), "balance", &json!([]));
            (balance == Ok(json!(expected))).then_some(())
        });
    }
}

/// A call that is made again until it is answered, and runs once.
#[track_caller]
fn keyed(cluster: &Cluster, through: usize, actor: &str, method: &str, arguments: &Value) -> Value {
    let key = format!("{actor} {method} {arguments}");
    until("the call is answered", || cluster.nodes[through].web.keyed(actor, method, arguments, &key).ok())
}

/// Two of three are a majority, one is not: it refuses changes instead of making some of its own.
#[test]
fn a_node_alone_of_three_refuses() {
    let mut cluster = Cluster::start(3);
    assert_eq!(cluster.add_one(0, "counter/alice"), 1);
    let host = cluster.host_of("counter/alice");
    for other in [(host + 1) % 3, (host + 2) % 3] {
        cluster.nodes[other].kill();
    }
    let code = until("it refuses", || {
        let path = "/v1/call/counter/alice/add?timeout=2s";
        let answer = cluster.nodes[host].web.post(path, "[1]").expect("the node answers");
        // The lease may still hold for the first; what it began is committed by nobody.
        (answer.status != 200).then(|| answer.problem())
    });
    assert!(["no_quorum", "not_delivered", "unknown_outcome"].contains(&code.as_str()), "{code}");
    until("it says that it is not ready", || (!cluster.nodes[host].web.is_ready()).then_some(()));
    for other in [(host + 1) % 3, (host + 2) % 3] {
        cluster.nodes[other].start();
    }
    cluster.until_whole();
    // A call that was refused as unknown may have run or may run now; none is made of it twice.
    let total = cluster.add_one(host, "counter/alice");
    assert!(total.as_u64().is_some_and(|total| total >= 2), "{total}");
}
