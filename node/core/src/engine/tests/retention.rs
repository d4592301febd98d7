//! Answers under an idempotency key are kept as long as they must be, and not much longer.

use gritmesh_actor::{Draft, Origin};
use gritmesh_runtime::{Table, UnixTime};
use gritmesh_sharding::ReplicaLimits;

use std::time::Duration;

use super::world::{ANSWERS_KEPT, ME, OTHER, THIRD, Told, World, ZERO};
use crate::engine::Event;

/// When histories of this world make their steps.
const MADE_MS: u64 = 1_000;
const KEPT_MS: u64 = ANSWERS_KEPT.as_millis() as u64;

fn answer(world: &mut World, site: usize, id: &str, keys: u32) -> Vec<Told> {
    let mut scribe = world.scribe(site, id);
    let commit = |key: u32| {
        let origin = Origin::Keyed { key: key.to_be_bytes().into() };
        let (commit, told) =
            scribe.draft(Draft { answer: Some(Ok(vec![1])), ..Draft::new("add".into(), origin) });
        world.feed(site, [Event::Commit { shard: ZERO, commit }]);
        told
    };
    let told = (0..keys).map(commit).collect();
    // The tables follow the log a little later.
    world.pass(1_000);
    told
}

/// What the wall shows if nothing has happened to it.
fn wall(world: &World) -> u64 {
    MADE_MS + world.now.as_nanos() / 1_000_000
}

fn second(world: &mut World, unix_ms: u64) {
    for site in 0..world.sites.len() {
        world.feed(site, [Event::WallClock(UnixTime(unix_ms))]);
    }
    world.pass(1_000);
}

fn answers(world: &World, site: usize) -> usize {
    world.sites[site].disk.rows_of(Table::Answer)
}

#[test]
fn answers_are_forgotten_when_they_were_kept_long_enough_and_not_before() {
    let mut world = World::three();
    let told = answer(&mut world, 0, "alice", 3);
    assert!(told.iter().all(|told| *told.lock() == [Ok(())]));
    // The last was made a second ago.
    world.now += ANSWERS_KEPT.saturating_sub(Duration::from_secs(2));
    let shown = wall(&world);
    second(&mut world, shown);
    assert_eq!((answers(&world, 0), answers(&world, 2)), (3, 3), "not early");
    let shown = wall(&world);
    second(&mut world, shown + 5_000);
    assert_eq!(answers(&world, 0), 3, "a round has just ended, the next one comes later");
    world.now += ANSWERS_KEPT / 24;
    let shown = wall(&world);
    second(&mut world, shown);
    assert_eq!((0..3).map(|site| answers(&world, site)).collect::<Vec<_>>(), [0, 0, 0]);
}

#[test]
fn a_look_is_short_and_the_next_one_goes_on_from_there() {
    let mut world = World::alone(1);
    answer(&mut world, 0, "alice", 600);
    world.now += ANSWERS_KEPT;
    let left = [344, 88, 0].map(|_| {
        let shown = wall(&world);
        second(&mut world, shown);
        answers(&world, 0)
    });
    assert_eq!(left, [344, 88, 0]);
}

#[test]
fn what_could_not_be_proposed_is_found_again() {
    let mut world = World::three();
    answer(&mut world, 0, "alice", 2);
    // Nobody follows, so that nothing is committed any more, and the leader steps down.
    world.cut.extend([(0, 1), (0, 2)]);
    world.now += ANSWERS_KEPT;
    let shown = wall(&world);
    second(&mut world, shown);
    world.pass(10_000);
    assert_eq!((answers(&world, 0), answers(&world, 1)), (2, 2));
    world.cut.clear();
    world.pass(5_000);
    world.now += ANSWERS_KEPT / 24;
    let shown = wall(&world);
    second(&mut world, shown);
    assert_eq!((0..3).map(|site| answers(&world, site)).collect::<Vec<_>>(), [0, 0, 0]);
}

#[test]
fn a_wall_clock_that_jumps_makes_nobody_forget() {
    for jump in [2 * KEPT_MS, 1_000 * KEPT_MS, u64::MAX / 2] {
        let mut world = World::three();
        answer(&mut world, 0, "alice", 3);
        for _ in 0..3 {
            // Forward on all nodes, back, and before 1970.
            for shown in [wall(&world) + jump, wall(&world), 0] {
                world.now += ANSWERS_KEPT / 24;
                second(&mut world, shown);
                assert_eq!(answers(&world, 0), 3, "{shown}");
            }
        }
    }
}

/// A node that is started with a clock that is ahead, or behind, goes on with the time that it has noted.
#[test]
fn what_a_leader_dates_is_dated_by_the_shard_and_not_by_its_clock() {
    let mut world = World::alone(1);
    answer(&mut world, 0, "alice", 1);
    let shown = wall(&world);
    second(&mut world, shown);
    // The histories of this world go on to date what they make by the same moment, as if their clock stood.
    world.now += ANSWERS_KEPT / 2;
    let shown = wall(&world);
    second(&mut world, shown);
    answer(&mut world, 0, "bob", 1);
    world.now += ANSWERS_KEPT / 2 + Duration::from_secs(10);
    let shown = wall(&world);
    second(&mut world, shown);
    assert_eq!(answers(&world, 0), 1, "only the older one is old");
}

#[test]
fn who_leads_next_goes_on_with_the_time_of_the_log() {
    let mut world = World::three();
    answer(&mut world, 0, "alice", 3);
    world.kill(0);
    world.now += ANSWERS_KEPT.saturating_sub(Duration::from_secs(60));
    world.pass(5_000);
    let leader = world.leader().expect("another one leads");
    let shown = wall(&world) + 5 * KEPT_MS;
    second(&mut world, shown);
    assert_eq!(answers(&world, leader), 3, "however far its clock is ahead");
    world.now += ANSWERS_KEPT / 12;
    let shown = wall(&world) + 5 * KEPT_MS;
    second(&mut world, shown);
    assert_eq!(answers(&world, leader), 0);
}

#[test]
fn a_state_that_was_pulled_brings_the_time_of_its_shard() {
    let mut world = World::three_with(ReplicaLimits { kept_entries: 4, ..ReplicaLimits::default() });
    world.kill(2);
    answer(&mut world, 0, "alice", 30);
    // What is left of the log answers nobody.
    let mut bob = world.scribe(0, "bob");
    (0..100).for_each(|state| drop(world.commit(0, &mut bob, &[state])));
    world.pass(1_000);
    world.restart(2);
    world.pass(5_000);
    assert_eq!((answers(&world, 2), world.steps(2, "bob")), (30, 100));
    // Nobody was answered since, when it is handed the shard.
    world.want(&[ME, OTHER, THIRD], THIRD);
    world.pass(5_000);
    assert!(world.leads(2));
    let shown = wall(&world) + 5 * KEPT_MS;
    second(&mut world, shown);
    assert_eq!(answers(&world, 2), 30, "however far its clock is ahead");
}

#[test]
fn the_first_answer_is_written_together_with_its_time() {
    let mut world = World::three();
    // No second passes: nobody has noted the time but with the answers themselves.
    answer(&mut world, 0, "alice", 3);
    (0..3).for_each(|site| world.kill(site));
    (0..3).for_each(|site| world.restart(site));
    world.pass(5_000);
    let leader = world.leader().expect("one of them leads");
    let shown = wall(&world) + 5 * KEPT_MS;
    second(&mut world, shown);
    assert_eq!(answers(&world, leader), 3, "however far its clock is ahead");
}
