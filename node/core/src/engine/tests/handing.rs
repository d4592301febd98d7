//! Handing over leadership, and losing it.

use std::time::Duration;

use gritmesh_runtime::FailureCode;

use super::world::{ME, OTHER, Seen, THIRD, World, ZERO, delivered, gate};
use crate::engine::Event;

fn want_other() -> Event {
    Event::Want { shard: ZERO, voters: vec![ME, OTHER, THIRD], leader: OTHER }
}

#[test]
fn leadership_is_handed_over_when_the_actors_are_out_of_memory() {
    let mut world = World::three();
    world.evicts = false;
    assert_eq!(world.seen(0, want_other()), [Seen::Evict(ZERO, true)]);
    assert_eq!(world.submit(10_000), [], "a call from here waits");
    assert_eq!(world.receive(0, false, 1), [], "and so does one from a peer");
    let mut scribe = world.scribe(0, "last");
    let last = world.commit(0, &mut scribe, b"farewell");
    assert_eq!(*last.lock(), [Ok(())], "actors that leave memory may still make steps");
    world.pass(500);
    assert!(world.leads(0));
    world.evicts = true;
    world.feed(0, [Event::Evicted(ZERO)]);
    world.pass(200);
    assert_eq!(world.leader(), Some(1));
    let seen = world.take(0);
    assert!(seen.contains(&Seen::LostLeadership(ZERO)), "{seen:?}");
    assert!(seen.iter().any(|seen| matches!(seen, Seen::Sent(OTHER, _))), "{seen:?}");
    assert!(seen.contains(&Seen::Redirected(OTHER, 77, Some(OTHER))), "{seen:?}");
    assert_eq!(world.steps(1, "last"), 1);
}

#[test]
fn what_waits_for_a_commit_is_waited_for_before_handing_over() {
    let mut world = World::three();
    world.writes = false;
    let mut scribe = world.scribe(0, "a");
    let step = world.commit(0, &mut scribe, b"1");
    world.feed(0, [want_other()]);
    assert!(world.sites[0].engine.groups[&ZERO].replica.status().transferring.is_none());
    world.writes = true;
    world.settle();
    assert_eq!(*step.lock(), [Ok(())]);
    world.pass(300);
    assert_eq!(world.leader(), Some(1));
}

#[test]
fn a_shard_that_nobody_takes_over_is_served_again() {
    let mut world = World::three();
    world.cut.insert((0, 1));
    world.feed(0, [want_other()]);
    assert_eq!(world.leader(), None);
    world.take(0);
    assert_eq!(world.submit(10_000), []);
    world.pass(2_900);
    assert_eq!((world.leader(), world.leads(0)), (None, true));
    world.pass(200);
    assert_eq!(world.leader(), Some(0));
    assert_eq!(world.take(0), delivered());
    let mut scribe = world.scribe(0, "a");
    let step = world.commit(0, &mut scribe, b"1");
    assert_eq!(*step.lock(), [Ok(())]);
}

#[test]
fn a_shard_that_is_handed_over_to_a_node_which_dies_is_served_at_once() {
    let mut world = World::three();
    world.cut.insert((0, 1));
    world.feed(0, [want_other()]);
    assert_eq!(world.leader(), None);
    world.feed(0, [Event::Gone(OTHER)]);
    assert_eq!(world.leader(), Some(0));
}

#[test]
fn a_shard_is_not_handed_to_a_node_that_does_not_answer() {
    let mut world = World::three();
    world.cut.extend([(0, 1), (1, 0)]);
    world.pass(1_000);
    world.feed(0, [want_other()]);
    assert_eq!(world.leader(), Some(0), "it is served all the time");
    world.take(0);
    assert_eq!(world.submit(10_000), delivered());
    world.pass(2_000);
    assert_eq!(world.leader(), Some(0));
    world.cut.clear();
    world.pass(1_000);
    assert_eq!(world.leader(), Some(1), "it is handed over once the other one answers");
}

#[test]
fn who_must_go_hands_a_shard_to_somebody_who_answers() {
    let mut world = World::three();
    world.cut.extend([(0, 1), (1, 0)]);
    world.pass(1_000);
    world.feed(0, [Event::Want { shard: ZERO, voters: vec![OTHER, THIRD], leader: OTHER }]);
    world.pass(1_000);
    assert_eq!(world.leader(), Some(2));
}

