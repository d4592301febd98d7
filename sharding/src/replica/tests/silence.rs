//! Replicas whose records are damaged, among any number of voters.

use std::time::Duration;

use super::super::world::{Plan, World};
use super::super::{Replica, Role};
use super::{SEEDS, live};

/// A shard on some nodes in a world that is kind, but for the disk of one of them.
fn settled(seed: u64, target: &[usize], bad: usize) -> World {
    let plan = Plan { chaos: false, proposals: false, loss: 0.0, bad_disk: Some(bad), ..Plan::default() };
    let mut world = World::new(seed, 5, plan);
    world.target = target.to_vec();
    world.run_until(Duration::from_secs(10), World::is_settled).expect("the shard grows");
    for _ in 0..20 {
        let leader = world.leader().expect("there is one");
        assert!(world.propose(leader));
        world.run(Duration::from_millis(20));
    }
    world
}

#[test]
fn a_damaged_voter_is_replaced_as_long_as_half_or_a_majority_of_the_others_is_sound() {
    for voters in 2..=5 {
        for (seed, bad) in (0..20).flat_map(|seed| (0..voters).map(move |bad| (seed, bad))) {
            let target: Vec<usize> = (0..voters).collect();
            let mut world = settled(seed, &target, bad);
            world.damage(bad);
            assert!(world.is_damaged(bad), "seed {seed}");
            let is_whole = |world: &World| !world.is_damaged(bad) && world.is_settled() && world.is_led();
            let took = world.run_until(Duration::from_secs(15), is_whole);
            assert!(took.is_some(), "seed {seed}, {bad} of {voters}: {}", world.describe());
            world.judge_end();
            assert_eq!(world.seen.wrong, Vec::<String>::new(), "seed {seed}, {bad} of {voters}");
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_bad_disk_in_any_seed() {
    let seeds = std::env::var("REPLICA_SEEDS").map_or(SEEDS, |it| it.parse().unwrap());
    let (mut acknowledged, mut replaced) = (0, 0);
    for seed in 0..seeds {
        let bad_disk = Some(seed as usize % 5);
        let world = live(seed, Plan { bad_disk, ..Plan::default() });
        assert_eq!(world.seen.wrong, Vec::<String>::new(), "seed {seed}: {}", world.describe());
        acknowledged += world.seen.acknowledged.len() as u64;
        replaced += world.seen.replaced as u64;
    }
    println!("{acknowledged} acknowledged, {replaced} replaced");
    assert!(acknowledged > 100 * seeds && replaced > seeds, "much happened");
}

/// Of three voters one is damaged, and what another one lacks may only have been on its disk.
#[test]
fn of_three_voters_one_alone_decides_nothing() {
    for seed in 0..10 {
        let mut world = settled(seed, &[0, 1, 2], 1);
        world.isolate(2, true);
        world.damage(1);
        world.run(Duration::from_secs(10));
        assert!(!world.is_led(), "seed {seed}: {}", world.describe());
        world.heal();
        assert!(world.run_until(Duration::from_secs(10), World::is_settled).is_some(), "seed {seed}");
        world.judge_end();
        assert_eq!(world.seen.wrong, Vec::<String>::new(), "seed {seed}");
    }
}

/// Who still goes by two voters has not heard that the other one went on alone.
#[test]
fn whoever_was_removed_decides_nothing_without_the_one_that_stays() {
    for seed in 0..20 {
        let mut world = settled(seed, &[0, 1], 0);
        world.target = vec![0];
        let is_sole =
            |world: &World| world.replica(0).is_some_and(|it| it.status().config.is_sole_voter(it.id()));
        // The last thing that the removed one hears of is that it is about to be.
        let steps = (0..100_000).find(|_| {
            world.run(Duration::from_micros(100));
            is_sole(&world)
        });
        assert!(steps.is_some(), "seed {seed}");
        world.isolate(1, true);
        for _ in 0..5 {
            assert!(world.propose(0));
            world.run(Duration::from_millis(20));
        }
        world.crash(1);
        world.restart(1);
        world.damage(0);
        world.isolate(1, false);
        world.run(Duration::from_secs(10));
        assert!(!world.is_led(), "seed {seed}: {}", world.describe());
        assert_eq!(world.seen.wrong, Vec::<String>::new(), "seed {seed}");
    }
}

/// The change by which a third one becomes a voter lies in the log and is not decided, when one of the two is damaged. So
/// the third one has to agree, and is no voter yet.
#[test]
fn whoever_is_about_to_vote_is_asked_where_one_of_two_is_damaged() {
    let (leader, bad, learner) = (0, 1, 2);
    let status = |world: &World, at| world.replica(at).map(Replica::status);
    let mut found = 0;
    for seed in 0..20 {
        let mut world = settled(seed, &[leader, bad], bad);
        world.target = vec![leader, bad, learner];
        let learns = |world: &World| {
            let known = status(world, leader).filter(|it| matches!(it.role, Role::Leader { .. }));
            known.is_some_and(|it| it.config.members.len() == 3 && !it.config.joint)
        };
        let is_pending = |world: &World| {
            let (Some(one), Some(other)) = (status(world, leader), status(world, learner)) else {
                return false;
            };
            one.last > one.applied && one.last == other.last
        };
        if !soon(&mut world, learns) {
            continue;
        }
        world.isolate(bad, true);
        if !soon(&mut world, is_pending) {
            continue;
        }
        found += 1;
        world.crash(leader);
        world.damage(bad);
        world.isolate(bad, false);
        world.restart(leader);
        let is_whole = |world: &World| !world.is_damaged(bad) && world.is_settled() && world.is_led();
        let took = world.run_until(Duration::from_secs(15), is_whole);
        assert!(took.is_some(), "seed {seed}: {}", world.describe());
        world.judge_end();
        assert_eq!(world.seen.wrong, Vec::<String>::new(), "seed {seed}");
    }
    assert!(found > 5, "only {found} seeds had such a moment");
}

/// Whether something is so within a second, looked at often enough to find the very moment.
fn soon(world: &mut World, is: impl Fn(&World) -> bool) -> bool {
    (0..10_000).any(|_| {
        world.run(Duration::from_micros(100));
        is(world)
    })
}
