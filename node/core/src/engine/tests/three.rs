//! Three engines: replication, transfer of state, removal, and what hostile peers send.

use std::collections::BTreeSet;

use gritmesh_runtime::{FailureCode, NodeId, ShardId, Table};
use gritmesh_sharding::{MessageHeader, Replica, ReplicaLimits};

use super::world::{ME, OTHER, Seen, THIRD, World, ZERO};
use crate::engine::{Event, Part};
use crate::wire::LogMessages;

/// Logs that are cut soon, so that who lags needs the state.
fn short_logs() -> ReplicaLimits {
    ReplicaLimits { kept_entries: 4, ..ReplicaLimits::default() }
}

fn rows(world: &World, site: usize) -> Vec<(Table, Vec<u8>)> {
    let rows = world.sites[site].disk.rows();
    let of_actors = rows.keys().filter(|(table, _)| Table::OF_ACTORS.contains(table));
    of_actors.cloned().collect()
}

#[test]
fn steps_are_on_all_replicas() {
    let mut world = World::three();
    let mut scribe = world.scribe(0, "alice");
    for step in 0..10 {
        let told = world.commit(0, &mut scribe, &[step]);
        assert_eq!(*told.lock(), [Ok(())]);
    }
    world.pass(700);
    assert_eq!([0, 1, 2].map(|site| world.steps(site, "alice")), [10, 10, 10]);
    assert_eq!(rows(&world, 0), rows(&world, 1));
    assert_eq!(rows(&world, 0), rows(&world, 2));
}

#[test]
fn shards_share_one_frame_for_each_peer() {
    let mut world = World::new(3, 4);
    world.found();
    for shard in 0..4 {
        for _ in 0..30 {
            let want = Event::Want { shard: ShardId(shard), voters: vec![ME, OTHER, THIRD], leader: ME };
            world.feed(0, [want]);
            world.pass(50);
        }
    }
    world.pass(1_000);
    let commits = (0..4).map(|shard| {
        let (commit, _) = world.scribe_in(ShardId(shard)).step(b"1");
        Event::Commit { shard: ShardId(shard), commit }
    });
    let commits: Vec<_> = commits.collect();
    world.sites[0].frames.clear();
    world.handle(0, commits);
    let frames = &world.sites[0].frames;
    assert_eq!(frames.len(), 2, "one for each peer");
    for (_, body) in frames {
        let shards = LogMessages::read(body).map(|message| MessageHeader::read(message).unwrap().shard);
        assert_eq!(shards.collect::<BTreeSet<_>>().len(), 4);
    }
}

