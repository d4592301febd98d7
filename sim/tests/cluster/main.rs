//! A cluster of real nodes in a simulated world, as a user's test would use it.

mod partial;
mod requests;

use std::time::Duration;

use gritmesh_actor::{actor, handlers};
use gritmesh_core::NodeOptions;
use gritmesh_sim::{Intervention, NodeIndex, Sim};

#[actor(volatile, crate = gritmesh_actor)]
#[derive(Default)]
struct Counter {
    value: u64,
}

#[handlers(crate = gritmesh_actor)]
impl Counter {
    async fn add(&mut self, n: u64) -> u64 {
        self.value += n;
        self.value
    }
}

#[test]
fn any_actor_from_any_node() {
    let mut sim = Sim::new(1).nodes(3).register::<Counter>().start();
    println!("ready at {}", sim.now());
    for (expected, through) in [(1, 0), (2, 1), (3, 2)] {
        let alice = sim.node(through).unwrap().actor::<Counter>("alice");
        assert_eq!(sim.block_on(async { alice.add(1).await }).unwrap().unwrap(), expected);
    }
}

#[test]
fn a_dead_node_is_replaced() {
    let mut sim = Sim::new(2).nodes(3).register::<Counter>().start();
    let address = "counter/alice".parse().unwrap();
    let place = sim.node(0).unwrap().locate(&address).unwrap();
    let host: u16 = place.name[1..].parse().unwrap();
    let alice = sim.node((host + 1) % 3).unwrap().actor::<Counter>("alice");
    assert_eq!(sim.block_on(async { alice.add(1).await }).unwrap().unwrap(), 1);
    sim.crash(host);
    let begun = sim.now();
    let answer = loop {
        // What was sent into the dying connection may have run; the caller is told so and decides.
        match sim.block_on(async { alice.add(1).await }).unwrap() {
            Ok(value) => break value,
            Err(error) => assert!(!error.surely_not_run(), "{error}"),
        }
    };
    assert_eq!(answer, 1, "a volatile actor starts anew");
    let took = sim.now() - begun;
    assert!(took < Duration::from_secs(2), "{took:?}");
    sim.restart(host);
    assert!(sim.run_until(Duration::from_secs(10), Sim::is_ready));
}

/// A counter that is not lost with its node.
#[actor(crate = gritmesh_actor)]
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Tally {
    value: u64,
}

#[handlers(crate = gritmesh_actor)]
impl Tally {
    async fn add(&mut self, n: u64) -> u64 {
        self.value += n;
        self.value
    }
}

#[test]
fn a_durable_actor_survives_its_leader_and_then_all_nodes() {
    let mut sim = Sim::new(5).nodes(3).register::<Tally>().start();
    let alice = |sim: &Sim, through: u16| sim.node(through).unwrap().actor::<Tally>("alice");
    let first = alice(&sim, 0);
    assert_eq!(sim.block_on(async { first.add(1).await }).unwrap().unwrap(), 1);
    let place = sim.node(0).unwrap().locate(&"tally/alice".parse().unwrap()).unwrap();
    let leader: u16 = place.name[1..].parse().unwrap();
    let survivor = (leader + 1) % 3;
    let second = alice(&sim, survivor);
    sim.crash(leader);
    let begun = sim.now();
    // Each call under its key runs once, however often it has to be made.
    let answer = loop {
        if let Ok(value) = sim.block_on(async { second.add(1).key("second").await }).unwrap() {
            break value;
        }
        sim.advance(Duration::from_millis(50));
    };
    let took = sim.now() - begun;
    assert_eq!(answer, 2);
    assert!(took < Duration::from_secs(2), "{took:?}");
    sim.crash(0);
    sim.crash(1);
    sim.crash(2);
    for node in 0..3 {
        sim.restart(node);
    }
    assert!(sim.run_until(Duration::from_secs(20), Sim::is_ready));
    let third = alice(&sim, leader);
    assert_eq!(sim.block_on(async { third.add(1).await }).unwrap().unwrap(), 3);
}

#[test]
fn an_answer_is_given_again_until_it_was_kept_long_enough() {
    let kept = Duration::from_secs(120);
    let options = NodeOptions { answers_kept: kept, ..NodeOptions::default() };
    let mut sim = Sim::new(4).nodes(3).register::<Tally>().node_options(options).start();
    let add = |sim: &mut Sim, key: &str| {
        let alice = sim.node(0).unwrap().actor::<Tally>("alice");
        sim.block_on(async { alice.add(1).key(key).await }).unwrap().unwrap()
    };
    assert_eq!(add(&mut sim, "first"), 1);
    sim.advance(kept - Duration::from_secs(1));
    let place = sim.node(0).unwrap().locate(&"tally/alice".parse().unwrap()).unwrap();
    let leader: u16 = place.name[1..].parse().unwrap();
    assert_eq!((add(&mut sim, "first"), add(&mut sim, "second")), (1, 2));
    // Nobody has it in memory any more, and another node leads.
    sim.restart(leader);
    assert!(sim.run_until(Duration::from_secs(20), Sim::is_ready));
    sim.advance(kept / 2);
    assert_eq!((add(&mut sim, "second"), add(&mut sim, "first")), (2, 3), "only the older one is forgotten");
}

