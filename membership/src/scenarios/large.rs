//! What must not grow with the number of members.

use std::time::Duration;

use crate::testing::world::{Node, World};

/// Gossip bytes and messages per node and second in a quiet cluster.
fn steady(size: u16) -> (f64, f64) {
    const SECONDS: u64 = 15;
    let mut world = World::acquainted(1, size);
    // The lists are compared once after they were filled.
    world.run(Duration::from_secs(6));
    world.nodes.values_mut().for_each(|node| (node.bytes_sent, node.messages_sent) = (0, 0));
    world.run(Duration::from_secs(SECONDS));
    assert_eq!(world.deaths(|_| true), 0);
    let per_node_second = f64::from(size) * SECONDS as f64;
    let total = |of: fn(&Node) -> u64| world.nodes.values().map(of).sum::<u64>() as f64;
    let bytes = total(|node| node.bytes_sent) / per_node_second;
    let messages = total(|node| node.messages_sent) / per_node_second;
    println!("{size} members: {bytes:.0} B and {messages:.1} messages per node and second");
    (bytes, messages)
}

#[test]
fn steady_gossip_does_not_grow_with_the_cluster() {
    let [few, some, many] = [10, 100, 1000].map(|size| steady(size).0);
    assert!(some / few <= 1.5 && many / few <= 1.5, "{few} {some} {many}");
}

#[test]
fn one_who_joins_a_thousand_knows_all_within_two_probe_periods() {
    let mut world = World::acquainted(2, 999);
    world.start(1000, &[1]);
    let period = world.options.probe_period;
    let knows_all = |world: &World| world.node(1000).machine.view().members.len() == 1000;
    let took = world.run_until(period * 2, knows_all);
    println!("who joins knows all of 1000 after {took:?}");
    let known = |world: &World| {
        world.nodes.values().all(|node| node.machine.view().members.contains_key(&World::id(1000)))
    };
    let took = world.run_until(Duration::from_secs(10), known);
    println!("all of 1000 know who joined after another {took:?}");
    assert_eq!(world.deaths(|_| true), 0);
}

#[test]
fn a_silent_crash_among_a_thousand_is_known_to_all_in_some_seconds() {
    let mut world = World::acquainted(3, 1000);
    world.kill(500, true);
    let took = world.run_until(Duration::from_secs(20), |world| world.all_see(500, crate::MemberState::Down));
    println!("silent crash among 1000: {took:?}");
    assert_eq!(world.deaths(|number| number != 500), 0);
}
