//! A node that stops sends its clients elsewhere before it is gone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Started, start};
use crate::NodeBuilder;
use crate::config::{Settings, Timeouts};

const PATIENCE: Duration = Duration::from_secs(20);

fn with_lame_duck(lame_duck: Duration) -> impl FnOnce(NodeBuilder) -> NodeBuilder {
    move |builder| {
        let timeouts = Timeouts { lame_duck, ..Timeouts::default() };
        let settings = Settings { timeouts, ..builder.current().clone() };
        builder.settings(settings)
    }
}

/// A connection that is kept open between requests.
struct Kept(TcpStream);

impl Kept {
    fn open(node: &Started) -> Self {
        let stream = TcpStream::connect(node.node.http_address().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Calls a counter, and returns the head and the body of the answer.
    fn add_one(&mut self) -> (String, String) {
        let request = "POST /v1/call/counter/a/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                       Content-Length: 3\r\n\r\n[1]";
        self.0.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).is_ok_and(|count| count == 0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_says_so_before_it_closes() {
    let node = start(with_lame_duck(Duration::from_secs(120))).await;
    node.ready().await;
    let (mut one, mut other) = (Kept::open(&node), Kept::open(&node));
    for total in ["1", "2"] {
        let (head, body) = one.add_one();
        assert_eq!((head.contains("connection: close"), body.as_str()), (false, total), "{head}");
    }
    assert_eq!(other.add_one().1, "3");
    let stopping = tokio::spawn({
        let node = node.node.clone();
        async move { node.shutdown().await }
    });
    let deadline = Instant::now() + PATIENCE;
    while node.get("/readyz").status == 200 {
        assert!(Instant::now() < deadline, "it never says that it stops");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(node.get("/readyz").value["waits_for"].to_string().contains("stopping"));
    // Connections from before are served, each a last time, and new ones are taken.
    for (kept, total) in [(&mut one, "4"), (&mut other, "5")] {
        assert!(!stopping.is_finished());
        let (head, body) = kept.add_one();
        assert_eq!((head.contains("connection: close"), body.as_str()), (true, total), "{head}");
        assert!(kept.is_closed());
    }
    assert_eq!(node.post("/v1/call/counter/a/add", "[1]").value, json!(6));
    // Nobody has a connection any more: there is nothing to wait for.
    tokio::time::timeout(PATIENCE, stopping).await.expect("it ends early").unwrap();
    assert!(TcpStream::connect(node.node.http_address().unwrap()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_closes_is_waited_for_no_longer_than_is_set() {
    let node = start(with_lame_duck(Duration::from_millis(300))).await;
    let mut idle = Kept::open(&node);
    let started = Instant::now();
    tokio::time::timeout(PATIENCE, node.node.shutdown()).await.expect("it does not wait for ever");
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    assert!(idle.is_closed());
}