#[test]
fn a_follower_answers_only_what_its_disk_has() {
    let mut world = World::three();
    world.writes = false;
    let mut scribe = world.scribe(0, "alice");
    let told = world.commit(0, &mut scribe, b"1");
    world.pass(50);
    assert_eq!(world.sites.iter().map(|site| site.writes.len()).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(*told.lock(), []);
    world.finish(0);
    assert_eq!(*told.lock(), [], "one disk is no majority");
    world.finish(1);
    assert_eq!(*told.lock(), [Ok(())]);
}

#[test]
fn the_leader_tells_only_what_its_own_disk_has_too() {
    let mut world = World::three();
    world.writes = false;
    let mut scribe = world.scribe(0, "alice");
    let told = world.commit(0, &mut scribe, b"1");
    world.finish(1);
    world.finish(2);
    assert_eq!(*told.lock(), [], "two disks are a majority, but what is applied must lie in the own log");
    world.finish(0);
    assert_eq!(*told.lock(), [Ok(())]);
}

#[test]
fn others_take_over_when_the_leader_dies_and_keep_what_was_acknowledged() {
    let mut world = World::three();
    let mut scribe = world.scribe(0, "alice");
    for step in 0..5 {
        world.commit(0, &mut scribe, &[step]);
    }
    world.kill(0);
    for site in [1, 2] {
        world.feed(site, [Event::Gone(ME)]);
    }
    world.pass(3_000);
    let leader = world.leader().expect("one of the others leads");
    let mut scribe = world.scribe(leader, "alice");
    assert_eq!(world.steps(leader, "alice"), 5);
    let told = world.commit(leader, &mut scribe, b"6");
    assert_eq!(*told.lock(), [Ok(())]);
    world.restart(0);
    world.pass(2_000);
    assert_eq!(world.steps(0, "alice"), 6, "the old leader has followed");
}

#[test]
fn who_was_away_too_long_pulls_the_state() {
    let mut world = World::three_with(short_logs());
    let mut scribe = world.scribe(0, "alice");
    world.commit(0, &mut scribe, b"0");
    world.pass(200);
    world.kill(2);
    let before = world.chunks;
    for step in 0..200 {
        let told = world.commit(0, &mut scribe, &[step]);
        assert_eq!(*told.lock(), [Ok(())]);
    }
    for other in 0..50 {
        let mut scribe = world.scribe(0, &format!("b{other}"));
        world.commit(0, &mut scribe, b"new");
    }
    // The log is cut once the tables have followed.
    world.pass(600);
    world.restart(2);
    world.pass(4_000);
    assert!(world.chunks > before);
    assert_eq!(world.steps(2, "alice"), 201);
    assert_eq!(rows(&world, 0), rows(&world, 2));
    let told = world.commit(0, &mut scribe, b"more");
    world.pass(700);
    assert_eq!((told.lock().clone(), world.steps(2, "alice")), (vec![Ok(())], 202));
}

#[test]
fn a_crash_at_any_batch_of_a_transfer_does_no_harm() {
    for crash_at in 0..6 {
        let mut world = World::three_with(short_logs());
        world.kill(2);
        let mut scribe = world.scribe(0, "alice");
        for step in 0..150 {
            world.commit(0, &mut scribe, &[step]);
        }
        world.restart(2);
        world.writes = false;
        let mut completed = 0;
        for _ in 0..400 {
            for site in [0, 1] {
                while !world.sites[site].writes.is_empty() {
                    world.finish(site);
                }
            }
            if !world.sites[2].writes.is_empty() && completed < crash_at {
                world.finish(2);
                completed += 1;
            }
            world.pass(10);
        }
        world.kill(2);
        world.writes = true;
        world.restart(2);
        world.pass(6_000);
        assert!(!world.take(2).iter().any(|seen| matches!(seen, Seen::Fatal(_))), "crash after {crash_at}");
        assert_eq!(rows(&world, 0), rows(&world, 2), "crash after {crash_at}");
    }
}

#[test]
fn a_replica_that_is_removed_leaves_nothing_but_its_tombstone() {
    let mut world = World::three();
    let mut scribe = world.scribe(0, "alice");
    world.commit(0, &mut scribe, b"1");
    world.want(&[ME, OTHER], ME);
    world.pass(6_000);
    assert!(world.take(2).contains(&Seen::Holds(ZERO, false)));
    assert_eq!(rows(&world, 2), []);
    assert_eq!(world.sites[2].disk.rows_of(Table::Log), 0);
    assert!(Replica::read_tombstone(&world.sites[2].disk, ZERO).unwrap().is_some());
    world.restart(2);
    assert!(world.sites[2].engine.shards_here().is_empty());
    world.want(&[ME, OTHER, THIRD], ME);
    world.pass(500);
    assert_eq!(rows(&world, 0), rows(&world, 2), "it may be added anew");
}

#[test]
fn a_replica_is_added_anew_only_when_the_old_one_is_gone_from_the_disk() {
    let mut world = World::three();
    let mut scribe = world.scribe(0, "alice");
    for step in 0..20 {
        world.commit(0, &mut scribe, &[step]);
    }
    world.pass(200);
    // The disk of the third stands still from here on.
    let (mut removed, mut joined) = (false, false);
    for round in 0..600 {
        world.writes = false;
        let voters = if removed { vec![ME, OTHER, THIRD] } else { vec![ME, OTHER] };
        if let Some(leader) = world.leader() {
            world.feed(leader, [Event::Want { shard: ZERO, voters, leader: ME }]);
        }
        for site in [0, 1] {
            while !world.sites[site].writes.is_empty() {
                world.finish(site);
            }
        }
        world.pass(10);
        removed |= !world.sites[2].engine.groups.contains_key(&ZERO);
        joined |= removed && world.sites[2].engine.groups.contains_key(&ZERO);
        let stuck = removed && round < 500;
        if !stuck && !world.sites[2].writes.is_empty() {
            world.finish(2);
        }
        assert!(!joined || !stuck, "it joined while its removal was on its way to the disk");
    }
    world.writes = true;
    world.settle();
    world.want(&[ME, OTHER, THIRD], ME);
    world.pass(3_000);
    assert!(removed && world.voters(0).contains(&THIRD));
    assert_eq!(rows(&world, 0), rows(&world, 2));
    assert!(gritmesh_shard::verify_actor(&world.sites[2].disk, &scribe.address, u64::MAX).is_ok());
}

#[test]
fn an_object_that_is_lost_comes_back_from_a_peer() {
    let mut world = World::three();
    let mut scribe = world.scribe(0, "alice");
    world.commit(0, &mut scribe, b"1");
    world.pass(700);
    let head = gritmesh_shard::head(&world.sites[0].disk, &scribe.address).unwrap().unwrap();
    let token = scribe.address.token();
    let key = [&token.0.to_be_bytes()[..], head.id.as_bytes()].concat();
    world.sites[0].disk.remove(Table::Object, &key);
    let damage = gritmesh_shard::Damage { token, id: head.id };
    world.feed(0, [Event::Damaged { shard: ZERO, damage }]);
    assert!(gritmesh_shard::verify_actor(&world.sites[0].disk, &scribe.address, u64::MAX).is_ok());
}

#[test]
fn a_leader_refuses_when_the_disks_of_a_majority_are_full() {
    let mut world = World::three();
    let mut scribe = world.scribe(0, "alice");
    world.sites[1].disk.set_full(true);
    let told = world.commit(0, &mut scribe, b"1");
    world.pass(50);
    let one_more = world.commit(0, &mut scribe, b"2");
    world.pass(50);
    assert_eq!((told.lock().clone(), one_more.lock().clone()), (vec![Ok(())], vec![Ok(())]), "two have room");
    world.sites[2].disk.set_full(true);
    let told = world.commit(0, &mut scribe, b"3");
    world.pass(50);
    assert_eq!(*told.lock(), [Ok(())], "what is under way has room");
    let told = world.commit(0, &mut scribe, b"4");
    assert_eq!(*told.lock(), [Err(FailureCode::DiskFull)]);
    world.sites[2].disk.set_full(false);
    world.pass(5_100);
    let mut scribe = world.scribe(0, "bob");
    let told = world.commit(0, &mut scribe, b"1");
    world.pass(50);
    assert_eq!(*told.lock(), [Ok(())]);
}

#[test]
fn hostile_input_changes_nothing() {
    let mut world = World::three();
    let mut scribe = world.scribe(0, "alice");
    world.commit(0, &mut scribe, b"1");
    let recorded = world.sites[1].frames.clone();
    let mut messages: Vec<Vec<u8>> = vec![Vec::new(), vec![0; 3], vec![1; 60], vec![0xff; 200]];
    for (_, body) in recorded.iter().rev().take(20) {
        for message in LogMessages::read(body) {
            messages.extend((0..message.len()).map(|at| {
                let mut flipped = message.to_vec();
                flipped[at] ^= 0x80;
                flipped
            }));
        }
    }
    for from in [OTHER, THIRD, NodeId([9; 32])] {
        let garbage = messages.clone();
        // Answers to what garbage asks would be garbage too; nobody reads them.
        world.handle(0, vec![Event::Consensus { from, messages: garbage }]);
        for index in [0, 7, u64::MAX] {
            let (shard, request) = (ShardId(index as u32), vec![3; 40]);
            let part = Part { shard, index, stream: index };
            world.handle(
                0,
                vec![
                    Event::Chunk { from, part, number: 0, chunk: vec![1, 2, 3] },
                    Event::More { from, part, up_to: u32::MAX },
                    Event::Given { to: from, shard, giving: 1, next: None },
                    Event::StateGone { from, shard, index },
                    Event::Evicted(ShardId(70_000)),
                    Event::Want { shard: ShardId(70_000), voters: vec![], leader: from },
                ],
            );
            assert!(gritmesh_shard::TransferRequest::decode(request.into()).is_err());
        }
    }
    let shards: Vec<ShardId> =
        world.sites[0].engine.shards_here().into_iter().map(|(shard, _)| shard).collect();
    assert_eq!(shards, [ZERO], "nobody makes a node hold shards that there are not");
    world.settle();
    world.pass(4_000);
    let leader = world.leader().expect("the shard is served");
    let mut scribe = world.scribe(leader, "bob");
    let told = world.commit(leader, &mut scribe, b"1");
    world.pass(100);
    assert_eq!(*told.lock(), [Ok(())]);
}
