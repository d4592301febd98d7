//! Requests that cannot be served: a problem document each, with a code that never changes.

use serde_json::json;

use crate::process::{Cluster, Web, finish, until};

/// Asserts what is answered to a POST.
#[track_caller]
fn refused(web: &Web, path: &str, body: impl Into<Vec<u8>>, status: u16, code: &str) {
    let answer = web.post(path, body).expect("the node answers");
    assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{path}");
}

#[test]
fn bad_calls_have_stable_codes_and_are_counted() {
    let cluster = Cluster::start(2);
    let web = &cluster.nodes[0].web;
    let call = "/v1/call/counter/alice/add";
    refused(web, "/v1/call/nosuch/alice/add", "[1]", 404, "unknown_type");
    refused(web, "/v1/send/nosuch/alice/add", "[1]", 404, "unknown_type");
    refused(web, "/v1/call/counter/alice/nosuch", "[1]", 404, "unknown_method");
    refused(web, call, "[1", 400, "bad_arguments");
    refused(web, call, "[1, 2]", 400, "bad_arguments");
    refused(web, call, "[\"one\"]", 400, "bad_arguments");
    refused(web, call, "\u{0}", 400, "bad_arguments");
    refused(web, call, [0xff, 0xfe], 400, "bad_arguments");
    refused(web, call, "[".repeat(100_000), 400, "bad_arguments");
    refused(web, call, format!("[\"{}\"]", "x".repeat(3 * 1024 * 1024)), 413, "payload_too_large");
    refused(web, &format!("/v1/call/counter/{}/add", "x".repeat(300)), "[1]", 400, "bad_address");
    refused(web, "/v1/call/counter/%00/add", "[1]", 400, "bad_address");
    refused(web, "/v1/call/counter/%ff/add", "[1]", 400, "bad_address");
    refused(web, &format!("{call}?timeout=soon"), "[1]", 400, "bad_request");
    refused(web, &format!("{call}?timeout=0s"), "[1]", 400, "bad_request");
    refused(web, &format!("{call}?colour=red"), "[1]", 400, "bad_request");
    refused(web, &format!("{call}?delay=1s"), "[1]", 400, "bad_request");
    refused(web, "/v1/nosuch", "[1]", 404, "not_found");
    refused(web, "/v1/cluster", "[1]", 405, "method_not_allowed");
    let answer = web.get(call).expect("the node answers");
    assert_eq!((answer.status, answer.problem().as_str()), (405, "method_not_allowed"));
    let answer = web.get("/v1/actors?limit=many").expect("the node answers");
    assert_eq!((answer.status, answer.problem().as_str()), (400, "bad_request"));
    let text = web.get("/metrics").expect("the node answers").text;
    for code in ["unknown_type", "bad_arguments", "payload_too_large", "not_found"] {
        assert!(text.contains(&format!("code=\"{code}\"")), "{code} is not counted");
    }
    assert_eq!(web.call("counter/alice", "add", &json!([1])), Ok(json!(1)), "none of it has run");
}

#[test]
fn a_path_that_is_too_long_is_refused_and_the_node_goes_on() {
    let cluster = Cluster::start(1);
    let web = &cluster.nodes[0].web;
    let long = |bytes: usize| format!("/v1/call/counter/{}/add", "x".repeat(bytes));
    // Within the memory for a head: the address is too long. Beyond it: the head is.
    refused(web, &long(40_000), "[1]", 400, "bad_address");
    let answer = web.post(&long(200_000), "[1]");
    assert!(answer.as_ref().is_none_or(|answer| [414, 431].contains(&answer.status)), "{answer:?}");
    assert!(web.is_ready());
}

/// What an actor refuses by its own error reaches the caller with it, from another node too.
#[test]
fn an_actors_own_error_is_told_from_the_clusters() {
    let cluster = Cluster::start(2);
    for node in &cluster.nodes {
        let answer = node.web.post("/v1/call/counter/full/add", format!("[{}]", i64::MAX)).unwrap();
        if answer.status == 200 {
            continue;
        }
        assert_eq!((answer.status, answer.problem().as_str()), (422, "actor_error"));
        assert_eq!(answer.value()["error"]["Overflow"]["n"], i64::MAX);
        assert_eq!(answer.value()["retryable"], false);
    }
}

/// The command line shows the same codes.
#[test]
fn the_command_line_shows_the_code_and_what_to_do() {
    let cluster = Cluster::start(1);
    let folder = cluster.folder.path();
    let node = cluster.nodes[0].web.address();
    for (arguments, code) in [
        (&["call", "nosuch/x", "add", "1"][..], "unknown_type"),
        (&["call", "counter/x", "nosuch"], "unknown_method"),
        (&["call", "counter/x", "add", "x"], "bad_arguments"),
        (&["send", "nosuch/x", "add", "1"], "unknown_type"),
        (&["shard", "where", "nosuch/x"], "unknown_type"),
    ] {
        let finished = finish(folder, arguments.iter().copied().chain(["--node", node]));
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.starts_with(&format!("error[{code}]: ")), "{finished:?}");
        assert!(finished.stderr.lines().count() <= 2, "a line, and a hint where there is one: {finished:?}");
    }
    let peers = &cluster.nodes[0].peers;
    let finished = finish(folder, ["cluster", "status", "--node", peers.as_str()]);
    assert_eq!(finished.code, Some(5), "{finished:?}");
    let finished = finish(folder, ["call", "counter/x", "add", "x", "-o", "json", "--node", node]);
    let problem: serde_json::Value = serde_json::from_str(&finished.stdout).expect("a problem document");
    assert_eq!(problem["code"], "bad_arguments");
    until("the node goes on", || cluster.nodes[0].web.is_ready().then_some(()));
}
