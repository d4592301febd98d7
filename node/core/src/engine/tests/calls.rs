//! The way of a call, as a list of effects.

use std::collections::BTreeMap;

use gritmesh_runtime::{Failure, FailureCode, ShardId};
use gritmesh_sharding::Version;

use super::world::{ME, OTHER, Seen, THIRD, World, ZERO, delivered, ended, place, sent_slot};
use crate::engine::Event;
use crate::engine::calls::REDIRECTS_MAX;
use crate::engine::parked::{PARKED_BYTES_MAX, PARKED_MAX};
use crate::engine::pending::PENDING_MAX;
use crate::engine::sending::HOPS_MAX;
use crate::machine::Machine;

/// An engine whose only shard another node leads.
fn led_by_other() -> World {
    let mut world = World::new(1, 1);
    world.led_by(1, OTHER);
    world
}

#[test]
fn a_call_for_an_own_shard_is_delivered() {
    assert_eq!(World::alone(1).submit(1000), delivered());
}

#[test]
fn a_call_for_another_node_is_sent_and_answered_once() {
    let mut world = led_by_other();
    let slot = sent_slot(&world.submit(1000));
    assert_eq!(world.seen(0, Event::Reply { slot, result: Ok(vec![5]) }), [Seen::Ended(Ok(vec![5]))]);
    assert_eq!(world.seen(0, Event::Reply { slot, result: Ok(vec![5]) }), []);
    world.pass(2000);
    assert_eq!(world.take(0), []);
}

#[test]
fn slots_are_not_reused_with_the_same_number() {
    let mut world = led_by_other();
    let first = sent_slot(&world.submit(1000));
    world.seen(0, Event::Reply { slot: first, result: Ok(vec![]) });
    let second = sent_slot(&world.submit(1000));
    assert_ne!(first, second);
    assert_eq!(world.seen(0, Event::Reply { slot: first, result: Ok(vec![]) }), []);
}

#[test]
fn no_answer_by_the_deadline_is_unknown() {
    let mut world = led_by_other();
    world.submit(1000);
    world.pass(990);
    assert_eq!(world.take(0), []);
    world.pass(10);
    assert_eq!(world.take(0), ended(FailureCode::Unknown));
}

#[test]
fn nobody_to_send_to_by_the_deadline_is_not_delivered() {
    let mut world = World::new(1, 1);
    assert_eq!(world.submit(50), []);
    world.pass(50);
    assert_eq!(world.take(0), ended(FailureCode::NotDelivered));
}

#[test]
fn a_call_waits_for_the_cluster_and_then_goes() {
    let mut world = World::new(1, 1);
    assert_eq!(world.submit(1000), []);
    let shards = world.table.shards().to_vec();
    world.feed(0, [Event::Restore, Event::Found(shards)]);
    world.publish();
    let seen = world.take(0);
    assert!(seen.ends_with(&delivered()), "{seen:?}");
}

#[test]
fn a_broken_connection_tells_what_was_sent_and_what_was_not() {
    let mut world = led_by_other();
    world.submit(10_000);
    let unsent = sent_slot(&world.submit(10_000));
    assert_eq!(
        world.seen(0, Event::Lost { peer: OTHER, unsent: vec![unsent] }),
        ended(FailureCode::Unknown),
        "the one that was sent may have run; the other one looks for a new way"
    );
    assert!(matches!(world.led_by(2, THIRD)[..], [Seen::Sent(THIRD, _)]));
}

#[test]
fn an_envelope_that_the_network_did_not_take_is_tried_again() {
    let mut world = led_by_other();
    let slot = sent_slot(&world.submit(10_000));
    assert_eq!(world.seen(0, Event::NotSent { slot, failure: None }), []);
    world.pass(30);
    assert_eq!(world.take(0), []);
    world.pass(10);
    assert!(matches!(world.take(0)[..], [Seen::Sent(OTHER, _)]));
}

