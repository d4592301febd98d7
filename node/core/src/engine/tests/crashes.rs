//! What a restart finds.

use super::disk::MemoryDisk;
use super::world::{Seen, World, ZERO};
use crate::engine::Event;

/// The disk of an engine after each of its batches, and how many steps were acknowledged until then.
fn history() -> Vec<(MemoryDisk, usize)> {
    let mut world = World::new(1, 2);
    world.writes = false;
    world.found();
    let mut images = vec![(world.sites[0].disk.copy(), 0)];
    let (mut scribe, mut gates) = (None, Vec::new());
    for round in 0..40 {
        if !world.sites[0].writes.is_empty() {
            world.finish(0);
            let acknowledged =
                gates.iter().filter(|gate: &&super::world::Told| *gate.lock() == [Ok(())]).count();
            images.push((world.sites[0].disk.copy(), acknowledged));
        }
        let writer = match &mut scribe {
            None if world.leader().is_some() => scribe.insert(world.scribe_in(ZERO)),
            None => continue,
            Some(writer) => writer,
        };
        if round < 30 {
            gates.push(world.commit(0, writer, &[round]));
        }
    }
    assert!(gates.len() > 20 && gates.iter().all(|gate| *gate.lock() == [Ok(())]));
    images
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash_at_any_batch() {
    let mut founded = 0;
    for (number, (disk, acknowledged)) in history().into_iter().enumerate() {
        let mut world = World::new(1, 2);
        world.sites[0].disk = disk;
        world.restart(0);
        let seen = world.take(0);
        assert!(!seen.iter().any(|seen| matches!(seen, Seen::Fatal(_))), "batch {number}: {seen:?}");
        if world.leader().is_none() {
            assert_eq!(acknowledged, 0);
            continue;
        }
        founded += 1;
        let mut scribe = world.scribe_in(ZERO);
        let id = scribe.address.id().to_owned();
        let steps = world.steps(0, &id);
        assert!(steps >= acknowledged as u64, "batch {number}: {steps} steps, {acknowledged} acknowledged");
        let again = world.commit(0, &mut scribe, b"again");
        assert_eq!(*again.lock(), [Ok(())], "batch {number}");
        world.pass(500);
        assert_eq!(world.steps(0, &id), steps + 1);
    }
    assert!(founded > 20);
}

#[test]
fn founding_goes_on_where_a_crash_cut_it_short() {
    for completed in 0..2 {
        let mut world = World::new(1, 3);
        world.writes = false;
        world.found();
        (0..completed).for_each(|_| world.finish(0));
        world.kill(0);
        world.writes = true;
        world.restart(0);
        let shards = world.table.shards().to_vec();
        world.feed(0, [Event::Found(shards)]);
        assert!(world.take(0).contains(&Seen::Founded), "after {completed} batches");
        assert_eq!(world.sites[0].engine.shards_here().iter().filter(|(_, here)| here.serves).count(), 3);
    }
}

#[test]
fn founding_is_told_only_when_it_is_durable() {
    let mut world = World::new(1, 3);
    world.writes = false;
    world.found();
    assert!(!world.take(0).contains(&Seen::Founded));
    let (_, batch) = &world.sites[0].writes[0];
    assert!(batch.sync);
    world.finish(0);
    assert!(world.take(0).contains(&Seen::Founded));
}

#[test]
fn shards_are_served_when_the_ranges_come_after_the_disk() {
    let mut world = World::alone(2);
    world.kill(0);
    let routes = world.routes();
    world.gossips = false;
    world.restart_without_routes(0);
    assert_eq!((world.leads(0), world.leader()), (true, None));
    world.feed(0, [Event::Routes(routes)]);
    assert_eq!(world.leader(), Some(0));
}
