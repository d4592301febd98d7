//! Calls between nodes that do not reach each other, over one that reaches both.

use gritmesh_runtime::FailureCode;

use super::world::{OTHER, Seen, THIRD, World, ended, place, sent_slot};
use crate::engine::Event;
use crate::engine::calls::REDIRECTS_MAX;

/// An engine whose only shard a node leads that does not answer it, and the third node reaches.
fn cut_off() -> World {
    let mut world = World::new(1, 1);
    world.detours = [(OTHER, vec![THIRD])].into();
    world.led_by(1, OTHER);
    world
}

/// An engine in the middle: its peer does not reach the third node, which leads the shard.
fn between() -> World {
    let mut world = World::new(1, 1);
    world.led_by(1, THIRD);
    world
}

#[test]
fn a_call_goes_over_a_node_that_reaches_the_other_one() {
    let mut world = cut_off();
    let seen = world.submit(1000);
    assert!(matches!(seen[..], [Seen::Sent(THIRD, _)]), "{seen:?}");
    let slot = sent_slot(&seen);
    assert_eq!(world.seen(0, Event::Reply { slot, result: Ok(vec![5]) }), [Seen::Ended(Ok(vec![5]))]);
}

#[test]
fn calls_go_directly_again_once_the_other_one_answers() {
    let mut world = cut_off();
    world.detours.clear();
    world.publish();
    assert!(matches!(world.submit(1000)[..], [Seen::Sent(OTHER, _)]));
}

#[test]
fn what_was_queued_for_the_other_one_takes_the_detour() {
    let mut world = World::new(1, 1);
    world.led_by(1, OTHER);
    let slot = sent_slot(&world.submit(1000));
    world.detours = [(OTHER, vec![THIRD])].into();
    world.publish();
    assert_eq!(world.seen(0, Event::NotSent { slot, failure: None }), []);
    world.pass(40);
    assert!(matches!(world.take(0)[..], [Seen::Sent(THIRD, _)]));
}

#[test]
fn a_relay_that_does_not_help_is_asked_some_times_and_then_no_more_for_a_moment() {
    let mut world = cut_off();
    let mut slot = sent_slot(&world.submit(1000));
    for _ in 0..REDIRECTS_MAX {
        let seen = world.seen(0, Event::Redirect { slot, place: place(1, OTHER) });
        let [Seen::Learn(..), Seen::Sent(THIRD, next)] = seen[..] else { panic!("{seen:?}") };
        slot = next;
    }
    let seen = world.seen(0, Event::Redirect { slot, place: place(1, OTHER) });
    assert!(matches!(seen[..], [Seen::Learn(..)]), "{seen:?}");
    world.pass(990);
    let seen = world.take(0);
    assert!(matches!(seen.last(), Some(Seen::Sent(THIRD, _) | Seen::Ended(_))), "{seen:?}");
}

#[test]
fn a_relay_passes_on_what_its_peer_cannot_send_and_answers_for_it() {
    let mut world = between();
    let slot = sent_slot(&world.receive_relayed(1));
    assert_eq!(world.seen(0, Event::Reply { slot, result: Ok(vec![5]) }), [Seen::Ended(Ok(vec![5]))]);
    // What its peer could send itself it does not pass on.
    assert_eq!(world.receive(1, false, 1), [Seen::Redirected(OTHER, 77, Some(THIRD))]);
}

#[test]
fn a_relay_never_denies_what_it_has_passed_on() {
    let mut world = between();
    world.receive_relayed(1);
    assert_eq!(world.seen(0, Event::Lost { peer: THIRD, unsent: vec![] }), ended(FailureCode::Unknown));
    world.receive_relayed(1);
    world.pass(1000);
    assert_eq!(world.take(0), ended(FailureCode::Unknown));
    // What it has not, it sends again.
    let slot = sent_slot(&world.receive_relayed(1));
    assert_eq!(world.seen(0, Event::Lost { peer: THIRD, unsent: vec![slot] }), []);
    world.pass(40);
    assert!(matches!(world.take(0)[..], [Seen::Sent(THIRD, _)]));
}

#[test]
fn one_relay_is_all_there_is() {
    let mut world = between();
    world.detours = [(THIRD, vec![OTHER])].into();
    world.publish();
    assert_eq!(world.receive_relayed(1), [Seen::Redirected(OTHER, 77, Some(THIRD))]);
    // Nor does a call go back to where it came from.
    let mut world = World::new(1, 1);
    world.led_by(1, OTHER);
    assert_eq!(world.receive_relayed(1), [Seen::Redirected(OTHER, 77, Some(OTHER))]);
    // A redirect on the way does not lead into the void either.
    let mut world = between();
    let slot = sent_slot(&world.receive_relayed(1));
    world.detours = [(OTHER, vec![THIRD])].into();
    world.publish();
    let seen = world.seen(0, Event::Redirect { slot, place: place(2, OTHER) });
    assert!(matches!(seen[..], [Seen::Learn(..)]), "{seen:?}");
}
