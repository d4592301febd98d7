//! Calls to a busy actor: order, limits and deadlines.

use std::time::Duration;

use gritmesh_actor::{ActivationPhase, CallError};
use gritmesh_runtime::FailureCode;

use crate::probe::{CAPACITY, Probe, ids, world};

const MS: Duration = Duration::from_millis(1);

fn is_unknown<T, E>(outcome: &Option<Result<T, CallError<E>>>) -> bool {
    matches!(outcome, Some(Err(CallError::Unknown { .. })))
}

fn is_not_delivered<T, E>(outcome: &Option<Result<T, CallError<E>>>) -> bool {
    matches!(outcome, Some(Err(CallError::NotDelivered { .. })))
}

#[test]
fn waiting_calls_run_in_order() {
    let (world, host) = world();
    let waiting: Vec<_> = (0..=CAPACITY as u64)
        .map(|number| {
            let probe = host.actor::<Probe>("a");
            world.begin(async move { probe.slow(number, 10).await })
        })
        .collect();
    assert_eq!(host.activation("probe/a").unwrap().status().queued, CAPACITY);
    world.pass(10 * MS);
    assert_eq!(host.activation("probe/a").unwrap().status().queued, CAPACITY - 1);
    world.pass(100 * MS);
    for (number, waiting) in waiting.iter().enumerate() {
        assert_eq!(waiting.take(), Some(Ok(number as u64)));
    }
    let probe = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { probe.seen().await }).unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(world.spawned(), 1, "one task ran them all");
}

#[test]
fn a_full_mailbox_refuses_and_says_when_to_come_back() {
    let (world, host) = world();
    for number in 0..=CAPACITY as u64 {
        let probe = host.actor::<Probe>("a");
        drop(world.begin(async move { probe.slow(number, 10).await }));
    }
    let probe = host.actor::<Probe>("a");
    let (called, sent) = world.run(async move { (probe.note(9).await, probe.note(9).send().await) });
    for refused in [called, sent] {
        let Err(error) = refused else { panic!("the mailbox is full") };
        assert!(error.surely_not_run());
        let CallError::Overloaded { detail, retry_after } = error else { panic!("{error}") };
        assert_eq!(detail, "the mailbox of probe/a holds 4 messages and is full");
        assert!(retry_after > Duration::ZERO);
    }
    world.pass(100 * MS);
    let probe = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { probe.seen().await }).unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_deadline_in_the_mailbox_is_surely_not_run() {
    let (world, host) = world();
    let (first, second) = (host.actor::<Probe>("a"), host.actor::<Probe>("a"));
    let running = world.begin(async move { first.slow(1, 100).await });
    let late = world.begin(async move { second.note(2).deadline(10 * MS).await });
    world.pass(9 * MS);
    assert!(late.take().is_none());
    world.pass(MS);
    assert!(is_not_delivered(&late.take()));
    world.pass(100 * MS);
    assert_eq!(running.take(), Some(Ok(1)));
    let probe = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { probe.seen().await }).unwrap(), [1]);
}

#[test]
fn a_deadline_of_a_running_handler_leaves_the_outcome_open() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    let late = world.begin(async move { probe.slow(1, 100).deadline(10 * MS).await });
    world.pass(10 * MS);
    assert!(is_unknown(&late.take()));
    let probe = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { probe.seen().await }).unwrap(), [1], "the handler has finished");
}

#[test]
fn an_earlier_deadline_that_is_queued_later_is_heard_of() {
    let (world, host) = world();
    let call = |number, deadline: u32| {
        let probe = host.actor::<Probe>("a");
        world.begin(async move { probe.note(number).deadline(deadline * MS).await })
    };
    let probe = host.actor::<Probe>("a");
    let running = world.begin(async move { probe.slow(0, 1000).deadline(500 * MS).await });
    let (slow, fast, middle) = (call(1, 300), call(2, 20), call(3, 100));
    world.pass(20 * MS);
    assert!(is_not_delivered(&fast.take()));
    let fastest = call(4, 5);
    world.pass(5 * MS);
    assert!(is_not_delivered(&fastest.take()));
    assert!(middle.take().is_none());
    world.pass(75 * MS);
    assert!(is_not_delivered(&middle.take()));
    world.pass(200 * MS);
    assert!(is_not_delivered(&slow.take()));
    assert!(running.take().is_none());
    world.pass(200 * MS);
    assert!(is_unknown(&running.take()));
    // Nothing is watched now, and still a new deadline is.
    let again = call(5, 50);
    world.pass(50 * MS);
    assert!(is_not_delivered(&again.take()));
    let probe = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { probe.seen().await }).unwrap(), [0]);
}

#[test]
fn a_caller_that_goes_away_does_not_stop_its_handler() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    let mut call = Box::pin(async move { probe.slow(1, 10).await });
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    let probe = host.actor::<Probe>("a");
    let mut queued = Box::pin(async move { probe.slow(2, 10).await });
    assert!(queued.as_mut().poll(&mut cx).is_pending());
    drop((call, queued));
    world.pass(100 * MS);
    let probe = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { probe.seen().await }).unwrap(), [1, 2]);
}

#[test]
fn calls_that_wait_for_a_load_are_told_of_its_failure_and_the_next_one_tries_again() {
    let (world, host) = world();
    let probe = host.actor::<Probe>(ids::MOODY);
    let refused = world.run(async move { probe.note(1).await });
    let Err(CallError::Refused { code, detail }) = refused else { panic!("{refused:?}") };
    assert_eq!(code, FailureCode::ActivationFailed);
    assert_eq!(detail, "probe/moody could not be activated: not today");
    assert!(host.activation("probe/moody").is_none());
    let probe = host.actor::<Probe>(ids::MOODY);
    assert_eq!(world.run(async move { probe.note(1).await }), Ok(()));

    host.here.store(false, std::sync::atomic::Ordering::Relaxed);
    let waiting: Vec<_> = (0..3)
        .map(|number| {
            let probe = host.actor::<Probe>(ids::UNLOADABLE);
            world.begin(async move { probe.note(number).await })
        })
        .collect();
    for waiting in waiting {
        assert!(matches!(waiting.take(), Some(Err(CallError::Refused { .. }))));
    }
}

#[test]
fn calls_wait_while_the_actor_is_loaded() {
    let (world, host) = world();
    let call = |number, deadline: u32| {
        let probe = host.actor::<Probe>(ids::SLOW_START);
        world.begin(async move { probe.note(number).deadline(deadline * MS).await })
    };
    let (patient, impatient, other) = (call(1, 2000), call(2, 500), call(3, 2000));
    assert_eq!(host.activation("probe/slow_start").unwrap().status().phase, ActivationPhase::Busy);
    world.pass(500 * MS);
    assert!(is_not_delivered(&impatient.take()));
    world.pass(500 * MS);
    assert_eq!((patient.take(), other.take()), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(host.activation("probe/slow_start").unwrap().status().phase, ActivationPhase::Idle);
}

#[test]
fn a_type_that_nobody_registered_is_named() {
    let world = crate::virtual_time::World::default();
    let host = crate::host::LocalHost::new(world.clone(), world.clone(), gritmesh_actor::Registry::new());
    let probe = host.actor::<Probe>("a");
    let refused = world.run(async move { probe.seen().await });
    let Err(error) = refused else { panic!("nobody hosts it") };
    assert_eq!(error.code(), FailureCode::UnknownType);
}
