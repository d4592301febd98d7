//! Links that carry nothing, and processes that stand still.

use gritmesh_runtime::LossReason;
use gritmesh_sim::{CONNECT_TIMEOUT, Partition, UNREACHABLE_AFTER};

use crate::cluster::{Cluster, Seen};

fn groups(cluster: &Cluster) -> Partition {
    Partition::Groups(vec![vec![cluster.index(0)], vec![cluster.index(1)]])
}

fn one_way(cluster: &Cluster, from: usize, to: usize) -> Partition {
    Partition::OneWay { from: vec![cluster.index(from)], to: vec![cluster.index(to)] }
}

#[test]
fn a_short_partition_only_delays() {
    for seconds in [1, 5, 9] {
        let mut cluster = Cluster::connected_pair();
        cluster.world.partition(&groups(&cluster));
        for number in 0..5u8 {
            cluster.send(0, 1, u64::from(number) + 1, &[number]).unwrap();
            cluster.advance(100);
        }
        cluster.advance(seconds * 1000 - 500);
        assert!(cluster.take(0).is_empty() && cluster.take(1).is_empty());
        cluster.world.heal();
        cluster.send(0, 1, 9, &[5]).unwrap();
        cluster.advance(4_000);
        let (bodies, others) = cluster.take_bodies(1);
        assert_eq!(bodies, (0..6u8).map(|number| vec![number]).collect::<Vec<_>>());
        assert!(others.is_empty() && cluster.take(0).is_empty());
    }
}

#[test]
fn a_long_partition_is_noticed_by_each_side_alone() {
    let mut cluster = Cluster::connected_pair();
    cluster.world.partition(&groups(&cluster));
    cluster.send(0, 1, 1, b"on the wire, so it may have arrived").unwrap();
    cluster.world.advance(UNREACHABLE_AFTER);
    assert!(cluster.take(0).is_empty() && cluster.take(1).is_empty());
    cluster.advance(2_500);
    assert_eq!(cluster.take(0), [cluster.lost(1, LossReason::Unreachable, &[])]);
    assert_eq!(cluster.take(1), [cluster.lost(0, LossReason::Unreachable, &[])]);
    cluster.world.heal();
    cluster.advance(20_000);
    assert!(cluster.take(0).is_empty() && cluster.take(1).is_empty(), "nothing of the old connection");
    cluster.send(0, 1, 2, b"again").unwrap();
    cluster.advance(100);
    assert_eq!(cluster.take(0), [Seen::Connected(cluster.id(1))]);
    assert_eq!(cluster.take_bodies(1).0, [b"again"]);
}

#[test]
fn one_direction_works_while_the_other_does_not() {
    let mut cluster = Cluster::connected_pair();
    cluster.world.partition(&one_way(&cluster, 0, 1));
    cluster.send(0, 1, 1, b"there").unwrap();
    cluster.send(1, 0, 1, b"back").unwrap();
    cluster.advance(1_000);
    assert_eq!(cluster.take_bodies(0).0, [b"back"]);
    assert!(cluster.take(1).is_empty());
    cluster.advance(12_000);
    let lost = |seen: Vec<Seen>| matches!(&seen[..], [Seen::Lost { .. }]);
    assert!(lost(cluster.take(0)) && lost(cluster.take(1)));
}

#[test]
fn connecting_over_a_blocked_link_times_out() {
    for direction in [(0, 1), (1, 0)] {
        let mut cluster = Cluster::healthy(2);
        cluster.world.partition(&one_way(&cluster, direction.0, direction.1));
        cluster.learn(0, 1);
        cluster.dial(0, 1);
        cluster.send(0, 1, 7, b"x").unwrap();
        cluster.world.advance(CONNECT_TIMEOUT / 2);
        assert!(cluster.take(0).is_empty());
        cluster.world.advance(CONNECT_TIMEOUT);
        let seen = cluster.take(0);
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen.contains(&cluster.lost(1, LossReason::Unreachable, &[7])));
        assert!(
            seen.iter().any(|s| matches!(s, Seen::DialFailed { error, .. } if error.contains("timed out")))
        );
        assert!(cluster.take(1).is_empty());
    }
}

/// A dialler that is connected while its confirmation is still on the way to the listener.
fn half_open() -> Cluster {
    let mut cluster = Cluster::healthy(2);
    cluster.learn(1, 0);
    cluster.dial(0, 1);
    while cluster.take(0).is_empty() {
        assert!(cluster.world.step());
    }
    cluster.world.partition(&one_way(&cluster, 0, 1));
    cluster
}

