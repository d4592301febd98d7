//! More connections than a node has files for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Started, start};

/// Files with which a node has so many connections.
const OPEN_FILES: u64 = 256;
const CONNECTIONS: usize = 48;

async fn with_few_files() -> Started {
    let node = start(|builder| builder.open_files(OPEN_FILES)).await;
    node.ready().await;
    node
}

/// A connection on which so much is said.
fn saying(node: &Started, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.node.http_address().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

fn count(node: &Started, metric: &str) -> u64 {
    let metrics = node.get("/metrics").value;
    let line = metrics.as_str().unwrap().lines().find_map(|line| line.strip_prefix(metric).map(str::trim));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_rest_give_way_and_requests_do_not() {
    let node = with_few_files().await;
    let call = "POST /v1/call/trouble/a/sleep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Connection: close\r\nContent-Length: 4\r\n\r\n3000";
    let under_way = saying(&node, call);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !node.node.inner_metrics().contains("gritmesh_actors 1") {
        assert!(Instant::now() < deadline, "the call never arrived");
        tokio::task::yield_now().await;
    }
    // The beginning of a head is no request.
    let idle = |number: usize| saying(&node, ["", "GET /livez HT"][number % 2]);
    let mut idle: Vec<TcpStream> = (0..2 * CONNECTIONS).map(idle).collect();
    for _ in 0..3 {
        assert_eq!(node.get("/livez").status, 200);
    }
    for oldest in idle.drain(..CONNECTIONS) {
        assert_eq!(rest(oldest), "", "it is ended without a word");
    }
    assert!(count(&node, "gritmesh_http_connections_crowded_out_total") >= CONNECTIONS as u64);
    assert_eq!(count(&node, "gritmesh_http_connections_refused_total"), 0);
    let answer = rest(under_way);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("3000"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_rests_a_connection_is_refused_in_words() {
    let node = with_few_files().await;
    let begun = "POST /v1/call/counter/a/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Expect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let mut serving: Vec<TcpStream> = (0..CONNECTIONS).map(|_| saying(&node, begun)).collect();
    for stream in &mut serving {
        // Its request is served from here on.
        stream.read_exact(&mut [0; "HTTP/1.1 100 Continue".len()]).unwrap();
    }
    assert_eq!(node.get("/livez").problem(), (503, "busy"));
    serving[0].write_all(b"[1]").unwrap();
    // Once it is answered, its connection rests.
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.get("/livez").status != 200 {
        assert!(Instant::now() < deadline, "an answered request still holds its connection");
    }
    let answer = rest(serving.swap_remove(0));
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
}
