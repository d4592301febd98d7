//! What comes of a dial.

use std::net::SocketAddr;

use gritmesh_runtime::{DialError, Tag, TrafficClass};

use super::steps::{pair, receive, send, two};
use super::subject::{Event, Setup, TestNetwork};

/// Both dial at once, and both send at once. One connection results, and every envelope arrives in order.
pub(super) fn settles_simultaneous_dials(net: &mut dyn TestNetwork) {
    let (a, b) = two(net);
    for (end, other) in [(a, b), (b, a)] {
        let (network, info) = (net.network(end), net.info(other));
        network.learn(&info);
        network.dial(&info.peer_address.to_string());
        for number in 0_u64..100 {
            network.send(info.node_id, TrafficClass::Calls, Tag(number + 1), &number.to_le_bytes()).unwrap();
        }
    }
    for end in [a, b] {
        assert!(matches!(net.next_event(end), Event::Connected(_)));
        let bodies = receive(net, end, TrafficClass::Calls, 100);
        assert!(bodies.iter().zip(0_u64..).all(|(body, number)| *body == number.to_le_bytes()));
    }
    // Another exchange, after which a second connection or a loss would have shown.
    exchange(net, a, b);
}

/// A peer is reported as connected once, however often it is dialled.
pub(super) fn has_nothing_to_tell_of_a_dial_to_a_connected_peer(net: &mut dyn TestNetwork) {
    let (a, b) = pair(net);
    for (from, to) in [(a, b), (b, a)] {
        net.network(from).dial(&net.info(to).peer_address.to_string());
    }
    // A dial that fails shows when the ones before it are over.
    for end in [a, b] {
        net.network(end).dial("127.0.0.1:1");
        assert!(matches!(net.next_event(end), Event::DialFailed(..)));
    }
    exchange(net, a, b);
}

fn exchange(net: &mut dyn TestNetwork, a: usize, b: usize) {
    for (from, to) in [(a, b), (b, a)] {
        send(net, from, to, 1, b"more");
        assert_eq!(receive(net, to, TrafficClass::Calls, 1), [b"more"]);
    }
}

pub(super) fn names_why_a_dial_failed(net: &mut dyn TestNetwork) {
    let a = net.spawn(Setup::default());
    let own: SocketAddr = net.info(a).peer_address;
    let mut error_of = |address: &str| {
        net.network(a).dial(address);
        match net.next_event(a) {
            Event::DialFailed(dialled, error) if dialled == address => error,
            event => panic!("{event:?}"),
        }
    };
    assert_eq!(error_of(&own.to_string()), DialError::Own { address: own });
    assert!(matches!(error_of("127.0.0.1:1"), DialError::Connect { .. }));
    for wrong in ["no port", "", "host.invalid:7946", "127.0.0.1:99999"] {
        assert!(matches!(error_of(wrong), DialError::Resolve { .. }), "{wrong}");
    }
}