#[test]
fn what_the_network_refuses_is_told() {
    let mut world = led_by_other();
    let slot = sent_slot(&world.submit(10_000));
    let failure = Some(Failure::new(FailureCode::Overloaded, "full"));
    assert_eq!(world.seen(0, Event::NotSent { slot, failure }), ended(FailureCode::Overloaded));
}

#[test]
fn a_redirect_is_followed_and_told_to_control() {
    let mut world = led_by_other();
    let slot = sent_slot(&world.submit(10_000));
    let seen = world.seen(0, Event::Redirect { slot, place: place(2, THIRD) });
    let version = Version { term: 2, epoch: gritmesh_runtime::Epoch(1) };
    assert!(
        matches!(&seen[..], [Seen::Learn(learnt, Some(THIRD)), Seen::Sent(THIRD, _)] if *learnt == version),
        "{seen:?}"
    );
}

#[test]
fn redirects_in_a_circle_end_in_waiting() {
    let mut world = led_by_other();
    let mut slot = sent_slot(&world.submit(10_000));
    for round in 0..=REDIRECTS_MAX {
        let node = if round % 2 == 0 { THIRD } else { OTHER };
        let seen = world.seen(0, Event::Redirect { slot, place: place(1, node) });
        match &seen[..] {
            [Seen::Learn(..), Seen::Sent(_, next)] if round < REDIRECTS_MAX => slot = *next,
            [Seen::Learn(..)] if round == REDIRECTS_MAX => return,
            other => panic!("round {round}: {other:?}"),
        }
    }
    panic!("the circle never ended");
}

#[test]
fn a_call_from_a_peer_that_knows_more_waits_for_the_news() {
    let mut world = led_by_other();
    assert_eq!(world.receive(1, false, 1), [Seen::Redirected(OTHER, 77, Some(OTHER))]);
    assert_eq!(world.receive(2, false, 1), [], "this node may be the next leader and not know it yet");
    let seen = world.led_by(2, THIRD);
    assert_eq!(seen, [Seen::Redirected(OTHER, 77, Some(THIRD))]);
}

#[test]
fn a_message_without_a_caller_is_passed_on_a_few_times() {
    let mut world = World::new(1, 1);
    world.led_by(1, THIRD);
    assert!(matches!(world.receive(1, true, 1)[..], [Seen::Sent(THIRD, 0)]));
    assert_eq!(world.receive(1, true, HOPS_MAX), ended(FailureCode::NotDelivered));
}

#[test]
fn an_unhosted_type_is_refused_at_once() {
    let mut world = World::alone(1);
    let submission = world.submission(1000, false, "nobody/x", "m");
    assert_eq!(world.seen(0, Event::Submit(submission)), ended(FailureCode::UnknownType));
}

#[test]
fn questions_about_an_actor_go_to_its_leader_whoever_hosts_it() {
    let mut world = World::alone(1);
    let submission = world.submission(1000, false, "nobody/x", "$log");
    assert_eq!(world.seen(0, Event::Submit(submission)), [Seen::Administered("$log".into())]);
    let mut world = led_by_other();
    let submission = world.submission(1000, false, "nobody/x", "$log");
    assert!(matches!(world.seen(0, Event::Submit(submission))[..], [Seen::Sent(OTHER, _)]));
}

#[test]
fn a_reminder_never_leaves_the_node() {
    let mut world = led_by_other();
    let mut submission = world.submission(1000, false, "t/x", "m");
    let origin =
        gritmesh_actor::Origin::Reminder { name: "r".into(), due_unix_ms: 1, set_by: [0; 32], skip: false };
    submission.header.origin = origin;
    assert_eq!(world.seen(0, Event::Submit(submission)), ended(FailureCode::NotDelivered));
}

#[test]
fn a_call_that_came_before_the_table_is_passed_to_the_engine_of_its_shard() {
    let mut world = World::new(1, 1);
    (world.sites[0].engine.index, world.sites[0].engine.engines) = (1, 2);
    assert_eq!(world.submit(1000), []);
    assert_eq!(world.led_by(1, ME), [Seen::Passed(ZERO)]);
}

