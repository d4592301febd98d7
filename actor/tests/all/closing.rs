//! The way out of memory: from every phase, with calls that wait, and with the executor gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gritmesh_actor::{ActivationPhase, CallError, ReleaseGuard};

use crate::handwritten::{Hold, Holder};
use crate::probe::{Probe, ids, world};

const MS: Duration = Duration::from_millis(1);

fn flag() -> (Arc<AtomicBool>, Arc<ReleaseGuard>) {
    let released = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&released);
    (released, ReleaseGuard::new(move || set.store(true, Ordering::SeqCst)))
}

#[test]
fn an_idle_actor_leaves_at_once() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    let held = probe.clone();
    world.run(async move { probe.note(1).await }).unwrap();
    let (released, guard) = flag();
    let activation = host.activation("probe/a").unwrap();
    Arc::clone(&activation).close(Some(guard));
    assert!(released.load(Ordering::SeqCst));
    assert_eq!(activation.status().phase, ActivationPhase::Closing);
    assert_eq!(*host.deactivated.lock().unwrap(), ["probe/a"]);
    assert_eq!(world.run(async move { held.seen().await }), Ok(vec![]), "a held reference finds the new one");
    let (released, guard) = flag();
    activation.close(Some(guard));
    assert!(released.load(Ordering::SeqCst), "closing what is closed is done at once");
}

#[test]
fn the_guard_outlives_the_state() {
    let (world, host) = world();
    let holder = host.reference::<Holder>("a");
    let held = Arc::new(AtomicU64::new(1));
    let message = Hold(Arc::clone(&held));
    world.run(async move { holder.call(message).await }).unwrap();
    let (count, at_release) = (Arc::clone(&held), Arc::new(AtomicU64::new(0)));
    let noted = Arc::clone(&at_release);
    let guard = ReleaseGuard::new(move || noted.store(Arc::strong_count(&count) as u64, Ordering::SeqCst));
    host.activation("holder/a").unwrap().close(Some(guard));
    assert_eq!(at_release.load(Ordering::SeqCst), 2, "this test's, and the guard's own");
}

#[test]
fn a_busy_actor_leaves_after_its_turn_and_its_queue_goes_to_the_next_activation() {
    let (world, host) = world();
    let call = |number| {
        let probe = host.actor::<Probe>("a");
        world.begin(async move { probe.slow(number, 10).await })
    };
    let (first, second, third) = (call(1), call(2), call(3));
    let (released, guard) = flag();
    host.activation("probe/a").unwrap().close(Some(guard));
    let fourth = call(4);
    assert_eq!(host.activation("probe/a").unwrap().status().queued, 3);
    assert!(!released.load(Ordering::SeqCst));
    world.pass(10 * MS);
    assert!(released.load(Ordering::SeqCst));
    assert_eq!(first.take(), Some(Ok(1)));
    world.pass(30 * MS);
    assert_eq!((second.take(), third.take(), fourth.take()), (Some(Ok(2)), Some(Ok(3)), Some(Ok(4))));
    let probe = host.actor::<Probe>("a");
    assert_eq!(world.run(async move { probe.seen().await }).unwrap(), [2, 3, 4]);
    assert_eq!(host.activations.load(Ordering::SeqCst), 2);
}

#[test]
fn a_loading_actor_leaves_when_it_is_loaded() {
    let (world, host) = world();
    let probe = host.actor::<Probe>(ids::SLOW_START);
    let waiting = world.begin(async move { probe.slow(1, 1).await });
    let (released, guard) = flag();
    host.activation("probe/slow_start").unwrap().close(Some(guard));
    world.pass(999 * MS);
    assert!(!released.load(Ordering::SeqCst));
    world.pass(MS);
    assert!(released.load(Ordering::SeqCst));
    world.pass(2000 * MS);
    assert_eq!(waiting.take(), Some(Ok(1)));
    assert_eq!(host.activations.load(Ordering::SeqCst), 2);
}

