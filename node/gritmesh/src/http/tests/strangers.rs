//! Those who have no business here: pages of other sites, and hosts that this node is not.

use serde_json::json;

use super::{Started, start};
use crate::config::Settings;

/// Every path, with the method that it takes.
const ROUTES: [(&str, &str); 23] = [
    ("POST", "/v1/call/counter/x/add"),
    ("POST", "/v1/send/counter/x/add"),
    ("GET", "/v1/cluster"),
    ("GET", "/v1/shards"),
    ("GET", "/v1/where/counter/x"),
    ("GET", "/v1/actors"),
    ("GET", "/v1/actors/account/x/log"),
    ("GET", "/v1/actors/account/x/show"),
    ("GET", "/v1/actors/account/x/verify"),
    ("GET", "/v1/actors/account/x/outbox"),
    ("GET", "/v1/actors/account/x/paused"),
    ("POST", "/v1/actors/account/x/pause"),
    ("POST", "/v1/actors/account/x/resume"),
    ("GET", "/v1/actors/account/x/letters"),
    ("POST", "/v1/actors/account/x/letters/replay"),
    ("POST", "/v1/actors/account/x/letters/drop"),
    ("POST", "/v1/node/drain"),
    ("POST", "/v1/node/undrain"),
    ("POST", "/v1/node/forget"),
    ("GET", "/v1/node/dead-letters"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
];

async fn named() -> Started {
    let node = start(|builder| {
        let http_hosts = vec!["mesh.example.org".parse().unwrap()];
        let settings = Settings { http_hosts, ..builder.current().clone() };
        builder.settings(settings)
    })
    .await;
    node.ready().await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_are_refused_on_every_route() {
    let node = named().await;
    for (method, path) in ROUTES {
        for origin in ["http://evil.net", "null"] {
            let answer = node.request(method, path, &[("Origin", origin)], b"");
            assert_eq!(answer.problem(), (403, "forbidden"), "{path}");
        }
    }
    // What a browser asks before it sends JSON for a page.
    let asks = [("Origin", "http://evil.net"), ("Access-Control-Request-Method", "POST")];
    assert_eq!(node.request("OPTIONS", ROUTES[0].1, &asks, b"").problem(), (403, "forbidden"));
    let own = [("Host", "mesh.example.org"), ("Origin", "https://mesh.example.org")];
    assert_eq!(node.request("POST", ROUTES[0].1, &own, b"[1]").value, json!(1), "none of the others has run");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_this_node_is_not_are_refused_on_every_route() {
    let node = named().await;
    for (method, path) in ROUTES {
        let answer = node.request(method, path, &[("Host", "evil.net")], b"");
        assert_eq!(answer.problem(), (421, "misdirected"), "{path}");
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]", "Mesh.Example.ORG:443"] {
        assert_eq!(node.request("GET", "/livez", &[("Host", host)], b"").status, 200, "{host}");
    }
    let bare = node.raw(b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", b"");
    assert_eq!(bare.problem(), (400, "bad_request"));
    let old = node.raw(b"GET /livez HTTP/1.0\r\n\r\n", b"");
    assert_eq!(old.status, 200, "a client from before there was such a header");
    let twice = node
        .raw(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.net\r\nConnection: close\r\n\r\n", b"");
    assert_eq!(twice.problem(), (400, "bad_request"));
    let target = "GET http://evil.net/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(node.raw(target.as_bytes(), b"").problem(), (400, "bad_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_to_say_that_it_is_json() {
    let node = named().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        for (method, path) in ROUTES.into_iter().filter(|(method, _)| *method == "POST") {
            let answer = node.request(method, path, &[("Content-Type", kind)], b"[1]");
            assert_eq!(answer.problem(), (415, "unsupported_media_type"), "{path}");
        }
    }
    let head = "POST /v1/call/counter/x/add HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(node.raw(head.as_bytes(), b"[1]").problem(), (415, "unsupported_media_type"));
    let head = "POST /v1/call/counter/x/get HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(
        node.raw(head.as_bytes(), b"").value,
        json!(0),
        "none of it has run, and no body needs no type"
    );
}

/// What only those may do who look after the node.
const ADMINISTRATIVE: [(&str, &str); 8] = [
    ("POST", "/v1/actors/account/x/pause"),
    ("POST", "/v1/actors/account/x/resume"),
    ("POST", "/v1/actors/account/x/letters/replay"),
    ("POST", "/v1/actors/account/x/letters/drop"),
    ("POST", "/v1/node/drain"),
    ("POST", "/v1/node/undrain"),
    ("POST", "/v1/node/forget"),
    ("GET", "/v1/node/dead-letters"),
];

/// What proxies of many makes say.
const PROXY_HEADERS: [&str; 24] = [
    "Forwarded",
    "X-Forwarded-For",
    "x-forwarded-proto",
    "X-Forwarded-Prefix",
    "X-Original-Forwarded-For",
    "X-Host-Forwarded-For",
    "Via",
    "X-Real-IP",
    "X-Client-IP",
    "Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "X-Envoy-External-Address",
    "X-Azure-ClientIP",
    "X-Azure-SocketIP",
    "X-AppEngine-User-IP",
    "X-NF-Client-Connection-IP",
    "X-Remote-IP",
    "X-Originating-IP",
    "X-ProxyUser-IP",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_on_this_machine_is_no_operator() {
    let node = named().await;
    for header in PROXY_HEADERS {
        for (method, path) in ADMINISTRATIVE {
            let answer = node.request(method, path, &[(header, "for=192.0.2.1")], b"");
            assert_eq!(answer.problem(), (401, "unauthorized"), "{header} {path}");
        }
        let call = node.request("POST", ROUTES[0].1, &[(header, "x")], b"[1]");
        assert_eq!(call.status, 200, "whom a proxy lets through may call");
    }
    let with_token = start(|builder| {
        let token = crate::config::Confidential::new("t0ken");
        let settings = Settings { token, ..builder.current().clone() };
        builder.settings(settings)
    })
    .await;
    let headers = [("Via", "1.1 proxy"), ("Authorization", "Bearer t0ken")];
    let answer = with_token.request("GET", "/v1/node/dead-letters", &headers, b"");
    assert_eq!(answer.value, json!([]), "the token counts, whoever passes it on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_stand_once_does_not_stand_twice() {
    let node = named().await;
    let call = "/v1/call/counter/twice/add";
    for (name, value) in [
        ("X-Tenant", "default"),
        ("X-Deadline", "5s"),
        ("Idempotency-Key", "k"),
        ("Authorization", "Bearer x"),
        ("Content-Type", "application/json"),
        ("Origin", "http://localhost"),
        ("Host", "localhost"),
    ] {
        let answer = node.request("POST", call, &[(name, value), (name, value)], b"[1]");
        assert_eq!(answer.problem(), (400, "bad_request"), "{name}");
    }
    let tenants = [("X-Tenant", "acme"), ("X-Tenant", "other")];
    assert_eq!(node.request("POST", call, &tenants, b"[1]").problem(), (400, "bad_request"));
    for query in ["timeout=5s&timeout=5s", "timeout=5s&timeout=6s", "timeout=5s&time%6Fut=6s"] {
        assert_eq!(node.post(&format!("{call}?{query}"), "[1]").problem(), (400, "bad_request"), "{query}");
    }
    assert_eq!(node.get("/v1/actors?type=a&type=b").problem(), (400, "bad_request"));
    assert_eq!(node.get("/v1/actors/account/x/log?limit=1&limit=2").problem(), (400, "bad_request"));
    let order = r#"{"reason": "a", "reason": "b"}"#;
    assert_eq!(node.post("/v1/actors/account/x/pause", order).problem(), (400, "bad_request"));
    assert_eq!(node.post(call, "[1]").value, json!(1), "none of it has run");
}
