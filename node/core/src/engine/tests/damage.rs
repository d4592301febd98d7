//! Replicas whose records are damaged: nobody stops, nobody forgets, and where there is another copy it is used.

use gritmesh_runtime::{ShardId, Table};

use super::disk::Rows;
use super::world::{ME, OTHER, Scribe, Seen, THIRD, World, ZERO};
use crate::engine::Event;

const ALL: [gritmesh_runtime::NodeId; 3] = [ME, OTHER, THIRD];

/// Key of a field of shard 0's replica: its identity is 1, its configuration 5.
fn is_field(table: Table, key: &[u8], field: u8) -> bool {
    table == Table::Group && key == [0, 0, 0, 0, field]
}

/// What is on a disk, but for the promises of damaged replicas to be silent.
fn rows(world: &World, site: usize) -> Rows {
    let mut rows = world.sites[site].disk.rows();
    rows.retain(|(table, key), _| !is_field(*table, key, 7));
    rows
}

fn is_log(table: Table, _: &[u8]) -> bool {
    table == Table::Log
}

fn id(world: &World, site: usize) -> Option<gritmesh_sharding::ReplicaId> {
    world.sites[site].engine.groups.get(&ZERO).map(|group| group.replica.id())
}

fn quarantined(world: &World, site: usize) -> bool {
    world.sites[site].engine.quarantined().any(|shard| shard == ZERO)
}

fn is_fatal(seen: &Seen) -> bool {
    matches!(seen, Seen::Fatal(_))
}

/// A shard on three nodes with some steps, led by the first.
fn written() -> (World, Scribe) {
    let mut world = World::three();
    let mut scribe = world.scribe(0, "alice");
    for step in 0..10 {
        world.commit(0, &mut scribe, &[step]);
    }
    // The tables follow the log a little later.
    world.pass(1_000);
    (world, scribe)
}

/// What the node has is there again, with every step, under another id.
#[track_caller]
fn is_replaced(world: &mut World, site: usize, before: gritmesh_sharding::ReplicaId) {
    world.want(&ALL, world.table.shards()[0].leader.unwrap_or(ME));
    world.pass(1_000);
    assert!(!world.take(site).iter().any(is_fatal));
    assert!(!quarantined(world, site));
    assert!(id(world, site).is_some_and(|id| id != before), "it is another replica");
    let leader = world.leader().expect("the shard is served");
    assert_eq!(world.voters(leader), ALL);
    let counts = [0, 1, 2].map(|site| world.steps(site, "alice"));
    assert_eq!(counts, [counts[0]; 3]);
    assert!(counts[0] >= 10);
}

#[test]
fn a_follower_with_a_damaged_log_is_replaced() {
    let (mut world, _) = written();
    let before = id(&world, 2).unwrap();
    world.kill(2);
    world.sites[2].disk.damage(is_log);
    let rows_before = rows(&world, 2);
    world.cut = [(2, 0), (2, 1), (0, 2), (1, 2)].into();
    world.restart(2);
    world.pass(3_000);
    assert!(quarantined(&world, 2) && !world.take(2).iter().any(is_fatal));
    assert_eq!(rows(&world, 2), rows_before, "nothing is removed before there is another");
    world.cut.clear();
    is_replaced(&mut world, 2, before);
}

#[test]
fn each_field_may_be_damaged() {
    for (field, noticed) in (1..=5).flat_map(|field| [(field, true), (field, false)]) {
        let (mut world, _) = written();
        let before = id(&world, 2).unwrap();
        world.kill(2);
        match noticed {
            true => world.sites[2].disk.damage(|table, key| is_field(table, key, field)),
            false => world.sites[2].disk.flip(Table::Group, &[0, 0, 0, 0, field]),
        }
        world.restart(2);
        assert!(quarantined(&world, 2), "field {field}");
        is_replaced(&mut world, 2, before);
    }
}

#[test]
fn one_that_does_not_know_who_it_was_learns_it_from_its_leader() {
    let (mut world, _) = written();
    let before = id(&world, 2).unwrap();
    world.kill(2);
    world.sites[2].disk.damage(|table, key| is_field(table, key, 1) || is_field(table, key, 5));
    world.restart(2);
    assert!(quarantined(&world, 2));
    is_replaced(&mut world, 2, before);
}