#[test]
fn a_node_that_crashes_under_load_leaves_no_call_and_nothing_behind() {
    for seed in 0..10 {
        let mut sim = Sim::new(seed).nodes(3).register::<Tally>().start();
        let place = sim.node(0).unwrap().locate(&"tally/alice".parse().unwrap()).unwrap();
        let leader: u16 = place.name[1..].parse().unwrap();
        let alice = sim.node(leader).unwrap().actor::<Tally>("alice");
        assert_eq!(sim.block_on(async { alice.add(1).await }).unwrap().unwrap(), 1);
        let left = std::sync::Arc::downgrade(sim.node(leader).unwrap());
        // A step waits for its commit when the plug is pulled.
        let calls = (0..20).map(|_| {
            let alice = alice.clone();
            async move { alice.add(1).await }
        });
        let mut calls = Box::pin(futures::future::join_all(calls));
        let begun = futures::FutureExt::now_or_never(&mut calls);
        assert!(begun.is_none(), "nothing is committed without a disk and a network");
        sim.crash(leader);
        let ended = sim.block_on(calls).unwrap();
        assert!(ended.iter().all(Result::is_err), "seed {seed}: {ended:?}");
        drop(alice);
        assert_eq!(left.strong_count(), 0, "seed {seed}: somebody holds the node");
    }
}

#[test]
fn a_healed_partition_merges_again() {
    let mut sim = Sim::new(3).nodes(5).register::<Counter>().start();
    sim.partition(&[&[0, 1], &[2, 3, 4]]);
    sim.advance(Duration::from_secs(20));
    assert_eq!(sim.node(0).unwrap().view().active().count(), 2);
    assert_eq!(sim.node(4).unwrap().view().active().count(), 3);
    sim.heal();
    let begun = sim.now();
    assert!(sim.run_until(Duration::from_secs(10), Sim::is_ready));
    println!("merged after {:?}", sim.now() - begun);
}

#[test]
fn a_leaving_node_costs_no_call() {
    for seed in 0..20 {
        let mut sim = Sim::new(seed).nodes(3).register::<Counter>().start();
        let (leaver, through) = (1, 2);
        sim.leave(leaver);
        let mut calls = 0;
        while sim.node(leaver).is_some() || calls < 200 {
            let actor = sim.node(through).unwrap().actor::<Counter>(&format!("c{}", calls % 50));
            let answer = sim.block_on(async { actor.add(1).await }).unwrap();
            assert!(answer.is_ok(), "seed {seed}, call {calls} at {}: {answer:?}", sim.now());
            calls += 1;
            sim.advance(Duration::from_millis(5));
            assert!(calls < 20_000, "the node never leaves");
        }
        let others = sim.node(through).unwrap().view().active().count();
        assert_eq!(others, 2, "the others know that it left");
        sim.come_back(leaver);
        assert!(sim.run_until(Duration::from_secs(10), Sim::is_ready), "seed {seed}");
    }
}

/// Every node says that it can serve, and answers for actors of all shards.
fn all_serve(sim: &mut Sim, round: u64) {
    for through in 0..sim.len() {
        for actor in 0..12 {
            let tally = sim.node(through).expect("the node runs").actor::<Tally>(&format!("a{actor}"));
            let answer = sim
                .block_on(async { tally.add(1).deadline(Duration::from_secs(2)).await })
                .expect("it is served");
            assert!(answer.is_ok(), "round {round}, a{actor} through n{through}: {answer:?}");
        }
    }
}

#[test]
fn after_a_peer_has_lied_everything_is_served_again_within_ten_seconds_without_a_restart() {
    for seed in 0..12 {
        let nodes = [3, 4, 5][seed as usize % 3];
        let mut sim = Sim::new(seed).nodes(nodes).register::<Tally>().start();
        sim.advance(Duration::from_secs(5));
        all_serve(&mut sim, seed);
        let starts: Vec<u64> = sim.running().map(|(_, node)| node.info().incarnation.0).collect();
        let liar = NodeIndex(seed as u16 % nodes);
        sim.inject_failure(&Intervention::Lie { node: liar, per_million: 300_000 });
        sim.advance(Duration::from_secs(20));
        sim.inject_failure(&Intervention::Lie { node: liar, per_million: 0 });
        let ready = sim.run_until(Duration::from_secs(10), Sim::is_ready);
        assert!(ready, "seed {seed}: not all are ready, or there are ghosts: {}", views(&sim));
        all_serve(&mut sim, seed);
        let now: Vec<u64> = sim.running().map(|(_, node)| node.info().incarnation.0).collect();
        assert_eq!(starts, now, "seed {seed}: nobody was started again");
    }
}

fn views(sim: &Sim) -> String {
    let view = |(node, it): (NodeIndex, &std::sync::Arc<gritmesh_core::Node>)| {
        let active: Vec<String> = it.view().active().map(|(_, member)| member.info.name.clone()).collect();
        format!("{node} {:?} sees {active:?}; ", it.readiness())
    };
    sim.running().map(view).collect()
}

#[test]
fn behind_one_name_there_is_one_cluster() {
    for seed in 0..20u64 {
        let mut sim = Sim::new(seed).nodes(4).named(Some("gm")).register::<Tally>().launch();
        let shown: [&[u16]; 3] = match seed % 4 {
            0 => [&[3, 2, 1, 0], &[0, 1, 2, 3], &[0, 1, 2, 3]],
            1 => [&[2], &[2, 0], &[0, 1, 2, 3]],
            2 => [&[], &[1, 3], &[3, 2, 1, 0]],
            // It moves: who founds behind it is still there when others come.
            _ => [&[2, 3], &[3, 0], &[0, 1, 2, 3]],
        };
        for nodes in shown {
            let nodes: Vec<NodeIndex> = nodes.iter().copied().map(NodeIndex).collect();
            sim.world_mut().set_name("gm", &nodes);
            sim.advance(Duration::from_millis(seed * 400));
        }
        assert!(sim.run_until(Duration::from_secs(20), Sim::is_ready), "seed {seed}: {}", views(&sim));
        let clusters: std::collections::BTreeSet<_> =
            sim.running().map(|(_, node)| node.cluster_status().cluster_id).collect();
        assert_eq!(clusters.len(), 1, "seed {seed}");
    }
}
