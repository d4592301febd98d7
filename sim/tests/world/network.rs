//! The contract of `gritmesh_runtime::Network`.

use gritmesh_runtime::admission::Secret;
use gritmesh_runtime::frame::FRAME_BYTES_MAX;
use gritmesh_runtime::{ClusterId, LossReason, SendError, Tag, TrafficClass};
use gritmesh_sim::{NetworkFaults, NodeSlot, WorldOptions};

use crate::cluster::{Cluster, Seen};

#[test]
fn envelopes_of_one_class_arrive_in_order_and_batched() {
    let mut cluster = Cluster::connected_pair();
    for round in 0..20u8 {
        for number in 0..10u8 {
            cluster.send(0, 1, 0, &[round, number]).unwrap();
        }
        cluster.world.advance(std::time::Duration::from_micros(30));
    }
    cluster.advance(100);
    let seen = cluster.take(1);
    assert!(seen.len() <= 20, "one report for each write, not for each envelope: {}", seen.len());
    let sent: Vec<Vec<u8>> = (0..20).flat_map(|r| (0..10).map(move |n| vec![r, n])).collect();
    let received: Vec<Vec<u8>> = seen
        .into_iter()
        .flat_map(|seen| match seen {
            Seen::Received { bodies, .. } => bodies,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(received, sent);
}

#[test]
fn order_holds_under_jitter_and_retransmission() {
    for seed in 0..30 {
        let network = NetworkFaults { jitter_micros: 20_000, retransmit: 0.2, ..Default::default() };
        let mut cluster = Cluster::new(seed, 2, WorldOptions { network, ..Default::default() });
        cluster.learn(0, 1);
        for number in 0..100u8 {
            cluster.send(0, 1, 0, &[number]).unwrap();
            cluster.advance(1);
        }
        cluster.advance(10_000);
        let (bodies, others) = cluster.take_bodies(1);
        assert_eq!(bodies, (0..100u8).map(|number| vec![number]).collect::<Vec<_>>());
        assert_eq!(others, [Seen::Connected(cluster.id(0))]);
    }
}

#[test]
fn classes_do_not_wait_for_each_other() {
    let mut cluster = Cluster::connected_pair();
    let network = &cluster.nodes[0].environment.network;
    network.send(cluster.id(1), TrafficClass::Bulk, Tag(1), &vec![7; 3_000_000]).unwrap();
    network.send(cluster.id(1), TrafficClass::Gossip, Tag(2), b"beat").unwrap();
    cluster.advance(200);
    let classes: Vec<TrafficClass> = cluster
        .take(1)
        .into_iter()
        .map(|seen| match seen {
            Seen::Received { class, .. } => class,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(classes, [TrafficClass::Gossip, TrafficClass::Bulk]);
}

#[test]
fn sending_to_a_known_peer_connects_first() {
    let mut cluster = Cluster::healthy(2);
    assert_eq!(cluster.send(0, 1, 1, b"x"), Err(SendError::UnknownPeer));
    cluster.learn(0, 1);
    cluster.send(0, 1, 1, b"x").unwrap();
    cluster.advance(50);
    assert_eq!(cluster.take(0), [Seen::Connected(cluster.id(1))]);
    let (bodies, others) = cluster.take_bodies(1);
    assert_eq!((bodies, others), (vec![b"x".to_vec()], vec![Seen::Connected(cluster.id(0))]));
}

#[test]
fn what_waits_for_an_unreachable_peer_is_reported_exactly() {
    let mut cluster = Cluster::healthy(2);
    cluster.learn(0, 1);
    cluster.world.kill(cluster.index(1));
    for tag in [1, 2, 0, 3] {
        cluster.send(0, 1, tag, b"x").unwrap();
    }
    cluster.advance(50);
    assert_eq!(cluster.take(0), [cluster.lost(1, LossReason::Unreachable, &[1, 2, 3])]);
}

#[test]
fn simultaneous_dials_make_one_connection() {
    for seed in 0..50 {
        let mut cluster = Cluster::new(seed, 2, WorldOptions::default());
        cluster.dial(0, 1);
        cluster.dial(1, 0);
        cluster.advance(50);
        for (node, peer) in [(0, 1), (1, 0)] {
            let connected = Seen::Connected(cluster.id(peer));
            assert_eq!(cluster.take(node), [connected], "{seed}");
        }
        cluster.send(0, 1, 1, b"x").unwrap();
        cluster.advance(50);
        assert_eq!(cluster.take_bodies(1).0, [b"x"]);
        cluster.world.kill(cluster.index(0));
        cluster.advance(50);
        assert_eq!(cluster.take(1), [cluster.lost(0, LossReason::Reset, &[])]);
    }
}

#[test]
fn a_dial_has_an_outcome() {
    let mut cluster = Cluster::healthy(2);
    let dial = |cluster: &Cluster, text: &str| cluster.nodes[0].environment.network.dial(text);
    let own = cluster.address(0);
    for text in ["10.9.9.9:1", "nowhere:7946", "", ":", "n1", "n1:99999", "n7:7946", &own] {
        dial(&cluster, text);
        cluster.advance(10);
        let seen = cluster.take(0);
        assert!(
            matches!(&seen[..], [Seen::DialFailed { address, error }] if address == text && !error.is_empty()),
            "{text} {seen:?}"
        );
    }
    dial(&cluster, "n1:7946");
    cluster.advance(10);
    assert_eq!(cluster.take(0), [Seen::Connected(cluster.id(1))]);
    dial(&cluster, "n1:7946");
    cluster.advance(10);
    assert_eq!(cluster.take(0), [], "a peer that is connected is not reported again");
    cluster.world.kill(cluster.index(1));
    cluster.advance(10);
    assert_eq!(cluster.take(0), [cluster.lost(1, LossReason::Reset, &[])]);
    dial(&cluster, "n1:7946");
    cluster.advance(10);
    assert!(matches!(&cluster.take(0)[..], [Seen::DialFailed { .. }]));
}

#[test]
fn a_wrong_secret_is_refused_on_both_sides() {
    let mut cluster = Cluster::healthy(1);
    cluster.add(NodeSlot { secret: Secret::from_text("other"), ..NodeSlot::numbered(1) });
    cluster.dial(0, 1);
    cluster.advance(50);
    expect_refusal(&cluster, "wrong_secret");
}

#[test]
fn another_cluster_is_refused_on_both_sides() {
    let mut cluster = Cluster::healthy(2);
    for node in 0..2 {
        let mut hello = cluster.hello(node);
        hello.cluster = Some(ClusterId([node as u8; 16]));
        cluster.nodes[node].environment.network.set_hello(hello);
    }
    cluster.dial(0, 1);
    cluster.advance(50);
    expect_refusal(&cluster, "other_cluster");
}

#[test]
fn a_refused_send_reports_what_was_not_sent() {
    let mut cluster = Cluster::healthy(1);
    cluster.add(NodeSlot { secret: Secret::from_text("other"), ..NodeSlot::numbered(1) });
    cluster.learn(0, 1);
    cluster.send(0, 1, 5, b"x").unwrap();
    cluster.advance(50);
    let seen = cluster.take(0);
    assert!(matches!(&seen[0], Seen::Refused { by_us: false, .. }));
    assert_eq!(seen[1..], [cluster.lost(1, LossReason::Unreachable, &[5])]);
}

fn expect_refusal(cluster: &Cluster, code: &'static str) {
    let address = Some(cluster.address(1));
    let by_other = Seen::Refused { by_us: false, code, peer: Some(cluster.id(1)), address };
    let by_us = Seen::Refused { by_us: true, code, peer: Some(cluster.id(0)), address: None };
    assert_eq!((cluster.take(0), cluster.take(1)), (vec![by_other], vec![by_us]));
    assert_eq!(cluster.send(0, 1, 1, b"x"), Err(SendError::UnknownPeer));
}

#[test]
fn a_copied_identity_is_refused() {
    let mut cluster = Cluster::healthy(2);
    cluster.add(NodeSlot { address: None, ..NodeSlot::numbered(1) });
    cluster.dial(1, 2);
    cluster.advance(50);
    let seen = cluster.take(1);
    assert!(matches!(&seen[..], [Seen::DialFailed { error, .. }] if error.contains("identity")), "{seen:?}");
    assert_eq!(cluster.take(2), [], "a key that meets itself introduces nobody");
    // A third node that is connected to one of the two refuses the other.
    cluster.dial(0, 1);
    cluster.advance(50);
    cluster.dial(2, 0);
    cluster.advance(50);
    assert!(matches!(&cluster.take(2)[..], [Seen::Refused { by_us: false, code: "duplicate_identity", .. }]));
    assert_eq!(cluster.take_bodies(0).1.len(), 2);
}

#[test]
fn forgetting_closes_in_good_order_and_fails_what_is_queued() {
    let mut cluster = Cluster::connected_pair();
    cluster.send(0, 1, 1, b"before").unwrap();
    cluster.advance(10);
    cluster.send(0, 1, 2, b"late").unwrap();
    cluster.nodes[0].environment.network.forget(cluster.id(1));
    assert_eq!(cluster.send(0, 1, 3, b"x"), Err(SendError::UnknownPeer));
    cluster.advance(50);
    assert_eq!(cluster.take(0), [cluster.lost(1, LossReason::Local, &[2])]);
    let (bodies, others) = cluster.take_bodies(1);
    assert_eq!(bodies, [b"before"]);
    assert_eq!(others, [cluster.lost(0, LossReason::Closed, &[])]);
}

#[test]
fn shutting_down_closes_and_killing_resets() {
    for (kill, reason) in [(false, LossReason::Closed), (true, LossReason::Reset)] {
        let mut cluster = Cluster::connected_pair();
        match kill {
            true => cluster.world.kill(cluster.index(0)),
            false => cluster.world.shut_down(cluster.index(0)),
        }
        cluster.advance(10);
        assert_eq!(cluster.take(1), [cluster.lost(0, reason, &[])]);
        assert_eq!(cluster.send(0, 1, 1, b"x"), Err(SendError::Closed));
    }
}

#[test]
fn a_close_in_good_order_comes_after_all_that_was_sent() {
    for seed in 0..50 {
        let network = NetworkFaults { jitter_micros: 20_000, retransmit: 0.2, ..Default::default() };
        let mut cluster = Cluster::new(seed, 2, WorldOptions { network, ..Default::default() });
        cluster.dial(0, 1);
        cluster.advance(5_000);
        cluster.send(0, 1, 1, b"last words").unwrap();
        cluster.advance(0);
        cluster.world.shut_down(cluster.index(0));
        cluster.advance(10_000);
        let (bodies, others) = cluster.take_bodies(1);
        assert_eq!(bodies, [b"last words"]);
        assert_eq!(others, [Seen::Connected(cluster.id(0)), cluster.lost(0, LossReason::Closed, &[])]);
    }
}

#[test]
fn sizes_and_queues_are_limited() {
    let mut cluster = Cluster::connected_pair();
    let large = vec![0; FRAME_BYTES_MAX + 1];
    assert!(matches!(cluster.send(0, 1, 1, &large), Err(SendError::TooLarge { .. })));
    cluster.world.stall(cluster.index(1));
    let body = vec![0; 512 * 1024];
    let mut accepted = 0u64;
    while cluster.send(0, 1, accepted + 1, &body).is_ok() {
        accepted += 1;
        cluster.advance(1);
        assert!(accepted < 1000);
    }
    assert_eq!(cluster.send(0, 1, 999, &body), Err(SendError::QueueFull));
    assert_eq!(cluster.send(0, 1, 998, b"small"), Ok(()), "a small one still fits");
    cluster.world.resume(cluster.index(1));
    cluster.advance(1000);
    assert_eq!(cluster.take_bodies(1).0.len() as u64, accepted + 1, "nothing accepted is lost");
}

#[test]
fn a_restarted_peer_is_a_new_connection() {
    let mut cluster = Cluster::connected_pair();
    cluster.restart(1);
    cluster.dial(1, 0);
    cluster.advance(50);
    assert_eq!(cluster.take(0), [cluster.lost(1, LossReason::Reset, &[]), Seen::Connected(cluster.id(1))]);
    assert_eq!(cluster.take(1), [Seen::Connected(cluster.id(0))]);
    cluster.send(0, 1, 1, b"x").unwrap();
    cluster.advance(50);
    assert_eq!(cluster.take_bodies(1).0, [b"x"]);
}

#[test]
fn disturbed_envelopes_vanish_double_and_overtake() {
    let run = |network: NetworkFaults| {
        let mut cluster = Cluster::new(3, 2, WorldOptions { network, ..Default::default() });
        cluster.dial(0, 1);
        cluster.advance(50);
        for number in 0..200u8 {
            cluster.send(0, 1, 0, &[number]).unwrap();
            cluster.advance(2);
        }
        cluster.advance(5_000);
        cluster.take_bodies(1).0.into_iter().map(|body| body[0]).collect::<Vec<u8>>()
    };
    let healthy = NetworkFaults::default();
    let vanished = run(NetworkFaults { vanish: 0.2, ..healthy });
    assert!(vanished.len() < 190 && vanished.is_sorted());
    let doubled = run(NetworkFaults { duplicate: 0.2, ..healthy });
    assert!(doubled.len() > 210);
    let mut overtaken = run(NetworkFaults { overtake: 0.2, ..healthy });
    assert!(!overtaken.is_sorted());
    overtaken.sort_unstable();
    assert_eq!(overtaken, (0..200).collect::<Vec<u8>>(), "overtaking loses nothing");
}
