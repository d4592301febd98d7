//! What is particular about the network over libp2p: its counters, its errors at start, strangers on its port. What
//! it has in common with the simulated network is held by the suite in `tests/tests/all/conformance`.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

mod hostile;
mod real;

use std::net::TcpListener;
use std::time::Duration;

use gritmesh_runtime::admission::Secrets;
use gritmesh_runtime::{LossReason, Network, NodeInfo, SendError, Tag, TrafficClass};
use gritmesh_transport::{Identity, Options, StartError, bind};

use real::{Endpoint, Event};

/// Whoever listens at the address that was learned does not answer, so nothing leaves the queue.
#[test]
fn a_full_queue_says_so_and_recovers() {
    let a = Endpoint::start_with(|options| {
        options.queue_bytes_max = 1000;
        options.connect_timeout = Duration::from_millis(500);
    });
    let b = Endpoint::start();
    let (network, info) = (&a.peers, b.info.clone());
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    network.learn(&NodeInfo { peer_address: mute.local_addr().unwrap(), ..info.clone() });
    let send = |tag| network.send(info.node_id, TrafficClass::Calls, Tag(tag), &[0; 96]);
    let results: Vec<_> = (1..=11).map(send).collect();
    assert!(results[..10].iter().all(Result::is_ok));
    assert_eq!(results[10], Err(SendError::QueueFull));
    assert_eq!(network.counters().queue_full, 1);
    let unsent = (1..=10).map(Tag).collect();
    assert_eq!(a.next_event(), Event::Lost(info.node_id, LossReason::Unreachable, unsent));
    network.learn(&info);
    send(12).unwrap();
    assert_eq!(b.next_event(), Event::Connected(a.info.node_id));
    b.receive(TrafficClass::Calls, 1);
}

#[test]
fn counters_tell_what_crossed_the_wire() {
    let (a, b) = (Endpoint::start(), Endpoint::start());
    a.connect(&b);
    for _ in 0..10 {
        a.peers.send(b.info.node_id, TrafficClass::Bulk, Tag(0), &[1; 100]).unwrap();
    }
    b.receive(TrafficClass::Bulk, 10);
    let (sent, received) = (a.peers.counters(), b.peers.counters());
    assert_eq!((sent.connections, sent.admitted), (1, 1));
    let (sent, received) = (sent.of(TrafficClass::Bulk), received.of(TrafficClass::Bulk));
    assert_eq!((sent.envelopes_sent, sent.bytes_sent), (10, 1040));
    assert_eq!((received.envelopes_received, received.bytes_received), (10, 1040));
}

#[test]
fn a_taken_port_is_named() {
    let a = Endpoint::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = |address: &str| {
        let options = Options::new(address.parse().unwrap(), Secrets::none(), real::hello());
        runtime.block_on(bind(&Identity::generate(), options))
    };
    let error = start(&a.info.peer_address.to_string()).unwrap_err();
    assert!(matches!(error, StartError::PortTaken { .. }), "{error}");
    let error = start("192.0.2.1:7946").unwrap_err();
    assert!(matches!(error, StartError::NotLocal { .. }), "{error}");
}