#[test]
fn calls_that_come_while_it_leaves_go_to_the_next_activation() {
    let (world, host) = world();
    let probe = host.actor::<Probe>(ids::SLOW_END);
    let held = probe.clone();
    world.run(async move { probe.note(1).await }).unwrap();
    host.activation("probe/slow_end").unwrap().close(None);
    let waiting = world.begin(async move { held.note(2).await });
    assert_eq!(waiting.take(), None);
    world.pass(1000 * MS);
    assert_eq!(waiting.take(), Some(Ok(())));
    let probe = host.actor::<Probe>(ids::SLOW_END);
    assert_eq!(world.run(async move { probe.seen().await }).unwrap(), [2]);
}

#[test]
fn one_that_never_started_leaves_and_its_call_goes_on() {
    let (world, host) = world();
    let registry = crate::probe::registry();
    let header = host.header("probe/a", "note");
    let arguments = gritmesh_actor::codec::encode(&(5u64,)).unwrap();
    let host_again: Arc<dyn gritmesh_actor::Host> = Arc::clone(&host) as _;
    let (activation, _) =
        gritmesh_actor::Host::directory(&*host).get_or_create(header.token, &header.address, || {
            registry.get("probe").unwrap().create(
                header.address.clone(),
                header.token,
                Arc::clone(&host_again),
            )
        });
    let (sender, mut answer) = futures::channel::oneshot::channel();
    let reply = gritmesh_actor::WireReply::Local(sender);
    let payload = gritmesh_actor::DynamicPayload::new(arguments, reply, host_again);
    gritmesh_actor::Payload::deliver(Box::new(payload), header, Arc::clone(&activation));
    let (released, guard) = flag();
    Arc::clone(&activation).close(Some(guard));
    assert!(released.load(Ordering::SeqCst));
    activation.start(true);
    world.settle();
    assert!(answer.try_recv().unwrap().unwrap().is_ok());
    assert_eq!(host.activations.load(Ordering::SeqCst), 1, "the second was created by the host");
}

#[test]
fn only_what_is_unused_is_passivated() {
    let (world, host) = world();
    host.seconds.store(100, Ordering::SeqCst);
    let probe = host.actor::<Probe>("a");
    world.run(async move { probe.note(1).await }).unwrap();
    let activation = host.activation("probe/a").unwrap();
    assert_eq!(activation.status().last_used_s, 100);
    assert!(!Arc::clone(&activation).close_if_unused(99));
    let probe = host.actor::<Probe>("a");
    let running = world.begin(async move { probe.slow(2, 10).await });
    assert!(!Arc::clone(&activation).close_if_unused(1000), "it is in use");
    world.pass(10 * MS);
    assert_eq!(running.take(), Some(Ok(2)));
    assert!(Arc::clone(&activation).close_if_unused(100));
    assert!(!activation.close_if_unused(100), "it is gone");
}

#[test]
fn a_stopped_executor_leaves_nobody_waiting() {
    let (world, host) = world();
    let probe = host.actor::<Probe>("a");
    let mut running = Box::pin(async move { probe.slow(1, 10).await });
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(running.as_mut().poll(&mut cx).is_pending());
    let probe = host.actor::<Probe>("a");
    let mut queued = Box::pin(async move { probe.slow(2, 10).await });
    assert!(queued.as_mut().poll(&mut cx).is_pending());
    world.shut_down();
    let (running, queued) = (running.as_mut().poll(&mut cx), queued.as_mut().poll(&mut cx));
    assert!(matches!(running, std::task::Poll::Ready(Err(CallError::Unknown { .. }))), "{running:?}");
    assert!(matches!(queued, std::task::Poll::Ready(Err(CallError::NotDelivered { .. }))), "{queued:?}");
    assert!(host.activation("probe/a").is_none());
}

#[test]
fn a_cleared_directory_frees_everything() {
    let (world, host) = world();
    let held = Arc::new(AtomicU64::new(1));
    let (holder, message) = (host.reference::<Holder>("a"), Hold(Arc::clone(&held)));
    world.run(async move { holder.call(message).await }).unwrap();
    gritmesh_actor::Host::directory(&*host).clear();
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(Arc::strong_count(&host), 1);
}
