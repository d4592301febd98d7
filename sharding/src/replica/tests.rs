//! The machine as a whole, in a world that is not kind to it.

mod bytes;
mod silence;
mod sleep;

use std::time::Duration;

use super::options::Broken;
use super::world::{Plan, World};
use super::{ReplicaLimits, ReplicaOptions, Role};

/// Seeds of a test run. More are tried by setting `REPLICA_SEEDS`.
const SEEDS: u64 = 300;

/// Within how many seeds a broken replica has to be found out.
const SEEDS_TO_CATCH: u64 = 200;

/// Grows to three replicas, lives through chaos, heals. Returns the world, judged.
fn live(seed: u64, plan: Plan) -> World {
    let mut world = World::new(seed, 5, Plan { chaos: false, ..plan });
    world.target = vec![0, 1, 2];
    if world.run_until(Duration::from_secs(10), World::is_settled).is_none() {
        world.seen.wrong.push("the shard did not grow".into());
    }
    world.plan.chaos = true;
    world.run(Duration::from_secs(6));
    world.heal();
    // A quiet time after a restart, the longest election timeout, and another if votes were split.
    if world.run_until(Duration::from_secs(3), World::is_led).is_none() {
        world.seen.wrong.push("no leader after the world was healed".into());
    }
    world.plan.proposals = false;
    if world.run_until(Duration::from_secs(20), World::is_settled).is_none() {
        world.seen.wrong.push("the replicas did not come together".into());
    }
    world.judge_end();
    world
}

#[test]
fn nothing_goes_wrong_in_any_seed() {
    let seeds = std::env::var("REPLICA_SEEDS").map_or(SEEDS, |it| it.parse().unwrap());
    let (mut acknowledged, mut snapshots, mut removed, mut leaders) = (0, 0, 0, 0);
    for seed in 0..seeds {
        let world = live(seed, Plan::default());
        assert_eq!(world.seen.wrong, Vec::<String>::new(), "seed {seed}: {}", world.describe());
        acknowledged += world.seen.acknowledged.len() as u64;
        snapshots += world.seen.snapshots;
        removed += world.seen.removed;
        leaders += world.seen.leaders.len() as u64;
    }
    println!("{acknowledged} acknowledged, {snapshots} states fetched, {removed} removed, {leaders} terms");
    assert!(acknowledged > 100 * seeds && leaders > 3 * seeds, "much happened");
    assert!(snapshots as u64 > seeds && removed as u64 > seeds, "and all of it");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| live(seed, Plan::default()).describe();
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}

/// The first seed with which a plan goes wrong, and how.
fn caught(plan: &Plan) -> (u64, String) {
    let wrong = |seed| Some((seed, live(seed, plan.clone()).seen.wrong.first()?.clone()));
    (0..SEEDS_TO_CATCH).find_map(wrong).expect("a broken replica is found out")
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let (seed, wrong) = caught(&Plan { lying_disk: true, ..Plan::default() });
    println!("seed {seed}: {wrong}");
}

/// One follower has not heard of the leader for long, the other restarts, and both find each other while the leader
/// is cut off, but still holds its lease.
fn forget(seed: u64, broken: Broken) -> Vec<String> {
    let mut world =
        three(seed, ReplicaOptions { broken, ..ReplicaOptions::default() }, ReplicaLimits::default());
    let leader = world.leader().expect("there is one");
    let (lonely, forgetful) = ((leader + 1) % 3, (leader + 2) % 3);
    world.isolate(lonely, true);
    world.run(Duration::from_millis(1_500 + seed * 13));
    world.crash(forgetful);
    world.isolate(leader, true);
    world.isolate(lonely, false);
    world.restart(forgetful);
    world.run(Duration::from_secs(3));
    assert!(world.is_led() && world.leader() != Some(leader), "the two go on");
    world.seen.wrong
}

#[test]
fn a_promise_forgotten_in_a_restart_is_found_out() {
    let seeds = 0..50;
    assert!(seeds.clone().all(|seed| forget(seed, Broken::Nothing).is_empty()));
    let wrong = seeds.flat_map(|seed| forget(seed, Broken::VotesAfterRestart)).next();
    assert!(wrong.expect("it is found out").contains("leases"));
}

/// One follower has not heard of the leader for long and finds the other, which hears of it all the time.
fn lure(seed: u64, broken: Broken) -> Vec<String> {
    let mut world =
        three(seed, ReplicaOptions { broken, ..ReplicaOptions::default() }, ReplicaLimits::default());
    let leader = world.leader().expect("there is one");
    let lonely = (leader + 1) % 3;
    world.cut_link(leader, lonely, true);
    world.cut_link(lonely, leader, true);
    world.run(Duration::from_secs(3));
    world.seen.wrong
}