#[test]
fn shards_without_a_majority_refuse_at_once() {
    let mut world = World::alone(1);
    let mut routes = world.routes();
    std::sync::Arc::get_mut(&mut routes).unwrap().cut_off.insert(ShardId(0));
    world.feed(0, [Event::Routes(routes)]);
    assert_eq!(world.submit(1000), ended(FailureCode::NoQuorum));
}

#[test]
fn nothing_waits_for_a_cluster_when_the_node_shuts_down() {
    let mut world = World::new(1, 1);
    world.feed(0, [Event::Draining(true)]);
    assert_eq!(world.submit(1000), ended(FailureCode::NotDelivered));
}

#[test]
fn queues_have_ends() {
    let mut world = World::new(1, 1);
    for _ in 0..PARKED_MAX {
        assert_eq!(world.submit(1000), []);
    }
    assert_eq!(world.submit(1000), ended(FailureCode::Overloaded));
    let mut world = led_by_other();
    for _ in 0..PENDING_MAX {
        world.submit(1000);
    }
    assert_eq!(world.submit(1000), ended(FailureCode::Overloaded));
    world.pass(1000);
    assert_eq!(world.take(0).len(), PENDING_MAX);
    assert_eq!((world.sites[0].engine.pending(), world.sites[0].engine.next_deadline()), (0, None));
}

#[test]
fn big_calls_that_wait_are_bounded_by_their_bytes() {
    let mut world = World::new(1, 1);
    world.argument_bytes = PARKED_BYTES_MAX / 4;
    for _ in 0..4 {
        assert_eq!(world.submit(1000), []);
    }
    assert_eq!(world.submit(1000), ended(FailureCode::Overloaded));
    world.pass(1000);
    assert_eq!(world.take(0).len(), 4, "they end at their deadline, and others may wait");
    assert_eq!(world.submit(1000), []);
}

#[test]
fn every_call_ends_exactly_once_whatever_happens() {
    use proptest::prelude::*;
    proptest!(|(steps in prop::collection::vec((0u8..9, 0u64..40), 1..120), own in any::<bool>())| {
        let mut world = if own { World::alone(1) } else { World::new(1, 1) };
        let (mut made, mut finished, mut term) = (0usize, 0usize, 10);
        world.led_by(term, OTHER);
        let mut slots: BTreeMap<u64, ()> = BTreeMap::new();
        for (step, number) in steps {
            let some_slot = slots.keys().nth(number as usize % slots.len().max(1)).copied().unwrap_or(0);
            let node = [OTHER, THIRD, ME][number as usize % 3];
            let seen = match step {
                0 | 1 => { made += 1; world.submit(number * 20) }
                2 => world.seen(0, Event::Reply { slot: some_slot, result: Ok(vec![]) }),
                3 => world.seen(0, Event::Lost { peer: OTHER, unsent: vec![some_slot] }),
                4 => world.seen(0, Event::NotSent { slot: some_slot, failure: None }),
                5 => { term += 1; world.led_by(term, node) }
                6 => world.seen(0, Event::Redirect { slot: some_slot, place: place(number, node) }),
                7 => world.seen(0, Event::Gone(THIRD)),
                _ => { world.pass(number * 10); world.take(0) }
            };
            for effect in seen {
                match effect {
                    Seen::Sent(_, slot) => { slots.insert(slot, ()); }
                    Seen::Delivered(_) | Seen::Ended(_) => finished += 1,
                    _ => {}
                }
            }
            prop_assert!(finished <= made);
        }
        let ends = |seen: &Seen| matches!(seen, Seen::Delivered(_) | Seen::Ended(_));
        world.pass(2_000);
        finished += world.take(0).iter().filter(|seen| ends(seen)).count();
        prop_assert_eq!(finished, made);
        prop_assert_eq!((world.sites[0].engine.pending(), world.sites[0].engine.parked()), (0, 0));
    });
}
