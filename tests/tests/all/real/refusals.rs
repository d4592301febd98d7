//! Nodes that may not be in one cluster: they keep running, and say why on both sides.

use std::fs;
use std::path::Path;

use crate::process::{Cluster, Node, Ports, until, until_equal};

fn waits_for(node: &Node) -> String {
    node.status()["readiness"]["waits_for"].to_string()
}

#[test]
fn a_wrong_secret_is_named_on_both_sides() {
    let mut cluster = Cluster::new(1, &["--secret", "the right secret of all"]);
    cluster.nodes[0].start();
    cluster.until_whole();
    let seed = cluster.nodes[0].peers.clone();
    let mut ports = Ports::new();
    let flags = ["--secret", "the wrong secret of all", "--seeds", &seed];
    let mut stranger = Node::new(cluster.folder.path(), "stranger", &mut ports, &flags);
    stranger.start();
    for node in [&mut stranger, &mut cluster.nodes[0]] {
        let line = node.process().logs("secrets differ");
        assert!(line.contains("WARN"), "{line}");
    }
    assert!(stranger.process().is_running() && !stranger.web.is_ready());
    assert!(waits_for(&stranger).contains("a cluster"), "{}", waits_for(&stranger));
    assert!(cluster.nodes[0].web.is_ready());
    let refused = || cluster.nodes[0].web.metric("gritmesh_refused_connections_total") >= 1.0;
    until("the refusal is counted", || refused().then_some(()));
}

#[test]
fn two_clusters_do_not_become_one() {
    let (mut one, mut other) = (Cluster::start(1), Cluster::start(1));
    let (mine, theirs) = (one.nodes[0].status(), other.nodes[0].status());
    other.nodes[0].kill();
    // The node of the other cluster is pointed at this one.
    let mut ports = Ports::new();
    let seed = one.nodes[0].peers.clone();
    let mut stray = Node::new(other.folder.path(), "node-1", &mut ports, &["--seeds", &seed]);
    stray.start();
    for node in [&mut stray, &mut one.nodes[0]] {
        let line = node.process().logs("different clusters");
        assert!(line.contains("WARN"), "{line}");
        for cluster in [&mine, &theirs] {
            let id = cluster["cluster_id"].as_str().unwrap();
            assert!(line.contains(id), "{id} is missing in {line}");
        }
    }
    assert!(stray.process().is_running());
    assert_eq!(stray.status()["cluster_id"], theirs["cluster_id"]);
    assert_eq!(one.nodes[0].states().len(), 1);
}

#[test]
fn seeds_that_nobody_answers_at_are_named_and_tried_for_ever() {
    let mut ports = Ports::new();
    let folder = tempfile::tempdir().unwrap();
    let later = ports.address();
    let seeds = format!("no.such.host.invalid:7946,{later}");
    let mut node = Node::new(folder.path(), "lonely", &mut ports, &["--seeds", &seeds]);
    node.start();
    let line = node.process().logs("no.such.host.invalid");
    assert!(line.contains("WARN"), "{line}");
    until("it says what it waits for", || waits_for(&node).contains("a cluster").then_some(()));
    assert!(node.process().is_running() && !node.web.is_ready());
    // Once somebody founds a cluster at one of them, it joins.
    let mut founder = Node::new(folder.path(), "founder", &mut ports, &[]);
    founder.peers = later;
    founder.start();
    founder.until_ready();
    node.until_ready();
    until_equal(&2, || founder.states().len());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => assert!(fs::copy(&from, &to).is_ok(), "{}", from.display()),
        }
    }
}

/// The second of two nodes with one identity finds out and stops; the first one goes on.
#[test]
fn a_copied_data_directory_is_found_out() {
    let mut cluster = Cluster::start(3);
    let folder = cluster.folder.path().to_owned();
    // A database is copied while nobody writes to it; the node then goes on, and its copy is started beside it.
    let copied = folder.join("copy");
    cluster.nodes[1].process().signal("TERM");
    assert_eq!(cluster.nodes[1].process().ended().code(), Some(0));
    copy(&cluster.nodes[1].data, &copied);
    cluster.nodes[1].start();
    cluster.until_whole();
    let seeds = cluster.nodes.iter().map(|node| node.peers.as_str()).collect::<Vec<_>>().join(",");
    let mut ports = Ports::new();
    let mut copy = Node::new(&folder, "copy", &mut ports, &["--seeds", &seeds]);
    copy.start();
    let status = copy.process().ended();
    assert!(!status.success(), "{status}");
    let said = copy.process().stderr();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && last.contains("identity"), "{said}");
    cluster.until_whole();
    assert_eq!(cluster.add_one(1, "counter/alice"), 1);
    let names = cluster.nodes[0].states();
    assert!(!names.contains_key("copy"), "{names:?}");
}
