//! Group commit, gates, and who waits behind them.

use gritmesh_actor::{Draft, Origin, Outgoing, ReminderChange};
use gritmesh_runtime::{ActorAddress, DiskError, FailureCode, ShardId, Table, UnixTime};
use gritmesh_shard::{ActorKey, Command};

use super::world::{Seen, World, ZERO, delivered, gate};
use crate::engine::{Commit, Event};
use crate::limits::EngineLimits;

/// One engine that serves its shards, whose batches are completed by hand from here on.
fn by_hand(shards: u32) -> World {
    let mut world = World::alone(shards);
    world.writes = false;
    world
}

fn told(told: &super::world::Told) -> Vec<Result<(), FailureCode>> {
    told.lock().clone()
}

/// A command that says nothing of any head.
fn resume(id: &str) -> Command {
    Command::Resume { actor: ActorKey::of(&ActorAddress::new("t", id).unwrap()) }
}

fn plain(id: &str) -> (Event, super::world::Told) {
    let (gate, told) = gate();
    (
        Event::Commit {
            shard: ZERO,
            commit: Commit { command: resume(id), volatile: Vec::new(), gate: Some(gate) },
        },
        told,
    )
}

#[test]
fn a_gate_opens_only_when_the_step_is_committed() {
    let mut world = by_hand(1);
    let mut scribe = world.scribe(0, "alice");
    let opened = world.commit(0, &mut scribe, b"1");
    assert_eq!((told(&opened), world.sites[0].writes.len()), (vec![], 1));
    assert!(world.sites[0].writes[0].1.sync, "what is acknowledged has to be synced");
    world.finish(0);
    assert_eq!(told(&opened), [Ok(())]);
    assert_eq!((world.steps(0, "alice"), world.sites[0].writes.len()), (0, 0), "the tables follow later");
    world.pass(500);
    world.finish(0);
    assert_eq!(world.steps(0, "alice"), 1);
}

#[test]
fn one_write_is_in_flight_and_proposals_wait_for_it() {
    let mut world = by_hand(1);
    let (mut first, mut second) = (world.scribe(0, "alice"), world.scribe(0, "bob"));
    let one = world.commit(0, &mut first, b"1");
    let others: Vec<_> = (0..5).map(|_| world.commit(0, &mut second, b"x")).collect();
    let last = world.commit(0, &mut first, b"2");
    assert_eq!(world.sites[0].writes.len(), 1);
    let before = world.sites[0].disk.rows_of(Table::Log);
    world.finish(0);
    assert_eq!(told(&one), [Ok(())]);
    assert_eq!(world.sites[0].writes.len(), 1);
    world.finish(0);
    assert!(others.iter().chain([&last]).all(|gate| told(gate) == [Ok(())]));
    assert_eq!(world.sites[0].disk.rows_of(Table::Log), before + 2, "all that waited is one entry");
    world.pass(500);
    world.finish(0);
    assert_eq!((world.steps(0, "alice"), world.steps(0, "bob")), (2, 5));
}

#[test]
fn several_shards_share_one_batch() {
    let mut world = by_hand(4);
    let commits = (0..4).map(|shard| {
        let mut scribe = world.scribe_in(ShardId(shard));
        let (commit, told) = scribe.step(b"1");
        (Event::Commit { shard: ShardId(shard), commit }, told)
    });
    let (events, gates): (Vec<_>, Vec<_>) = commits.unzip();
    world.feed(0, events);
    assert_eq!(world.sites[0].writes.len(), 1);
    world.finish(0);
    assert!(gates.iter().all(|gate| told(gate) == [Ok(())]));
    world.pass(500);
    assert_eq!(world.sites[0].writes.len(), 1, "so do their tables");
}

#[test]
fn a_step_on_another_head_is_refused_and_the_next_gate_is_not_confused() {
    let mut world = by_hand(1);
    let (mut scribe, mut rival) = (world.scribe(0, "alice"), world.scribe(0, "alice"));
    let (first, one) = scribe.step(b"1");
    let (second, two) = rival.step(b"2");
    let (third, three) = scribe.step(b"3");
    let commit = |commit| Event::Commit { shard: ZERO, commit };
    world.feed(0, [first, second, third].map(commit));
    world.finish(0);
    assert_eq!((told(&one), told(&three)), (vec![Ok(())], vec![Ok(())]));
    assert_eq!(told(&two), [Err(FailureCode::NotDelivered)]);
}

#[test]
fn observers_wait_for_what_was_proposed_before_them() {
    let mut world = by_hand(1);
    let mut scribe = world.scribe(0, "alice");
    let (at_once, first) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate: at_once }]);
    assert_eq!(told(&first), [Ok(())], "nothing is before it");
    let step = world.commit(0, &mut scribe, b"1");
    let (behind, second) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate: behind }]);
    let queued = world.commit(0, &mut scribe, b"2");
    let (last, third) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate: last }]);
    assert_eq!((told(&step), told(&second), told(&third)), (vec![], vec![], vec![]));
    world.finish(0);
    assert_eq!((told(&step), told(&second)), (vec![Ok(())], vec![Ok(())]));
    assert_eq!((told(&queued), told(&third)), (vec![], vec![]));
    world.finish(0);
    assert_eq!((told(&queued), told(&third)), (vec![Ok(())], vec![Ok(())]));
}

