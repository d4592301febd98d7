//! Answers wait for commits, and messages do not wait for answers.

use std::time::Duration;

use gritmesh_actor::{CallError, Origin, codec};
use gritmesh_runtime::FailureCode;

use super::ledger::{Ledger, Refused, submit, taken, world};

const MS: Duration = Duration::from_millis(1);

#[test]
fn an_answer_is_not_seen_before_its_commit() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let typed = world.begin(async move { ledger.add(5).await });
    let mut wire = submit(&host, "ledger/a", "add", &(6u64,), Origin::Call);
    let mut one_way = submit(&host, "ledger/a", "add", &(0u64,), Origin::Call);
    world.settle();
    assert_eq!(typed.take(), None);
    assert_eq!((taken(&mut wire), taken(&mut one_way)), (None, None));
    assert_eq!(host.store().committed("ledger/a").steps.len(), 0);
    host.store().release();
    world.settle();
    assert_eq!(typed.take(), Some(Ok(5)));
    assert_eq!(taken(&mut wire), None);
    host.store().release();
    assert_eq!(taken(&mut wire), Some(Ok(codec::encode(&11u64).unwrap())));
    // That one changed nothing, so it waited for the step before it only.
    assert_eq!(taken(&mut one_way), Some(Ok(codec::encode(&11u64).unwrap())));
    assert_eq!(host.store().committed("ledger/a").steps.len(), 2);
    assert_eq!(
        world.spawned(),
        1,
        "one task watches all deadlines, and calls ran on the stacks of their callers"
    );
}

#[test]
fn steps_follow_each_other_on_uncommitted_state() {
    let (world, host) = world();
    host.store().hold();
    let calls: Vec<_> = (1..=3)
        .map(|number| {
            let ledger = host.actor::<Ledger>("a");
            world.begin(async move { ledger.add(number).await })
        })
        .collect();
    assert_eq!(host.store().steps("ledger/a"), 3);
    assert_eq!(host.activation("ledger/a").unwrap().status().outstanding, 3);
    for (call, total) in calls.iter().zip([1, 3, 6]) {
        assert_eq!(call.take(), None);
        host.store().release();
        world.settle();
        assert_eq!(call.take(), Some(Ok(total)));
    }
    assert_eq!(host.activation("ledger/a").unwrap().status().outstanding, 0);
}

#[test]
fn a_query_is_never_a_step_and_waits_for_those_before_it() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    assert_eq!(world.run(async move { ledger.total().await }), Ok(0));
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let add = world.begin(async move { ledger.add(5).await });
    let ledger = host.actor::<Ledger>("a");
    let query = world.begin(async move { ledger.total().await });
    assert_eq!((add.take(), query.take()), (None, None));
    host.store().release();
    world.settle();
    assert_eq!((add.take(), query.take()), (Some(Ok(5)), Some(Ok(5))));
    assert_eq!(host.store().steps("ledger/a"), 1);
}

#[test]
fn what_changes_nothing_is_no_step() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    let answers = world.run(async move { (ledger.idle().await, ledger.add(0).await, ledger.add(1).await) });
    assert_eq!(answers, (Ok(0), Ok(0), Ok(1)));
    let ledger = host.actor::<Ledger>("a");
    assert_eq!(world.run(async move { (ledger.idle().await, ledger.add(0).await) }), (Ok(1), Ok(1)));
    assert_eq!(host.store().steps("ledger/a"), 1);
}

#[test]
fn a_refusal_gives_everything_back_and_waits_for_the_steps_before_it() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    world.run(async move { ledger.add(5).await }).unwrap();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let first = world.begin(async move { ledger.take(1).await });
    let ledger = host.actor::<Ledger>("a");
    let refused = world.begin(async move { ledger.take(100).await });
    assert_eq!((first.take(), refused.take()), (None, None));
    host.store().release();
    world.settle();
    assert_eq!(first.take(), Some(Ok(4)));
    assert_eq!(refused.take(), Some(Err(CallError::Failed(Refused::Poor { total: 4 }))));
    let ledger = host.actor::<Ledger>("a");
    let state = world.run(async move {
        (ledger.total().await, ledger.entry("take".into()).await, ledger.lines().await, ledger.turns().await)
    });
    // Even what is not kept goes back, to its default.
    assert_eq!(state, (Ok(4), Ok(Some(1)), Ok(vec!["take".to_owned()]), Ok(0)));
    assert_eq!(host.store().steps("ledger/a"), 2);
}

