//! Idle shards rest, and wake when they should.

use std::time::Duration;

use super::{World, three};
use crate::replica::{ReplicaLimits, ReplicaOptions};

fn asleep(world: &World) -> usize {
    let sleeps = |at: &usize| world.replica(*at).is_some_and(|it| it.status().hibernating);
    (0..4).filter(sleeps).count()
}

fn resting(seed: u64) -> World {
    let limits = ReplicaLimits { hibernate_after: Duration::from_secs(2), ..ReplicaLimits::default() };
    let mut world = three(seed, ReplicaOptions::default(), limits);
    world.steers = false;
    world.run_until(Duration::from_secs(5), |world| asleep(world) == 3).expect("all fall asleep");
    world
}

#[test]
fn an_idle_shard_sends_nothing_and_has_no_lease() {
    let mut world = resting(1);
    let before = world.seen.messages;
    let leader = world.leader().expect("it still leads");
    world.run(Duration::from_secs(60));
    assert_eq!(world.seen.messages, before);
    assert_eq!(world.leader(), Some(leader));
    assert_eq!(world.replica(leader).unwrap().lease(), None);
    assert_eq!(world.replica(leader).unwrap().next_deadline(), None);
}

#[test]
fn a_proposal_or_the_wish_for_a_lease_wakes() {
    let mut world = resting(2);
    let leader = world.leader().expect("it still leads");
    world.run(Duration::from_secs(10));
    world.with_replica(leader, |replica, now| replica.confirm(now));
    world.run_until(Duration::from_millis(50), World::is_led).expect("a lease within a round trip");
    assert_eq!(asleep(&world), 0);
    world.run_until(Duration::from_secs(5), |world| asleep(world) == 3).expect("all fall asleep again");
    let terms = world.seen.leaders.len();
    assert!(world.propose(leader));
    world.run_until(Duration::from_millis(100), |world| !world.seen.acknowledged.is_empty()).unwrap();
    assert_eq!(world.seen.leaders.len(), terms);
}

#[test]
fn followers_that_are_woken_replace_a_leader_that_is_gone() {
    let mut world = resting(3);
    let old = world.leader().expect("it still leads");
    world.crash(old);
    world.run(Duration::from_secs(5));
    assert_eq!(asleep(&world), 2, "nobody told them");
    for at in (0..3).filter(|at| *at != old) {
        world.with_replica(at, |replica, now| replica.wake(now));
    }
    let took = world.run_until(Duration::from_secs(5), World::is_led).expect("another leads");
    assert!(took < Duration::from_millis(2_500), "{took:?}");
}
