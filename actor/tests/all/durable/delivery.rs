//! Messages that may come more than once: by key, from an outbox, from a reminder.

use gritmesh_actor::{CallError, Origin, codec};
use gritmesh_runtime::FailureCode;

use super::ledger::{Ledger, Refused, keyed, message, submit, taken, world};

#[test]
fn a_key_runs_once_and_everybody_hears_the_answer() {
    let (world, host) = world();
    let call = |number| {
        let ledger = host.actor::<Ledger>("a");
        world.begin(async move { ledger.add(number).key("k").await })
    };
    host.store().hold();
    let (first, again) = (call(5), call(5));
    assert_eq!((first.take(), again.take()), (None, None), "the first answer is not committed");
    host.store().release();
    world.settle();
    assert_eq!((first.take(), again.take()), (Some(Ok(5)), Some(Ok(5))));
    let mut wire = submit(&host, "ledger/a", "add", &(5u64,), keyed("k"));
    assert_eq!(taken(&mut wire), Some(Ok(codec::encode(&5u64).unwrap())));
    assert_eq!(host.store().steps("ledger/a"), 1);
    let ledger = host.actor::<Ledger>("a");
    let long = world.run(async move { ledger.add(5).key("x".repeat(2_000)).await });
    assert!(matches!(long, Err(CallError::Refused { code: FailureCode::BadArguments, .. })));
}

#[test]
fn a_keyed_refusal_is_an_answer_too() {
    let (world, host) = world();
    let call = |number| {
        let ledger = host.actor::<Ledger>("a");
        world.run(async move { ledger.take(number).key("k").await })
    };
    let poor = Err(CallError::Failed(Refused::Poor { total: 0 }));
    assert_eq!(call(1), poor);
    let ledger = host.actor::<Ledger>("a");
    world.run(async move { ledger.add(100).await }).unwrap();
    assert_eq!(call(1), poor);
    let head = host.store().committed("ledger/a");
    assert_eq!(head.steps.len(), 2);
    assert!(head.steps[0].is_empty(), "it remembers the answer and nothing else");
    let ledger = host.actor::<Ledger>("a");
    assert_eq!(world.run(async move { ledger.idle().key("other").await }), Ok(100));
    assert_eq!(host.store().steps("ledger/a"), 3, "an answer is recorded even if nothing changed");
}

#[test]
fn a_keyed_panic_is_no_answer() {
    let (_, host) = world();
    for _ in 0..2 {
        let mut panicked = submit(&host, "ledger/a", "boom", &(1u64,), keyed("k"));
        assert_eq!(taken(&mut panicked).unwrap().unwrap_err().code, FailureCode::Panicked);
    }
    assert_eq!(host.panics.lock().unwrap().len(), 2, "it ran again");
    let mut cured = submit(&host, "ledger/a", "boom", &(0u64,), keyed("k"));
    assert!(taken(&mut cured).unwrap().is_ok());
}