#[test]
fn an_observer_with_nothing_before_it_does_not_wait_for_the_disk() {
    let mut world = by_hand(2);
    let mut scribe = world.scribe_in(ShardId(1));
    world.commit(0, &mut scribe, b"1");
    let (gate, opened) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate }]);
    assert_eq!((told(&opened), world.sites[0].writes.len()), (vec![Ok(())], 1));
}

#[test]
fn an_actor_is_not_delivered_before_its_step_is_on_the_disk() {
    let mut world = by_hand(1);
    let mut scribe = world.scribe(0, "x");
    world.commit(0, &mut scribe, b"1");
    assert_eq!(world.submit(10_000), [], "the step is not committed");
    let other = world.submission(10_000, false, "t/y", "m");
    assert_eq!(world.seen(0, Event::Submit(other)), delivered(), "another actor has nothing to wait for");
    world.finish(0);
    assert_eq!(world.take(0), [], "the step is committed, but the head is not on the disk");
    world.finish(0);
    assert_eq!(world.take(0), delivered());
}

#[test]
fn a_refused_step_holds_no_actor_back() {
    let mut world = by_hand(1);
    let mut scribe = world.scribe(0, "x");
    world.commit(0, &mut scribe, b"1");
    let mut rival = world.scribe(0, "x");
    let refused = world.commit(0, &mut rival, b"2");
    world.finish(0);
    world.finish(0);
    world.pass(500);
    world.finish(0);
    assert_eq!(told(&refused), [Err(FailureCode::NotDelivered)]);
    assert_eq!(world.submit(1_000), delivered());
}

#[test]
fn whoever_does_not_lead_takes_nothing() {
    let mut world = World::new(1, 1);
    let (event, opened) = plain("a");
    let (observer, observed) = gate();
    world.feed(0, [event, Event::Observe { shard: ZERO, gate: observer }]);
    assert_eq!(told(&opened), [Err(FailureCode::NotDelivered)]);
    assert_eq!(told(&observed), [Err(FailureCode::NotDelivered)]);
}

#[test]
fn what_waits_for_a_commit_is_limited() {
    let mut world = by_hand(1);
    let gates: Vec<_> = (0..EngineLimits::PRODUCTION.waiting + 10)
        .map(|_| {
            let (event, told) = plain("a");
            world.feed(0, [event]);
            told
        })
        .collect();
    let refused = gates.iter().filter(|gate| told(gate) == [Err(FailureCode::Overloaded)]).count();
    assert!((9..=10).contains(&refused), "{refused}");
    world.writes = true;
    world.settle();
    assert!(gates.iter().all(|gate| gate.lock().len() == 1), "each gate is told once");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let mut world = by_hand(1);
    let mut scribe = world.scribe(0, "alice");
    let proposed = world.commit(0, &mut scribe, b"1");
    let (event, queued) = plain("a");
    world.feed(0, [event]);
    world.complete(0, Err(DiskError::Full));
    assert_eq!(told(&queued), [Err(FailureCode::DiskFull)], "it surely did not happen");
    let (event, late) = plain("a");
    world.feed(0, [event]);
    assert_eq!(told(&late), [Err(FailureCode::DiskFull)]);
    world.pass(490);
    assert_eq!(world.sites[0].writes.len(), 0, "the disk is left alone for a while");
    world.pass(10);
    assert_eq!(world.sites[0].writes.len(), 1);
    world.pass(5_000);
    assert_eq!(world.sites[0].writes.len(), 1, "what is being tried is not tried twice");
    world.complete(0, Err(DiskError::Full));
    world.pass(500);
    assert_eq!(told(&proposed), []);
    world.finish(0);
    assert_eq!(told(&proposed), [Ok(())]);
    let (event, again) = plain("a");
    world.feed(0, [event]);
    while !world.sites[0].writes.is_empty() {
        world.finish(0);
    }
    assert_eq!(told(&again), [Ok(())]);
}

/// Nothing gets stuck: what was proposed still has room, and what was not is refused at once.
#[test]
fn a_disk_that_is_getting_full_takes_what_is_under_way_and_nothing_new() {
    let mut world = by_hand(1);
    let mut scribe = world.scribe(0, "alice");
    let proposed = world.commit(0, &mut scribe, b"1");
    let (event, queued) = plain("a");
    world.feed(0, [event]);
    world.sites[0].disk.set_full(true);
    let (event, late) = plain("a");
    world.feed(0, [event]);
    assert_eq!((told(&queued), told(&late)), (vec![], vec![Err(FailureCode::DiskFull)]));
    world.finish(0);
    world.finish(0);
    assert_eq!((told(&proposed), told(&queued)), (vec![Ok(())], vec![Ok(())]));
    let (observer, observed) = gate();
    world.feed(0, [Event::Observe { shard: ZERO, gate: observer }]);
    assert_eq!(told(&observed), [Ok(())], "reading needs no room");
    world.sites[0].disk.set_full(false);
    let (event, again) = plain("a");
    world.feed(0, [event]);
    world.finish(0);
    assert_eq!(told(&again), [Ok(())]);
}