/// Removed and added again, so that there is the memory of an earlier replica, which is damaged, too.
#[test]
fn one_that_does_not_know_who_was_before_it_either_says_nothing() {
    let (mut world, mut scribe) = written();
    world.want(&[ME, OTHER], ME);
    world.pass(6_000);
    world.want(&ALL, ME);
    world.kill(2);
    world.sites[2].disk.damage(|table, key| [1, 5, 6].iter().any(|field| is_field(table, key, *field)));
    let rows_before = rows(&world, 2);
    world.restart(2);
    world.sites[2].frames.clear();
    world.pass(3_000);
    assert!(quarantined(&world, 2) && world.sites[2].frames.is_empty());
    assert!(!world.take(2).iter().any(is_fatal));
    assert_eq!(rows(&world, 2), rows_before);
    let told = world.commit(0, &mut scribe, b"more");
    world.pass(100);
    assert_eq!(*told.lock(), [Ok(())], "two of three go on");
}

#[test]
fn a_damaged_memory_of_the_last_replica_costs_one_more() {
    let (mut world, _) = written();
    let before = id(&world, 2).unwrap();
    world.want(&[ME, OTHER], ME);
    world.pass(6_000);
    assert_eq!(id(&world, 2), None);
    world.kill(2);
    world.sites[2].disk.damage(|table, key| is_field(table, key, 6));
    world.restart(2);
    is_replaced(&mut world, 2, before);
}

#[test]
fn a_leader_with_damaged_records_is_replaced_by_those_that_go_on() {
    let (mut world, _) = written();
    let before = id(&world, 0).unwrap();
    world.kill(0);
    world.sites[0].disk.damage(is_log);
    world.restart(0);
    for site in [1, 2] {
        world.feed(site, [Event::Gone(ME)]);
    }
    world.sites[0].frames.clear();
    world.pass(3_000);
    assert!(world.leader().is_some_and(|leader| leader != 0), "the others elect one");
    is_replaced(&mut world, 0, before);
}

/// An entry cannot be applied since a row that it depends on is damaged.
#[test]
fn damage_that_is_met_while_running_takes_nobody_else_down() {
    for site in [1, 2] {
        let (mut world, _) = written();
        let before = id(&world, site).unwrap();
        // What is in memory is read from the disk after a restart only.
        world.restart(site);
        world.pass(1_000);
        assert_eq!(id(&world, site), Some(before));
        world.sites[site].disk.damage(|table, _| table == Table::Head);
        let leader = world.leader().unwrap();
        let mut scribe = world.scribe(leader, "alice");
        let told = world.commit(leader, &mut scribe, b"more");
        world.pass(50);
        assert_eq!(*told.lock(), [Ok(())]);
        world.pass(1_000);
        is_replaced(&mut world, site, before);
    }
}

#[test]
fn a_leader_that_cannot_read_a_row_lets_others_lead() {
    let (mut world, _) = written();
    let before = id(&world, 0).unwrap();
    world.feed(0, [Event::FoundDamage { shard: ZERO, why: "a head".into() }]);
    assert!(quarantined(&world, 0));
    world.pass(3_000);
    assert!(world.leader().is_some_and(|leader| leader != 0));
    is_replaced(&mut world, 0, before);
}

#[test]
fn a_lone_node_goes_on_with_its_other_shards_and_keeps_what_is_left() {
    let mut world = World::alone(2);
    let mut scribe = world.scribe_in(ZERO);
    world.commit(0, &mut scribe, b"1");
    world.kill(0);
    world.sites[0].disk.damage(|table, key| is_log(table, key) && key[..4] == [0, 0, 0, 0]);
    let rows_of_zero = |world: &World| {
        let rows = world.sites[0].disk.rows();
        rows.into_iter().filter(|((_, key), _)| key[..4] == [0, 0, 0, 0]).collect::<Vec<_>>()
    };
    let before = rows_of_zero(&world);
    world.restart(0);
    world.pass(5_000);
    assert!(!world.take(0).iter().any(is_fatal) && quarantined(&world, 0));
    let shards = world.sites[0].engine.shards_here();
    assert!(shards.iter().all(|(shard, here)| *shard == ShardId(1) && here.serves) && shards.len() == 1);
    let shards = world.table.shards().to_vec();
    world.feed(0, [Event::Found(shards)]);
    assert_eq!(rows_of_zero(&world), before, "not even founding makes it anew");
}

#[test]
fn the_only_voter_serves_what_it_can_read() {
    let mut world = World::alone(1);
    world.feed(0, [Event::FoundDamage { shard: ZERO, why: "a head".into() }]);
    assert!(!quarantined(&world, 0) && world.leader() == Some(0));
}