#[test]
fn a_connection_that_one_side_never_heard_of_is_lost_by_the_other_only() {
    let mut cluster = half_open();
    cluster.send(0, 1, 1, b"on the wire").unwrap();
    cluster.advance(15_000);
    assert_eq!(cluster.take(0), [cluster.lost(1, LossReason::Unreachable, &[])]);
    cluster.world.heal();
    cluster.advance(15_000);
    assert!(cluster.take(0).is_empty() && cluster.take(1).is_empty());
}

#[test]
fn what_was_sent_before_the_listener_heard_of_the_connection_arrives_after_that() {
    let mut cluster = half_open();
    cluster.send(0, 1, 1, b"early").unwrap();
    cluster.advance(500);
    cluster.world.heal();
    cluster.advance(5_000);
    let seen = cluster.take(1);
    assert_eq!(seen[0], Seen::Connected(cluster.id(0)));
    assert!(matches!(&seen[1..], [Seen::Received { bodies, .. }] if bodies == &[b"early"]), "{seen:?}");
}

#[test]
fn what_a_process_queued_before_it_stalled_leaves_when_it_goes_on() {
    let mut cluster = Cluster::connected_pair();
    cluster.send(0, 1, 1, b"queued").unwrap();
    cluster.world.stall(cluster.index(0));
    cluster.advance(1_000);
    assert!(cluster.take(1).is_empty());
    cluster.world.resume(cluster.index(0));
    cluster.advance(10);
    assert_eq!(cluster.take_bodies(1).0, [b"queued"]);
}

#[test]
fn a_crash_behind_a_partition_is_noticed_late() {
    let mut cluster = Cluster::connected_pair();
    cluster.world.partition(&groups(&cluster));
    cluster.world.kill(cluster.index(0));
    cluster.advance(5_000);
    assert!(cluster.take(1).is_empty());
    cluster.world.heal();
    cluster.advance(4_000);
    assert_eq!(cluster.take(1), [cluster.lost(0, LossReason::Reset, &[])]);
}

#[test]
fn nodes_in_no_group_reach_everyone() {
    let mut cluster = Cluster::healthy(3);
    cluster.world.partition(&groups(&cluster));
    cluster.dial(2, 0);
    cluster.dial(2, 1);
    cluster.advance(100);
    assert_eq!(cluster.take(2).len(), 2);
}

#[test]
fn connections_across_repeated_partitions_end_or_last_consistently() {
    for seed in 0..200 {
        let mut cluster = Cluster::new(seed, 2, Default::default());
        let mut rng = cluster.world.seed("test").rng();
        cluster.learn(0, 1);
        cluster.learn(1, 0);
        for tag in 1..60 {
            match rng.below(8) {
                0 => cluster.world.partition(&groups(&cluster)),
                1 => cluster.world.partition(&one_way(&cluster, 0, 1)),
                2 => cluster.world.partition(&one_way(&cluster, 1, 0)),
                3 | 4 => cluster.world.heal(),
                5 => cluster.nodes[0].environment.network.forget(cluster.id(1)),
                6 => cluster.dial(0, 1),
                _ => {}
            }
            cluster.learn(0, 1);
            let _ = cluster.send(0, 1, tag, &tag.to_le_bytes());
            let _ = cluster.send(1, 0, tag, &tag.to_le_bytes());
            cluster.advance(rng.below(3_000));
        }
        cluster.world.heal();
        cluster.advance(20_000);
        let received = [cluster.take(0), cluster.take(1)].map(|seen| check_story(seed, seen));
        cluster.send(0, 1, 99, b"end").unwrap();
        cluster.send(1, 0, 99, b"end").unwrap();
        cluster.advance(10_000);
        assert_eq!(cluster.take_bodies(0).0, [b"end"], "seed {seed} {received:?}");
        assert_eq!(cluster.take_bodies(1).0, [b"end"], "seed {seed} {received:?}");
    }
}

