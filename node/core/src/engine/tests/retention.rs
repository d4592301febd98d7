//! Answers under an idempotency key are kept as long as they must be, and not much longer.

use gritmesh_actor::{Draft, Origin};
use gritmesh_runtime::{Table, UnixTime};

use super::world::{ANSWERS_KEPT, Told, World, ZERO};
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
    second(&mut world, MADE_MS + KEPT_MS);
    assert_eq!((answers(&world, 0), answers(&world, 2)), (3, 3), "not a millisecond early");
    second(&mut world, MADE_MS + KEPT_MS + 1);
    assert_eq!(answers(&world, 0), 3, "a round has just ended, the next one comes later");
    world.now += ANSWERS_KEPT / 24;
    second(&mut world, MADE_MS + KEPT_MS + 2);
    assert_eq!((0..3).map(|site| answers(&world, site)).collect::<Vec<_>>(), [0, 0, 0]);
}

#[test]
fn a_look_is_short_and_the_next_one_goes_on_from_there() {
    let mut world = World::alone(1);
    answer(&mut world, 0, "alice", 600);
    let late = MADE_MS + KEPT_MS + 1;
    let left = [344, 88, 0].map(|_| {
        second(&mut world, late);
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
    second(&mut world, MADE_MS + KEPT_MS + 1);
    world.pass(10_000);
    assert_eq!((answers(&world, 0), answers(&world, 1)), (2, 2));
    world.cut.clear();
    world.pass(5_000);
    world.now += ANSWERS_KEPT / 24;
    second(&mut world, MADE_MS + KEPT_MS + 2);
    assert_eq!((0..3).map(|site| answers(&world, site)).collect::<Vec<_>>(), [0, 0, 0]);
}
