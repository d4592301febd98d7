//! Envelopes: their order, their size, and how many may wait.

use gritmesh_runtime::frame::FRAME_BYTES_MAX;
use gritmesh_runtime::{NodeId, SendError, Tag, TrafficClass};

use super::steps::{pair, receive, send, send_patiently, two};
use super::subject::{Event, Setup, TestNetwork};

/// Envelopes of each class in the test of their order: more than a queue holds.
const ORDERED: u64 = 25_000;

/// Envelopes sent together in the test of batches.
const TOGETHER: usize = 5_000;

pub(super) fn carries_all_classes_in_order(net: &mut dyn TestNetwork) {
    let (a, b) = pair(net);
    for number in 0..ORDERED {
        for class in TrafficClass::ALL {
            send_patiently(net, a, b, class, &number.to_le_bytes());
        }
    }
    let mut next = [0_u64; 4];
    while next != [ORDERED; 4] {
        match net.next_event(b) {
            Event::Received(from, class, bodies) => {
                assert_eq!(from, net.info(a).node_id);
                assert!(!bodies.is_empty());
                for body in bodies {
                    assert_eq!(body, next[class as usize].to_le_bytes());
                    next[class as usize] += 1;
                }
            }
            event => panic!("{event:?}"),
        }
    }
}

pub(super) fn batches_what_is_sent_together(net: &mut dyn TestNetwork) {
    let (a, b) = pair(net);
    (0..TOGETHER).for_each(|_| send(net, a, b, 1, b"small"));
    let (mut received, mut events) = (0, 0);
    while received < TOGETHER {
        match net.next_event(b) {
            Event::Received(_, TrafficClass::Calls, bodies) => received += bodies.len(),
            event => panic!("{event:?}"),
        }
        events += 1;
    }
    assert!(events * 2 < TOGETHER, "{TOGETHER} envelopes came as {events} events");
}

pub(super) fn carries_the_largest_frame_and_no_larger(net: &mut dyn TestNetwork) {
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

pub(super) fn answers_an_unknown_peer(net: &mut dyn TestNetwork) {
    let a = net.spawn(Setup::default());
    let result = net.network(a).send(NodeId([9; 32]), TrafficClass::Calls, Tag(1), b"x");
    assert_eq!(result, Err(SendError::UnknownPeer));
}

pub(super) fn connects_on_demand(net: &mut dyn TestNetwork) {
    let (a, b) = two(net);
    net.network(a).learn(&net.info(b));
    send(net, a, b, 1, b"hello");
    assert!(matches!(net.next_event(b), Event::Connected(_)));
    assert_eq!(receive(net, b, TrafficClass::Calls, 1), [b"hello"]);
    assert!(matches!(net.next_event(a), Event::Connected(_)));
}

/// What was queued before the queue was full arrives, all of it, and then there is room again.
pub(super) fn a_full_queue_says_so_and_recovers(net: &mut dyn TestNetwork) {
    let (a, b) = pair(net);
    let (network, to) = (net.network(a), net.info(b).node_id);
    let body = vec![7; 100_000];
    let mut queued = 0;
    let refused = loop {
        match network.send(to, TrafficClass::Bulk, Tag(queued as u64 + 1), &body) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SendError::QueueFull);
    // Another class has a queue of its own.
    network.send(to, TrafficClass::Gossip, Tag(1), b"beat").unwrap();
    assert_eq!(receive(net, b, TrafficClass::Bulk, queued).len(), queued);
    network.send(to, TrafficClass::Bulk, Tag(1), &body).unwrap();
    assert_eq!(receive(net, b, TrafficClass::Bulk, 1), [body]);
}