/// Nothing is received outside of a connection, numbers rise, and what is reported as not sent never arrives.
fn check_story(seed: u64, seen: Vec<Seen>) -> Vec<u64> {
    let (mut is_connected, mut received) = (false, Vec::new());
    for seen in seen {
        match seen {
            Seen::Connected(_) => is_connected = true,
            Seen::Received { bodies, .. } => {
                assert!(is_connected, "seed {seed}");
                received.extend(
                    bodies.iter().map(|b| u64::from_le_bytes(b[..].try_into().expect("bodies are numbers"))),
                );
            }
            Seen::Lost { .. } => is_connected = false,
            Seen::DialFailed { .. } => {}
            Seen::Refused { .. } => panic!("seed {seed}"),
        }
    }
    assert!(received.is_sorted(), "seed {seed} {received:?}");
    received
}

#[test]
fn unsent_envelopes_never_arrive() {
    for seed in 0..100 {
        let mut cluster = Cluster::new(seed, 2, Default::default());
        let mut rng = cluster.world.seed("test").rng();
        cluster.learn(0, 1);
        let mut rejected = Vec::new();
        for tag in 1..80u64 {
            match rng.below(6) {
                0 => cluster.world.partition(&groups(&cluster)),
                1 => cluster.world.heal(),
                2 if cluster.world.is_running(cluster.index(1)) => cluster.world.kill(cluster.index(1)),
                2 => {
                    let before = cluster.take(1);
                    cluster.restart(1);
                    rejected.extend(before);
                }
                _ => {}
            }
            cluster.send(0, 1, tag, &tag.to_le_bytes()).unwrap();
            cluster.advance(rng.below(2_000));
        }
        rejected.extend(cluster.take(1));
        let arrived: Vec<u64> = rejected
            .into_iter()
            .flat_map(|seen| match seen {
                Seen::Received { bodies, .. } => bodies,
                _ => Vec::new(),
            })
            .map(|body| u64::from_le_bytes(body[..].try_into().unwrap()))
            .collect();
        let mut unsent = 0;
        for seen in cluster.take(0) {
            if let Seen::Lost { unsent: tags, .. } = seen {
                unsent += tags.len();
                assert!(tags.iter().all(|tag| !arrived.contains(tag)), "seed {seed}");
            }
        }
        assert!(unsent > 0 || !arrived.is_empty());
    }
}

#[test]
fn a_stalled_process_gets_everything_late_and_in_order() {
    let mut cluster = Cluster::connected_pair();
    cluster.world.stall(cluster.index(1));
    for number in 0..10u8 {
        cluster.send(0, 1, 1, &[number]).unwrap();
        cluster.advance(1_000);
    }
    assert!(cluster.take(1).is_empty() && cluster.take(0).is_empty(), "a stall breaks no connection");
    let before = cluster.world.local_now(cluster.index(1));
    cluster.world.resume(cluster.index(1));
    cluster.advance(1);
    let (bodies, others) = cluster.take_bodies(1);
    assert_eq!(bodies, (0..10u8).map(|number| vec![number]).collect::<Vec<_>>());
    assert!(others.is_empty());
    assert!(cluster.world.local_now(cluster.index(1)) > before);
}

#[test]
fn a_stalled_process_accepts_nobody_until_it_goes_on() {
    let mut cluster = Cluster::healthy(3);
    cluster.world.stall(cluster.index(1));
    cluster.dial(0, 1);
    cluster.advance(2_000);
    assert!(cluster.take(0).is_empty());
    cluster.world.resume(cluster.index(1));
    cluster.advance(10);
    assert_eq!(cluster.take(0), [Seen::Connected(cluster.id(1))]);
    cluster.world.stall(cluster.index(1));
    cluster.dial(2, 1);
    cluster.advance(10);
    cluster.world.kill(cluster.index(1));
    cluster.advance(10);
    assert!(matches!(&cluster.take(2)[..], [Seen::DialFailed { error, .. }] if error.contains("refused")));
}

#[test]
fn a_slow_link_is_slow_in_one_direction_until_healed() {
    let mut cluster = Cluster::connected_pair();
    cluster.world.slow_link(cluster.index(0), cluster.index(1), 1000);
    cluster.send(0, 1, 1, b"slow").unwrap();
    cluster.send(1, 0, 1, b"fast").unwrap();
    cluster.advance(100);
    assert_eq!(cluster.take_bodies(0).0, [b"fast"]);
    assert!(cluster.take(1).is_empty());
    cluster.world.heal();
    cluster.advance(3_000);
    assert_eq!(cluster.take_bodies(1).0, [b"slow"]);
}
