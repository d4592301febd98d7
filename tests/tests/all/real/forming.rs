//! Nodes find each other, once and again.

use std::collections::BTreeSet;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use serde_json::json;

use crate::process::{Cluster, Node, Ports, until};

#[test]
fn five_nodes_find_each_other_and_answer_for_one_actor() {
    let cluster = Cluster::start(5);
    for (node, total) in cluster.nodes.iter().zip(1..) {
        assert_eq!(node.web.call("counter/alice", "add", &json!([1])), Ok(json!(total)));
    }
    let ids: BTreeSet<_> = cluster.nodes.iter().map(|node| node.status()["cluster_id"].to_string()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    for node in &cluster.nodes {
        let status = node.status();
        assert_eq!((&status["shards"], &status["shards_led"]), (&json!(64), &json!(64)));
        let shards = node.member_texts("shards");
        assert!(shards.values().all(|count| count != "0"), "{shards:?}");
    }
}

#[test]
fn a_cluster_that_was_killed_is_the_same_cluster_when_it_is_started_again() {
    let mut cluster = Cluster::start(3);
    let id = cluster.nodes[0].status()["cluster_id"].clone();
    let nodes = cluster.nodes[0].member_texts("node_id");
    cluster.nodes.iter_mut().for_each(Node::kill);
    // The one that may found comes last: it must not found another.
    for index in [2, 1, 0] {
        cluster.nodes[index].start();
    }
    cluster.until_whole();
    for node in &cluster.nodes {
        assert_eq!(node.status()["cluster_id"], id);
        assert_eq!(node.member_texts("node_id"), nodes);
        let incarnations = node.member_texts("incarnation");
        assert!(incarnations.values().all(|starts| starts == "2"), "{incarnations:?}");
    }
    assert_eq!(cluster.add_one(1, "counter/alice"), 1);
    assert_eq!(cluster.add_one(2, "counter/alice"), 2);
}

/// Nodes with a cluster and nobody who may found: each is enough to bring the others back.
#[test]
fn a_node_that_knows_its_cluster_is_ready_without_the_first_seed() {
    let mut cluster = Cluster::start(3);
    cluster.nodes.iter_mut().for_each(Node::kill);
    for index in [1, 2] {
        cluster.nodes[index].start();
    }
    for index in [1, 2] {
        cluster.nodes[index].until_ready();
    }
    assert_eq!(cluster.add_one(1, "counter/bob"), 1);
    until("the other one counts on", || (cluster.add_one(2, "counter/bob") == 2).then_some(()));
}

/// Passes connections on to another address, as a balancer does, for as long as the test lives.
fn forward_to(target: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(&target) else { continue };
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                // Either side may be gone already.
                thread::spawn(move || {
                    std::io::copy(&mut from, &mut to).map(|_| to.shutdown(Shutdown::Write))
                });
            }
        }
    });
    address
}

/// A service address, a balancer, or a router that shows the node under its public address: no copy of the node.
#[test]
fn a_seed_that_leads_back_to_the_node_itself_is_no_copy_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut ports = Ports::new();
    let own = ports.address();
    let balancer = forward_to(own.clone());
    let mut node = Node::new(folder.path(), "a", &mut ports, &["--seeds", &format!("{own},{balancer}")]);
    node.peers = own;
    node.start();
    let line = node.process().logs(&balancer);
    assert!(line.contains("WARN") && line.contains("leads back"), "{line}");
    node.until_ready();
    // The same way may lead another node here, and then it is an ordinary seed.
    let mut other = Node::new(folder.path(), "b", &mut ports, &["--seeds", &balancer]);
    other.start();
    other.until_ready();
    until("both see each other", || (node.states().len() == 2).then_some(()));
    assert!(node.process().is_running());
    assert!(!node.process().stderr().contains("copied"), "{}", node.process().stderr());
}
