//! An engine that stops leaves nobody waiting, and says no more than is true.

use gritmesh_runtime::FailureCode;

use super::world::{OTHER, Seen, World, ZERO, ended, gate, place};
use crate::engine::Event;

#[test]
fn what_was_proposed_is_unknown_and_what_was_queued_surely_did_not_happen() {
    let mut world = World::alone(1);
    world.writes = false;
    let (mut alice, mut bob) = (world.scribe(0, "alice"), world.scribe(0, "bob"));
    let proposed = world.commit(0, &mut alice, b"1");
    let (reading, read) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate: reading }]);
    let queued = world.commit(0, &mut bob, b"1");
    let (later, late) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate: later }]);
    world.feed(0, [Event::Stop]);
    assert_eq!(*proposed.lock(), [Err(FailureCode::Unknown)]);
    assert_eq!(*read.lock(), [Err(FailureCode::Unknown)]);
    assert_eq!(*queued.lock(), [Err(FailureCode::NotDelivered)]);
    assert_eq!(*late.lock(), [Err(FailureCode::NotDelivered)]);
    let writes = world.sites[0].writes.len();
    world.finish(0);
    world.pass(10_000);
    assert_eq!(world.sites[0].writes.len(), writes - 1, "nothing is written any more");
    assert_eq!(world.sites[0].engine.shards_here().len(), 0);
}

#[test]
fn calls_end_too_and_those_that_come_later_are_refused() {
    let mut world = World::new(1, 1);
    let waiting = world.submit(60_000);
    assert_eq!(waiting, [], "there is no cluster yet");
    assert_eq!(world.seen(0, Event::Stop), ended(FailureCode::NotDelivered));

    let mut world = World::new(1, 1);
    assert_eq!(world.led_by(1, OTHER), []);
    assert!(matches!(world.submit(60_000)[..], [Seen::Sent(..)]));
    assert_eq!(world.seen(0, Event::Stop), ended(FailureCode::Unknown));
    assert_eq!(world.submit(60_000), ended(FailureCode::NotDelivered));
    assert_eq!(world.receive(1, false, 0), ended(FailureCode::NotDelivered));
    let mut scribe = world.scribe(0, "alice");
    assert_eq!(*world.commit(0, &mut scribe, b"1").lock(), [Err(FailureCode::NotDelivered)]);
    let redirect = Event::Redirect { slot: 1, place: place(2, OTHER) };
    assert_eq!(world.seen(0, redirect), []);
    assert_eq!(world.sites[0].engine.pending() + world.sites[0].engine.parked(), 0);
}
