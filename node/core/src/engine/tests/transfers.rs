//! States on their way to a replica, and what comes between: repeated requests, strangers, a full disk, removal.

use std::collections::BTreeSet;

use gritmesh_runtime::{Change, DiskError, ShardId, Table};
use gritmesh_shard::{Cursor, TransferRequest};
use gritmesh_sharding::ReplicaLimits;

use super::world::{ME, OTHER, Seen, THIRD, World, ZERO};
use crate::engine::{Event, Part};
use crate::wire::Bulk;

/// Big enough that a few actors fill a part.
const STATE_BYTES: usize = 20_000;
const ACTORS: usize = 100;

/// The third was away until the log was cut, and is back.
fn lagging() -> World {
    let mut world = World::three_with(ReplicaLimits { kept_entries: 4, ..ReplicaLimits::default() });
    world.kill(2);
    for actor in 0..ACTORS {
        let mut scribe = world.scribe(0, &format!("a{actor}"));
        let told = world.commit(0, &mut scribe, &[actor as u8; STATE_BYTES]);
        assert_eq!(*told.lock(), [Ok(())]);
    }
    world.pass(700);
    world
}

/// As [`lagging`], with its first load of objects on the way to the disk.
fn loading() -> World {
    let mut world = lagging();
    world.restart(2);
    world.writes = false;
    for _ in 0..400 {
        for site in [0, 1] {
            while !world.sites[site].writes.is_empty() {
                world.finish(site);
            }
        }
        if is_load(&world) {
            return world;
        }
        if !world.sites[2].writes.is_empty() {
            world.finish(2);
        }
        world.pass(10);
    }
    panic!("nothing is pulled");
}

/// Whether the next batch of the third is a load of objects.
fn is_load(world: &World) -> bool {
    let is_object = |change: &Change| matches!(change, Change::Put { table: Table::Object, .. });
    world.sites[2].writes.front().is_some_and(|(_, batch)| batch.changes.iter().all(is_object))
}

fn rows(world: &World, site: usize) -> BTreeSet<(Table, Vec<u8>)> {
    let rows = world.sites[site].disk.rows();
    let of_actors = rows.keys().filter(|(table, _)| Table::OF_ACTORS.contains(table));
    of_actors.cloned().collect()
}

fn assert_arrived(world: &mut World) {
    world.writes = true;
    world.settle();
    world.pass(4_000);
    assert!(!world.take(2).iter().any(|seen| matches!(seen, Seen::Fatal(_))));
    assert_eq!(rows(world, 0), rows(world, 2));
    assert_eq!(world.steps(2, "a99"), 1);
}

/// What the third asks for: index, stream, number of parts, and the rest. Its request goes no further.
fn asked(world: &mut World) -> (u64, u64, u32, TransferRequest) {
    world.bulk = Some(Vec::new());
    world.restart(2);
    world.pass(300);
    let held = world.bulk.take().expect("it was set");
    let pull = held.into_iter().find_map(|bulk| match bulk {
        Bulk::Pull { index, stream, up_to, request, .. } => Some((index, stream, up_to, request)),
        _ => None,
    });
    let (index, stream, up_to, request) = pull.expect("the third asks for the state");
    (index, stream, up_to, TransferRequest::decode(request.into()).unwrap())
}

#[test]
fn a_repeated_request_begins_anew_and_the_old_stream_ends() {
    let mut world = lagging();
    let (index, stream, up_to, request) = asked(&mut world);
    assert_eq!(request.cursor, Cursor::Heads { from: request.tokens.0.0.to_be_bytes().to_vec() });
    let part = Part { shard: ZERO, index, stream };
    let pull = || Event::Pull { from: THIRD, part, up_to, request: request.clone() };
    world.bulk = Some(Vec::new());
    world.handle(0, vec![pull(), pull()]);
    let sent = world.bulk.take().expect("it was set");
    let numbers = sent.iter().filter_map(|bulk| match bulk {
        Bulk::Chunk { number, .. } => Some(*number),
        _ => None,
    });
    let (first, anew) = (vec![0], (0..up_to).collect::<Vec<_>>());
    assert_eq!(
        numbers.collect::<Vec<_>>(),
        [first, anew].concat(),
        "one part of the first, then only the other"
    );
}

#[test]
fn only_the_leader_that_was_asked_can_say_that_its_state_is_gone() {
    let mut world = lagging();
    let (index, ..) = asked(&mut world);
    for (from, shard, index) in [(OTHER, ZERO, index), (ME, ZERO, index + 1), (ME, ShardId(7), index)] {
        world.feed(2, [Event::StateGone { from, shard, index }]);
    }
    // Its request was lost; it asks again after two seconds, which it would not if the state were gone.
    world.pass(2_200);
    assert_eq!(rows(&world, 0), rows(&world, 2));
}

#[test]
fn objects_that_found_the_disk_full_are_loaded_when_there_is_room() {
    let mut world = loading();
    for error in [DiskError::Full, DiskError::Overloaded, DiskError::Full] {
        assert!(is_load(&world));
        world.complete(2, Err(error));
        assert!(!is_load(&world), "it leaves the disk alone for a while");
        world.pass(600);
    }
    assert!(is_load(&world));
    assert_arrived(&mut world);
}

#[test]
fn a_crash_while_objects_are_loaded_does_no_harm() {
    for is_done in [false, true] {
        let mut world = loading();
        if is_done {
            let (_, batch) = world.sites[2].writes.front().cloned().expect("a load is on its way");
            world.sites[2].disk.apply(&batch);
        }
        world.kill(2);
        world.writes = true;
        world.restart(2);
        assert_arrived(&mut world);
    }
}

#[test]
fn objects_that_come_to_the_disk_after_the_replica_was_removed_are_removed_too() {
    let mut world = loading();
    let load = world.sites[2].writes.pop_front().expect("a load is on its way");
    world.writes = true;
    world.want(&[ME, OTHER], ME);
    world.pass(6_000);
    assert!(world.take(2).contains(&Seen::Holds(ZERO, false)));
    assert_eq!(rows(&world, 2), BTreeSet::new());
    world.sites[2].writes.push_back(load);
    world.settle();
    assert_eq!(rows(&world, 2), BTreeSet::new(), "what nobody would ever delete");
}
