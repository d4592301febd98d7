//! What must hold in the [`World`].

use gritmesh_runtime::Epoch;
use proptest::prelude::*;

use super::*;

fn grown(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, count);
    world.run(Duration::from_secs(2));
    for number in 1..count {
        world.start(number, false);
    }
    world.run(Duration::from_secs(5));
    world.check_converged();
    world
}

#[test]
fn joining_moves_little_and_never_serves_twice() {
    for seed in 0..20 {
        let mut world = World::new(seed, 6);
        world.exclusive = true;
        world.run(Duration::from_secs(2));
        world.check_converged();
        for number in 1..6 {
            let before = world.serves;
            world.start(number, false);
            world.run(Duration::from_secs(4));
            world.check_converged();
            let moves = world.serves - before;
            let needed = (SHARDS as usize).div_ceil(number + 1);
            assert!(moves <= needed + 12, "{moves} moves where {needed} are needed");
        }
    }
}

#[test]
fn draining_empties_a_node_and_never_serves_twice() {
    for seed in 0..20 {
        let mut world = grown(seed, 5);
        world.exclusive = true;
        world.drain(2);
        world.run(Duration::from_secs(2));
        let leaver = world.nodes[2].as_ref().unwrap();
        assert!(leaver.drained && leaver.engine.is_empty());
        world.crash(2);
        world.run(Duration::from_secs(3));
        world.check_converged();
    }
}

#[test]
fn shards_of_a_crashed_node_are_served_within_a_moment() {
    for seed in 0..20 {
        let mut world = grown(seed, 5);
        let lost: Vec<ShardId> = world.nodes[1].as_ref().unwrap().engine.keys().copied().collect();
        world.crash(1);
        world.run(Duration::from_millis(100));
        for shard in lost {
            let serves = |process: &&Process| process.engine.contains_key(&shard);
            assert_eq!(world.nodes.iter().flatten().filter(serves).count(), 1);
        }
        world.run(Duration::from_secs(3));
        world.check_converged();
    }
}

#[test]
fn two_sides_of_a_partition_agree_again_within_seconds() {
    for seed in 0..20 {
        let mut world = grown(seed, 5);
        world.partition(&[0, 0, 0, 1, 1]);
        world.run(Duration::from_secs(5));
        let doubly = |shard: u32| {
            let serves = |process: &&Process| process.engine.contains_key(&ShardId(shard));
            world.nodes.iter().flatten().filter(serves).count() == 2
        };
        assert!((0..SHARDS).all(doubly), "both sides serve everything: there is no quorum yet");
        world.partition(&[0; 5]);
        world.run(Duration::from_secs(4));
        world.check_converged();
    }
}

#[test]
fn a_lost_word_to_a_successor_is_made_up_for() {
    for seed in 0..10 {
        let mut world = grown(seed, 3);
        world.broadcast_loss = 1.0;
        let table = world.nodes[0].as_ref().unwrap().machine.table().unwrap().clone();
        let shard = table.shards().iter().find(|shard| shard.leader == Some(id(0))).unwrap();
        // As if node 0 had named node 1 and crashed while telling: only node 2 heard it.
        let named = Descriptor::led_by(shard.id, Epoch(shard.epoch.0 + 1), id(1));
        world.feed(2, Event::Descriptor(named));
        world.run(Duration::from_secs(20));
        world.check_converged();
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
        2 => (1..6usize).prop_map(Act::Crash),
        1 => prop::collection::vec(0..2u8, 6).prop_map(Act::Partition),
        1 => Just(Act::Partition(vec![0; 6])),
        1 => (1..6usize).prop_map(Act::Drain),
        6 => (0..800u64).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

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
                Act::Start(number) => world.start(number, false),
                Act::Crash(number) => world.crash(number),
                Act::Partition(groups) => world.partition(&groups),
                Act::Drain(number) => world.drain(number),
                Act::Wait(millis) => world.run(Duration::from_millis(millis)),
            }
        }
        world.partition(&[0; 6]);
        world.run(Duration::from_secs(30));
        world.check_converged();
        let serves = world.serves;
        world.run(Duration::from_secs(30));
        prop_assert_eq!(serves, world.serves, "shards move although nothing changes");
    }

    #[test]
    fn whatever_joins_and_leaves_in_order_nothing_is_served_twice(
        seed in any::<u64>(),
        turns in prop::collection::vec((1..6usize, 0..1500u64), 0..20),
        loss in prop_oneof![Just(0.0), Just(0.5)],
        skew in prop_oneof![Just(1u64), Just(150)],
    ) {
        let mut world = World::new(seed, 6);
        world.exclusive = true;
        world.broadcast_loss = loss;
        world.view_skew = Duration::from_millis(skew);
        world.run(Duration::from_secs(2));
        for (number, pause) in turns {
            match &world.nodes[number] {
                None => world.start(number, false),
                Some(process) if process.weight > 0 => world.drain(number),
                Some(process) if process.drained && process.engine.is_empty() => {
                    // It goes once everybody has seen it drain, as `Effect::Drained` asks for.
                    world.run(world.view_skew);
                    world.crash(number);
                    // A process that returns faster than its last words travel is told by the table it pulls
                    // that it still leads. Only a quorum could tell it otherwise.
                    world.run(Duration::from_secs(1));
                }
                Some(_) => {}
            }
            world.run(Duration::from_millis(pause));
        }
        world.run(Duration::from_secs(30));
        world.check_converged();
    }
}
