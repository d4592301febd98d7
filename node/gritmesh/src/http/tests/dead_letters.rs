//! Messages that nobody waits for: refused while that can be known, and kept when they come to nothing later.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Started, start, start_ready};
use crate::{actor, handlers};

/// What a node of a newer build hosts.
#[actor(name = "clerk")]
#[derive(Default, Serialize, Deserialize)]
struct Clerk {
    filed: u64,
}

#[handlers]
impl Clerk {
    fn file(&mut self, pages: u64) -> u64 {
        self.filed += pages;
        self.filed
    }
}

/// And one of an older.
#[actor(name = "clerk")]
#[derive(Default, Serialize, Deserialize)]
struct OldClerk;

#[handlers]
impl OldClerk {
    fn rest(&mut self) {}
}

/// Waits for the newest dead letter to be for this actor.
async fn buried(node: &Started, actor: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let letters = node.get("/v1/node/dead-letters?limit=1").value;
        if letters[0]["actor"] == actor {
            return letters[0].clone();
        }
        assert!(Instant::now() < deadline, "{actor}: {letters}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_to_fail_is_not_accepted() {
    let node = start_ready().await;
    for (path, body, status, code) in [
        ("counter/a/sub", "1", 404, "unknown_method"),
        ("counter/a/add", "\"five\"", 400, "bad_arguments"),
        ("counter/a/add", "[1, 2]", 400, "bad_arguments"),
        ("counter/a/add", "", 400, "bad_arguments"),
        ("counter/a/add?delay=1h", "[null]", 400, "bad_arguments"),
        ("counter/a/sub?delay=1h", "1", 404, "unknown_method"),
        ("trouble/a/panic", "1", 400, "bad_arguments"),
        ("nobody/a/add", "1", 404, "unknown_type"),
    ] {
        let answer = node.post(&format!("/v1/send/{path}"), body);
        assert_eq!(answer.problem(), (status, code), "{path} {body}: {answer:?}");
    }
    let detail = node.post("/v1/send/counter/a/sub", "1").value["detail"].clone();
    assert!(detail.as_str().unwrap().contains("it has: add, get"), "{detail}");
    assert_eq!(node.get("/v1/node/dead-letters").value, json!([]), "nothing of it was accepted");
    assert_eq!(node.get("/v1/node/dead-letters?limit=x").problem(), (400, "bad_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_later_is_counted_and_kept() {
    let node = start_ready().await;
    for (actor, method, body, code) in [
        ("trouble/a", "refuse", "[\"no\"]", "actor_error"),
        ("trouble/b", "panic", "", "panicked"),
        ("trouble/unloadable", "panic", "", "activation_failed"),
        ("account/a", "withdraw", "[5]", "actor_error"),
    ] {
        assert_eq!(node.post(&format!("/v1/send/{actor}/{method}"), body).status, 202);
        let letter = buried(&node, actor).await;
        assert_eq!((&letter["method"], &letter["code"]), (&json!(method), &json!(code)), "{letter}");
        assert!(!letter["detail"].as_str().unwrap().is_empty() && letter["time_unix_ms"].as_u64() > Some(0));
    }
    assert_eq!(node.get("/v1/node/dead-letters?limit=9").value[1]["arguments"], json!([]), "it did not run");
    assert_eq!(node.post("/v1/actors/account/b/pause", "").status, 200);
    assert_eq!(node.post("/v1/send/account/b/deposit", "[7]").status, 202);
    let letter = buried(&node, "account/b").await;
    assert_eq!((&letter["code"], &letter["arguments"]), (&json!("paused"), &json!([7])));
    let metrics = node.get("/metrics").value;
    let metrics = metrics.as_str().unwrap();
    for (code, count) in [("actor_error", 2), ("panicked", 1), ("activation_failed", 1), ("paused", 1)] {
        let line = format!("gritmesh_dead_letters_total{{code=\"{code}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    // A call has somebody who waits.
    assert_eq!(node.post("/v1/call/account/a/withdraw", "[5]").problem(), (422, "actor_error"));
    assert_eq!(node.get("/v1/node/dead-letters").value.as_array().unwrap().len(), 5);
}

/// The node that takes the message knows a method that the node of the actor does not have.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_build_cannot_read_is_kept_there() {
    let new = start(|builder| builder.register::<Clerk>()).await;
    new.ready().await;
    let seed = new.node.peer_address().to_string();
    let old = start(|builder| builder.register::<OldClerk>().name("old").seeds([seed])).await;
    old.ready().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let led_by_old = loop {
        let led = |id: &u32| new.get(&format!("/v1/where/clerk/{id}")).value["name"] == "old";
        if let Some(id) = (0..200).find(led) {
            break format!("clerk/{id}");
        }
        assert!(Instant::now() < deadline, "the second node never got its share");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(new.post(&format!("/v1/send/{led_by_old}/file"), "[3]").status, 202);
    let letter = buried(&old, &led_by_old).await;
    assert_eq!((&letter["code"], &letter["arguments"]), (&json!("unknown_method"), &json!([3])));
}
