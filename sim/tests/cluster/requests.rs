//! Orders and questions for one node, through any other one.

use std::time::Duration;

use gritmesh_core::{NodeRefusal, NodeRequestError};
use gritmesh_runtime::NodeId;
use gritmesh_sim::Sim;

use crate::Counter;

const TIMEOUT: Duration = Duration::from_secs(5);

fn id(sim: &Sim, node: u16) -> NodeId {
    sim.node(node).expect("the node runs").info().node_id
}

#[test]
fn an_order_takes_effect_at_the_node_that_it_names() {
    let mut sim = Sim::new(7).nodes(3).register::<Counter>().start();
    let (asked, second) = (sim.node(0).unwrap().clone(), id(&sim, 1));
    sim.block_on(async { asked.drain_node(second, false, TIMEOUT).await }).unwrap().unwrap();
    let drained = |sim: &Sim| sim.node(1).unwrap().report().shards_led == 0;
    assert!(sim.run_until(Duration::from_secs(20), drained));
    let reports: Vec<_> = (0..3)
        .map(|node| {
            let (asked, node) = (sim.node(2).unwrap().clone(), id(&sim, node));
            sim.block_on(async { asked.report_of(node, TIMEOUT).await }).unwrap().unwrap()
        })
        .collect();
    let draining: Vec<bool> = reports.iter().map(|report| report.draining).collect();
    assert_eq!(draining, [false, true, false]);
    assert_eq!(reports.iter().map(|report| report.shards_led).sum::<u32>(), 64);
    assert_eq!(reports[1].shards_led, 0);
}

#[test]
fn the_last_node_is_not_drained_and_a_drained_one_takes_part_again() {
    let mut sim = Sim::new(10).nodes(2).register::<Counter>().start();
    let (asked, [first, second]) = (sim.node(0).unwrap().clone(), [id(&sim, 0), id(&sim, 1)]);
    sim.block_on(async { asked.drain_node(second, false, TIMEOUT).await }).unwrap().unwrap();
    assert!(sim.run_until(Duration::from_secs(20), |sim| sim.node(1).unwrap().report().drained));
    let refused = sim.block_on(async { asked.drain_node(first, false, TIMEOUT).await }).unwrap();
    let (name, refusal) = ("n0".to_owned(), NodeRefusal::LastNode);
    assert_eq!(refused, Err(NodeRequestError::Refused { name, refusal }));
    assert!(sim.node(0).unwrap().readiness().ready && !sim.node(1).unwrap().readiness().ready);
    sim.block_on(async { asked.undrain_node(second, TIMEOUT).await }).unwrap().unwrap();
    let shares = |sim: &Sim| sim.node(1).unwrap().report().shards_led > 0 && sim.is_ready();
    assert!(sim.run_until(Duration::from_secs(20), shares));
    sim.block_on(async { asked.drain_node(first, false, TIMEOUT).await }).unwrap().unwrap();
    assert!(sim.run_until(Duration::from_secs(20), |sim| sim.node(0).unwrap().report().drained));
}

/// Each of them sees others that stay.
#[test]
fn of_nodes_that_are_told_to_drain_at_the_same_moment_some_stay() {
    for seed in 20..26 {
        let mut sim = Sim::new(seed).nodes(3).register::<Counter>().start();
        for node in 0..3 {
            let (told, itself) = (sim.node(node).unwrap().clone(), id(&sim, node));
            sim.block_on(async { told.drain_node(itself, false, TIMEOUT).await }).unwrap().unwrap();
        }
        sim.advance(Duration::from_secs(20));
        let reports: Vec<_> = (0..3).map(|node| sim.node(node).unwrap().report()).collect();
        assert!(reports.iter().any(|report| !report.draining && report.readiness.ready), "{reports:?}");
        assert_eq!(reports.iter().map(|report| report.shards_led).sum::<u32>(), 64, "{reports:?}");
    }
}

#[test]
fn a_member_is_forgotten_by_all_that_are_reached() {
    let mut sim = Sim::new(11).nodes(3).register::<Counter>().start();
    let (asked, dead) = (sim.node(0).unwrap().clone(), id(&sim, 2));
    let forget = |sim: &mut Sim| {
        let asked = asked.clone();
        sim.block_on(async move { asked.forget_member(dead, TIMEOUT).await }).unwrap()
    };
    let error = forget(&mut sim).unwrap_err();
    let refusal = NodeRefusal::Alive { name: "n2".into() };
    assert_eq!(error, NodeRequestError::Refused { name: "n0".into(), refusal });
    sim.crash(2);
    sim.advance(Duration::from_secs(5));
    assert_eq!(forget(&mut sim), Ok(Vec::new()));
    sim.advance(Duration::from_secs(60));
    for node in 0..2 {
        assert!(!sim.node(node).unwrap().view().members.contains_key(&dead));
    }
    assert_eq!(forget(&mut sim), Err(NodeRequestError::Unknown { node: dead }));
    sim.restart(2);
    assert!(sim.run_until(Duration::from_secs(10), Sim::is_ready));
    assert_eq!(asked.view().active().count(), 3);
}

#[test]
fn every_list_is_of_the_node_that_was_asked() {
    let mut sim = Sim::new(8).nodes(3).register::<Counter>().start();
    for number in 0..30 {
        let actor = sim.node(0).unwrap().actor::<Counter>(&format!("c{number}"));
        sim.block_on(async { actor.add(1).await }).unwrap().unwrap();
    }
    let mut found = Vec::new();
    for node in 0..3 {
        let (asked, target) = (sim.node(0).unwrap().clone(), id(&sim, node));
        let answer = sim.block_on(async { asked.actors_of(target, None, 100, TIMEOUT).await });
        let (actors, total) = answer.unwrap().unwrap();
        assert_eq!(actors.len() as u64, total);
        for actor in actors {
            assert_eq!(actor.node, format!("n{node}"));
            let address = actor.address.parse().unwrap();
            let here = sim.block_on(async { asked.in_memory_of(target, &address, TIMEOUT).await });
            assert!(here.unwrap().unwrap(), "{address}");
            found.push(actor.address);
        }
    }
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 30, "each is on one node");
}

#[test]
fn who_cannot_be_asked_is_told_apart() {
    let mut sim = Sim::new(9).nodes(3).register::<Counter>().start();
    let (asked, nobody, dead) = (sim.node(0).unwrap().clone(), NodeId([9; 32]), id(&sim, 1));
    let report = |sim: &mut Sim, node| {
        let asked = asked.clone();
        sim.block_on(async move { asked.report_of(node, TIMEOUT).await }).unwrap().unwrap_err()
    };
    assert_eq!(report(&mut sim, nobody), NodeRequestError::Unknown { node: nobody });
    // A node that does not run any more, and of which nobody knows that yet: the request was sent and is lost.
    sim.crash(1);
    let begun = sim.now();
    let error = report(&mut sim, dead);
    assert!(
        matches!(error, NodeRequestError::NoAnswer { .. } | NodeRequestError::NotDelivered { .. }),
        "{error}"
    );
    assert!(sim.now() - begun <= TIMEOUT);
    sim.advance(Duration::from_secs(3));
    let error = report(&mut sim, dead);
    assert_eq!(error, NodeRequestError::Down { name: "n1".into(), state: "down" });
}
