//! Durable actors by HTTP: keys, histories, pauses, letters.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, Started, start, start_on, start_ready};
use crate::{Context, actor, handlers};

/// Tells listeners what an older build of theirs cannot read.
#[actor]
#[derive(Default, Serialize, Deserialize)]
struct Speaker {
    said: u64,
}

#[handlers]
impl Speaker {
    async fn say(&mut self, to: String, n: u64, ctx: &mut Context<'_>) -> u64 {
        self.said += 1;
        ctx.actor::<Listener>(&to).hear(n).send().await.expect("one message is sent");
        self.said
    }
}

#[actor]
#[derive(Default, Serialize, Deserialize)]
struct Listener {
    heard: Vec<u64>,
}

#[handlers]
impl Listener {
    fn hear(&mut self, n: u64) -> Vec<u64> {
        self.heard.push(n);
        self.heard.clone()
    }
}

/// The listener as it was before it could hear.
#[actor(name = "listener")]
#[derive(Default, Serialize, Deserialize)]
struct DeafListener;

#[handlers]
impl DeafListener {
    fn poke(&mut self) {}
}

const ALICE: &str = "/v1/actors/account/alice";

async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !look() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn keyed(node: &Started, path: &str, key: &str, body: &str) -> Answer {
    node.request("POST", path, &[("Idempotency-Key", key)], body.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gets_the_same_answer_and_runs_once() {
    let node = start_ready().await;
    let add = |key, n| keyed(&node, "/v1/call/counter/a/add", key, n).value;
    assert_eq!([add("k", "5"), add("k", "5"), add("k", "7"), add("l", "1")], [5, 5, 5, 6].map(Value::from));
    let refused = || keyed(&node, "/v1/call/account/a/withdraw", "w", "1");
    assert_eq!(refused().problem(), (422, "actor_error"));
    node.post("/v1/call/account/a/deposit", "5");
    assert_eq!(refused().problem(), (422, "actor_error"), "a refusal is an answer, too");
    let elsewhere = [("Idempotency-Key", "k"), ("X-Tenant", "acme")];
    assert_eq!(node.request("POST", "/v1/call/counter/a/add", &elsewhere, b"3").value, json!(3));
    let longest = "k".repeat(1024);
    assert_eq!(add(&longest, "1"), json!(7));
    assert_eq!(add(&longest, "1"), json!(7));
    for bad in [&"k".repeat(1025), "", "k\u{e9}", "a\tb"] {
        let answer = keyed(&node, "/v1/call/counter/a/add", bad, "1");
        assert_eq!(answer.problem(), (400, "bad_request"), "{bad:?}");
    }
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    assert_eq!(node.request("POST", "/v1/call/counter/a/add", &twice, b"1").problem(), (400, "bad_request"));
    assert_eq!(keyed(&node, "/v1/call/echo/a/echo", "k", "1").problem(), (501, "not_supported"));
    assert_eq!(node.post("/v1/call/counter/a/get", "").value, json!(7));
    for _ in 0..2 {
        assert_eq!(keyed(&node, "/v1/send/counter/a/add", "sent", "10").status, 202);
    }
    assert_eq!(add("last", "0"), json!(17), "it came after both messages, of which one ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_shown_and_proven() {
    let node = start_ready().await;
    assert_eq!(node.get(&format!("{ALICE}/log")).problem(), (404, "not_found"));
    node.post("/v1/call/account/alice/deposit", "10");
    node.post("/v1/call/account/alice/transfer", r#"["bob", 4]"#);
    until("bob has it", || node.post("/v1/call/account/bob/balance", "").value == json!(4)).await;
    let log = node.get(&format!("{ALICE}/log")).value;
    let methods: Vec<&str> =
        log.as_array().unwrap().iter().map(|step| step["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["transfer", "deposit"]);
    assert_eq!(
        (&log[0]["number"], &log[0]["sent"], &log[0]["previous"]),
        (&json!(2), &json!(1), &log[1]["id"])
    );
    let first = log[1]["id"].as_str().unwrap();
    let from = node.get(&format!("{ALICE}/log?from={first}&limit=5")).value;
    assert_eq!(from, json!([log[1]]));
    let theirs = node.get("/v1/actors/account/bob/log?limit=1").value;
    assert_eq!((&theirs[0]["from"], &theirs[0]["sequence"]), (&json!("account/alice"), &json!(1)));

    let shown = node.get(&format!("{ALICE}/show")).value;
    assert_eq!(
        (&shown["state"]["balance"], &shown["number"], &shown["receivers"]),
        (&json!(6), &json!(2), &json!(1))
    );
    assert_eq!(node.get(&format!("{ALICE}/show?step={first}")).value["state"]["balance"], json!(10));
    let proof = node.get(&format!("{ALICE}/verify")).value;
    assert_eq!((&proof["head"], &proof["steps"], &proof["whole"]), (&log[0]["id"], &json!(2), &json!(true)));
    let part = node.get(&format!("{ALICE}/verify?limit=1")).value;
    assert_eq!((&part["steps"], &part["whole"]), (&json!(1), &json!(false)));

    for bad in ["log?limit=many", "log?from=12", "show?step=xyz", "show?stop=1", "verify?limit=-1"] {
        assert_eq!(node.get(&format!("{ALICE}/{bad}")).problem(), (400, "bad_request"), "{bad}");
    }
    // A step is its actor's alone: not another one's, and not the same id's of another tenant.
    let nowhere = [
        &format!("{ALICE}/show?step={}", "0".repeat(64)),
        &format!("/v1/actors/account/bob/show?step={first}"),
    ];
    for path in nowhere {
        assert_eq!(node.get(path).problem(), (404, "not_found"), "{path}");
    }
    let tenant = [("X-Tenant", "acme")];
    node.request("POST", "/v1/call/account/alice/deposit", &tenant, b"1");
    for rest in ["show", "log"] {
        let parameter = if rest == "log" { "from" } else { "step" };
        let path = format!("{ALICE}/{rest}?{parameter}={first}");
        assert_eq!(node.request("GET", &path, &tenant, b"").problem(), (404, "not_found"), "{path}");
    }
    assert_eq!(node.get("/v1/actors/nobody/alice/log").problem(), (404, "unknown_type"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_actor_refuses_and_keeps_what_is_sent_to_it() {
    let node = start_ready().await;
    node.post("/v1/call/account/alice/deposit", "10");
    let bob = "/v1/actors/account/bob";
    assert_eq!(node.get(&format!("{bob}/paused")).value, Value::Null);
    assert_eq!(
        node.post(&format!("{bob}/pause"), r#"{"reason": "an audit"}"#).value["reason"],
        json!("an audit")
    );
    let paused = || node.get(&format!("{bob}/paused")).value["reason"] == json!("an audit");
    until("it says that it is paused", paused).await;
    let refused = node.post("/v1/call/account/bob/balance", "");
    assert_eq!(refused.problem(), (409, "paused"));
    assert!(refused.value["detail"].as_str().unwrap().contains("an audit"), "{refused:?}");
    assert_eq!(node.post("/v1/call/account/alice/transfer", r#"["bob", 4]"#).value, json!(6));
    let outbox = || node.get(&format!("{ALICE}/outbox")).value;
    until("it waits", || outbox() != json!([])).await;
    let outbox = outbox();
    assert_eq!(
        (&outbox[0]["receiver"], &outbox[0]["method"], &outbox[0]["arguments"]),
        (&json!("account/bob"), &json!("credit"), &json!([4]))
    );
    assert_eq!(node.post(&format!("{bob}/resume"), "").value["paused"], json!(false));
    until("it arrives", || node.post("/v1/call/account/bob/balance", "").value == json!(4)).await;
    until("it is acknowledged", || node.get(&format!("{ALICE}/outbox")).value == json!([])).await;
    // An actor that is in memory is paused, too.
    assert_eq!(node.post(&format!("{bob}/pause"), "").status, 200);
    until("it refuses", || node.post("/v1/call/account/bob/balance", "").status == 409).await;
    let long = json!({ "reason": "x".repeat(1025) }).to_string();
    for bad in ["{", "[]", r#"{"why": "x"}"#, r#"{"reason": 5}"#, &long] {
        assert_eq!(node.post(&format!("{bob}/pause"), bad).problem(), (400, "bad_request"), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_replayed_once_its_receiver_can_read_it() {
    let data = TempDir::new().unwrap();
    let deaf = start_on(&data, |builder| builder.register::<Speaker>().register::<DeafListener>()).await;
    deaf.ready().await;
    for n in ["7", "8", "9"] {
        deaf.post("/v1/call/speaker/ann/say", &format!(r#"["bob", {n}]"#));
    }
    let bob = "/v1/actors/listener/bob";
    let letters = |node: &Started| node.get(&format!("{bob}/letters")).value;
    until("the letters are there", || letters(&deaf).as_array().is_some_and(|list| list.len() == 3)).await;
    let first = &letters(&deaf)[0];
    assert_eq!(
        (&first["sender"], &first["sequence"], &first["method"], &first["code"]),
        (&json!("speaker/ann"), &json!(1), &json!("hear"), &json!("unknown_method"))
    );
    let which = |sequence: u64| json!({ "sender": "speaker/ann", "sequence": sequence }).to_string();
    assert_eq!(deaf.post(&format!("{bob}/letters/replay"), &which(1)).problem(), (404, "unknown_method"));
    assert_eq!(letters(&deaf).as_array().unwrap().len(), 3, "what still cannot be read stays");
    deaf.node.shutdown().await;
    drop(deaf);

    let node = start_on(&data, |builder| builder.register::<Speaker>().register::<Listener>()).await;
    node.ready().await;
    assert_eq!(node.post(&format!("{bob}/letters/replay"), &which(2)).value, json!([8]));
    assert_eq!(node.post(&format!("{bob}/letters/replay"), &which(2)).problem(), (404, "not_found"));
    assert_eq!(node.post(&format!("{bob}/letters/drop"), &which(3)).value, json!({"dropped": true}));
    assert_eq!(node.post(&format!("{bob}/letters/drop"), &which(4)).problem(), (404, "not_found"));
    assert_eq!(node.post(&format!("{bob}/letters/drop"), "").problem(), (400, "bad_request"));
    assert_eq!(node.post(&format!("{bob}/letters/replay"), &which(1)).value, json!([8, 7]));
    until("none is left", || letters(&node) == json!([])).await;
    // What comes from now on is read in its turn.
    node.post("/v1/call/speaker/ann/say", r#"["bob", 1]"#);
    let heard = || node.get(&format!("{bob}/show")).value["state"]["heard"].clone();
    until("it is heard", || heard() == json!([8, 7, 1])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_guarded_and_a_nodes_own_methods_cannot_be_called() {
    let node = start(|builder| {
        let token = crate::config::Confidential::new("t0ken");
        let settings = crate::config::Settings { token, ..builder.current().clone() };
        builder.settings(settings)
    })
    .await;
    node.ready().await;
    for order in ["pause", "resume", "letters/replay", "letters/drop"] {
        let path = format!("{ALICE}/{order}");
        assert_eq!(node.post(&path, "{}").problem(), (401, "unauthorized"), "{order}");
    }
    let token = [("Authorization", "Bearer t0ken")];
    assert_eq!(node.request("POST", &format!("{ALICE}/pause"), &token, b"").status, 200);
    for (verb, method) in [("call", "$resume"), ("send", "$resume"), ("call", "%24log"), ("call", "$nothing")]
    {
        let answer = node.post(&format!("/v1/{verb}/account/alice/{method}"), "");
        assert_eq!(answer.problem(), (404, "unknown_method"), "{verb} {method}");
    }
    assert_eq!(node.post("/v1/call/account/alice/balance", "").problem(), (409, "paused"));
}
