//! Those who have no business here: pages of other sites, and hosts that this node is not.

use serde_json::json;

use super::{Started, start};
use crate::config::Settings;

/// Every path, with the method that it takes.
const ROUTES: [(&str, &str); 20] = [
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
