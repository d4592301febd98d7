//! Steps that are refused, and leaders that lead no more.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::CallError;
use gritmesh_runtime::FailureCode;

use super::ledger::{Ledger, world};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_refused_step_undoes_everything_after_it() {
    let (world, host) = world();
    host.store().hold();
    let call = |number| {
        let ledger = host.actor::<Ledger>("a");
        world.begin(async move { ledger.add(number).await })
    };
    let (first, second, third) = (call(1), call(2), call(4));
    let ledger = host.actor::<Ledger>("a");
    let query = world.begin(async move { ledger.total().await });
    let other = host.actor::<Ledger>("b");
    let other = world.begin(async move { other.add(7).await });
    host.store().release();
    host.store().refuse(FailureCode::Unknown);
    world.settle();
    assert_eq!(first.take(), Some(Ok(1)));
    for undone in [second.take(), third.take()] {
        let Some(Err(CallError::Unknown { detail })) = undone else { panic!("it was refused: {undone:?}") };
        assert_eq!(detail, "the step was refused");
    }
    let Some(Err(CallError::NoAnswer { detail })) = query.take() else { panic!("it saw what was refused") };
    assert_eq!(detail, "the step was refused");
    assert_eq!(*host.deactivated.lock().unwrap(), ["ledger/a"]);
    let again = call(8);
    host.store().release();
    host.store().release();
    world.settle();
    assert_eq!(again.take(), Some(Ok(9)), "on top of what was committed, and no good-bye was kept");
    assert_eq!(other.take(), Some(Ok(7)), "a stranger's step");
}

#[test]
fn a_panic_reroutes_what_waits_lest_it_is_loaded_before_its_steps_are_stored() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    let running = world.begin(async move { ledger.slow(2, 10).await });
    let ledger = host.actor::<Ledger>("a");
    let panicking = world.begin(async move { ledger.boom(1).await });
    let ledger = host.actor::<Ledger>("a");
    let queued = world.begin(async move { ledger.add(4).await });
    world.pass(10 * MS);
    assert_eq!(running.take(), Some(Ok(2)));
    assert!(matches!(panicking.take(), Some(Err(CallError::Panicked { .. }))));
    assert_eq!(queued.take(), Some(Ok(6)));
    assert_eq!(*host.deactivated.lock().unwrap(), ["ledger/a"]);
    assert_eq!(host.activations.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn a_refused_step_reroutes_what_waits_behind_a_running_handler() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let refused = world.begin(async move { ledger.add(1).await });
    let ledger = host.actor::<Ledger>("a");
    let running = world.begin(async move { ledger.slow(2, 10).await });
    let ledger = host.actor::<Ledger>("a");
    let queued = world.begin(async move { ledger.add(4).await });
    host.store().refuse(FailureCode::NotDelivered);
    world.settle();
    assert!(matches!(refused.take(), Some(Err(CallError::NotDelivered { .. }))));
    assert_eq!((running.take(), queued.take()), (None, None));
    world.pass(10 * MS);
    assert!(matches!(running.take(), Some(Err(CallError::NotDelivered { .. }))), "it built on what is not");
    host.store().release();
    world.settle();
    assert_eq!(queued.take(), Some(Ok(4)));
}

#[test]
fn undoing_an_idle_actor_drops_its_state_without_a_word() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    world.run(async move { ledger.add(1).await }).unwrap();
    let activation = host.activation("ledger/a").unwrap();
    Arc::clone(&activation).undo();
    assert!(host.activation("ledger/a").is_none());
    activation.undo();
    let ledger = host.actor::<Ledger>("a");
    assert_eq!(world.run(async move { ledger.total().await }), Ok(1));
}

#[test]
fn undoing_a_running_actor_waits_for_its_turn() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    let running = world.begin(async move { ledger.slow(2, 10).await });
    let ledger = host.actor::<Ledger>("a");
    let queued = world.begin(async move { ledger.add(4).await });
    host.activation("ledger/a").unwrap().undo();
    world.settle();
    assert_eq!((running.take(), queued.take()), (None, None));
    world.pass(10 * MS);
    // This host still leads, so the step was made all the same.
    assert_eq!((running.take(), queued.take()), (Some(Ok(2)), Some(Ok(6))));
    assert_eq!(*host.deactivated.lock().unwrap(), ["ledger/a"]);
}

#[test]
fn undoing_an_actor_that_has_gates_open_leaves_them_to_the_store() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let waiting = world.begin(async move { ledger.add(1).await });
    host.activation("ledger/a").unwrap().undo();
    let ledger = host.actor::<Ledger>("a");
    let next = world.begin(async move { ledger.add(1).await });
    host.store().release();
    host.store().release();
    world.settle();
    assert_eq!((waiting.take(), next.take()), (Some(Ok(1)), Some(Ok(2))), "the newest step was loaded");
}