#[test]
fn where_all_replicas_are_damaged_nothing_is_removed() {
    let (mut world, _) = written();
    let sites = [0, 1, 2];
    sites.iter().for_each(|site| world.kill(*site));
    sites.iter().for_each(|site| world.sites[*site].disk.damage(is_log));
    let before = sites.map(|site| rows(&world, site));
    sites.iter().for_each(|site| world.restart(*site));
    world.pass(10_000);
    assert_eq!(world.leader(), None);
    assert_eq!(sites.map(|site| rows(&world, site)), before);
    assert!(sites.into_iter().all(|site| !world.take(site).iter().any(is_fatal)));
}

/// What a pack had in it that was changed on the disk never gets into the log of others.
#[test]
fn a_flipped_bit_in_a_pack_of_the_log_is_found_at_the_start() {
    let (mut world, scribe) = written();
    let before = id(&world, 1).unwrap();
    let head = gritmesh_shard::head(&world.sites[1].disk, &scribe.address).unwrap().unwrap();
    let key = [&scribe.address.token().0.to_be_bytes()[..], head.id.as_bytes()].concat();
    world.kill(1);
    world.sites[1].disk.flip(Table::Object, &key);
    world.restart(1);
    assert!(quarantined(&world, 1));
    is_replaced(&mut world, 1, before);
}

/// A shard on two nodes, led by the first.
fn on_two() -> World {
    let (mut world, _) = written();
    world.want(&[ME, OTHER], ME);
    world.pass(1_000);
    world
}

/// Both know that the other one is all there is, and one finds damage.
#[test]
fn of_two_voters_either_may_be_damaged() {
    let damages: [fn(Table, &[u8]) -> bool; 3] = [
        is_log,
        |table, key| is_field(table, key, 2),
        |table, key| is_field(table, key, 1) || is_field(table, key, 5),
    ];
    for (site, damage) in [0, 1].into_iter().flat_map(|site| damages.map(|damage| (site, damage))) {
        let mut world = on_two();
        let before = id(&world, site).unwrap();
        world.kill(site);
        world.sites[site].disk.damage(damage);
        world.restart(site);
        assert!(quarantined(&world, site));
        world.feed(1 - site, [Event::Gone(ALL[site])]);
        world.pass(10_000);
        assert_eq!(world.leader(), Some(1 - site), "the sound one goes on");
        is_replaced(&mut world, site, before);
    }
}

#[test]
fn where_both_voters_are_damaged_nothing_is_removed() {
    let mut world = on_two();
    let sites = [0, 1];
    sites.iter().for_each(|site| world.kill(*site));
    sites.iter().for_each(|site| world.sites[*site].disk.damage(is_log));
    let before = sites.map(|site| rows(&world, site));
    sites.iter().for_each(|site| world.restart(*site));
    world.pass(10_000);
    assert_eq!(world.leader(), None);
    assert_eq!(sites.map(|site| rows(&world, site)), before);
}

/// The others may have gone on because it said so.
#[test]
fn who_has_said_that_it_is_lost_stays_so_although_its_records_are_sound() {
    let (mut world, _) = written();
    let before = id(&world, 2).unwrap();
    world.cut = [(2, 0), (2, 1)].into();
    world.feed(2, [Event::FoundDamage { shard: ZERO, why: "a head".into() }]);
    world.pass(3_000);
    world.kill(2);
    world.restart(2);
    assert!(quarantined(&world, 2));
    world.kill(2);
    world.sites[2].disk.damage(|table, key| is_field(table, key, 7));
    world.restart(2);
    assert!(quarantined(&world, 2), "even if that cannot be read any more");
    world.cut.clear();
    is_replaced(&mut world, 2, before);
    world.kill(2);
    world.restart(2);
    assert!(!quarantined(&world, 2) && id(&world, 2) != Some(before));
}

/// Nobody is told before it is durable.
#[test]
fn silence_is_promised_on_the_disk_first() {
    let (mut world, _) = written();
    world.writes = false;
    world.sites[2].frames.clear();
    world.feed(2, [Event::FoundDamage { shard: ZERO, why: "a head".into() }]);
    world.pass(3_000);
    assert!(quarantined(&world, 2) && world.sites[2].frames.is_empty());
    world.writes = true;
    world.pass(3_000);
    assert!(!world.sites[2].frames.is_empty());
}
