use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn segments_are_encoded() {
    assert_eq!(encoded("a/b c%é?"), "a%2Fb%20c%25%C3%A9%3F");
    assert_eq!(encoded("a-b_c.d~1"), "a-b_c.d~1");
}

/// An address where nobody is.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Answers one request with these bytes, and closes. What it was asked is returned at its end.
fn somebody(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        // The head, and a body of two bytes if one is announced.
        while !heard.ends_with(b"\r\n\r\n") && !heard.ends_with(b"{}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            heard.push(byte[0]);
            if heard.starts_with(b"POST") && heard.ends_with(b"\r\n\r\n") {
                let mut body = [0; 2];
                stream.read_exact(&mut body).unwrap();
                heard.extend(body);
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(heard).unwrap()
    });
    (address, serving)
}

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntrue";

fn among(nodes: &[&str]) -> Ask {
    Ask::among(nodes.iter().map(|node| node.parse().unwrap()).collect(), PATIENCE)
}

#[test]
fn nobody_there_is_a_refusal_of_the_same_form() {
    let address = nobody();
    for refusal in [
        among(&[&address]).get("/v1/cluster").unwrap_err(),
        among(&[&address]).post("/v1/cluster", &json!({})).unwrap_err(),
    ] {
        assert_eq!(refusal.code(), "unreachable");
        assert!(refusal.detail().contains(&address), "{refusal:?}");
    }
}

#[test]
fn the_next_node_is_asked_where_nobody_is_reached() {
    let (absent, other) = (nobody(), nobody());
    let (present, serving) = somebody(DONE);
    let ask = among(&[&absent, &other, &present]);
    assert_eq!(ask.post("/x", &json!({})), Ok(json!(true)));
    assert_eq!(ask.first.load(Ordering::Relaxed), 2, "it is asked first from now on");
    assert!(serving.join().unwrap().starts_with("POST /x HTTP/1.1\r\n"));
    let refusal = among(&[&absent, &other]).get("/x").unwrap_err();
    assert!(refusal.detail().contains(&absent) && refusal.detail().contains(&other), "{refusal:?}");
}

#[test]
fn a_wrong_token_does_not_read_like_a_missing_one() {
    const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 43\r\nConnection: close\r\n\r\n\
                           {\"code\":\"unauthorized\",\"detail\":\"send one\"}";
    let asked = |dress: &dyn Fn(Ask) -> Ask| {
        let (node, serving) = somebody(REFUSED);
        let refusal = dress(among(&[&node])).get("/x").unwrap_err();
        serving.join().unwrap();
        assert_eq!(refusal.code(), "unauthorized");
        refusal.detail().to_owned()
    };
    assert_eq!(asked(&|ask| ask), "send one");
    let wrong = "the node does not accept the token that was given: send one";
    assert_eq!(asked(&|ask| ask.with_token(Some("wrong".into()))), wrong);
    assert_eq!(asked(&|ask| ask.with_headers(vec!["authorization: Bearer wrong".parse().unwrap()])), wrong);
}

/// Whoever hears nothing after an order does not give it to another node.
#[test]
fn an_order_that_was_sent_is_not_given_again() {
    for (answer, code) in [
        ("", "unknown_outcome"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{", "unknown_outcome"),
        ("HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 4\r\n\r\nlost", "unknown_outcome"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsoup", "not_a_node"),
        ("\u{13}/multistream/1.0.0\n", "not_a_node"),
    ] {
        let ((one, first), other) = (somebody(answer), nobody());
        let refusal = among(&[&one, &other]).post("/x", &json!({})).unwrap_err();
        assert_eq!(refusal.code(), code, "{answer:?}: {refusal:?}");
        first.join().unwrap();
    }
    // A question may be asked of another one.
    let ((one, first), (other, second)) = (somebody(""), somebody(DONE));
    assert_eq!(among(&[&one, &other]).get("/x"), Ok(json!(true)));
    drop((first.join().unwrap(), second.join().unwrap()));
}

#[test]
fn what_is_given_by_hand_replaces_what_would_be_sent() {
    let (node, serving) = somebody(DONE);
    let headers = vec!["X-Proxy: one".parse().unwrap(), "authorization: Basic two".parse().unwrap()];
    let ask = among(&[&node]).with_headers(headers).with_token(Some("three".into())).with_tenant("acme");
    assert_eq!(ask.post("/x", &json!({})), Ok(json!(true)));
    let heard = serving.join().unwrap().to_lowercase();
    for line in ["x-proxy: one\r\n", "authorization: basic two\r\n", "x-tenant: acme\r\n"] {
        assert!(heard.contains(line), "{line:?} is missing in {heard}");
    }
    assert!(!heard.contains("three"), "{heard}");
}

/// A server that speaks no TLS, or whose certificate nobody trusts, is not given the order.
#[test]
fn https_is_spoken_or_nothing_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = format!("https://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 3];
        stream.read_exact(&mut hello).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        hello
    });
    let refusal = among(&[&node]).post("/x", &json!({})).unwrap_err();
    assert_eq!(refusal.code(), "unreachable", "{refusal:?}");
    assert_eq!(serving.join().unwrap()[..2], [0x16, 0x03], "a handshake of TLS");
}
