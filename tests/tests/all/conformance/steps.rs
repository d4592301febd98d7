//! What several parts of the suite do.

use gritmesh_runtime::admission::Hello;
use gritmesh_runtime::{SendError, Tag, TrafficClass};

use super::subject::{Event, Setup, TestNetwork};

/// Connects two endpoints; the first one dials.
pub(super) fn connect(net: &mut dyn TestNetwork, from: usize, to: usize) {
    let address = net.info(to).peer_address.to_string();
    net.network(from).dial(&address);
    for (endpoint, other) in [(from, to), (to, from)] {
        let expected = net.info(other);
        match net.next_event(endpoint) {
            Event::Connected(hello) => assert_eq!(hello.info, expected),
            event => panic!("expected a connection, got {event:?}"),
        }
    }
}

/// Two usual endpoints.
pub(super) fn two(net: &mut dyn TestNetwork) -> (usize, usize) {
    (net.spawn(Setup::default()), net.spawn(Setup::default()))
}

/// Two usual endpoints that are connected.
pub(super) fn pair(net: &mut dyn TestNetwork) -> (usize, usize) {
    let (a, b) = two(net);
    connect(net, a, b);
    (a, b)
}

/// The next `count` envelopes that an endpoint receives in one class.
pub(super) fn receive(
    net: &mut dyn TestNetwork,
    endpoint: usize,
    class: TrafficClass,
    count: usize,
) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        match net.next_event(endpoint) {
            Event::Received(_, of, frames) if of == class => bodies.extend(frames),
            Event::Received(..) => {}
            event => panic!("expected envelopes, got {event:?}"),
        }
    }
    assert_eq!(bodies.len(), count);
    bodies
}

/// Sends one envelope of the class of calls, which must be queued.
pub(super) fn send(net: &dyn TestNetwork, from: usize, to: usize, tag: u64, body: &[u8]) {
    net.network(from).send(net.info(to).node_id, TrafficClass::Calls, Tag(tag), body).unwrap();
}

/// Sends, and lets the receiver make room when the queue is full.
pub(super) fn send_patiently(
    net: &mut dyn TestNetwork,
    from: usize,
    to: usize,
    class: TrafficClass,
    body: &[u8],
) {
    let (network, to) = (net.network(from), net.info(to).node_id);
    loop {
        match network.send(to, class, Tag(1), body) {
            Ok(()) => return,
            Err(SendError::QueueFull) => net.proceed(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What the endpoint says of itself.
pub(super) fn hello(net: &dyn TestNetwork, endpoint: usize) -> Hello {
    Hello { info: net.info(endpoint), ..Setup::default().hello() }
}
