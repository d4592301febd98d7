//! The command line as scripts and operators use it: exit codes, documents, several nodes, a proxy in front.

mod proxy;

use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{Cluster, Finished, Node, Ports, Process, finish, gritmesh, until};

/// A command with JSON asked for. Its failure is one document on one line.
#[track_caller]
fn document(cluster: &Cluster, words: &[&str]) -> (Option<i32>, Value) {
    let finished = finish(cluster.folder.path(), words.iter().copied().chain(["-o", "json"]));
    assert_eq!(finished.stdout.lines().count(), 1, "{words:?}: {finished:?}");
    let document: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(document["exit"], json!(finished.code), "{document}");
    for member in ["code", "message", "detail", "type"] {
        assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {document}");
    }
    assert!(finished.stderr.starts_with("error"), "people are told too: {finished:?}");
    (finished.code, document)
}

fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn every_failure_has_its_exit_code_and_its_document() {
    let cluster = Cluster::start(1);
    let (node, peers) = (cluster.nodes[0].web.address().to_owned(), cluster.nodes[0].peers.clone());
    let nobody = nobody();
    // It looks for a cluster, and so refuses calls for now.
    let mut lonely = Node::new(cluster.folder.path(), "lonely", &mut Ports::new(), &["--seeds", &nobody]);
    lonely.start();
    until("it serves HTTP", || lonely.web.get("/livez"));
    let waiting = lonely.web.address().to_owned();
    let token = ["--token", "@missing"];
    for (words, node, exit, code) in [
        (&["call", "nosuch/x", "add"][..], &node, 1, "unknown_type"),
        (&["call", "counter/x", "nosuch"], &node, 1, "unknown_method"),
        (&["call", "counter/x", "add", "x"], &node, 1, "bad_arguments"),
        (&["actor", "log", "counter/nobody"], &node, 1, "not_found"),
        (&["call", "counter/x"], &node, 2, "usage"),
        (&["node", "drain", "nobody"], &node, 1, "unknown_node"),
        (&["cluster", "status", token[0], token[1]], &node, 2, "usage"),
        (&["call", "counter/x", "add", "1", "--timeout", "300ms"], &waiting, 3, "not_delivered"),
        (&["call", "counter/x", "add", "1"], &nobody, 5, "unreachable"),
        (&["cluster", "status"], &nobody, 5, "unreachable"),
        (&["cluster", "status"], &peers, 5, "unreachable"),
    ] {
        let (exited, document) = document(&cluster, &[words, &["--node", node]].concat());
        assert_eq!((exited, document["code"].as_str()), (Some(exit), Some(code)), "{words:?}: {document}");
    }
    for (words, code) in [
        (&["up", "--config", "missing.toml"][..], "bad_setting"),
        (&["up", "--weight", "heavy"], "bad_setting"),
        (&["up", "--listen", "nonsense"], "cannot_start"),
        (&["config", "check", "--config", "missing.toml"], "bad_setting"),
        (&["nosuch"], "usage"),
    ] {
        let (exited, document) = document(&cluster, words);
        assert_eq!((exited, document["code"].as_str()), (Some(2), Some(code)), "{words:?}: {document}");
    }
}

/// A node that hears a call and says nothing may have run it; nobody else is asked to run it again.
#[test]
fn a_call_without_an_answer_ends_with_its_own_code() {
    let mut cluster = Cluster::start(1);
    let nodes = format!("{},{}", cluster.nodes[0].web.address(), nobody());
    cluster.nodes[0].process().signal("STOP");
    let call = ["call", "counter/x", "add", "1", "--timeout", "100ms", "--node", &nodes];
    let (exited, document) = document(&cluster, &call);
    assert_eq!((exited, document["code"].as_str()), (Some(4), Some("unknown_outcome")), "{document}");
    cluster.nodes[0].process().signal("CONT");
}

#[test]
fn config_check_refuses_what_no_node_can_work_with() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        std::fs::write(folder.path().join("node.toml"), text).unwrap();
        let checked = finish(folder.path(), ["config", "check", "--config", "node.toml"]);
        let dumped = finish(folder.path(), ["up", "--config", "node.toml", "--dump-config"]);
        assert_eq!((checked.code, &checked.stderr), (dumped.code, &dumped.stderr), "{text}");
        checked
    };
    assert!(check("name = \"a\"\n[timeouts]\ncall = \"1s\"").succeeded().starts_with("ok: "));
    for (text, says) in [
        ("[limits]\nhttp_requests = 0", "`limits.http_requests` is 0: 1 to 1000000 are allowed"),
        ("[timeouts]\ncall = \"0s\"", "`timeouts.call` is 0s: 1ms to 1day are allowed"),
        ("colour = 1", "`colour`"),
    ] {
        let Finished { code, stdout, stderr } = check(text);
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(2), "", 1), "{text}: {stderr}");
        assert!(stderr.starts_with("error: file ") && stderr.contains(says), "{stderr}");
    }
}

