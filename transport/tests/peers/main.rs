//! The network over libp2p, on real sockets.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers too")]

mod hostile;
mod real;
mod suite;
mod world;

use std::net::TcpListener;
use std::time::Duration;

use gritmesh_runtime::admission::Secret;
use gritmesh_runtime::{LossReason, NodeInfo, SendError, Tag, TrafficClass};
use gritmesh_transport::{Identity, Options, StartError, bind};

use real::RealNetwork;
use world::{Event, Setup, TestNetwork};

macro_rules! conforms {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            suite::$name(&mut RealNetwork::default());
        })*
    };
}

conforms!(
    admits_whoever_dials,
    carries_the_largest_frame_and_no_larger,
    answers_an_unknown_peer,
    refuses_another_secret,
    refuses_another_cluster,
    refuses_another_wire_version,
    admits_a_joiner_without_a_cluster,
    says_goodbye,
    connects_on_demand,
    fails_what_cannot_be_delivered,
    forgets,
    ignores_a_dial_to_a_connected_peer,
    names_why_a_dial_failed,
    refuses_a_copied_identity,
    readmits_a_restarted_peer,
);

#[test]
fn carries_all_classes_in_order() {
    suite::carries_all_classes_in_order(&mut RealNetwork::default(), 25_000);
}

/// Timing decides how far each side has come when the other's connection arrives, so this is tried often.
#[test]
fn settles_simultaneous_dials() {
    for _ in 0..20 {
        suite::settles_simultaneous_dials(&mut RealNetwork::default());
    }
}

/// Small envelopes are many per write, large ones many writes per envelope.
#[test]
fn reports_a_killed_peer() {
    for (size, kill_after) in [(0, 1), (100, 5_000), (50_000, 10), (1_000_000, 0), (1_000_000, 2)] {
        suite::reports_a_killed_peer(&mut RealNetwork::default(), &vec![7; size], kill_after);
    }
}

/// Whoever listens at the address that was learned does not answer, so nothing leaves the queue.
#[test]
fn a_full_queue_says_so_and_recovers() {
    let mut net = RealNetwork::default();
    let setup = Setup { queue_bytes_max: 1000, ..Setup::default() };
    let a = net.spawn_with(&setup, |options| options.connect_timeout = Duration::from_millis(500));
    let b = net.spawn(Setup::default());
    let (network, info) = (net.network(a), net.info(b));
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    network.learn(&NodeInfo { peer_address: mute.local_addr().unwrap(), ..info.clone() });
    let send = |tag| network.send(info.node_id, TrafficClass::Calls, Tag(tag), &[0; 96]);
    let results: Vec<_> = (1..=11).map(send).collect();
    assert!(results[..10].iter().all(Result::is_ok));
    assert_eq!(results[10], Err(SendError::QueueFull));
    assert_eq!(net.endpoint(a).peers.counters().queue_full, 1);
    let unsent = (1..=10).map(Tag).collect();
    assert_eq!(net.next_event(a), Event::Lost(info.node_id, LossReason::Unreachable, unsent));
    network.learn(&info);
    send(12).unwrap();
    assert!(matches!(net.next_event(b), Event::Connected(_)));
    suite::receive(&mut net, b, TrafficClass::Calls, 1);
}

#[test]
fn counters_tell_what_crossed_the_wire() {
    let mut net = RealNetwork::default();
    let (a, b) = suite::pair(&mut net);
    let to = net.info(b).node_id;
    for _ in 0..10 {
        net.network(a).send(to, TrafficClass::Bulk, Tag(0), &[1; 100]).unwrap();
    }
    suite::receive(&mut net, b, TrafficClass::Bulk, 10);
    let (sent, received) = (net.endpoint(a).peers.counters(), net.endpoint(b).peers.counters());
    assert_eq!((sent.connections, sent.admitted), (1, 1));
    let (sent, received) = (sent.of(TrafficClass::Bulk), received.of(TrafficClass::Bulk));
    assert_eq!((sent.envelopes_sent, sent.bytes_sent), (10, 1040));
    assert_eq!((received.envelopes_received, received.bytes_received), (10, 1040));
}

#[test]
fn a_taken_port_is_named() {
    let mut net = RealNetwork::default();
    let a = net.spawn(Setup::default());
    let address = net.info(a).peer_address;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let secret = Secret::from_text("");
    let start = |address: &str| {
        let options = Options::new(address.parse().unwrap(), secret.clone(), Setup::default().hello());
        runtime.block_on(bind(&Identity::generate(), options))
    };
    let error = start(&address.to_string()).unwrap_err();
    assert!(matches!(error, StartError::PortTaken { .. }), "{error}");
    let error = start("192.0.2.1:7946").unwrap_err();
    assert!(matches!(error, StartError::NotLocal { .. }), "{error}");
}
