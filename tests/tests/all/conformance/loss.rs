//! Connections that end, and what is said about the envelopes that were on their way.

use std::collections::BTreeSet;

use gritmesh_runtime::admission::Secret;
use gritmesh_runtime::{LossReason, NodeInfo, SendError, Tag, TrafficClass};

use super::steps::{connect, pair, receive, send, two};
use super::subject::{Event, Setup, TestNetwork};

pub(super) fn reports_a_killed_peer(net: &mut dyn TestNetwork) {
    // Small envelopes are many per write, large ones many writes per envelope.
    for (size, kill_after) in [(0, 1), (100, 5_000), (50_000, 10)] {
        kill_while_sending(net, &vec![7; size], kill_after);
    }
}

/// A killed peer is reported as reset. What is reported unsent did not arrive, and it is the tail. Returns how much
/// that was.
pub(super) fn kill_while_sending(net: &mut dyn TestNetwork, body: &[u8], kill_after: usize) -> usize {
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
    unsent.len()
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

pub(super) fn says_goodbye(net: &mut dyn TestNetwork) {
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

pub(super) fn forgets(net: &mut dyn TestNetwork) {
    let (a, b) = pair(net);
    let (network, to) = (net.network(a), net.info(b).node_id);
    network.forget(to);
    assert_eq!(network.send(to, TrafficClass::Calls, Tag(1), b"x"), Err(SendError::UnknownPeer));
    assert_eq!(net.next_event(a), Event::Lost(to, LossReason::Local, vec![]));
    assert_eq!(net.next_event(b), Event::Lost(net.info(a).node_id, LossReason::Closed, vec![]));
    connect(net, a, b);
}

/// Tags are told for what was queued, in order; nobody wants to hear of tag zero.
pub(super) fn fails_what_cannot_be_delivered(net: &mut dyn TestNetwork) {
    let (a, b) = pair(net);
    let to = net.info(b).node_id;
    net.kill(b);
    assert_eq!(net.next_event(a), Event::Lost(to, LossReason::Reset, vec![]));
    for round in 1..=3 {
        send(net, a, b, 0, b"x");
        send(net, a, b, round, b"x");
        assert_eq!(next_loss(net, a), (LossReason::Unreachable, vec![Tag(round)]));
    }
}

/// The next loss with something in it: two envelopes may fail together or one by one.
fn next_loss(net: &mut dyn TestNetwork, endpoint: usize) -> (LossReason, Vec<Tag>) {
    loop {
        match net.next_event(endpoint) {
            Event::Lost(_, _, unsent) if unsent.is_empty() => {}
            Event::Lost(_, reason, unsent) => return (reason, unsent),
            event => panic!("expected a loss, got {event:?}"),
        }
    }
}

pub(super) fn fails_what_is_meant_for_a_peer_that_refuses(net: &mut dyn TestNetwork) {
    let a = net.spawn(Setup::default());
    let b = net.spawn(Setup { secret: Secret::from_text("other"), ..Setup::default() });
    net.network(a).learn(&net.info(b));
    send(net, a, b, 5, b"x");
    assert!(matches!(net.next_event(a), Event::Refused { .. }));
    assert_eq!(next_loss(net, a), (LossReason::Unreachable, vec![Tag(5)]));
    assert!(matches!(net.next_event(b), Event::Refused { .. }));
}

/// Where a peer was is somebody else now.
pub(super) fn gives_nothing_to_whoever_else_answers(net: &mut dyn TestNetwork) {
    let ((a, gone), other) = (two(net), net.spawn(Setup::default()));
    let moved = NodeInfo { peer_address: net.info(other).peer_address, ..net.info(gone) };
    net.network(a).learn(&moved);
    send(net, a, gone, 1, b"x");
    assert_eq!(net.next_event(a), Event::Lost(moved.node_id, LossReason::Unreachable, vec![Tag(1)]));
    connect(net, a, other);
}

pub(super) fn reconnects_on_demand(net: &mut dyn TestNetwork) {
    let setup = Setup { identity: 3, ..Setup::default() };
    let (a, before) = (net.spawn(Setup::default()), net.spawn(setup.clone()));
    connect(net, a, before);
    net.shut_down(before);
    let to = net.info(before).node_id;
    assert_eq!(net.next_event(a), Event::Lost(to, LossReason::Closed, vec![]));
    let after = net.spawn(setup);
    net.network(a).learn(&net.info(after));
    send(net, a, after, 1, b"again");
    assert!(matches!(net.next_event(after), Event::Connected(_)));
    assert_eq!(receive(net, after, TrafficClass::Calls, 1), [b"again"]);
    assert!(matches!(net.next_event(a), Event::Connected(_)));
}
