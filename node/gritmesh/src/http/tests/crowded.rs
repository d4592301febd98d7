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

/// A call of an actor of its own that takes so long.
fn slow_call(actor: usize, millis: u64) -> String {
    let body = millis.to_string();
    format!(
        "POST /v1/call/trouble/a{actor}/sleep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Waits until as many actors are called.
async fn until_called(node: &Started, actors: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !node.node.inner_metrics().contains(&format!("gritmesh_actors {actors}\n")) {
        assert!(Instant::now() < deadline, "the calls never arrived");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_rest_give_way_and_requests_do_not() {
    let node = with_few_files().await;
    let under_way = saying(&node, &slow_call(0, 3000));
    until_called(&node, 1).await;
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
    let serving: Vec<TcpStream> =
        (0..CONNECTIONS).map(|number| saying(&node, &slow_call(number, 3000))).collect();
    until_called(&node, CONNECTIONS).await;
    assert_eq!(node.get("/livez").problem(), (503, "busy"));
    for stream in serving {
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("3000"), "{answer}");
    }
    assert_eq!(node.get("/livez").status, 200);
}

/// Requests whose bodies do not come give way to one another before they have taken all connections.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come_leave_room_for_others() {
    let node = with_few_files().await;
    let begun = "POST /v1/call/counter/a/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 3\r\n\r\n";
    let begin = |_| {
        let stream = saying(&node, "");
        // One that has given way already takes no more.
        let _ = (&stream).write_all(begun.as_bytes());
        stream
    };
    let mut waiting: Vec<TcpStream> = (0..2 * CONNECTIONS).map(begin).collect();
    // One that had not said what it wants when it gave way is cut.
    let answers: Vec<String> = waiting.drain(..CONNECTIONS).map(rest).collect();
    let is_right = |answer: &String| answer.is_empty() || answer.starts_with("HTTP/1.1 408");
    assert!(answers.iter().all(is_right) && answers.iter().any(|answer| !answer.is_empty()), "{answers:?}");
    for _ in 0..3 {
        assert_eq!(node.get("/livez").status, 200);
    }
}