#[test]
fn a_disk_with_too_much_to_do_is_tried_again_and_nobody_is_refused() {
    let mut world = by_hand(1);
    let mut scribe = world.scribe(0, "alice");
    let proposed = world.commit(0, &mut scribe, b"1");
    world.complete(0, Err(DiskError::Overloaded));
    let queued = world.commit(0, &mut scribe, b"2");
    world.pass(20);
    world.finish(0);
    world.finish(0);
    assert_eq!((told(&proposed), told(&queued)), (vec![Ok(())], vec![Ok(())]));
}

#[test]
fn a_failed_disk_stops_the_engine_and_tells_everybody() {
    let mut world = by_hand(1);
    let mut scribe = world.scribe(0, "alice");
    let proposed = world.commit(0, &mut scribe, b"1");
    let queued = world.commit(0, &mut scribe, b"2");
    world.complete(0, Err(DiskError::Closed));
    assert!(world.take(0).iter().any(|seen| matches!(seen, Seen::Fatal(_))));
    assert_eq!(told(&proposed), [Err(FailureCode::Unknown)]);
    assert_eq!(told(&queued), [Err(FailureCode::NotDelivered)]);
    let (event, late) = plain("a");
    world.feed(0, [event]);
    assert_eq!((told(&late), world.sites[0].writes.len()), (vec![Err(FailureCode::NotDelivered)], 0));
    assert_eq!(world.sites[0].leases[&ZERO].as_nanos(), 0);
}

#[test]
fn what_cannot_be_applied_is_not_written_as_applied() {
    let mut world = by_hand(1);
    let mut scribe = world.scribe(0, "alice");
    let proposed = world.commit(0, &mut scribe, b"1");
    world.sites[0].disk.break_reading();
    world.finish(0);
    assert!(world.take(0).iter().any(|seen| matches!(seen, Seen::Fatal(_))));
    assert_eq!(world.sites[0].writes.len(), 0, "the note that the entry was applied must not reach the disk");
    assert_eq!(told(&proposed), [Err(FailureCode::Unknown)]);
}

#[test]
fn messages_and_reminders_leave_when_their_step_is_committed() {
    let mut world = by_hand(1);
    world.feed(0, [Event::WallClock(UnixTime(1_000))]);
    let mut scribe = world.scribe(0, "alice");
    let to = |id: &str, durable| Outgoing {
        to: ActorAddress::new("t", id).unwrap(),
        method: "m".into(),
        arguments: vec![0x90],
        durable,
    };
    let reminder = ReminderChange::Set {
        name: "r".into(),
        due_unix_ms: 3_000,
        every_ms: None,
        late: gritmesh_actor::Late::Once,
        method: "m".into(),
        arguments: vec![0x90],
    };
    let (commit, _) = scribe.draft(Draft {
        sends: vec![to("bob", true), to("carol", false)],
        reminders: vec![reminder],
        ..Draft::new("set".into(), Origin::Call)
    });
    assert_eq!(world.seen(0, Event::Commit { shard: ZERO, commit }), []);
    world.finish(0);
    let mut seen = world.take(0);
    seen.sort_by_key(|seen| format!("{seen:?}"));
    assert_eq!(
        seen,
        [Seen::Forwarded("carol".into()), Seen::Message(1)].map(|it| match it {
            Seen::Forwarded(_) => Seen::Forwarded(to("carol", false).to.to_string()),
            other => other,
        })
    );
    world.pass(1_900);
    assert_eq!(world.take(0), []);
    world.pass(100);
    assert_eq!(world.take(0)[0], Seen::Fired("r".into(), false));
}

#[test]
fn pausing_an_actor_takes_it_out_of_memory() {
    let mut world = World::alone(1);
    let address = ActorAddress::new("t", "x").unwrap();
    let row = gritmesh_shard::PausedRow { time_unix_ms: 1, reason: "it panics".into() };
    let (gate, opened) = gate();
    let command = Command::Pause { actor: ActorKey::of(&address), row };
    let commit = Commit { command, volatile: Vec::new(), gate: Some(gate) };
    let seen = world.seen(0, Event::Commit { shard: ZERO, commit });
    assert_eq!(seen, [Seen::EvictActor(address.to_string())]);
    assert_eq!(told(&opened), [Ok(())]);
    world.pass(500);
    assert!(gritmesh_shard::paused(&world.sites[0].disk, &address).unwrap().is_some());
}
