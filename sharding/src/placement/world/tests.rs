//! What must hold in the [`World`].

use proptest::prelude::*;

use super::*;

fn grown(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, 6);
    world.run(Duration::from_secs(2));
    for number in 1..count {
        world.start(number);
    }
    world.run(Duration::from_secs(10));
    world.check_converged();
    world
}

#[test]
fn joining_copies_little() {
    for seed in 0..10 {
        let mut world = World::new(seed, 6);
        world.run(Duration::from_secs(2));
        world.check_converged();
        for number in 1..6 {
            let before = world.copies;
            world.start(number);
            world.run(Duration::from_secs(6));
            world.check_converged();
            let copies = world.copies - before;
            let needed = if number < 3 { 16 } else { (3 * SHARDS as usize).div_ceil(number + 1) };
            assert!(copies <= needed + 8, "{copies} copies where {needed} are needed");
        }
    }
}

#[test]
fn a_draining_node_keeps_nothing_and_goes() {
    for seed in 0..10 {
        for count in [2, 3, 5] {
            let mut world = grown(seed, count);
            world.drain(1);
            world.run(Duration::from_secs(5));
            assert!(world.nodes[1].as_ref().unwrap().drained);
            assert!(world.truth.iter().all(|group| !group.voters.contains(&1)));
            world.check_converged();
            world.crash(1);
            world.run(Duration::from_secs(5));
            world.check_converged();
        }
    }
}

#[test]
fn a_node_that_returns_within_the_time_costs_no_copy() {
    for seed in 0..10 {
        let mut world = grown(seed, 5);
        let before = world.copies;
        world.crash(1);
        world.run(Duration::from_secs(25));
        assert!(world.truth.iter().all(|group| group.leader.is_some_and(|leader| leader != 1)));
        world.start(1);
        world.run(Duration::from_secs(10));
        world.check_converged();
        assert_eq!(world.copies, before);
    }
}

#[test]
fn a_node_that_stays_away_is_replaced_and_may_return() {
    for seed in 0..10 {
        let mut world = grown(seed, 5);
        world.crash(1);
        world.run(Duration::from_secs(29));
        assert!(world.truth.iter().any(|group| group.voters.contains(&1)));
        world.run(Duration::from_secs(11));
        world.check_converged();
        assert!(world.truth.iter().all(|group| !group.voters.contains(&1) && group.voters.len() == 3));
        world.start(1);
        world.run(Duration::from_secs(10));
        world.check_converged();
    }
}

#[test]
fn where_nobody_can_replace_the_dead_they_stay_voters() {
    for seed in 0..10 {
        let mut world = grown(seed, 3);
        world.crash(1);
        world.run(Duration::from_secs(100));
        assert!(world.truth.iter().all(|group| group.voters.len() == 3 && group.leader.is_some()));
        for number in [0, 2] {
            assert!(world.machine(number).is_settled());
        }
        world.start(3);
        world.run(Duration::from_secs(10));
        world.check_converged();
    }
}

#[test]
fn the_smaller_side_of_a_partition_changes_nothing_and_learns_all_afterwards() {
    for seed in 0..10 {
        let mut world = grown(seed, 5);
        world.partition(&[0, 0, 0, 1, 1]);
        world.run(Duration::from_secs(60));
        world.partition(&[0; 5]);
        world.run(Duration::from_secs(15));
        world.check_converged();
    }
}

#[test]
fn all_restart_and_nothing_is_copied() {
    for seed in 0..10 {
        let mut world = grown(seed, 5);
        let before = world.copies;
        (0..5).for_each(|number| world.crash(number));
        world.run(Duration::from_secs(100));
        for number in [3, 1, 4, 0, 2] {
            world.start(number);
            world.run(Duration::from_secs(2));
        }
        world.run(Duration::from_secs(10));
        world.check_converged();
        assert_eq!(world.copies, before);
    }
}

#[derive(Clone, Debug)]
enum Act {
    Start(usize),
    Crash(usize),
    Partition(Vec<u8>),
    Drain(usize),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..6usize).prop_map(Act::Start),
        2 => (0..6usize).prop_map(Act::Crash),
        1 => prop::collection::vec(0..2u8, 6).prop_map(Act::Partition),
        1 => Just(Act::Partition(vec![0; 6])),
        1 => (1..6usize).prop_map(Act::Drain),
        6 => (0..2000u64).prop_map(Act::Wait),
        1 => Just(Act::Wait(35_000)),
    ];
    prop::collection::vec(act, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_happens_it_ends_where_the_ring_wants(
        seed in any::<u64>(),
        acts in acts(),
        loss in prop_oneof![Just(0.0), Just(0.3), Just(1.0)],
        skew in prop_oneof![Just(1u64), Just(50), Just(700)],
    ) {
        let mut world = World::new(seed, 6);
        world.broadcast_loss = loss;
        world.view_skew = Duration::from_millis(skew);
        world.run(Duration::from_secs(1));
        for act in acts {
            match act {
                Act::Start(number) => world.start(number),
                Act::Crash(number) => world.crash(number),
                Act::Partition(groups) => world.partition(&groups),
                Act::Drain(number) => world.drain(number),
                Act::Wait(millis) => world.run(Duration::from_millis(millis)),
            }
        }
        world.partition(&[0; 6]);
        // Who died as a voter returns, lest some shard has no quorum for ever.
        for number in 0..6 {
            if number == 0 || world.truth.iter().any(|group| group.voters.contains(&number)) {
                world.start(number);
            }
        }
        world.run(Duration::from_secs(60));
        world.check_converged();
        let before = (world.copies, world.elections);
        world.run(Duration::from_secs(60));
        prop_assert_eq!(before, (world.copies, world.elections), "shards move although nothing changes");
    }
}