#[test]
fn messages_are_read_once_and_in_order() {
    let (_, host) = world();
    let deliver = |sequence, number: u64| submit(&host, "ledger/a", "add", &(number,), message(sequence));
    host.store().hold();
    let mut early = deliver(2, 10);
    assert_eq!(taken(&mut early).unwrap().unwrap_err().code, FailureCode::Early);
    let (mut first, mut second, mut again) = (deliver(1, 1), deliver(2, 10), deliver(1, 1));
    assert_eq!((taken(&mut first), taken(&mut second), taken(&mut again)), (None, None, None));
    host.store().release();
    assert_eq!((taken(&mut first), taken(&mut again)), (Some(Ok(vec![])), None));
    host.store().release();
    assert_eq!((taken(&mut second), taken(&mut again)), (Some(Ok(vec![])), Some(Ok(vec![]))));
    let head = host.store().committed("ledger/a");
    assert_eq!((head.steps.len(), head.steps[1].origin.clone()), (2, message(2)));
    assert_eq!(head.cursors.into_values().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_message_that_is_refused_was_read() {
    let (world, host) = world();
    let mut refused = submit(&host, "ledger/a", "take", &(1u64,), message(1));
    assert_eq!(taken(&mut refused), Some(Ok(vec![])));
    let mut nothing = submit(&host, "ledger/a", "idle", &(), message(2));
    assert_eq!(taken(&mut nothing), Some(Ok(vec![])));
    let mut query = submit(&host, "ledger/a", "total", &(), message(3));
    assert_eq!(taken(&mut query), Some(Ok(vec![])));
    let head = host.store().committed("ledger/a");
    assert_eq!(head.steps.len(), 3);
    assert!(head.steps.iter().all(|step| step.is_empty() && step.answer.is_none()));
    let ledger = host.actor::<Ledger>("a");
    assert_eq!(world.run(async move { ledger.entry("take".into()).await }), Ok(None));
}

#[test]
fn a_message_whose_handler_panics_comes_again() {
    let (_, host) = world();
    for attempt in 1..=3 {
        let mut panicked = submit(&host, "ledger/a", "boom", &(1u64,), message(1));
        assert_eq!(taken(&mut panicked).unwrap().unwrap_err().code, FailureCode::Panicked);
        assert_eq!(host.panics.lock().unwrap().len(), attempt);
    }
    let mut behind = submit(&host, "ledger/a", "add", &(1u64,), message(2));
    assert_eq!(taken(&mut behind).unwrap().unwrap_err().code, FailureCode::Early, "the order is kept");
    assert_eq!(host.store().steps("ledger/a"), 0);
}

#[test]
fn a_message_that_cannot_be_read_keeps_its_place_and_becomes_a_letter() {
    let (world, host) = world();
    let mut early = submit(&host, "ledger/a", "nonsense", &(), message(2));
    assert_eq!(taken(&mut early).unwrap().unwrap_err().code, FailureCode::Early);
    let ledger = host.actor::<Ledger>("a");
    let running = world.begin(async move { ledger.slow(1, 10).await });
    let mut add = submit(&host, "ledger/a", "add", &(1u64,), message(1));
    let mut unknown = submit(&host, "ledger/a", "nonsense", &(), message(2));
    let mut unfit = submit(&host, "ledger/a", "add", &("one",), message(3));
    let mut again = submit(&host, "ledger/a", "nonsense", &(), message(2));
    let mut full = submit(&host, "ledger/a", "nonsense", &(), message(4));
    assert_eq!(taken(&mut full).unwrap().unwrap_err().code, FailureCode::Overloaded);
    assert_eq!((taken(&mut add), taken(&mut unknown), taken(&mut unfit)), (None, None, None));
    world.pass(std::time::Duration::from_millis(10));
    assert_eq!(running.take(), Some(Ok(1)));
    for read in [&mut add, &mut unknown, &mut unfit, &mut again] {
        assert_eq!(taken(read), Some(Ok(vec![])));
    }
    let letters: Vec<_> =
        host.store().committed("ledger/a").steps.into_iter().map(|step| step.letter).collect();
    let codes: Vec<_> = letters.iter().map(|letter| letter.as_ref().map(|failure| failure.code)).collect();
    assert_eq!(codes, [None, None, Some(FailureCode::UnknownMethod), Some(FailureCode::BadArguments)]);
    // A caller who waits is told at once, and nothing is written.
    let mut call = submit(&host, "ledger/a", "nonsense", &(), keyed("k"));
    assert_eq!(taken(&mut call).unwrap().unwrap_err().code, FailureCode::UnknownMethod);
    assert_eq!(host.store().steps("ledger/a"), 4);
}

#[test]
fn a_reminder_fires_once() {
    let (_, host) = world();
    let due = |due_unix_ms| Origin::Reminder { name: "r".into(), due_unix_ms, set_by: [0; 32], skip: false };
    for _ in 0..2 {
        let mut fired = submit(&host, "ledger/a", "add", &(1u64,), due(1));
        assert_eq!(taken(&mut fired), Some(Ok(vec![])));
    }
    let mut fired = submit(&host, "ledger/a", "nonsense", &(1u64,), due(2));
    assert_eq!(taken(&mut fired), Some(Ok(vec![])));
    let head = host.store().committed("ledger/a");
    assert_eq!(head.fired, [("r".to_owned(), 1), ("r".to_owned(), 2)]);
    assert_eq!(head.steps.len(), 2);
    assert!(head.steps[1].letter.is_some());
}

#[test]
fn a_reminder_that_is_skipped_makes_a_step_and_runs_nothing() {
    let (_, host) = world();
    let skipped =
        |due_unix_ms| Origin::Reminder { name: "r".into(), due_unix_ms, set_by: [0; 32], skip: true };
    // Arguments that do not fit are not looked at, and make no letter.
    for (due, arguments) in [(1, "5"), (2, "many"), (1, "5")] {
        let mut fired = submit(&host, "ledger/a", "add", &(arguments,), skipped(due));
        assert_eq!(taken(&mut fired), Some(Ok(vec![])));
    }
    let head = host.store().committed("ledger/a");
    assert_eq!(head.fired, [("r".to_owned(), 1), ("r".to_owned(), 2)]);
    assert!(head.state.is_none() && head.steps.iter().all(|step| step.letter.is_none()));
}

#[test]
fn an_invocation_is_the_same_whenever_it_is_repeated() {
    let (_, host) = world();
    let invocation = |method, origin| {
        let mut answer = submit(&host, "ledger/a", method, &(), origin);
        taken(&mut answer).unwrap().unwrap()
    };
    let chance = [(); 2].map(|()| invocation("invocation", Origin::Call));
    assert_ne!(chance[0], chance[1]);
    let key: Vec<u8> = codec::decode(&invocation("invocation", keyed("k"))).unwrap();
    assert_eq!(key, b"k");
}