#[test]
fn arguments_are_explained_in_the_words_of_whoever_typed_them() {
    let cluster = Cluster::start(1);
    let typed = |words: &[&str]| {
        let node = ["--node", cluster.nodes[0].web.address()];
        finish(cluster.folder.path(), words.iter().chain(&node).copied())
    };
    let refused = typed(&["call", "account/1001", "transfer", "1002", "5"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("argument 1: a text is expected, not integer `1002`"), "{refused:?}");
    let hint = refused.stderr.lines().last().unwrap();
    assert!(hint.starts_with("hint: ") && hint.ends_with("type '\"1002\"'"), "{refused:?}");
    typed(&["call", "account/1001", "deposit", "10"]).succeeded();
    assert_eq!(typed(&["call", "account/1001", "transfer", "\"1002\"", "5"]).succeeded(), "5\n");
    let refused = typed(&["call", "counter/a", "add", "x"]);
    assert!(refused.stderr.contains("argument 1: i64 is expected, not the text \"x\""), "{refused:?}");
    assert!(!refused.stderr.contains("msgpack"), "{refused:?}");
}

#[test]
fn an_actor_without_a_history_says_why() {
    let cluster = Cluster::start(1);
    let refused = |words: &[&str]| {
        let node = ["--node", cluster.nodes[0].web.address()];
        let finished = finish(cluster.folder.path(), words.iter().chain(&node).copied());
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{words:?}: {finished:?}");
        finished.stderr
    };
    for verb in ["log", "show", "verify"] {
        let said = refused(&["actor", verb, "counter/nobody"]);
        assert!(said.starts_with("error[not_found]: counter/nobody never existed"), "{said}");
        let said = refused(&["actor", verb, "echo/x"]);
        assert!(said.starts_with("error[not_supported]: `echo` is volatile"), "{said}");
    }
    let said = refused(&["actor", "pause", "echo/x"]);
    assert!(said.starts_with("error[not_supported]: `echo` is volatile"), "{said}");
}

/// What a node is called, or why an actor was paused, does not reach the terminal as an order.
#[test]
fn control_characters_are_shown_and_not_sent() {
    let cluster = Cluster::start(1);
    let folder = cluster.folder.path().to_owned();
    let named = finish(&folder, ["up", "--data", "evil", "--name", "\u{1b}[2Jevil\u{9b}1m"]);
    assert_eq!(named.code, Some(2), "{named:?}");
    let node = cluster.nodes[0].web.address().to_owned();
    let typed = |words: &[&str]| finish(&folder, words.iter().copied().chain(["--node", node.as_str()]));
    let reason = "an \u{1b}]0;audit\u{7}";
    let said = [
        named,
        typed(&["actor", "pause", "counter/a", reason]),
        typed(&["call", "counter/a", "add", "1"]),
        typed(&["node", "drain", "\u{1b}c"]),
    ];
    for finished in &said {
        let text = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{finished:?}");
    }
    assert!(said[0].stderr.contains("\\u{1b}"), "{:?}", said[0]);
    assert!(said[2].stderr.starts_with("error[paused]: "), "{:?}", said[2]);
}

#[test]
fn several_nodes_are_tried_and_a_key_is_taken_once() {
    let cluster = Cluster::start(1);
    let nodes = format!("{},{}", nobody(), cluster.nodes[0].web.address());
    let typed = |words: &[&str]| {
        finish(cluster.folder.path(), words.iter().copied().chain(["--node", nodes.as_str()])).succeeded()
    };
    for _ in 0..3 {
        assert_eq!(typed(&["send", "counter/a", "add", "5", "--key", "invoice-17"]), "accepted\n");
        assert_eq!(typed(&["call", "counter/a", "add", "5", "--key", "invoice-17"]), "5\n");
    }
    assert_eq!(typed(&["call", "counter/a", "get", "--header", "X-Team: shop"]), "5\n");
}

#[test]
fn a_node_behind_a_proxy_is_asked_by_https() {
    let cluster = Cluster::start(1);
    let port = proxy::start(cluster.nodes[0].web.address());
    let authority = crate::tree::root().join("tests/tests/all/real/command_line/authority.pem");
    let typed = |authority: &std::path::Path, words: &[&str]| {
        let mut command = Command::new(gritmesh());
        command.args(words).args(["--node", &format!("https://localhost:{port}")]);
        command.env("SSL_CERT_FILE", authority);
        let mut process = Process::start(&mut command, cluster.folder.path(), "https");
        let code = process.ended().code();
        Finished { code, stdout: process.stdout(), stderr: process.stderr() }
    };
    assert_eq!(typed(&authority, &["call", "counter/a", "add", "5"]).succeeded(), "5\n");
    assert!(typed(&authority, &["cluster", "status"]).succeeded().contains("1 of 1 up"));
    // Nothing is said to a node whose certificate nobody trusts.
    let empty = cluster.folder.path().join("none.pem");
    std::fs::write(&empty, "").unwrap();
    let refused = typed(&empty, &["call", "counter/a", "add", "5"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("certificate"), "{refused:?}");
    assert_eq!(cluster.add_one(0, "counter/a"), 6);
}