#[test]
fn a_follower_that_promises_nothing_is_found_out() {
    let seeds = 0..50;
    assert!(seeds.clone().all(|seed| lure(seed, Broken::Nothing).is_empty()));
    let wrong = seeds.flat_map(|seed| lure(seed, Broken::PromisesNothing)).next();
    assert!(wrong.expect("it is found out").contains("leases"));
}

#[test]
fn a_lease_that_is_too_long_is_found_out() {
    let options = ReplicaOptions { broken: Broken::LeaseTooLong, ..Plan::default().options };
    let (seed, wrong) = caught(&Plan { options, ..Plan::default() });
    println!("seed {seed}: {wrong}");
    assert!(wrong.contains("leases"), "{wrong}");
}

/// A shard on three nodes in a world that is kind.
fn three(seed: u64, options: ReplicaOptions, limits: ReplicaLimits) -> World {
    let plan = Plan { options, limits, chaos: false, proposals: false, loss: 0.0, ..Plan::default() };
    let mut world = World::new(seed, 4, plan);
    world.target = vec![0, 1, 2];
    world.run_until(Duration::from_secs(5), World::is_settled).expect("the shard grows");
    // Until they know that it has, the others need the first node for an election.
    world.run(Duration::from_millis(50));
    world
}

#[test]
fn a_shard_grows_quickly_and_goes_on_without_its_first_node() {
    let mut world = three(1, ReplicaOptions::default(), Plan::default().limits);
    world.target = vec![1, 2, 3];
    let took = world.run_until(Duration::from_secs(5), World::is_settled).expect("the shard moves");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(world.replica(0).is_none());
    assert!(world.run_until(Duration::from_secs(1), World::is_led).is_some());
}

#[test]
fn leadership_is_handed_over_within_a_few_round_trips() {
    let mut world = three(2, ReplicaOptions::default(), Plan::default().limits);
    let leader = world.leader().expect("there is one");
    let next = (leader + 1) % 3;
    world.with_replica(leader, |replica, now| replica.transfer(now, super::world::node(next))).unwrap();
    assert_eq!(world.replica(leader).unwrap().lease(), None, "the lease ends at once");
    let took =
        world.run_until(Duration::from_secs(1), |world| world.leader() == Some(next) && world.is_led());
    assert!(took.expect("the other leads") < Duration::from_millis(100), "{took:?}");
    assert!(matches!(world.replica(leader).unwrap().status().role, Role::Follower { .. }));
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_causes_no_election_when_it_returns() {
    let mut world = three(3, ReplicaOptions::default(), Plan::default().limits);
    let old = world.leader().expect("there is one");
    world.isolate(old, true);
    let is_replaced = |world: &World| world.leader().is_some_and(|at| at != old) && world.is_led();
    let took = world.run_until(Duration::from_secs(5), is_replaced).expect("another leads");
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    assert_eq!(world.replica(old).unwrap().lease(), None);
    world.run(Duration::from_secs(3));
    let terms = world.seen.leaders.len();
    world.heal();
    world.run(Duration::from_secs(3));
    assert_eq!(world.seen.leaders.len(), terms);
}

#[test]
fn commits_per_second_without_a_disk() {
    let plan = Plan { lying_disk: true, ..Plan::default() };
    let mut world = three(4, plan.options.clone(), plan.limits);
    world.plan = Plan { chaos: false, loss: 0.0, proposals: false, ..plan };
    let leader = world.leader().expect("there is one");
    let (commands, together) = (20_000, 64);
    #[expect(clippy::disallowed_methods, reason = "this measures, and decides nothing")]
    let start = std::time::Instant::now();
    for _ in 0..commands / together {
        for _ in 0..together {
            assert!(world.with_replica_only(leader, |replica| replica.propose(vec![7; 264].into())).is_ok());
        }
        world.run(Duration::from_millis(5));
    }
    let took = start.elapsed();
    let rate = f64::from(commands) / took.as_secs_f64();
    println!("{rate:.0} commits/s of three replicas, {together} at a time, with what the world itself costs");
}

#[test]
fn who_is_left_alone_learns_it_from_those_who_were_removed() {
    for seed in 0..60 {
        let mut world = World::new(seed, 3, Plan { chaos: false, proposals: false, ..Plan::default() });
        world.target = vec![0, 1, 2];
        world.run_until(Duration::from_secs(10), World::is_settled).expect("it grows");
        world.target = vec![0];
        let are_gone = |world: &World| [1, 2].iter().all(|at| world.replica(*at).is_none());
        world.run_until(Duration::from_secs(10), are_gone).expect("the others are removed");
        // What has not been synced may be lost, and with it that the last entry is committed.
        world.crash(0);
        world.restart(0);
        let led = world.run_until(Duration::from_secs(5), World::is_led);
        assert!(led.is_some(), "seed {seed}: {}", world.describe());
        assert_eq!(world.seen.wrong, Vec::<String>::new(), "seed {seed}");
    }
}
