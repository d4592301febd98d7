//! What every network must do, whatever it is made of: written against [`TestNetwork`] so that the simulated
//! one can be held to it too. Nothing here waits for a length of time; everything waits for an event.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::frame::FRAME_BYTES_MAX;
use gritmesh_runtime::{
    ClusterId, DialError, LossReason, NodeId, SendError, Tag, TrafficClass, WIRE_VERSION,
};

use crate::world::{Event, Setup, TestNetwork};

/// Connects two endpoints; the first one dials.
pub(crate) fn connect(net: &mut impl TestNetwork, from: usize, to: usize) {
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

pub(crate) fn pair(net: &mut impl TestNetwork) -> (usize, usize) {
    let (a, b) = (net.spawn(Setup::default()), net.spawn(Setup::default()));
    connect(net, a, b);
    (a, b)
}

/// The next `count` envelopes that an endpoint receives in one class.
pub(crate) fn receive(
    net: &mut impl TestNetwork,
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

/// Sends, and lets the receiver make room when the queue is full.
fn send_patiently(net: &mut impl TestNetwork, to: NodeId, from: usize, class: TrafficClass, body: &[u8]) {
    loop {
        match net.network(from).send(to, class, Tag(1), body) {
            Ok(()) => return,
            Err(SendError::QueueFull) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn admits_whoever_dials(net: &mut impl TestNetwork) {
    let (a, b, c) = (net.spawn(Setup::default()), net.spawn(Setup::default()), net.spawn(Setup::default()));
    connect(net, a, b);
    connect(net, c, a);
    connect(net, b, c);
}

pub(crate) fn carries_all_classes_in_order(net: &mut impl TestNetwork, count: u64) {
    let (a, b) = pair(net);
    let to = net.info(b).node_id;
    for number in 0..count {
        for class in TrafficClass::ALL {
            send_patiently(net, to, a, class, &number.to_le_bytes());
        }
    }
    let mut next = [0_u64; 4];
    while next != [count; 4] {
        match net.next_event(b) {
            Event::Received(from, class, bodies) => {
                assert_eq!(from, net.info(a).node_id);
                for body in bodies {
                    assert_eq!(body, next[class as usize].to_le_bytes());
                    next[class as usize] += 1;
                }
            }
            event => panic!("{event:?}"),
        }
    }
}

pub(crate) fn carries_the_largest_frame_and_no_larger(net: &mut impl TestNetwork) {
    let (a, b) = pair(net);
    let (network, to) = (net.network(a), net.info(b).node_id);
    let largest: Vec<u8> = (0..FRAME_BYTES_MAX).map(|at| (at * 31 % 251) as u8).collect();
    network.send(to, TrafficClass::Bulk, Tag(1), &largest).unwrap();
    network.send(to, TrafficClass::Bulk, Tag(2), b"").unwrap();
    let bodies = receive(net, b, TrafficClass::Bulk, 2);
    assert!(bodies[0] == largest && bodies[1].is_empty());
    let error = network.send(to, TrafficClass::Bulk, Tag(3), &vec![0; FRAME_BYTES_MAX + 1]);
    assert_eq!(error, Err(SendError::TooLarge { bytes: FRAME_BYTES_MAX + 1, limit: FRAME_BYTES_MAX }));
}

pub(crate) fn answers_an_unknown_peer(net: &mut impl TestNetwork) {
    let a = net.spawn(Setup::default());
    let result = net.network(a).send(NodeId([9; 32]), TrafficClass::Calls, Tag(1), b"x");
    assert_eq!(result, Err(SendError::UnknownPeer));
}

/// Two that are refused by one another hear of it with the reason of one of them.
pub(crate) fn refuses(
    net: &mut impl TestNetwork,
    setups: [Setup; 2],
    expected: impl Fn(&Refusal) -> bool,
) -> [bool; 2] {
    let [a, b] = setups.map(|setup| net.spawn(setup));
    net.network(a).dial(&net.info(b).peer_address.to_string());
    [(a, b), (b, a)].map(|(endpoint, other)| match net.next_event(endpoint) {
        Event::Refused(peer, by_us, refusal) => {
            assert_eq!(peer, Some(net.info(other).node_id));
            assert!(expected(&refusal), "{refusal:?}");
            by_us
        }
        event => panic!("expected a refusal, got {event:?}"),
    })
}

pub(crate) fn refuses_another_secret(net: &mut impl TestNetwork) {
    let setups = [Setup::default(), Setup { secret: "other", ..Setup::default() }];
    refuses(net, setups, |refusal| *refusal == Refusal::WrongSecret);
}

pub(crate) fn refuses_another_cluster(net: &mut impl TestNetwork) {
    let setups = [1, 2].map(|byte| Setup { cluster: Some(ClusterId([byte; 16])), ..Setup::default() });
    refuses(net, setups, |refusal| matches!(refusal, Refusal::OtherCluster { .. }));
}

pub(crate) fn refuses_another_wire_version(net: &mut impl TestNetwork) {
    let newer = Setup { wire_version: WIRE_VERSION + 1, ..Setup::default() };
    let is_version =
        |refusal: &Refusal| *refusal == Refusal::WireVersion { ours: WIRE_VERSION, theirs: WIRE_VERSION + 1 };
    let by_us = refuses(net, [newer.clone(), Setup::default()], is_version);
    assert_eq!(by_us, [false, true]);
    let by_us = refuses(net, [Setup::default(), newer], is_version);
    assert_eq!(by_us, [true, false]);
}

pub(crate) fn admits_a_joiner_without_a_cluster(net: &mut impl TestNetwork) {
    let member = net.spawn(Setup { cluster: Some(ClusterId([1; 16])), ..Setup::default() });
    let joiner = net.spawn(Setup::default());
    connect(net, joiner, member);
}

/// A killed peer is reported as reset. What is reported unsent did not arrive, and it is the tail.
pub(crate) fn reports_a_killed_peer(net: &mut impl TestNetwork, body: &[u8], kill_after: usize) {
    let (a, b) = pair(net);
    let (network, to) = (net.network(a), net.info(b).node_id);
    let mut sent = 0_u64;
    while network.send(to, TrafficClass::Calls, Tag(sent + 1), &tagged(sent + 1, body)).is_ok() {
        sent += 1;
    }
    let mut arrived = BTreeSet::new();
    while arrived.len() < kill_after {
        arrived.extend(received_tags(&net.next_event(b)));
    }
    net.kill(b);
    while let Some(event) = net.past_event(b) {
        arrived.extend(received_tags(&event));
    }
    let Event::Lost(peer, reason, unsent) = net.next_event(a) else { panic!("expected a loss") };
    assert_eq!((peer, reason), (to, LossReason::Reset));
    let first_unsent = unsent.first().map_or(sent + 1, |tag| tag.0);
    let tail: Vec<Tag> = (first_unsent..=sent).map(Tag).collect();
    assert_eq!(unsent, tail, "what is unsent is the tail");
    assert!(arrived.iter().all(|tag| *tag < first_unsent), "an envelope reported unsent has arrived");
    assert!(!unsent.is_empty(), "the queue was full, so something was unsent");
}

fn tagged(tag: u64, body: &[u8]) -> Vec<u8> {
    [&tag.to_le_bytes()[..], body].concat()
}

fn received_tags(event: &Event) -> Vec<u64> {
    match event {
        Event::Received(_, _, bodies) => {
            bodies.iter().map(|body| u64::from_le_bytes(body[..8].try_into().unwrap())).collect()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn says_goodbye(net: &mut impl TestNetwork) {
    let (a, b) = pair(net);
    let to = net.info(a).node_id;
    for number in 0_u64..1000 {
        net.network(b).send(to, TrafficClass::Gossip, Tag(1), &number.to_le_bytes()).unwrap();
    }
    net.shut_down(b);
    assert_eq!(net.network(b).send(to, TrafficClass::Gossip, Tag(1), b"x"), Err(SendError::Closed));
    let bodies = receive(net, a, TrafficClass::Gossip, 1000);
    assert_eq!(bodies[999], 999_u64.to_le_bytes(), "what was queued is written out first");
    assert_eq!(net.next_event(a), Event::Lost(net.info(b).node_id, LossReason::Closed, vec![]));
}

pub(crate) fn connects_on_demand(net: &mut impl TestNetwork) {
    let (a, b) = (net.spawn(Setup::default()), net.spawn(Setup::default()));
    net.network(a).learn(&net.info(b));
    net.network(a).send(net.info(b).node_id, TrafficClass::Calls, Tag(1), b"hello").unwrap();
    assert!(matches!(net.next_event(b), Event::Connected(_)));
    assert_eq!(receive(net, b, TrafficClass::Calls, 1), [b"hello"]);
    assert!(matches!(net.next_event(a), Event::Connected(_)));
}

pub(crate) fn fails_what_cannot_be_delivered(net: &mut impl TestNetwork) {
    let (a, b) = pair(net);
    let (network, to) = (net.network(a), net.info(b).node_id);
    net.kill(b);
    assert_eq!(net.next_event(a), Event::Lost(to, LossReason::Reset, vec![]));
    for round in 0..3 {
        network.send(to, TrafficClass::Calls, Tag(round + 1), b"x").unwrap();
        assert_eq!(net.next_event(a), Event::Lost(to, LossReason::Unreachable, vec![Tag(round + 1)]));
    }
}

pub(crate) fn forgets(net: &mut impl TestNetwork) {
    let (a, b) = pair(net);
    let (network, to) = (net.network(a), net.info(b).node_id);
    network.forget(to);
    assert_eq!(network.send(to, TrafficClass::Calls, Tag(1), b"x"), Err(SendError::UnknownPeer));
    assert_eq!(net.next_event(a), Event::Lost(to, LossReason::Local, vec![]));
    assert_eq!(net.next_event(b), Event::Lost(net.info(a).node_id, LossReason::Closed, vec![]));
    connect(net, a, b);
}

/// Both dial at once, and both send at once. One connection results, and every envelope arrives in order.
pub(crate) fn settles_simultaneous_dials(net: &mut impl TestNetwork) {
    let ends = [net.spawn(Setup::default()), net.spawn(Setup::default())];
    for (end, other) in [(0, 1), (1, 0)] {
        let (network, info) = (net.network(ends[end]), net.info(ends[other]));
        network.learn(&info);
        network.dial(&info.peer_address.to_string());
        for number in 0_u64..100 {
            network.send(info.node_id, TrafficClass::Calls, Tag(number + 1), &number.to_le_bytes()).unwrap();
        }
    }
    for end in ends {
        assert!(matches!(net.next_event(end), Event::Connected(_)));
        let bodies = receive(net, end, TrafficClass::Calls, 100);
        assert!(bodies.iter().zip(0_u64..).all(|(body, number)| *body == number.to_le_bytes()));
    }
    // Another exchange, after which a second connection or a loss would have shown.
    for (end, other) in [(0, 1), (1, 0)] {
        let to = net.info(ends[other]).node_id;
        net.network(ends[end]).send(to, TrafficClass::Calls, Tag(1), b"more").unwrap();
        assert_eq!(receive(net, ends[other], TrafficClass::Calls, 1), [b"more"]);
    }
}

pub(crate) fn ignores_a_dial_to_a_connected_peer(net: &mut impl TestNetwork) {
    let (a, b) = pair(net);
    for (from, to) in [(a, b), (b, a)] {
        net.network(from).dial(&net.info(to).peer_address.to_string());
    }
    // A dial that fails shows when the ones before it are over.
    for end in [a, b] {
        net.network(end).dial("127.0.0.1:1");
        assert!(matches!(net.next_event(end), Event::DialFailed(..)));
    }
    for (from, to) in [(a, b), (b, a)] {
        let to_node = net.info(to).node_id;
        net.network(from).send(to_node, TrafficClass::Calls, Tag(1), b"x").unwrap();
        receive(net, to, TrafficClass::Calls, 1);
    }
}

pub(crate) fn names_why_a_dial_failed(net: &mut impl TestNetwork) {
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

/// A copied data directory is noticed by the original, by the copy and by a third node.
pub(crate) fn refuses_a_copied_identity(net: &mut impl TestNetwork) {
    let twin = Setup { identity: 1, ..Setup::default() };
    let (original, copy) = (net.spawn(twin.clone()), net.spawn(twin));
    let third = net.spawn(Setup::default());
    let address = net.info(original).peer_address;
    net.network(copy).dial(&address.to_string());
    assert_eq!(
        net.next_event(copy),
        Event::DialFailed(address.to_string(), DialError::DuplicateIdentity { address })
    );
    connect(net, original, third);
    net.network(copy).dial(&net.info(third).peer_address.to_string());
    let refused = |peer, by_us| Event::Refused(Some(peer), by_us, Refusal::DuplicateIdentity);
    assert_eq!(net.next_event(copy), refused(net.info(third).node_id, false));
    assert_eq!(net.next_event(third), refused(net.info(copy).node_id, true));
    net.network(third).send(net.info(original).node_id, TrafficClass::Calls, Tag(1), b"still here").unwrap();
    assert_eq!(receive(net, original, TrafficClass::Calls, 1), [b"still here"]);
}

/// A process that comes back under the same key takes the place of its dead predecessor.
pub(crate) fn readmits_a_restarted_peer(net: &mut impl TestNetwork) {
    let setup = Setup { identity: 2, ..Setup::default() };
    let (before, other) = (net.spawn(setup.clone()), net.spawn(Setup::default()));
    connect(net, before, other);
    net.kill(before);
    let after = net.spawn(setup);
    net.network(after).dial(&net.info(other).peer_address.to_string());
    assert!(matches!(net.next_event(after), Event::Connected(_)));
    assert!(matches!(net.next_event(other), Event::Lost(..)));
    assert_eq!(net.next_event(other), Event::Connected(net_hello(net, after)));
    net.network(other).send(net.info(after).node_id, TrafficClass::Calls, Tag(1), b"welcome back").unwrap();
    assert_eq!(receive(net, after, TrafficClass::Calls, 1), [b"welcome back"]);
}

fn net_hello(net: &impl TestNetwork, endpoint: usize) -> Hello {
    Hello { info: net.info(endpoint), ..Setup::default().hello() }
}
