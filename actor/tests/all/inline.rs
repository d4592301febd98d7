//! Calls to an idle actor: on the caller's stack, without a task.

use std::time::Duration;

use gritmesh_actor::{Activation, CallError};

use crate::probe::{Odd, Probe, world};

#[test]
fn an_idle_actor_runs_on_the_stack_of_its_caller() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    let seen = world.run(async move {
        for number in 0..1000 {
            probe.note(number).await.unwrap();
        }
        probe.seen().await.unwrap()
    });
    assert_eq!(seen, (0..1000).collect::<Vec<u64>>());
    assert_eq!(world.spawned(), 0);
}

#[test]
fn calls_that_find_their_actor_idle_are_counted_once() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    world.run(async move {
        for number in 0..10 {
            probe.note(number).await.unwrap();
        }
    });
    let activation = host.activation("probe/a").unwrap();
    assert_eq!(activation.untold_calls(), 9, "the first one brought it into memory");
    assert_eq!(activation.untold_calls(), 0);
}

#[test]
fn a_refusal_keeps_its_type() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    let outcomes = world.run(async move { (probe.only_even(4).await, probe.only_even(5).await) });
    assert_eq!(outcomes, (Ok(2), Err(CallError::Failed(Odd { number: 5 }))));
}

#[test]
fn a_handler_that_waits_gets_a_task_and_its_caller_the_answer() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    let waiting = world.begin(async move { probe.slow(7, 50).await });
    assert_eq!(waiting.take(), None);
    world.pass(Duration::from_millis(49));
    assert_eq!(waiting.take(), None);
    world.pass(Duration::from_millis(1));
    assert_eq!(waiting.take(), Some(Ok(7)));
    assert_eq!(world.spawned(), 1);
}

#[test]
fn a_one_way_message_runs_in_the_background() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    world.run(async move { probe.note(1).send().await.unwrap() });
    assert_eq!(world.spawned(), 1, "the first message activates");
    let probe = host.actor::<Probe>("a");
    let seen = world.run(async move {
        probe.note(2).send().await.unwrap();
        probe.seen().await.unwrap()
    });
    assert_eq!(seen, [1, 2]);
    assert_eq!(world.spawned(), 2);
}

#[test]
fn a_sender_does_not_run_on_the_stack_of_another() {
    let (world, host) = world();
    let a = host.actor::<Probe>("a");
    world.run(async move { a.pass_on(5, "a".into()).await.unwrap() });
    let a = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { a.seen().await.unwrap() }), [5], "an actor may send to itself");
}

#[test]
fn a_caller_yields_when_its_share_is_used_up() {
    let (world, host) = world();
    world.yield_every(2);
    let probe = host.actor::<Probe>("a");
    let answer = world.run(async move {
        for number in 0..100 {
            probe.note(number).await.unwrap();
        }
        let ids = vec!["b".into(), "c".into(), "d".into()];
        (probe.seen().await.unwrap().len(), probe.relay(ids).await)
    });
    assert_eq!(answer, (100, Ok("arrived".into())));
}

#[test]
fn a_deadline_of_centuries_is_no_deadline() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    let answer = world.run(async move { probe.slow(1, 10).deadline(Duration::MAX).await });
    assert_eq!(answer, Ok(1));
}

#[test]
fn the_context_knows_where_and_when_it_is() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    assert_eq!(probe.address().to_string(), "probe/a");
    assert_eq!(format!("{probe:?}"), "ProbeRef(probe/a)");
    assert_eq!(format!("{:?}", probe.seen()), "Call(probe/a.seen)");
    assert_eq!(world.run(async move { probe.clone().seen().await.unwrap() }), Vec::<u64>::new());
}

#[test]
fn an_idle_actor_is_small() {
    // Beside its state: the activation and its counts, the text of its address and its counts, and its place in
    // the directory when that has just grown. Allocators add up to 16 bytes to each of three blocks.
    const COUNTS: usize = 2 * size_of::<usize>();
    const ADDRESS: usize =
        "default".len() + "leaderboard".len() + "an id of forty bytes, which is a long one".len();
    const PLACE: usize = (size_of::<std::sync::Arc<()>>() * 2 + 1) * 16 / 7;
    let bytes = size_of::<Activation<Probe>>() + COUNTS + ADDRESS + COUNTS + PLACE + 3 * 16;
    assert!(bytes <= 512, "{bytes}");
}
