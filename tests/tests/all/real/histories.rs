//! Histories of durable actors by the command line: what people type, and what they see.

use serde_json::{Value, json};

use crate::process::{Cluster, Finished, finish, until};

/// A command through the second node, whoever leads the actor's shard.
fn typed(cluster: &Cluster, words: &[&str]) -> Finished {
    let node = cluster.nodes[1].web.address();
    finish(cluster.folder.path(), words.iter().copied().chain(["--node", node]))
}

/// The same as JSON.
fn shown(cluster: &Cluster, words: &[&str]) -> Value {
    let printed = typed(cluster, &[words, &["-o", "json"]].concat()).succeeded();
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[test]
fn a_log_is_shown_searched_and_proven() {
    let cluster = Cluster::start(3);
    for _ in 0..12 {
        cluster.add_one(0, "counter/alice");
    }
    let log = || typed(&cluster, &["actor", "log", "counter/alice", "--limit", "5"]).succeeded();
    // What was answered is committed; the leader writes it to its own tables a moment later.
    let log = until("the log has all steps", || Some(log()).filter(|log| log.contains(" 12 ")));
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 6, "{log}");
    for word in ["STEP", "ID", "TIME", "METHOD", "FROM", "BYTES", "SENT"] {
        assert!(lines[0].contains(word), "{log}");
    }
    assert!(lines[1].trim_start().starts_with("12 ") && lines[1].contains(" add "), "{log}");
    let steps = shown(&cluster, &["actor", "log", "counter/alice", "--from", "7", "--limit", "100"]);
    let numbers: Vec<u64> =
        steps.as_array().unwrap().iter().map(|step| step["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [7, 6, 5, 4, 3, 2, 1]);
    let third = steps[4]["id"].as_str().unwrap();
    for named in ["3", &third[..14], third] {
        let state = shown(&cluster, &["actor", "show", "counter/alice", "--step", named]);
        assert_eq!(state["state"], json!({"total": 3}), "{named}");
    }
    let state = typed(&cluster, &["actor", "show", "counter/alice"]).succeeded();
    assert!(state.contains("\"total\": 12"), "{state}");
    let proof = typed(&cluster, &["actor", "verify", "counter/alice"]).succeeded();
    assert!(proof.starts_with("ok: 12 steps, head "), "{proof}");

    for (words, code) in [
        (&["actor", "log", "counter/nobody"][..], "not_found"),
        (&["actor", "show", "counter/alice", "--step", "13"], "not_found"),
        (&["actor", "show", "counter/bob", "--step", third], "not_found"),
        (&["actor", "verify", "counter/nobody"], "not_found"),
        (&["actor", "letters", "drop", "counter/alice", "counter/bob", "1"], "not_found"),
        (&["call", "counter/alice", "$log"], "unknown_method"),
        (&["actor", "log", "counter/alice", "--tenant", "acme"], "not_found"),
    ] {
        let refused = typed(&cluster, words);
        assert_eq!(refused.code, Some(1), "{words:?}: {refused:?}");
        assert!(refused.stderr.starts_with(&format!("error[{code}]: ")), "{words:?}: {refused:?}");
    }
}

#[test]
fn a_paused_account_gets_its_money_when_it_goes_on() {
    let cluster = Cluster::start(3);
    let call = |words: &[&str]| typed(&cluster, &[&["call"], words].concat()).succeeded();
    call(&["account/alice", "deposit", "10", "--key", "one"]);
    call(&["account/alice", "deposit", "10", "--key", "one"]);
    let said = typed(&cluster, &["actor", "pause", "account/bob", "an audit"]).succeeded();
    assert_eq!(said, "account/bob is paused: an audit\n");
    until("it refuses", || {
        let refused = typed(&cluster, &["call", "account/bob", "balance"]);
        refused.stderr.starts_with("error[paused]: ").then_some(())
    });
    assert_eq!(call(&["account/alice", "transfer", "bob", "4"]), "6\n");
    until("the credit waits", || {
        let outbox = shown(&cluster, &["actor", "outbox", "account/alice"]);
        (outbox[0]["receiver"] == "account/bob" && outbox[0]["arguments"] == json!([4])).then_some(())
    });
    let table = typed(&cluster, &["actor", "outbox", "account/alice"]).succeeded();
    assert!(table.contains("account/bob") && table.contains("credit") && table.contains("[4]"), "{table}");
    assert_eq!(typed(&cluster, &["actor", "resume", "account/bob"]).succeeded(), "account/bob goes on\n");
    until("bob has it", || (call(&["account/bob", "balance"]) == "4\n").then_some(()));
    until("it is acknowledged", || {
        (shown(&cluster, &["actor", "outbox", "account/alice"]) == json!([])).then_some(())
    });
    let log = typed(&cluster, &["actor", "log", "account/bob"]).succeeded();
    assert!(log.contains("account/alice #1"), "{log}");
    assert_eq!(shown(&cluster, &["actor", "letters", "ls", "account/bob"]), json!([]));
}

#[test]
fn shards_are_listed_with_their_replicas() {
    let cluster = Cluster::start(3);
    until("every shard has three replicas", || {
        let shards = shown(&cluster, &["shard", "ls"]);
        let whole = |shard: &Value| shard["replicas"].as_array().is_some_and(|replicas| replicas.len() == 3);
        shards.as_array().unwrap().iter().all(whole).then_some(())
    });
    let table = typed(&cluster, &["shard", "ls"]);
    for word in ["LEADER", "REPLICAS", "TERM", "MOVING", "node-1"] {
        assert!(table.stdout.contains(word), "{}", table.stdout);
    }
    assert!(table.stderr.contains("64 of 64 led, 64 with 3 replicas"), "{}", table.stderr);
}
