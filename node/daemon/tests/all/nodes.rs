//! Nodes that run: what they print, how they stop, and what they make of neighbours that do not fit.

use serde_json::Value;

use crate::process::{Running, gritmesh, run, text, up};

#[test]
fn a_node_says_where_it_is_and_stops_when_asked() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Running::start(&up(data.path(), &["--name", "alpha"]));
    assert!(node.says("node ").ends_with("alpha"));
    let http = node.says("http ");
    let address = http.rsplit('/').next().unwrap().to_owned();
    node.says("ready ");
    let answer = run(&["call", "counter/a", "add", "5", "--node", &address]);
    assert_eq!((answer.status.code(), text(&answer.stdout).as_str()), (Some(0), "5\n"));
    node.signal("TERM");
    assert_eq!(node.ends(), Some(0));
    assert_eq!(run(&["cluster", "status", "--node", &address]).status.code(), Some(1));
}

#[test]
fn a_node_speaks_json_to_programs() {
    let data = tempfile::tempdir().unwrap();
    let mut node =
        Running::start(&up(data.path(), &["-o", "json", "--name", "beta", "--log-format", "json"]));
    let started = node.says_json("peer_address");
    assert_eq!((&started["name"], &started["ready"]), (&Value::from("beta"), &Value::from(false)));
    assert!(node.says_json("nodes")["cluster_id"].as_str().is_some_and(|id| id.len() == 32));
    node.signal("INT");
    assert_eq!(node.ends(), Some(0));
    for line in node.complaints().iter().filter(|line| !line.starts_with("stopping")) {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Running::start(&up(data.path(), &["-o", "json"]));
    let address = node.says_json("peer_address")["http_url"].as_str().unwrap().replace("http://", "");
    node.says_json("nodes");
    // A request that does not end keeps the first signal from being enough.
    let mut client = std::net::TcpStream::connect(&address).unwrap();
    let head = "POST /v1/call/echo/x/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n";
    std::io::Write::write_all(&mut client, head.as_bytes()).unwrap();
    let probe = run(&["call", "echo/x", "echo", "1", "--node", &address]);
    assert!(probe.status.success(), "the other connection was taken before this one");
    node.signal("TERM");
    node.complains("signal again");
    node.signal("TERM");
    assert_eq!(node.ends(), Some(130));
}

#[test]
fn a_development_cluster_starts_whole_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().to_str().unwrap();
    let mut command = gritmesh(&["dev", "--http-base", "0", "-o", "json"]);
    command.env("TMPDIR", path);
    let mut cluster = Running::of(command);
    let nodes = cluster.says_json("nodes")["nodes"].as_array().unwrap().clone();
    assert_eq!(nodes.len(), 3);
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 1);
    let address = |index: usize| nodes[index]["http_url"].as_str().unwrap().replace("http://", "");
    let status = run(&["cluster", "status", "-o", "json", "--node", &address(1)]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["members"].as_array().unwrap().len(), 3);
    let place = run(&["shard", "where", "counter/alice", "-o", "json", "--node", &address(2)]);
    let place: Value = serde_json::from_slice(&place.stdout).unwrap();
    assert!(place["name"].as_str().unwrap().starts_with("node-"), "{place}");
    let drained = run(&["node", "drain", "node-2", "--wait", "--node", &address(0)]);
    assert!(drained.status.success(), "{drained:?}");
    cluster.signal("INT");
    assert_eq!(cluster.ends(), Some(0));
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
}

#[test]
fn a_seed_that_does_not_resolve_is_a_warning() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Running::start(&up(data.path(), &["--seeds", "nowhere.invalid:7946", "-o", "json"]));
    let address = node.says_json("peer_address")["http_url"].as_str().unwrap().replace("http://", "");
    assert!(node.complains("nowhere.invalid").contains("WARN"));
    let status = run(&["cluster", "status", "--node", &address]);
    assert!(text(&status.stdout).contains("not ready"), "{status:?}");
    assert!(node.goes_on());
}

#[test]
fn a_wrong_secret_is_a_warning_on_both_sides_and_the_joiner_tries_on() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Running::start(&up(data.path(), &["--secret", "right", "-o", "json"]));
    let seed = first.says_json("peer_address")["peer_address"].as_str().unwrap().to_owned();
    let mut joiner =
        Running::start(&up(other.path(), &["--secret", "wrong", "--seeds", &seed, "-o", "json"]));
    assert!(joiner.complains("secrets differ").contains("WARN"));
    assert!(first.complains("secrets differ").contains("`--secret`"));
    assert!(joiner.goes_on());
    drop(joiner);
    let joiner = Running::start(&up(other.path(), &["--secret", "right", "--seeds", &seed, "-o", "json"]));
    assert_eq!(joiner.says_json("nodes")["ready"], Value::from(true));
}
