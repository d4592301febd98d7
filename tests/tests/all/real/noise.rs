//! Bytes that mean nothing, on both ports of a running node.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use gritmesh_runtime::Seed;

use crate::process::{Cluster, until};

/// How long a stranger may be kept waiting before it is let go. A node waits 30 s for the head of a request.
const STRANGER_TIME_MAX: Duration = Duration::from_secs(50);

/// Lengths around the borders of what the protocols read at once.
const LENGTHS: [usize; 8] = [0, 1, 3, 4, 19, 100, 4096, 70_000];

/// Writes, and reads until the other side has had enough.
fn throw(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(STRANGER_TIME_MAX)).unwrap();
    // It may be cut off at any point.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the node keeps a stranger"),
        _ => answer,
    }
}

fn noise() -> impl Iterator<Item = Vec<u8>> {
    let mut rng = Seed::from_number(2).rng();
    LENGTHS.into_iter().map(move |length| {
        let mut bytes = vec![0; length];
        rng.fill(&mut bytes);
        bytes
    })
}

#[test]
fn noise_on_the_peer_port_is_counted_and_disturbs_nobody() {
    let mut cluster = Cluster::start(2);
    let before = cluster.nodes[0].web.metric("gritmesh_peer_inbound_rejected_total");
    let mut thrown = 0.0;
    // The start of a real handshake, then nothing, then noise.
    let greeting = b"\x13/multistream/1.0.0\n\x07/noise\n";
    for bytes in noise() {
        for prefix in [&b""[..], greeting] {
            throw(&cluster.nodes[0].peers, &[prefix, &bytes].concat());
            thrown += 1.0;
        }
    }
    throw(&cluster.nodes[0].peers, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let counted = || cluster.nodes[0].web.metric("gritmesh_peer_inbound_rejected_total") - before;
    until("every one is counted", || (counted() > thrown).then_some(()));
    assert!(cluster.nodes[0].process().is_running());
    cluster.until_whole();
    assert_eq!(cluster.add_one(0, "counter/alice"), 1);
    assert_eq!(cluster.add_one(1, "counter/alice"), 2);
}

#[test]
fn noise_on_the_http_port_disturbs_nobody() {
    let mut cluster = Cluster::start(1);
    let address = cluster.nodes[0].web.address().to_owned();
    for bytes in noise() {
        throw(&address, &bytes);
        throw(&address, &[b"POST /v1/call/counter/a/add HTTP/1.1\r\n", &bytes[..]].concat());
    }
    let head =
        "POST /v1/call/counter/a/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    for wrong in [
        "Content-Length: 10\r\n\r\n[1]",
        "Content-Length: x\r\n\r\n",
        "Content-Length: 18446744073709551615\r\n\r\n",
    ] {
        throw(&address, format!("{head}{wrong}").as_bytes());
    }
    for chunk in ["zz\r\n", "ffffffffffffffff\r\n", "5\r\nab"] {
        throw(&address, format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}").as_bytes());
    }
    let endless = format!("GET / HTTP/1.1\r\n{}", "X-Long: a\r\n".repeat(20_000));
    throw(&address, endless.as_bytes());
    assert!(cluster.nodes[0].process().is_running());
    cluster.until_whole();
    assert_eq!(cluster.add_one(0, "counter/a"), 1, "none of it has reached the actor");
}