#[test]
fn a_shard_is_not_served_again_before_its_actors_have_left_memory() {
    let mut world = World::three();
    world.evicts = false;
    world.feed(0, [want_other()]);
    world.pass(4_000);
    assert_eq!((world.leader(), world.leads(0)), (None, true));
    world.feed(0, [Event::Evicted(ZERO)]);
    assert_eq!(world.leader(), Some(0));
}

#[test]
fn gates_are_told_when_leadership_is_lost() {
    let mut world = World::three();
    world.cut.extend([(0, 1), (0, 2)]);
    let mut scribe = world.scribe(0, "a");
    let proposed = world.commit(0, &mut scribe, b"1");
    let (observer, observed) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate: observer }]);
    assert_eq!((proposed.lock().len(), observed.lock().len()), (0, 0));
    world.writes = false;
    world.feed(0, [Event::Tick]);
    world.pass(600);
    let mut other = world.scribe(0, "b");
    let queued = world.commit(0, &mut other, b"2");
    world.writes = true;
    world.pass(5_000);
    assert!(!world.leads(0));
    assert_eq!(*proposed.lock(), [Err(FailureCode::Unknown)], "it may be committed yet");
    assert_eq!(*observed.lock(), [Err(FailureCode::Unknown)]);
    assert!(matches!(queued.lock()[..], [Err(_)]), "{queued:?}");
    let seen = world.take(0);
    assert!(
        seen.contains(&Seen::Evict(ZERO, false)) && seen.contains(&Seen::LostLeadership(ZERO)),
        "{seen:?}"
    );
    assert_eq!(world.sites[0].leases[&ZERO].as_nanos(), 0);
    let mut scribe = world.scribe(0, "c");
    let late = world.commit(0, &mut scribe, b"3");
    assert_eq!(*late.lock(), [Err(FailureCode::NotDelivered)]);
}

#[test]
fn what_was_not_proposed_surely_did_not_happen() {
    let mut world = World::three();
    world.writes = false;
    let mut scribe = world.scribe(0, "a");
    world.commit(0, &mut scribe, b"1");
    assert_eq!(world.sites[0].writes.len(), 1);
    let queued = world.commit(0, &mut scribe, b"2");
    world.cut.extend([(0, 1), (0, 2)]);
    world.pass(5_000);
    assert_eq!(*queued.lock(), [Err(FailureCode::NotDelivered)]);
}

#[test]
fn a_lease_ends_before_anybody_else_leads() {
    let mut world = World::three();
    world.pass(200);
    assert!(world.sites[0].leases[&ZERO] > world.now);
    world.cut.extend([(0, 1), (0, 2)]);
    for _ in 0..500 {
        world.pass(10);
        let sure =
            (0..3).filter(|site| world.sites[*site].leases.get(&ZERO).is_some_and(|end| *end > world.now));
        assert!(sure.count() <= 1, "two nodes are sure to lead at {:?}", world.now);
        if world.leader().is_some_and(|at| at != 0) {
            return;
        }
    }
    panic!("nobody else led");
}

#[test]
fn an_observer_without_a_lease_does_not_disturb_the_gates_behind_it() {
    let mut world = World::three();
    world.pass(200);
    // The lease has run out, and what asks for a new one is lost.
    world.now += Duration::from_millis(700);
    world.cut.extend([(0, 1), (0, 2)]);
    let (observer, observed) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate: observer }]);
    assert_eq!((world.leads(0), observed.lock().len()), (true, 0));
    world.cut.clear();
    let mut scribe = world.scribe(0, "a");
    let first = world.commit(0, &mut scribe, b"1");
    assert_eq!(*first.lock(), [Ok(())]);
    assert_eq!(*observed.lock(), [Ok(())], "a majority has taken an entry that came after it");
    let second = world.commit(0, &mut scribe, b"2");
    assert_eq!((first.lock().len(), second.lock().clone()), (1, vec![Ok(())]));
}

#[test]
fn an_observer_gets_a_lease_within_one_round_trip() {
    let mut world = World::three();
    world.pass(10_000);
    assert!(world.sites[0].leases[&ZERO] <= world.now, "an idle shard sleeps");
    let (observer, observed) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate: observer }]);
    assert_eq!(*observed.lock(), [Ok(())], "no time had to pass");
}
