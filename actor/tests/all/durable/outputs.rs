//! What handlers do to others: part of their step, or of nothing.

use gritmesh_actor::{CallError, Origin, SENDS_PER_STEP_MAX, codec};
use gritmesh_runtime::{ActorAddress, FailureCode};

use super::ledger::{Ledger, message, submit, taken, world};
use crate::probe::Probe;

#[test]
fn messages_leave_with_their_step() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let told = world.begin(async move { ledger.tell(2, "b".into()).await });
    assert!(host.store().take_outbox().is_empty());
    assert!(host.activation("ledger/b").is_none() && host.activation("probe/b").is_none());
    host.store().release();
    world.settle();
    assert_eq!(told.take(), Some(Ok(0)));
    let sent: Vec<_> = host
        .store()
        .take_outbox()
        .into_iter()
        .map(|sent| {
            (sent.to.to_string(), sent.method, codec::to_json(&sent.arguments).unwrap(), sent.durable)
        })
        .collect();
    let one = |to: &str, method: &'static str, number: u64, durable| {
        (to.to_owned(), method.into(), serde_json::json!([number]), durable)
    };
    let expected =
        [one("ledger/b", "add", 0, true), one("ledger/b", "add", 1, true), one("probe/b", "note", 2, false)];
    assert_eq!(sent, expected);
    assert!(host.activation("probe/b").is_none(), "it is delivered by whoever reads the outbox");
}

#[test]
fn what_a_refused_handler_sent_was_never_sent() {
    let (world, host) = world();
    let ledger = host.actor::<Ledger>("a");
    assert!(matches!(
        world.run(async move { ledger.tell_and_refuse("b".into()).await }),
        Err(CallError::Failed(_))
    ));
    let mut read = submit(&host, "ledger/a", "tell_and_refuse", &("b",), message(1));
    assert_eq!(taken(&mut read), Some(Ok(vec![])));
    assert!(host.store().take_outbox().is_empty());
    let head = host.store().committed("ledger/a");
    assert!(head.reminders.is_empty());
    assert_eq!(head.steps.len(), 1);
    assert!(head.steps[0].is_empty());
}

#[test]
fn a_handler_that_sends_too_much_is_refused_whatever_it_makes_of_it() {
    let (world, host) = world();
    let most = SENDS_PER_STEP_MAX as u64;
    let ledger = host.actor::<Ledger>("a");
    // One more goes to the probe.
    assert_eq!(world.run(async move { ledger.tell(most - 1, "b".into()).await }), Ok(0));
    let ledger = host.actor::<Ledger>("a");
    let Err(CallError::AnswerLost { code, detail }) =
        world.run(async move { ledger.tell(most, "b".into()).await })
    else {
        panic!("it sends too much")
    };
    assert_eq!(code, FailureCode::TooLarge);
    assert!(detail.contains("send the rest from another"), "{detail}");
    let ledger = host.actor::<Ledger>("a");
    assert_eq!(world.run(async move { ledger.total().await }), Ok(1), "the second was undone");
    assert_eq!(host.store().steps("ledger/a"), 1);
}

#[test]
fn an_awaited_call_waits_for_what_its_handler_has_built_on() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let before = world.begin(async move { ledger.add(1).await });
    let ledger = host.actor::<Ledger>("a");
    let asking = world.begin(async move { ledger.ask("b".into()).await });
    assert_eq!(host.store().steps("ledger/b"), 0, "nobody sees what is not committed");
    host.store().release();
    world.settle();
    assert_eq!(before.take(), Some(Ok(1)));
    assert_eq!(host.store().steps("ledger/b"), 1);
    // The answers of the two calls, and then the step of the caller.
    for _ in 0..3 {
        assert_eq!(asking.take(), None);
        host.store().release();
        world.settle();
    }
    assert_eq!(asking.take(), Some(Ok(3)));
}

#[test]
fn an_awaited_call_is_not_made_if_that_was_refused() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let before = world.begin(async move { ledger.add(1).await });
    let ledger = host.actor::<Ledger>("a");
    let asking = world.begin(async move { ledger.ask("b".into()).await });
    host.store().refuse(FailureCode::Unknown);
    world.settle();
    assert!(before.take().unwrap().is_err() && asking.take().unwrap().is_err());
    assert_eq!(host.store().steps("ledger/b"), 0);
}

#[test]
fn a_repeated_handler_asks_again_and_is_answered_the_same() {
    let (_, host) = world();
    let mut asked = submit(&host, "ledger/a", "ask", &("b",), message(1));
    assert_eq!(taken(&mut asked), Some(Ok(vec![])));
    let head = host.store().committed("ledger/b");
    let keys: Vec<_> = head.answers.keys().map(|key| key.to_vec()).collect();
    // The caller, its message, and the number of the call.
    let as_key = |address: &str| address.parse::<ActorAddress>().unwrap().as_key().as_bytes().to_vec();
    let (caller, sender) = (as_key("ledger/a"), as_key("ledger/sender"));
    let key = |number: u32| {
        let (sequence, number) = (1u64.to_be_bytes(), number.to_le_bytes());
        [&caller[..], &[0], &sender, &[0], &sequence, &[0], &number].concat()
    };
    assert_eq!(keys, [key(0), key(1)]);
    // As after a crash of the caller before its step was committed.
    host.store().put_state("ledger/a", &codec::encode(&Ledger::default()).unwrap());
    host.activation("ledger/a").unwrap().undo();
    let mut again = submit(&host, "ledger/a", "ask", &("b",), message(1));
    assert_eq!(taken(&mut again), Some(Ok(vec![])));
    assert_eq!(host.store().committed("ledger/b").steps.len(), 2, "both were answered from what is recorded");
    let mut total = submit(&host, "ledger/a", "total", &(), Origin::Call);
    assert_eq!(taken(&mut total), Some(Ok(codec::encode(&2u64).unwrap())));
}

#[test]
fn what_a_query_sends_leaves_with_its_answer() {
    let (world, host) = world();
    host.store().hold();
    let ledger = host.actor::<Ledger>("a");
    let add = world.begin(async move { ledger.add(7).await });
    let ledger = host.actor::<Ledger>("a");
    let query = world.begin(async move { ledger.ask_and_tell("b".into()).await });
    assert!(host.activation("probe/b").is_none());
    host.store().release();
    world.settle();
    assert_eq!((add.take(), query.take()), (Some(Ok(7)), Some(Ok(7))));
    let probe = host.actor::<Probe>("b");
    assert_eq!(world.run(async move { probe.seen().await }), Ok(vec![7]));
    assert_eq!(host.store().steps("ledger/a"), 1);
}
