//! Panics of applications, wherever they come from, hit one call and one state.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use gritmesh_actor::CallError;

use crate::handwritten::{DropBadly, Hold, Holder};
use crate::probe::{Probe, ids, world};

#[test]
fn a_panic_resets_the_state_and_the_queue_goes_on() {
    let (world, host) = world();
    let call = |number| {
        let probe = host.actor::<Probe>("a");
        world.begin(async move { probe.note(number).await })
    };
    let first = call(1);
    let probe = host.actor::<Probe>("a");
    let failing = world.begin(async move { probe.panic_after(10).await });
    let (second, third) = (call(2), call(3));
    world.pass(Duration::from_millis(10));
    assert_eq!(first.take(), Some(Ok(())));
    assert_eq!(failing.take(), Some(Err(CallError::Panicked { detail: "a bug".into() })));
    assert_eq!((second.take(), third.take()), (Some(Ok(())), Some(Ok(()))));
    let probe = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { probe.seen().await }).unwrap(), [2, 3]);
    assert_eq!(*host.panics.lock().unwrap(), ["probe/a: a bug"]);
}

#[test]
fn a_panic_on_the_stack_of_the_caller_is_only_an_error_there() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    let outcome = world.run(async move { (probe.panic_after(0).await, probe.seen().await) });
    assert_eq!(outcome, (Err(CallError::Panicked { detail: "a bug".into() }), Ok(vec![])));
    assert_eq!(*host.deactivated.lock().unwrap(), ["probe/a"]);
}

#[test]
fn a_panic_while_loading_is_a_failed_activation() {
    let (world, host) = world();
    let probe = host.actor::<Probe>(ids::BAD_START);
    let Err(CallError::Refused { detail, .. }) = world.run(async move { probe.seen().await }) else {
        panic!("it does not load")
    };
    assert_eq!(detail, "probe/bad_start could not be activated: its activation panicked: no start");
    assert_eq!(*host.panics.lock().unwrap(), ["probe/bad_start: no start"]);
}

#[test]
fn a_panic_while_leaving_still_leaves() {
    let (world, host) = world();
    let probe = host.actor::<Probe>(ids::BAD_END);
    world.run(async move { probe.note(1).await }).unwrap();
    host.activation("probe/bad_end").unwrap().close(None);
    assert!(host.activation("probe/bad_end").is_none());
    let probe = host.actor::<Probe>(ids::BAD_END);
    assert_eq!(world.run(async move { probe.seen().await }), Ok(vec![]));
    assert_eq!(*host.panics.lock().unwrap(), ["probe/bad_end: no end"]);
}

#[test]
fn a_state_that_panics_when_it_is_dropped_still_leaves() {
    let (world, host) = world();
    let holder = host.reference::<Holder>("a");
    world.run(async move { holder.call(DropBadly).await }).unwrap();
    host.activation("holder/a").unwrap().close(None);
    assert!(host.activation("holder/a").is_none());
    let holder = host.reference::<Holder>("a");
    assert_eq!(world.run(async move { holder.call(Hold(Arc::new(AtomicU64::new(3)))).await }), Ok(3));
    assert_eq!(*host.panics.lock().unwrap(), ["holder/a: no drop"]);
}
