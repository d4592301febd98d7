//! Deaths, stalls and partitions.

use std::time::Duration;

use gritmesh_runtime::{NodeId, Seed};

use crate::testing::world::{Node, World, millis};
use crate::{Event, MemberState};

fn describe(name: &str, mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_millis();
    println!(
        "{name}: min {} p50 {} p90 {} p99 {} max {} ms over {} runs",
        at(0),
        at(50),
        at(90),
        at(99),
        at(100),
        took.len()
    );
    took[took.len() - 1]
}

/// From the death of node 2 of `size` until every other one knows.
fn detection(seed: u64, size: u16, silently: bool) -> Duration {
    let mut world = World::settled(seed, size);
    let wait = world.rng.below(3000);
    world.run(millis(wait));
    world.kill(2, silently);
    let took = world.run_until(Duration::from_secs(20), |world| world.all_see(2, MemberState::Down));
    world.run(Duration::from_secs(3));
    assert_eq!(world.deaths(|number| number != 2), 0, "seed {seed}");
    took
}

#[test]
fn a_silent_crash_is_known_to_all_of_five_within_two_seconds() {
    let took: Vec<Duration> = (0..100).map(|seed| detection(seed, 5, true)).collect();
    assert!(describe("silent crash, 5 nodes", took) <= millis(2000));
}

#[test]
fn a_silent_crash_is_known_to_all_of_three_within_two_seconds() {
    let took: Vec<Duration> = (0..60).map(|seed| detection(seed, 3, true)).collect();
    assert!(describe("silent crash, 3 nodes", took) <= millis(2100));
}

#[test]
fn a_clean_kill_is_known_to_all_of_five_within_a_second() {
    let took: Vec<Duration> = (0..60).map(|seed| detection(seed, 5, false)).collect();
    assert!(describe("clean kill, 5 nodes", took) < millis(500));
}

#[test]
fn a_silent_crash_among_fifty_is_known_to_all_in_a_few_seconds() {
    let took: Vec<Duration> = (0..5).map(|seed| detection(seed, 50, true)).collect();
    assert!(describe("silent crash, 50 nodes", took) < Duration::from_secs(6));
}

#[test]
fn two_second_stalls_for_an_hour_kill_nobody_else() {
    let mut world = World::settled(11, 5);
    let mut rng = Seed::from_number(12).rng();
    let (mut declared, mut rejoined) = (0, Vec::new());
    let end = world.now + Duration::from_secs(3600);
    while world.now < end {
        let stalled = 1 + rng.below(5) as u16;
        let before = world.deaths(|number| number == stalled);
        world.stall(stalled, Duration::from_secs(2));
        world.run(Duration::from_secs(2));
        let after_wake = world.run_until(Duration::from_secs(3), |world| world.agree(5));
        rejoined.push(after_wake);
        declared += usize::from(world.deaths(|number| number == stalled) > before);
        assert_eq!(world.deaths(|number| number != stalled), 0, "at {}", world.now);
        assert_eq!(world.suspicions(|number| number != stalled), 0, "at {}", world.now);
        world.nodes.values_mut().for_each(|node| node.log.clear());
        world.run(millis(rng.below(8000)));
        assert_eq!(world.deaths(|_| true), 0, "no death without a stall, at {}", world.now);
    }
    println!("stalled nodes themselves declared down: {declared} of {} stalls", rejoined.len());
    describe("back in every view after waking", rejoined);
}

#[test]
fn stalls_of_a_second_and_a_half_kill_nobody_at_all() {
    let mut world = World::settled(13, 5);
    let mut rng = Seed::from_number(14).rng();
    for _ in 0..300 {
        world.stall(1 + rng.below(5) as u16, millis(1500));
        world.run(millis(2000 + rng.below(3000)));
    }
    assert_eq!(world.deaths(|_| true), 0);
    assert!(world.agree(5));
}

#[test]
fn two_that_stall_at_overlapping_times_do_not_take_others_with_them() {
    let mut world = World::settled(16, 5);
    for _ in 0..100 {
        world.stall(1, Duration::from_secs(2));
        let offset = world.rng.below(2000);
        world.run(millis(offset));
        world.stall(2, Duration::from_secs(2));
        world.run(Duration::from_secs(2));
        world.run_until(Duration::from_secs(5), |world| world.agree(5));
        let pause = world.rng.below(4000);
        world.run(millis(pause));
    }
    assert_eq!(world.deaths(|number| number > 2), 0);
}

#[test]
fn a_suspicion_does_not_ripen_while_the_one_who_has_it_is_stopped() {
    // Node 2 is stopped, becomes suspected and comes back in time, but node 1 sleeps through its refutation.
    let mut world = World::settled(17, 5);
    for _ in 0..100 {
        world.stall(2, millis(1200));
        world.run(millis(1100));
        world.stall(1, Duration::from_secs(2));
        world.run(Duration::from_secs(2));
        world.run_until(Duration::from_secs(5), |world| world.agree(5));
        let pause = world.rng.below(4000);
        world.run(millis(pause));
    }
    assert_eq!(world.deaths(|number| number != 1), 0);
}

