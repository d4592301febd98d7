//! Actors that call actors: cycles, depth, and whose stack is used.

use std::time::Duration;

use gritmesh_actor::CallError;
use gritmesh_runtime::{ActorAddress, FailureCode};

use crate::probe::{Probe, Relayed, ids, world};

fn path(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn row(length: usize) -> Vec<String> {
    (0..length).map(|number| format!("link_{number}")).collect()
}

#[test]
fn a_call_that_would_wait_for_itself_is_refused_at_once() {
    let (world, host) = world();
    let a = host.actor::<Probe>("a");
    let Err(CallError::Failed(Relayed { code, detail })) =
        world.run(async move { a.relay(path(&["b", "c", "b"])).await })
    else {
        panic!("b waits for itself")
    };
    assert_eq!((code.as_str(), detail.as_str()), ("deadlock", "deadlock: probe/b -> probe/c -> probe/b"));
    let a = host.actor::<Probe>("a");
    let own = world.run(async move { a.relay(path(&["a"])).await });
    assert!(matches!(own, Err(CallError::Failed(Relayed { code, .. })) if code == "deadlock"));
    let a = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { a.relay(path(&["b", "c"])).await }), Ok("arrived".into()));
}

#[test]
fn a_cycle_through_an_activation_is_found() {
    let (world, host) = world();
    let a = host.actor::<Probe>("a");
    let Err(CallError::Failed(Relayed { code, detail })) =
        world.run(async move { a.relay(path(&[ids::CALLS_A])).await })
    else {
        panic!("a waits for an actor that waits for a")
    };
    assert_eq!(code, "activation_failed");
    assert!(detail.ends_with("deadlock: probe/a -> probe/calls_a -> probe/a"), "{detail}");
}

#[test]
fn a_short_chain_runs_on_one_stack_and_a_long_one_in_tasks() {
    let (world, host) = world();
    let a = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { a.relay(row(7)).await }), Ok("arrived".into()));
    assert_eq!(world.spawned(), 0);
    let a = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { a.relay(row(60)).await }), Ok("arrived".into()));
    assert!(world.spawned() > 50);
}

#[test]
fn an_endless_chain_is_refused() {
    let (world, host) = world();
    let a = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { a.relay(row(63)).await }), Ok("arrived".into()));
    let a = host.actor::<Probe>("a");
    let Err(CallError::Failed(Relayed { code, detail })) = world.run(async move { a.relay(row(64)).await })
    else {
        panic!("65 actors wait for each other")
    };
    assert_eq!(code, "overloaded", "{detail}");
}

#[test]
fn activations_that_call_ever_new_actors_are_refused() {
    let (world, host) = world();
    let endless = host.actor::<Probe>(ids::ENDLESS);
    let refused = world.run(async move { endless.seen().await });
    let Err(error) = refused else { panic!("it never ends") };
    assert_eq!(error.code(), FailureCode::ActivationFailed);
}

#[test]
fn two_chains_that_wait_for_each_other_end_by_their_deadlines() {
    let (world, host) = world();
    let (a, b) = (host.actor::<Probe>("a"), host.actor::<Probe>("b"));
    // Both are loaded and busy before they call each other.
    world.yield_every(2);
    let one = world.begin(async move { a.relay(path(&["b"])).await });
    let two = world.begin(async move { b.relay(path(&["a"])).await });
    world.pass(Duration::from_secs(31));
    for outcome in [one.take(), two.take()] {
        assert!(outcome.is_some(), "every call ends");
    }
}

#[test]
fn a_caller_in_a_turn_does_not_run_the_calls_of_strangers() {
    let (world, host) = world();
    // `b` is busy, and then has one stranger waiting when the relayed call ends.
    let b = host.actor::<Probe>("b");
    let first = world.begin(async move { b.slow(1, 10).await });
    let a = host.actor::<Probe>("a");
    let relayed = world.begin(async move { a.relay(path(&["b", "c"])).await });
    let b = host.actor::<Probe>("b");
    let stranger = world.begin(async move { b.slow(2, 1000).await });
    world.pass(Duration::from_millis(10));
    assert_eq!(first.take(), Some(Ok(1)));
    assert_eq!(relayed.take(), Some(Ok("arrived".into())));
    assert_eq!(stranger.take(), None);
    world.pass(Duration::from_secs(1));
    assert_eq!(stranger.take(), Some(Ok(2)));
}

#[test]
fn the_chain_is_told_oldest_first() {
    let addresses: Vec<ActorAddress> =
        ["t/a", "t/b", "t/c"].iter().map(|address| address.parse().unwrap()).collect();
    let chain: gritmesh_actor::Chain = addresses.iter().cloned().collect();
    assert_eq!(chain.to_vec(), addresses);
    assert_eq!(format!("{chain:?}"), "[t/a, t/b, t/c]");
}
