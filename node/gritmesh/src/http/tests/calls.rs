//! Calls and messages, and every way in which they fail.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{start, start_ready};

#[tokio::test(flavor = "multi_thread")]
async fn arguments_come_as_an_array_or_alone_or_not_at_all() {
    let node = start_ready().await;
    assert_eq!(node.post("/v1/call/counter/a/add", "[5]").value, json!(5));
    assert_eq!(node.post("/v1/call/counter/a/add", " 2 ").value, json!(7));
    assert_eq!(node.post("/v1/call/counter/a/get", "").value, json!(7));
    assert_eq!(node.post("/v1/call/counter/a/get", "[]").value, json!(7));
    let value = json!({"list": [1, 2.5, null, true, "é"], "deep": {"x": {}}});
    let echoed = node.post("/v1/call/echo/x/echo", &value.to_string());
    assert_eq!((echoed.status, echoed.kind.as_str(), &echoed.value), (200, "application/json", &value));
    let headers = [("Content-Type", "application/json; charset=utf-8")];
    assert_eq!(node.request("POST", "/v1/call/counter/a/add", &headers, b"1").value, json!(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_decoded_and_tenants_are_apart() {
    let node = start_ready().await;
    assert_eq!(node.post("/v1/call/counter/a%2Fb%20%C3%A9/add", "1").value, json!(1));
    let reference = node.node.actor::<crate::samples::Counter>("a/b é");
    assert_eq!(reference.add(1).await.unwrap(), 2);
    let other = [("X-Tenant", "acme")];
    assert_eq!(node.request("POST", "/v1/call/counter/a%2Fb%20%C3%A9/add", &other, b"1").value, json!(1));
    let bad = node.request("POST", "/v1/call/counter/a/add", &[("X-Tenant", "ac me")], b"1");
    assert_eq!(bad.problem(), (400, "bad_address"));
    assert_eq!(node.post("/v1/call/counter/%FF/add", "1").problem(), (400, "bad_address"));
    assert_eq!(node.post("/v1/call/coun%20ter/a/add", "1").problem(), (400, "bad_address"));
    assert_eq!(node.post("/v1/call/counter//add", "1").problem(), (400, "bad_address"));
    let long = "x".repeat(256);
    assert_eq!(node.post(&format!("/v1/call/counter/{long}/add"), "1").problem(), (400, "bad_address"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_status_and_code() {
    let node = start_ready().await;
    for (path, body, status, code) in [
        ("counter/a/add", "{", 400, "bad_arguments"),
        ("counter/a/add", "\"five\"", 400, "bad_arguments"),
        ("counter/a/add", "[1, 2]", 400, "bad_arguments"),
        ("nobody/a/add", "1", 404, "unknown_type"),
        ("counter/a/sub", "1", 404, "unknown_method"),
        ("account/a/withdraw", "5", 422, "actor_error"),
        ("trouble/a/panic", "", 500, "panicked"),
        ("trouble/a/answer_without_json", "", 500, "bad_answer"),
        ("trouble/unloadable/panic", "", 500, "activation_failed"),
        ("trouble/a/sleep?timeout=50ms", "60000", 504, "unknown_outcome"),
        ("trouble/q/doze?timeout=50ms", "60000", 504, "no_answer"),
        ("echo/a/echo", "18446744073709551616", 400, "bad_arguments"),
        ("echo/a/echo", "[{\"a\": [-9223372036854775809]}]", 400, "bad_arguments"),
    ] {
        let answer = node.post(&format!("/v1/call/{path}"), body);
        assert_eq!(answer.problem(), (status, code), "{path} {body}: {answer:?}");
    }
    let refused = node.post("/v1/call/trouble/b/refuse", "\"no\"");
    assert_eq!(refused.value["error"], json!({"why": "no"}));
    assert_eq!(refused.value["detail"], "the refusal says no");
    let deadlocked = node.post("/v1/call/trouble/c/call_back", "");
    assert_eq!(deadlocked.value["error"], json!({"why": "deadlock"}));
    assert_eq!(node.post("/v1/call/counter/a/get", "").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_reaches_nobody_may_be_tried_again() {
    // It looks for a seed that is not there, so it never founds a cluster.
    let node = start(|builder| builder.seeds(["127.0.0.1:1"])).await;
    let answer = node.post("/v1/call/counter/a/add?timeout=100ms", "1");
    assert_eq!(answer.problem(), (503, "not_delivered"));
    assert_eq!((answer.retry_after.as_deref(), &answer.value["retryable"]), (Some("1"), &json!(true)));
    assert_eq!(node.get("/v1/where/counter/a").problem(), (503, "no_leader"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_says_when_to_come_back() {
    let node = start_ready().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    // One runs, one waits, and the next is too many. Which of them is refused is for the race to say.
    std::thread::scope(|scope| {
        let call = || node.post("/v1/call/trouble/full/sleep?timeout=10s", "700");
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(call)).collect();
        let answers: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
        assert!(!refused.is_empty() && refused.len() < 4, "{answers:?}");
        for answer in refused {
            assert_eq!(answer.problem(), (429, "overloaded"));
            assert!(answer.value["retry_after_ms"].as_u64().unwrap() > 0);
        }
    });
    assert!(Instant::now() < deadline);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_may_ask_is_checked() {
    let node = start_ready().await;
    let call = "/v1/call/counter/a/add";
    for query in ["?timeout=5", "?timeout=soon", "?timeout=0s", "?timeout=48h", "?delay=5s", "?time=5s"] {
        assert_eq!(node.post(&format!("{call}{query}"), "1").problem(), (400, "bad_request"), "{query}");
    }
    let headers = [("X-Deadline", "5s")];
    assert_eq!(node.request("POST", call, &headers, b"1").value, json!(1));
    let both = node.request("POST", &format!("{call}?timeout=1s"), &headers, b"1");
    assert_eq!(both.problem(), (400, "bad_request"));
    assert_eq!(node.post("/v1/call/counter/a/get", "").value, json!(1), "what was refused did not run");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_accepted_and_delayed_ones_wait() {
    let node = start_ready().await;
    let sent = Instant::now();
    let accepted = node.post("/v1/send/counter/a/add?delay=300ms", "1");
    assert_eq!((accepted.status, &accepted.value["delay_ms"]), (202, &json!(300)));
    assert_eq!(accepted.value["kept_in"], "memory");
    assert!(accepted.value["detail"].as_str().unwrap().contains("lost if the node stops"), "{accepted:?}");
    let volatile = node.post("/v1/send/echo/a/echo", "1").value["detail"].clone();
    assert!(volatile.as_str().unwrap().contains("keeps nothing"), "{volatile}");
    assert_eq!(node.post("/v1/send/counter/a/add", "10").status, 202);
    let total = || node.post("/v1/call/counter/a/get", "").value;
    let deadline = sent + Duration::from_secs(20);
    while total() != json!(11) {
        assert!(Instant::now() < deadline, "the total is {}", total());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(sent.elapsed() >= Duration::from_millis(300));
    assert_eq!(node.post("/v1/send/nobody/a/add", "1").problem(), (404, "unknown_type"));
    assert_eq!(node.post("/v1/send/counter/a/add", "{").problem(), (400, "bad_arguments"));
}

/// The largest message that one tenant after the other sends for tomorrow.
#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_does_not_take_the_room_of_the_others() {
    let node = start_ready().await;
    let body = format!("\"{}\"", "x".repeat(2_000_000));
    let send = |tenant: &str| {
        let headers = [("X-Tenant", tenant)];
        node.request("POST", "/v1/send/echo/x/echo?delay=20h", &headers, body.as_bytes())
    };
    let accepted = (0..33).take_while(|_| send("greedy").status == 202).count();
    assert!((1..33).contains(&accepted), "{accepted}");
    let refused = send("greedy");
    assert_eq!(refused.problem(), (429, "overloaded"));
    assert!(refused.value["detail"].as_str().unwrap().contains("greedy"), "{refused:?}");
    for tenant in ["b", "c", "d"] {
        assert_eq!(send(tenant).status, 202, "{tenant}");
    }
}