#[test]
fn a_healed_partition_merges_again() {
    let mut took = Vec::new();
    for seed in 0..20 {
        let mut world = World::settled(seed, 5);
        world.partition(&[4, 5]);
        world.run(Duration::from_secs(if seed % 2 == 0 { 6 } else { 120 }));
        let seen = |number, of: u16| {
            world.node(number).machine.view().members[&World::id(of)].state == MemberState::Down
        };
        assert!(seen(1, 4) && seen(2, 5) && seen(4, 1) && seen(5, 3), "both sides notice, seed {seed}");
        world.heal();
        took.push(world.run_until(Duration::from_secs(10), |world| world.agree(5)));
        world.run(Duration::from_secs(10));
        assert!(world.agree(5), "it stays merged, seed {seed}");
    }
    describe("partition 2/3 merged after heal", took);
}

#[test]
fn a_partition_that_heals_before_anyone_is_dead_is_forgotten() {
    for seed in 0..20 {
        let mut world = World::settled(seed, 5);
        world.partition(&[2]);
        world.run(millis(1000));
        world.heal();
        world.run(Duration::from_secs(5));
        assert_eq!(world.deaths(|_| true), 0, "seed {seed}");
        assert!(world.agree(5));
    }
}

#[test]
fn a_pair_that_is_cut_is_reached_over_others_and_nobody_dies() {
    let mut took = Vec::new();
    for seed in 0..40 {
        let size = if seed % 2 == 0 { 3 } else { 5 };
        let mut world = World::settled(seed, size);
        let detours = |world: &World, number| -> Vec<NodeId> {
            world.node(number).machine.detours().into_keys().collect()
        };
        assert!((1..=size).all(|number| detours(&world, number).is_empty()));
        world.cut_link(1, 2);
        if seed % 4 < 2 {
            world.cut_link(2, 1);
        }
        let both = |world: &World| detours(world, 1) == [World::id(2)] && detours(world, 2) == [World::id(1)];
        took.push(world.run_until(Duration::from_secs(10), both));
        world.run(Duration::from_secs(30));
        assert_eq!(world.deaths(|_| true), 0, "seed {seed}");
        assert!(both(&world), "seed {seed}");
        assert!((3..=size).all(|number| detours(&world, number).is_empty()), "seed {seed}");
        let relays = world.node(1).machine.detours();
        assert!(relays[&World::id(2)].iter().all(|relay| (3..=size).any(|third| World::id(third) == *relay)));
        world.heal();
        let none = |world: &World| (1..=size).all(|number| detours(world, number).is_empty());
        world.run_until(Duration::from_secs(10), none);
    }
    describe("a cut pair known to both", took);
}

/// A node was cut off from both others for so long that all believe the worst, and then only one of the two is back for it.
#[test]
fn whoever_is_reached_over_others_again_is_a_member_again() {
    let mut took = Vec::new();
    for seed in 0..20 {
        let mut world = World::settled(seed, 3);
        world.partition(&[1]);
        world.run(Duration::from_secs(5));
        assert!(world.deaths(|_| true) > 0, "seed {seed}");
        world.heal();
        world.cut_link(1, 2);
        world.cut_link(2, 1);
        let whole =
            |world: &World| (1..=3).all(|number| world.node(number).machine.view().active().count() == 3);
        took.push(world.run_until(Duration::from_secs(20), whole));
        world.run(Duration::from_secs(30));
        assert!(whole(&world), "seed {seed}");
        let detours = |number| world.node(number).machine.detours().into_keys().collect::<Vec<_>>();
        assert_eq!((detours(1), detours(2)), (vec![World::id(2)], vec![World::id(1)]), "seed {seed}");
    }
    describe("a member that is only reached over others is back", took);
}

/// Four of five are told to forget the dead one, the last one is not: it still shows it, and nobody else does again.
#[test]
fn a_forgotten_member_stays_forgotten_until_it_comes_back() {
    let mut world = World::settled(17, 5);
    let forget = |world: &mut World, number| world.handle(World::id(number), Event::Forget(World::id(5)));
    let shown = |world: &World| {
        let shows = |node: &&Node| node.running && node.machine.view().members.contains_key(&World::id(5));
        world.nodes.values().filter(shows).count()
    };
    (1..=4).for_each(|number| forget(&mut world, number));
    assert_eq!(shown(&world), 5, "nobody forgets one that is there");
    world.kill(5, false);
    world.run_until(Duration::from_secs(3), |world| world.all_see(5, MemberState::Down));
    (1..=3).for_each(|number| forget(&mut world, number));
    world.start(6, &[4]);
    world.run(Duration::from_secs(120));
    assert_eq!(shown(&world), 1, "only the one that was not told shows it");
    forget(&mut world, 4);
    world.run(Duration::from_secs(120));
    assert_eq!(shown(&world), 0);
    world.restart(5);
    world.run_until(Duration::from_secs(5), |world| world.agree(6));
}

#[test]
fn a_lone_survivor_finds_the_others_when_they_come_back() {
    let mut world = World::settled(15, 3);
    world.kill(1, true);
    world.kill(2, false);
    world.run(Duration::from_secs(60));
    assert_eq!(world.node(3).machine.view().active().count(), 1);
    world.restart(1);
    world.restart(2);
    world.run_until(Duration::from_secs(10), |world| world.agree(3));
}
