//! Founding, joining, leaving.

use std::collections::BTreeSet;
use std::time::Duration;

use gritmesh_runtime::ClusterId;

use crate::testing::world::{World, address, millis};
use crate::{Broadcast, ClusterEvent, Effect, Event, MemberState};

fn clusters(world: &World) -> BTreeSet<Option<ClusterId>> {
    world.nodes.values().map(|node| node.machine.cluster()).collect()
}

#[test]
fn nodes_that_start_in_any_order_make_one_cluster() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        let mut order: Vec<u16> = (1..=5).collect();
        world.rng.shuffle(&mut order);
        let gap = [0, 1, 50, 1500][(seed % 4) as usize];
        for number in order {
            world.start(number, &[1, 2, 3]);
            let pause = world.rng.below(gap + 1);
            world.run(millis(pause));
        }
        let took = world.run_until(Duration::from_secs(9), |world| world.agree(5));
        assert_eq!(clusters(&world).len(), 1, "seed {seed}");
        if gap == 0 {
            assert!(took < millis(1500), "seed {seed}: everyone is there, yet it took {took:?}");
        }
        let founded = world.nodes.values().flat_map(|node| &node.effects);
        let founded = founded.filter(|(_, effect)| matches!(effect, Effect::Founded(_))).count();
        assert_eq!(founded, 1, "seed {seed}");
    }
}

#[test]
fn the_first_seed_waits_for_absent_seeds_no_longer_than_it_must() {
    let mut world = World::new(1);
    world.start(1, &[1, 2, 3]);
    world.run(millis(2900));
    assert_eq!(world.node(1).machine.cluster(), None);
    world.run(millis(200));
    assert!(world.node(1).machine.cluster().is_some());
}

#[test]
fn a_node_that_is_not_first_never_founds() {
    let mut world = World::new(1);
    world.start(2, &[1, 2, 3]);
    world.start(3, &[1, 2, 3]);
    world.run(Duration::from_secs(60));
    assert_eq!(clusters(&world), BTreeSet::from([None]));
    assert_eq!(world.node(2).machine.view().members.len(), 1, "nobody is a member of anything");
}

#[test]
fn the_first_seed_joins_what_it_lost_instead_of_founding_again() {
    // Its disk is empty, as after a replacement; the others still know the cluster.
    let mut world = World::settled(3, 5);
    let before = clusters(&world);
    world.kill(1, false);
    world.run(Duration::from_secs(5));
    world.launch(1, vec![address(1), address(2), address(3)], 2, None);
    world.run_until(Duration::from_secs(5), |world| world.agree(5));
    assert_eq!(clusters(&world), before);
}

#[test]
fn a_whole_cluster_that_restarts_finds_itself_again() {
    let mut world = World::settled(4, 5);
    let before = clusters(&world);
    (1..=5).for_each(|number| world.kill(number, false));
    world.run(Duration::from_secs(2));
    (1..=5).for_each(|number| world.restart(number));
    let took = world.run_until(Duration::from_secs(10), |world| world.agree(5));
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(clusters(&world), before);
}

#[test]
fn everybody_learns_the_types_of_everybody() {
    let world = World::settled(5, 9);
    for node in world.nodes.values() {
        for (id, member) in &node.machine.view().members {
            let expected = [String::from("common"), format!("type-{}", world.nodes[id].number % 3)];
            assert_eq!(member.types.as_deref(), Some(&expected[..]));
        }
    }
}

#[test]
fn a_leave_is_seen_as_one_by_all() {
    let mut world = World::settled(6, 5);
    world.handle(World::id(3), Event::Leave);
    let took = world.run_until(millis(500), |world| world.all_see(3, MemberState::Left));
    assert!(took <= millis(10), "{took:?}");
    world.run(millis(200));
    assert!(world.node(3).effects.iter().any(|(_, effect)| *effect == Effect::Left));
    world.kill(3, false);
    world.run(Duration::from_secs(5));
    assert_eq!(world.deaths(|_| true), 0, "nobody takes a leave for a death");
    assert!(world.all_see(3, MemberState::Left));
    world.restart(3);
    world.run_until(Duration::from_secs(3), |world| world.agree(5));
}

#[test]
fn a_changed_weight_reaches_all_without_a_death() {
    let mut world = World::settled(7, 5);
    for weight in [0, 1, 0] {
        world.handle(World::id(2), Event::SetWeight(weight));
        let known = |world: &World| {
            world.nodes.values().all(|node| node.machine.view().members[&World::id(2)].info.weight == weight)
        };
        world.run_until(Duration::from_secs(1), known);
        world.run(Duration::from_secs(5));
        assert!(world.agree(5) && known(&world));
    }
    assert_eq!(world.deaths(|_| true), 0);
}

#[test]
fn a_restarted_node_replaces_its_former_self_at_once() {
    let mut world = World::settled(8, 5);
    world.kill(4, false);
    world.run(millis(20));
    world.restart(4);
    let renewed = |world: &World| {
        world.nodes.values().all(|node| {
            let member = &node.machine.view().members[&World::id(4)];
            member.info.incarnation.0 == 2 && member.state == MemberState::Alive
        })
    };
    let took = world.run_until(Duration::from_secs(3), renewed);
    assert!(took < millis(800), "{took:?}");
    let log = &world.node(1).log;
    let of_four = log.iter().filter_map(|(_, event)| match event {
        ClusterEvent::NodeDown(info) if info.node_id == World::id(4) => Some(('-', info.incarnation.0)),
        ClusterEvent::NodeUp(info) if info.node_id == World::id(4) => Some(('+', info.incarnation.0)),
        _ => None,
    });
    assert_eq!(of_four.collect::<Vec<_>>(), [('+', 1), ('-', 1), ('+', 2)]);
}

#[test]
fn the_newest_broadcast_reaches_all_once() {
    let mut world = World::settled(9, 20);
    for version in [1, 2] {
        let bytes = &[version as u8; 100][..];
        world.handle(World::id(5), Event::Broadcast(Broadcast { key: 7, version, bytes }));
    }
    world.run(Duration::from_secs(3));
    for node in world.nodes.values().filter(|node| node.number != 5) {
        let seen: Vec<u64> = node
            .effects
            .iter()
            .filter_map(|(_, effect)| match effect {
                Effect::Broadcast { key: 7, version, bytes } if bytes.len() == 100 => Some(*version),
                _ => None,
            })
            .collect();
        assert_eq!(seen, [2], "node {}", node.number);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut world = World::settled(10, 5);
        world.kill(2, true);
        world.run(Duration::from_secs(5));
        let mut text = String::new();
        for node in world.nodes.values() {
            text += &format!("{:?} {:?} {}\n", node.log, node.effects, node.bytes_sent);
        }
        text
    };
    assert_eq!(run(), run());
}
