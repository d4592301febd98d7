//! Two nodes that do not reach each other, and a third one that reaches both.

use std::time::Duration;

use gritmesh_core::ShardStatus;
use gritmesh_sim::{Intervention, NodeIndex, Sim};

use crate::Counter;

/// Enough that every node hosts some.
const ACTORS: u64 = 24;

const ONE: NodeIndex = NodeIndex(0);
const OTHER: NodeIndex = NodeIndex(1);

/// Every actor answers through a node, `expected` times by now.
fn all_answer(sim: &mut Sim, through: u16, expected: u64) {
    for id in 0..ACTORS {
        let actor = sim.node(through).expect("the node runs").actor::<Counter>(&format!("c{id}"));
        let answer =
            sim.block_on(async { actor.add(1).deadline(Duration::from_secs(1)).await }).expect("it ends");
        assert_eq!(answer.expect("it is served"), expected, "c{id} through n{through} at {}", sim.now());
    }
}

fn notes(sim: &Sim, node: u16) -> Vec<String> {
    let readiness = sim.node(node).expect("the node runs").readiness();
    assert!(readiness.ready, "{readiness:?}");
    readiness.notes.into_iter().filter(|note| note.contains("does not answer")).collect()
}

fn count(sim: &Sim, node: u16, metric: &str) -> u64 {
    let text = sim.node(node).expect("the node runs").metrics_text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))
        .expect("the metric is there");
    line.parse().expect("it is a number")
}

fn leaders(sim: &Sim) -> Vec<(u32, u64, Option<String>)> {
    let led = |shard: ShardStatus| (shard.shard, shard.term, shard.leader);
    sim.node(2).expect("the node runs").shard_statuses().into_iter().map(led).collect()
}

#[test]
fn every_actor_is_served_over_the_third_node_and_no_leader_changes() {
    for (seed, one_way) in [(1, false), (2, true), (3, false), (4, true)] {
        let mut sim = Sim::new(seed).nodes(3).register::<Counter>().start();
        sim.advance(Duration::from_secs(5));
        all_answer(&mut sim, 0, 1);
        let before = leaders(&sim);
        sim.inject_failure(&Intervention::CutPair { one: ONE, other: OTHER, one_way });
        // While the connection of the two still stands, and when it is long gone.
        for (round, wait) in [(0, 3), (1, 12), (2, 15)] {
            sim.advance(Duration::from_secs(wait));
            all_answer(&mut sim, 0, 2 + 2 * round);
            all_answer(&mut sim, 1, 3 + 2 * round);
            let told = [0, 1, 2].map(|node| notes(&sim, node));
            assert_eq!(told[0], ["n1 does not answer this node: calls to it go over n2; check the network"]);
            assert_eq!(told[1], ["n0 does not answer this node: calls to it go over n2; check the network"]);
            assert_eq!(told[2], [""; 0]);
        }
        assert_eq!(leaders(&sim), before, "leadership does not flap");
        assert!(count(&sim, 2, "gritmesh_relayed_calls_total") >= ACTORS);
        assert_eq!((count(&sim, 0, "gritmesh_detours"), count(&sim, 2, "gritmesh_detours")), (1, 0));
        sim.inject_failure(&Intervention::MendPair { one: ONE, other: OTHER });
        let is_over = |sim: &Sim| (0..3).all(|node| notes(sim, node).is_empty());
        assert!(sim.run_until(Duration::from_secs(10), is_over), "it ends with the cut");
        let relayed = count(&sim, 2, "gritmesh_relayed_calls_total");
        all_answer(&mut sim, 0, 8);
        assert_eq!(count(&sim, 2, "gritmesh_relayed_calls_total"), relayed);
    }
}