#[test]
fn a_panic_takes_the_state_back_to_the_newest_step() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let first = world.begin(async move { ledger.add(5).await });
    let ledger = host.actor::<Ledger>("a");
    let slow = world.begin(async move { ledger.slow(1, 10).await });
    let ledger = host.actor::<Ledger>("a");
    let panics = world.begin(async move { ledger.boom(100).await });
    let ledger = host.actor::<Ledger>("a");
    let next = world.begin(async move { ledger.add(1).await });
    world.pass(10 * MS);
    assert_eq!(panics.take(), Some(Err(CallError::Panicked { detail: "a bug".into() })), "it shows nothing");
    assert_eq!(*host.panics.lock().unwrap(), ["ledger/a: a bug"]);
    (0..3).for_each(|_| host.store().release());
    world.settle();
    assert_eq!((first.take(), slow.take(), next.take()), (Some(Ok(5)), Some(Ok(6)), Some(Ok(7))));
}

#[test]
fn a_deadline_while_the_gate_is_closed_leaves_the_outcome_open() {
    let (world, host) = world();
    host.store().hold();
    let call = |deadline: u32| {
        let ledger = host.actor::<Ledger>("a");
        world.begin(async move { ledger.add(1).deadline(deadline * MS).await })
    };
    let (long, short) = (call(100), call(10));
    let mut wire = submit(&host, "ledger/a", "add", &(1u64,), Origin::Call);
    world.pass(9 * MS);
    assert!(short.take().is_none());
    world.pass(MS);
    let Some(Err(CallError::Unknown { detail })) = short.take() else { panic!("it is late") };
    assert_eq!(detail, "the deadline passed while the step was being committed");
    host.store().release();
    world.settle();
    assert_eq!(long.take(), Some(Ok(1)));
    world.pass(30_000 * MS);
    assert_eq!(taken(&mut wire).unwrap().unwrap_err().code, FailureCode::Unknown);
    host.store().release();
    host.store().release();
    // All of them happened.
    let ledger = host.actor::<Ledger>("a");
    assert_eq!(world.run(async move { ledger.total().await }), Ok(3));
    let later = call(5);
    world.pass(5 * MS);
    assert!(matches!(later.take(), Some(Err(CallError::Unknown { .. }))), "a new task watches");
}

#[test]
fn an_actor_runs_only_so_far_ahead_of_its_store() {
    let (world, host) = world();
    host.store().hold();
    let calls: Vec<_> = (0..1_000)
        .map(|_| {
            let ledger = host.actor::<Ledger>("a");
            world.begin(async move { ledger.add(1).await })
        })
        .collect();
    let call = |deadline: u32| {
        let ledger = host.actor::<Ledger>("a");
        world.begin(async move { ledger.add(1).deadline(deadline * MS).await })
    };
    let (patient, hasty) = (call(1000), call(10));
    assert_eq!(host.store().steps("ledger/a"), 1_000);
    world.pass(10 * MS);
    assert!(matches!(hasty.take(), Some(Err(CallError::NotDelivered { .. }))), "it surely did not run");
    assert_eq!(host.store().steps("ledger/a"), 1_000);
    host.store().release();
    world.settle();
    assert_eq!(host.store().steps("ledger/a"), 1_001);
    (0..1_000).for_each(|_| host.store().release());
    world.settle();
    assert_eq!(patient.take(), Some(Ok(1_001)));
    assert!(calls.iter().zip(1..).all(|(call, total)| call.take() == Some(Ok(total))));
}

#[test]
fn a_handler_that_waits_keeps_its_place() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    let slow = world.begin(async move { ledger.slow(1, 10).await });
    let ledger = host.actor::<Ledger>("a");
    let late = world.begin(async move { ledger.slow(1, 10).deadline(15 * MS).await });
    let ledger = host.actor::<Ledger>("a");
    let next = world.begin(async move { ledger.add(1).await });
    world.pass(15 * MS);
    assert_eq!(slow.take(), Some(Ok(1)));
    assert!(matches!(late.take(), Some(Err(CallError::Unknown { .. }))), "its handler runs");
    world.pass(10 * MS);
    assert_eq!(next.take(), Some(Ok(3)), "what was late has run all the same");
}
