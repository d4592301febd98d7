//! What a request may use, and what happens beyond it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{start, start_ready};
use crate::config::{Limits, Settings};
use crate::http::BODY_BYTES_MAX;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_problems_too() {
    let node = start_ready().await;
    for path in ["/", "/v1", "/v1/call", "/v1/call/a/b/c/d", "/v2/cluster", "/%00"] {
        assert_eq!(node.post(path, "").problem(), (404, "not_found"), "{path}");
    }
    for (method, path) in [("GET", "/v1/call/counter/a/add"), ("PUT", "/v1/cluster"), ("DELETE", "/livez")] {
        assert_eq!(node.request(method, path, &[], b"").problem(), (405, "method_not_allowed"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_is_refused_and_the_largest_is_not() {
    let node = start_ready().await;
    let largest = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX - 2));
    let answer = node.post("/v1/call/echo/x/echo", &largest);
    assert_eq!(answer.value.as_str().map(str::len), Some(BODY_BYTES_MAX - 2));
    let head = format!(
        "POST /v1/call/echo/x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    );
    // The announced length alone is enough.
    assert_eq!(node.raw(head.as_bytes(), b"\"").problem(), (413, "payload_too_large"));
    let head = "POST /v1/call/echo/x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = vec![b'1'; BODY_BYTES_MAX + 1];
    let body = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n0\r\n\r\n"].concat();
    assert_eq!(node.raw(head.as_bytes(), &body).problem(), (413, "payload_too_large"));
    assert_eq!(node.get("/livez").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_http_leave_the_node_standing() {
    let node = start_ready().await;
    let garbage: [&[u8]; 4] =
        [b"\0\xff\xfe garbage \r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", &[b'A'; 100_000]];
    for head in garbage {
        let status = node.raw(head, b"").status;
        assert!((status == 0 || (400..500).contains(&status)), "{status}");
    }
    // Cut off in the middle of a body.
    let mut stream = TcpStream::connect(node.node.http_address().unwrap()).unwrap();
    stream
        .write_all(b"POST /v1/call/counter/a/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n12")
        .unwrap();
    drop(stream);
    assert_eq!(node.post("/v1/call/counter/a/get", "").value, json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_node_refuses_calls_and_still_shows_its_health() {
    let limits = Limits { http_requests: 1, ..Limits::default() };
    let node = start(|builder| {
        let settings = Settings { limits, ..builder.current().clone() };
        builder.settings(settings)
    })
    .await;
    node.ready().await;
    std::thread::scope(|scope| {
        // The probes below may come first and keep it out.
        let slow = scope.spawn(|| while node.post("/v1/call/trouble/a/sleep", "2000").status != 200 {});
        let deadline = Instant::now() + Duration::from_secs(20);
        let refused = loop {
            assert!(Instant::now() < deadline, "the slow call never took the only place");
            let answer = node.post("/v1/call/counter/a/get", "");
            if answer.status != 200 {
                break answer;
            }
        };
        assert_eq!(refused.problem(), (503, "busy"));
        for path in ["/livez", "/readyz", "/metrics", "/v1/cluster", "/v1/actors"] {
            assert_eq!(node.get(path).status, 200, "{path}");
        }
        slow.join().unwrap();
    });
    assert_eq!(node.post("/v1/call/counter/a/get", "").status, 200);
}

/// More bodies than may be awaited from one address, and than requests may run, and none of them comes.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come_hold_nobody_up() {
    let limits = Limits { http_requests: 64, ..Limits::default() };
    let node = start(|builder| {
        let settings = Settings { limits, ..builder.current().clone() };
        builder.settings(settings)
    })
    .await;
    node.ready().await;
    let head = "POST /v1/call/counter/slow/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 300\r\n\r\n[";
    let slow = || {
        let mut stream = TcpStream::connect(node.node.http_address().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let mut waiting: Vec<TcpStream> = (0..300).map(|_| slow()).collect();
    for id in 0..20 {
        assert_eq!(node.post(&format!("/v1/call/counter/{id}/add"), "[1]").value, json!(1));
    }
    let order = json!({ "reason": "its body came" }).to_string();
    assert_eq!(node.post("/v1/actors/counter/slow/pause", &order).status, 200);
    assert_eq!(node.get("/v1/cluster").status, 200);
    // The first of them have given way, and were told; well before the time that a body may take.
    let mut text = String::new();
    waiting[0].read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("request_timeout"), "{text}");
    assert!(text.contains("too many bodies were awaited"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_answers_what_was_accepted() {
    let node = start_ready().await;
    let mut stream = TcpStream::connect(node.node.http_address().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let body = "POST /v1/call/trouble/a/sleep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n500";
    stream.write_all(body.as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !node.node.inner_metrics().contains("gritmesh_actors 1") {
        assert!(Instant::now() < deadline, "the call never arrived");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    node.node.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("500"), "{text}");
    assert!(TcpStream::connect(node.node.http_address().unwrap()).is_err());
    node.node.shutdown().await;
}
