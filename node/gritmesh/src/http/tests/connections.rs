//! What a connection may do between, beside and after its requests.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::{Started, parse, start, start_ready};
use crate::config::{Settings, Timeouts};

fn connect(node: &Started) -> TcpStream {
    let stream = TcpStream::connect(node.node.http_address().unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

const HEAD: &str =
    "POST /v1/call/counter/x/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_more_still_gets_its_answer() {
    let node = start_ready().await;
    for (method, body, expected) in [("counter/x/add", "[1]", "1"), ("trouble/x/sleep", "300", "300")] {
        let mut stream = connect(&node);
        let request =
            format!("{}Content-Length: {}\r\n\r\n{body}", HEAD.replace("counter/x/add", method), body.len());
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let text = rest(&mut stream);
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with(&format!("\r\n\r\n{expected}")), "{text}");
    }
    // A body that is cut off is none, and nobody waits for the rest of it.
    let mut stream = connect(&node);
    stream.write_all(format!("{HEAD}Content-Length: 30\r\n\r\n[1").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = rest(&mut stream);
    assert!(answer.is_empty() || parse(answer.as_bytes()).status == 400, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_rests_as_long_as_it_may() {
    assert_eq!(Settings::default().timeouts.keep_alive, Duration::from_secs(75));
    let keep_alive = Duration::from_secs(2);
    let node = start(|builder| {
        let timeouts = Timeouts { keep_alive, ..Timeouts::default() };
        let settings = Settings { timeouts, ..builder.current().clone() };
        builder.settings(settings)
    })
    .await;
    let mut stream = connect(&node);
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let rested = Instant::now();
    let text = rest(&mut stream);
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("{\"alive\":true}"), "{text}");
    assert!(rested.elapsed() >= keep_alive, "{:?}", rested.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_length() {
    let node = start_ready().await;
    let chunks = "3\r\n[1]\r\n0\r\n\r\n";
    for lengths in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "transfer-encoding: CHUNKED\r\ncontent-length: 18\r\n",
    ] {
        let mut stream = connect(&node);
        let hidden = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(format!("{HEAD}{lengths}\r\n{chunks}{hidden}").as_bytes()).unwrap();
        let text = rest(&mut stream);
        assert!(text.starts_with("HTTP/1.1 400") && text.contains("not both"), "{lengths}: {text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "nothing behind it is served: {text}");
    }
    // Behind another request of the same connection, whose body looks like a head.
    let mut stream = connect(&node);
    let first = format!("{HEAD}Content-Length: 3\r\n\r\n[1]");
    let both = format!("{HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    stream.write_all(first.as_bytes()).unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"HTTP/1.1 200 OK");
    stream.write_all(both.as_bytes()).unwrap();
    assert!(rest(&mut stream).contains("HTTP/1.1 400"));
    // Chunks alone are fine, and the last thing on their connection.
    let mut stream = connect(&node);
    stream.write_all(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes()).unwrap();
    let text = rest(&mut stream);
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("connection: close") && text.ends_with("\r\n2"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_no_coding_but_chunks() {
    let node = start_ready().await;
    let chunks = "3\r\n[1]\r\n0\r\n\r\n";
    let hidden = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for coding in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: , chunked",
        "Transfer-Encoding: x;q=\",\", chunked",
    ] {
        let mut stream = connect(&node);
        stream.write_all(format!("{HEAD}{coding}\r\n\r\n{chunks}{hidden}").as_bytes()).unwrap();
        let text = rest(&mut stream);
        assert_eq!(parse(text.as_bytes()).problem(), (501, "not_supported"), "{coding}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "nothing behind it is served: {text}");
    }
    // Of these, the end cannot be known.
    for coding in ["gzip", "chunked, gzip", "identity"] {
        let mut stream = connect(&node);
        stream.write_all(format!("{HEAD}Transfer-Encoding: {coding}\r\n\r\n{chunks}").as_bytes()).unwrap();
        let text = rest(&mut stream);
        assert!(text.starts_with("HTTP/1.1 400"), "{coding}: {text}");
    }
    let mut stream = connect(&node);
    stream.write_all(format!("{HEAD}Transfer-Encoding: Chunked\r\n\r\n{chunks}").as_bytes()).unwrap();
    assert!(rest(&mut stream).starts_with("HTTP/1.1 200"));
}
