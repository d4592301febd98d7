//! Figures that take real nodes but no real time: what gossip costs, and whether stalls are taken for deaths.
//!
//! Each function is a pure function of its arguments, so a figure can be printed, doubted and computed again. How fast
//! the simulator itself is must be measured with a clock, which is the caller's: see [`light_load`].

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use gritmesh_core::ClusterEvents;
use gritmesh_membership::ClusterEvent;
use gritmesh_runtime::{NodeId, Seed, TrafficClass};
use parking_lot::Mutex;

use crate::cluster::Sim;
use crate::history::History;
use crate::options::{TraceOptions, WorldOptions};
use crate::workload::{self, Probe};
use crate::world::NodeIndex;

/// How many nodes every other one joins through.
const SEEDS: u16 = 3;

/// How long a cluster may take to form, in virtual time.
const FORM_LIMIT: Duration = Duration::from_secs(120);

/// How long a cluster is left alone before its gossip is counted, at least: shards have moved, the news of the last who
/// joined has died out, and lists were compared.
const SETTLE: Duration = Duration::from_secs(20);

/// How much longer for each node. Probes go from member to member, some six in a second, and the first one to each
/// opens a connection and introduces the two, which is no steady cost.
const SETTLE_PER_NODE: Duration = Duration::from_millis(200);

/// How long each stall of [`false_deaths`] lasts.
pub const STALL: Duration = Duration::from_secs(2);

/// How long all nodes have to see each other again after a stall.
const REJOIN_LIMIT: Duration = Duration::from_secs(10);

/// Time between two stalls, at most.
const PAUSE_MILLIS_MAX: u64 = 8000;

/// Time between two calls of [`light_load`].
const CALL_EVERY: Duration = Duration::from_millis(100);

/// What gossip costs in a quiet cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gossip {
    /// Bytes that one node writes in one second, frame headers included.
    pub bytes_per_node_second: f64,
    /// Virtual time until all nodes knew each other and had a table.
    pub formed_after: Duration,
}

/// Counts the gossip of `nodes` nodes in a quiet cluster over `duration` of virtual time.
///
/// The real time that this takes grows faster than the number of nodes, most of it while they form a cluster: in a
/// release build about a second for 100 nodes, ten for 300, and five to ten minutes for 1000.
///
/// # Panics
/// If the nodes do not form a cluster.
pub fn gossip(nodes: u16, duration: Duration) -> Gossip {
    let mut sim = quiet(Sim::new(u64::from(nodes)).nodes(nodes).seeds(SEEDS));
    assert!(sim.run_until(FORM_LIMIT, Sim::is_ready), "{nodes} nodes form a cluster within {FORM_LIMIT:?}");
    let formed_after = sim.now() - gritmesh_runtime::Instant::ZERO;
    sim.advance(SETTLE + SETTLE_PER_NODE * u32::from(nodes));
    let before = sim.world().bytes_written(TrafficClass::Gossip);
    sim.advance(duration);
    let bytes = sim.world().bytes_written(TrafficClass::Gossip) - before;
    Gossip { bytes_per_node_second: bytes as f64 / f64::from(nodes) / duration.as_secs_f64(), formed_after }
}

/// What stalls were taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deaths {
    /// How often a node was stalled.
    pub stalls: u64,
    /// How often a node that was not stalled was declared dead by any other. Must be 0.
    pub healthy: u64,
    /// How often the stalled node itself was declared dead by any other: it was silent for as long as a dead one may
    /// be before it is known to be dead.
    pub stalled: u64,
    /// The longest time after a stall until all nodes saw each other again.
    pub rejoined_after_max: Duration,
}

/// Stalls one of 5 nodes for [`STALL`] again and again, at random, for `duration` of virtual time, and counts the
/// nodes that are declared dead.
///
/// # Panics
/// If the nodes do not see each other again after a stall.
pub fn false_deaths(seed: u64, duration: Duration) -> Deaths {
    const NODES: u16 = 5;
    let mut sim = quiet(Sim::new(seed).nodes(NODES));
    assert!(sim.run_until(FORM_LIMIT, Sim::is_ready), "{NODES} nodes form a cluster within {FORM_LIMIT:?}");
    let mut events: Vec<ClusterEvents> = sim.running().map(|(_, node)| node.subscribe()).collect();
    let mut rng = Seed::from_number(seed).child("stalls").rng();
    let end = sim.now() + duration;
    let mut deaths = Deaths::default();
    while sim.now() < end {
        let stalled = NodeIndex(rng.below(u64::from(NODES)) as u16);
        sim.world_mut().stall(stalled);
        sim.advance(STALL);
        sim.world_mut().resume(stalled);
        let awake = sim.now();
        assert!(sim.run_until(REJOIN_LIMIT, Sim::is_ready), "after a stall of {stalled} at {awake}");
        deaths.rejoined_after_max = deaths.rejoined_after_max.max(sim.now() - awake);
        sim.advance(Duration::from_millis(rng.below(PAUSE_MILLIS_MAX)));
        deaths.stalls += 1;
        let stalled = sim.world().node_id(stalled);
        for dead in events.iter_mut().flat_map(new_deaths) {
            *if dead == stalled { &mut deaths.stalled } else { &mut deaths.healthy } += 1;
        }
    }
    deaths
}

/// Runs 5 nodes in a healthy world for `duration` of virtual time with ten calls a second, and returns the virtual
/// time that passed in all: divided by the real time that the caller measures, it is the simulator's speed.
///
/// # Panics
/// If a call fails.
pub fn light_load(seed: u64, duration: Duration) -> Duration {
    const NODES: u16 = 5;
    let history = Arc::new(Mutex::new(History::new(NODES)));
    let registry = move |node, notes| workload::registry(&history, node, notes);
    let mut sim = quiet(Sim::new(seed).nodes(NODES).registry(registry));
    assert!(sim.run_until(FORM_LIMIT, Sim::is_ready), "{NODES} nodes form a cluster within {FORM_LIMIT:?}");
    let end = sim.now() + duration;
    let mut number = 0;
    while sim.now() < end {
        let node = sim.node((number % u64::from(NODES)) as u16).expect("nobody stops a node");
        let actor = node.actor::<Probe>(&format!("p{}", number % 24));
        let answer = sim.block_on(async { actor.run(number, 0).await }).expect("a call ends");
        assert_eq!(answer.expect("nothing goes wrong"), number);
        number += 1;
        sim.advance(CALL_EVERY);
    }
    sim.now() - gritmesh_runtime::Instant::ZERO
}

/// Launches a cluster that keeps no trace lines.
fn quiet(builder: crate::SimBuilder) -> Sim {
    let trace = TraceOptions { lines_kept: 0, ..TraceOptions::default() };
    builder.world(WorldOptions { trace, ..WorldOptions::default() }).launch()
}

/// The deaths that were announced since the last look.
fn new_deaths(events: &mut ClusterEvents) -> Vec<NodeId> {
    let mut dead = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        if let ClusterEvent::NodeDown(info) = event {
            dead.push(info.node_id);
        }
    }
    dead
}
