//! Leaving memory while commits are outstanding, and coming back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gritmesh_actor::{CallError, ReleaseGuard, codec};
use gritmesh_runtime::{Failure, FailureCode};

use super::ledger::{Ledger, world};

#[test]
fn a_guard_is_held_until_every_gate_is_decided() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let waiting = world.begin(async move { ledger.add(1).await });
    let released = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&released);
    let activation = host.activation("ledger/a").unwrap();
    assert!(!Arc::clone(&activation).close_if_unused(u32::MAX), "its newest step is not decided");
    activation.close(Some(ReleaseGuard::new(move || flag.store(true, Ordering::SeqCst))));
    assert!(host.activation("ledger/a").is_none());
    assert!(!released.load(Ordering::SeqCst));
    host.store().release();
    assert!(released.load(Ordering::SeqCst));
    world.settle();
    assert_eq!(waiting.take(), Some(Ok(1)));
}

#[test]
fn an_unused_actor_leaves_and_comes_back_as_it_was() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    world.run(async move {
        ledger.add(3).await.unwrap();
        ledger.enter("x".into(), 4).await.unwrap();
    });
    let activation = host.activation("ledger/a").unwrap();
    assert!(activation.info().durable);
    assert!(activation.close_if_unused(0));
    let ledger = host.actor::<Ledger>("a");
    let state = world.run(async move { (ledger.total().await, ledger.entry("x".into()).await) });
    assert_eq!(state, (Ok(3), Ok(Some(4))), "what `deactivate` did is not kept");
}

#[test]
fn a_store_that_does_not_open_says_why() {
    let (world, host) = world();
    host.store().fail_reads(Some(Failure::new(FailureCode::NoQuorum, "alone")));
    let ledger = host.actor::<Ledger>("a");
    let refused = world.run(async move { ledger.total().await });
    assert_eq!(refused, Err(CallError::Refused { code: FailureCode::NoQuorum, detail: "alone".into() }));
    assert!(host.activation("ledger/a").is_none());
    host.store().fail_reads(None);
    let ledger = host.actor::<Ledger>("a");
    assert_eq!(world.run(async move { ledger.total().await }), Ok(0));
}

#[test]
fn a_state_that_does_not_fit_is_an_actor_that_does_not_load() {
    let (world, host) = world();
    host.store().put_state("ledger/a", &codec::encode("not a ledger").unwrap());
    let ledger = host.actor::<Ledger>("a");
    let Err(CallError::Refused { code, detail }) = world.run(async move { ledger.total().await }) else {
        panic!("it is not a ledger")
    };
    assert_eq!(code, FailureCode::ActivationFailed);
    assert!(detail.starts_with("its state does not fit its type"), "{detail}");
}

#[test]
fn a_cleared_directory_frees_what_waits() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let waiting = world.begin(async move { ledger.add(1).await });
    gritmesh_actor::Host::directory(&*host).clear();
    host.store().refuse(FailureCode::Unknown);
    world.settle();
    assert!(matches!(waiting.take(), Some(Err(CallError::Unknown { .. }))));
    drop(waiting);
    assert_eq!(Arc::strong_count(&host), 1);
}
