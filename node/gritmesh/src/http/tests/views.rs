//! What is shown of the cluster, health, metrics and administration.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{start, start_ready};

#[tokio::test(flavor = "multi_thread")]
async fn one_node_shows_itself() {
    let node = start(|builder| builder.name("one").zone("z")).await;
    node.ready().await;
    let cluster = node.get("/v1/cluster").value;
    assert_eq!(
        (&cluster["name"], &cluster["shards"], &cluster["shards_led"]),
        (&json!("one"), &json!(64), &json!(64))
    );
    let member = &cluster["members"][0];
    assert_eq!(
        (&member["zone"], &member["this_node"], &member["shards"]),
        (&json!("z"), &json!(true), &json!(64))
    );
    assert_eq!(member["types"], json!(["account", "counter", "echo", "trouble"]));
    assert_eq!(member["http_address"], node.node.http_address().unwrap().to_string());
    // Being ready is to lead; calls wait for the moment until what is led is served.
    let deadline = Instant::now() + Duration::from_secs(20);
    let shards = loop {
        let shards = node.get("/v1/shards").value;
        if shards.as_array().unwrap().iter().all(|shard| shard["state"] == "serving") {
            break shards;
        }
        assert!(Instant::now() < deadline, "{shards}");
    };
    assert_eq!((shards.as_array().unwrap().len(), &shards[63]["replicas"]), (64, &json!(["one"])));

    let place = node.get("/v1/where/counter/alice").value;
    assert_eq!(
        (&place["name"], &place["active"], &place["shard"]),
        (&json!("one"), &json!(false), &json!(60))
    );
    node.post("/v1/call/counter/alice/add", "1");
    assert_eq!(node.get("/v1/where/counter/alice").value["active"], json!(true));
    assert_eq!(node.get("/v1/where/nobody/alice").problem(), (404, "unknown_type"));

    let actors = node.get("/v1/actors").value;
    assert_eq!((&actors["total"], &actors["actors"][0]["address"]), (&json!(1), &json!("counter/alice")));
    assert_eq!(node.get("/v1/actors?type=echo").value["actors"], json!([]));
    assert_eq!(node.get("/v1/actors?limit=0").value["actors"], json!([]));
    assert_eq!(node.get("/v1/actors?limit=many").problem(), (400, "bad_request"));
    assert_eq!(node.get("/v1/actors?limits=1").problem(), (400, "bad_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_lives_before_it_is_ready() {
    let node = start(|builder| builder.seeds(["127.0.0.1:1"])).await;
    assert_eq!(node.get("/livez").value, json!({"alive": true}));
    let waiting = node.get("/readyz");
    assert_eq!((waiting.status, &waiting.value["ready"]), (503, &json!(false)));
    assert!(waiting.value["waits_for"][0].as_str().unwrap().contains("a cluster"), "{waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_more_when_asked() {
    let node = start_ready().await;
    assert_eq!(node.get("/readyz").value, json!({"ready": true, "waits_for": [], "notes": []}));
    assert!(node.get("/readyz?verbose").value["notes"][0].as_str().unwrap().contains("alone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_one_text_in_which_each_family_stands_once() {
    let node = start_ready().await;
    node.post("/v1/call/counter/a/get", "");
    node.post("/v1/call/counter/a/nope", "1");
    let answer = node.get("/metrics");
    let text = answer.value.as_str().unwrap();
    assert!(answer.kind.starts_with("application/openmetrics-text"));
    let counted =
        r#"gritmesh_http_requests_total{route="/v1/call/{type}/{id}/{method}",code="unknown_method"} 1"#;
    assert!(text.contains(counted), "{text}");
    assert!(
        text.contains("\ngritmesh_actors 1\n") && text.contains("gritmesh_peer_connections 0\n"),
        "{text}"
    );
    assert_eq!((text.matches("# EOF").count(), text.ends_with("# EOF\n")), (1, true));
    let mut families: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let all = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_the_work_and_answer_for_each_other() {
    let first = start(|builder| builder.name("first")).await;
    first.ready().await;
    let seed = first.node.peer_address().to_string();
    let second = start(|builder| builder.name("second").seeds([seed])).await;
    second.ready().await;
    let shares = |node: &super::Started| {
        node.node.status().members.iter().map(|member| member.shards).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while [&first, &second].iter().any(|node| shares(node).iter().any(|shards| !(25..40).contains(shards))) {
        assert!(Instant::now() < deadline, "{:?} {:?}", shares(&first), shares(&second));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for id in 0..40 {
        assert_eq!(first.post(&format!("/v1/call/counter/{id}/add"), "1").value, json!(1));
        assert_eq!(second.post(&format!("/v1/call/counter/{id}/add"), "1").value, json!(2));
    }
    let all = first.get("/v1/actors?all=true&type=counter").value;
    assert_eq!((&all["total"], &all["unreachable"]), (&json!(40), &json!([])));
    let hosts: std::collections::BTreeSet<&str> =
        all["actors"].as_array().unwrap().iter().map(|actor| actor["node"].as_str().unwrap()).collect();
    assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["first", "second"]);

    assert_eq!(second.post("/v1/node/drain", "").status, 202);
    tokio::time::timeout(Duration::from_secs(20), second.node.drain()).await.expect("drained");
    assert_eq!(second.get("/readyz").status, 503);
    assert_eq!(second.get("/v1/where/counter/7").value["name"], json!("first"));
    assert_eq!(second.post("/v1/call/counter/7/add", "1").status, 200, "it still routes calls");
    second.node.shutdown().await;
}

/// One node serves HTTP and the other none: an address of HTTP does not say who answers there, or whether somebody does.
#[tokio::test(flavor = "multi_thread")]
async fn another_node_is_asked_and_ordered_by_the_peers() {
    let first = start(|builder| builder.name("first")).await;
    first.ready().await;
    let seed = first.node.peer_address().to_string();
    let second = start(|builder| {
        let settings = crate::config::Settings { http: "off".into(), ..builder.current().clone() };
        builder.settings(settings).name("second").seeds([seed])
    })
    .await;
    second.ready().await;
    assert_eq!(second.node.http_address(), None);
    let deadline = Instant::now() + Duration::from_secs(20);
    let theirs = loop {
        let all = first.get("/v1/cluster").value;
        let second = all["members"].as_array().unwrap().iter().find(|it| it["name"] == "second").cloned();
        match second {
            Some(member) if member["shards"].as_u64() >= Some(25) => break member["node_id"].clone(),
            _ => assert!(Instant::now() < deadline, "{all}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    for id in 0..40 {
        assert_eq!(first.post(&format!("/v1/call/counter/{id}/add"), "1").value, json!(1));
    }
    let all = first.get("/v1/actors?all=true&type=counter").value;
    assert_eq!((&all["total"], &all["unreachable"]), (&json!(40), &json!([])));
    let hosts: std::collections::BTreeSet<&str> =
        all["actors"].as_array().unwrap().iter().map(|actor| actor["node"].as_str().unwrap()).collect();
    assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["first", "second"]);
    for id in 0..40 {
        assert_eq!(first.get(&format!("/v1/where/counter/{id}")).value["active"], json!(true), "{id}");
    }

    let path = format!("/v1/node?node={}", theirs.as_str().unwrap());
    assert_eq!(first.get(&path).value["name"], json!("second"));
    let nobody = json!({ "node": "0".repeat(64) }).to_string();
    assert_eq!(first.post("/v1/node/drain", &nobody).problem(), (404, "unknown_node"));
    assert_eq!(first.post("/v1/node/drain", r#"{"node": "second"}"#).problem(), (400, "bad_request"));
    let order = json!({ "node": theirs }).to_string();
    let answer = first.post("/v1/node/drain", &order);
    assert_eq!((answer.status, &answer.value["name"]), (202, &json!("second")));
    tokio::time::timeout(Duration::from_secs(20), second.node.drain()).await.expect("drained");
    let (drained, own) = (first.get(&path).value, first.get("/v1/node").value);
    assert_eq!((&drained["draining"], &drained["shards_led"]), (&json!(true), &json!(0)));
    assert_eq!((&own["name"], &own["draining"]), (&json!("first"), &json!(false)));
    assert_eq!(first.post("/v1/node/drain", "").problem(), (409, "last_node"));
    assert_eq!(first.post("/v1/node/forget", &order).problem(), (409, "node_alive"));
    second.node.shutdown().await;
    let gone = first.post("/v1/node/drain", &order);
    assert_eq!(gone.problem(), (503, "node_down"));
    let forgotten = first.post("/v1/node/forget", &order);
    assert_eq!((forgotten.status, &forgotten.value["unreached"]), (200, &json!([])));
    assert_eq!(first.get("/v1/cluster").value["members"].as_array().unwrap().len(), 1);
    assert_eq!(first.post("/v1/node/forget", &order).problem(), (404, "unknown_node"));
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_is_for_this_machine_or_a_token() {
    let open = start_ready().await;
    let page = [("Origin", "http://example.org")];
    assert_eq!(open.request("POST", "/v1/node/drain", &page, b"").problem(), (403, "forbidden"));
    let closed = start(|builder| {
        let token = crate::config::Confidential::new("t0ken");
        let settings = crate::config::Settings { token, ..builder.current().clone() };
        builder.settings(settings)
    })
    .await;
    closed.ready().await;
    assert_eq!(closed.post("/v1/node/drain", "").problem(), (401, "unauthorized"));
    let order = br#"{"force": true}"#;
    let drain = |token| closed.request("POST", "/v1/node/drain", &[("Authorization", token)], order).status;
    let refused = ["Bearer nope", "t0ken", "Basic t0ken", "Bearert0ken", "Bearer t0ken x", ""];
    assert_eq!(refused.map(drain), [401; 6]);
    assert_eq!(["Bearer t0ken", "bearer t0ken", "BEARER  t0ken"].map(drain), [202; 3]);
}
