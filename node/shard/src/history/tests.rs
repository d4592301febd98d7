//! Histories against a replica on a disk in memory.

mod collections;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gritmesh_actor::{Admission, Draft, Late, Origin, Outgoing, ReminderChange};
use gritmesh_runtime::{ActorAddress, Failure, FailureCode, Table};

use crate::scenario::{ALL, Shard, gate, state_draft};
use crate::{
    ActorKey, Outcome, ReadLimits, first_pending, keys, pending_of_pair, pending_pairs, repair, spare,
};

const READ: ReadLimits = ReadLimits::PRODUCTION;

const ALICE: &str = "account/alice";
const BOB: &str = "account/bob";

fn address(text: &str) -> ActorAddress {
    text.parse().unwrap()
}

fn send(to: &str, arguments: &[u8]) -> Outgoing {
    let (to, method) = (address(to), "deposit".into());
    Outgoing { to, method, arguments: arguments.to_vec(), durable: true }
}

fn message(from: &str, sequence: u64) -> Origin {
    Origin::Message { from: address(from), sequence, id: [sequence as u8; 32] }
}

#[test]
fn steps_pipeline_and_are_there_after_reopening() {
    let mut shard = Shard::new();
    let mut history = shard.open(ALICE);
    assert_eq!(history.state(), None);
    let gates: Vec<_> = (1..=5_u8)
        .map(|number| {
            let (gate, told) = gate();
            history.commit(state_draft(&[number]), gate);
            assert_eq!(history.state().as_deref(), Some(&[number][..]), "the next message sees it at once");
            told
        })
        .collect();
    assert!(gates.iter().all(|told| told.lock().is_none()), "nothing leaves before its commit");
    let outcomes = shard.settle();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stepped(_))));
    assert!(gates.iter().all(|told| *told.lock() == Some(Ok(()))));
    assert_eq!(shard.open(ALICE).state().as_deref(), Some(&[5][..]));
    let proof = crate::verify_actor(&*shard.replica.tables, &address(ALICE), u64::MAX).unwrap();
    assert_eq!((proof.steps, proof.head.number, proof.is_whole), (5, 5, true));
    // A part at a time it comes to the same.
    let mut verification = crate::Verification::begin(&*shard.replica.tables, &address(ALICE)).unwrap();
    let more: Vec<bool> = (0..3).map(|_| verification.walk(&*shard.replica.tables, 2).unwrap()).collect();
    assert_eq!((more, verification.proof()), (vec![true, true, false], proof));
}

#[test]
fn a_refused_step_takes_all_after_it_along() {
    let mut shard = Shard::new();
    let mut old = shard.open(ALICE);
    shard.step(ALICE, b"other");
    let (first, first_told) = gate();
    let (second, second_told) = gate();
    old.commit(state_draft(b"1"), first);
    old.commit(state_draft(b"2"), second);
    let outcomes = shard.settle();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Refused { .. })));
    assert!(first_told.lock().as_ref().unwrap().is_err() && second_told.lock().as_ref().unwrap().is_err());
    let (third, third_told) = gate();
    old.commit(state_draft(b"3"), third);
    let failure = third_told.lock().clone().unwrap().unwrap_err();
    assert_eq!(failure.code, FailureCode::NotDelivered);
    assert!(shard.settle().is_empty(), "a broken history proposes nothing");
    let (observing, observed) = gate();
    old.observe(observing);
    assert!(observed.lock().clone().unwrap().is_err());
    assert_eq!(shard.open(ALICE).state().as_deref(), Some(&b"other"[..]));
}

#[test]
fn messages_are_numbered_by_pair_and_pending_until_acknowledged() {
    let mut shard = Shard::new();
    let mut history = shard.open(ALICE);
    for round in 0..3_u8 {
        let sends = vec![send(BOB, &[round]), send("account/carol", &[round])];
        history.commit(Draft { sends, ..Draft::new("pay".into(), Origin::Call) }, gate().0);
    }
    shard.settle();
    let mut history = shard.open(ALICE);
    let large = vec![7; 100_000];
    history.commit(Draft { sends: vec![send(BOB, &large)], ..state_draft(b"s") }, gate().0);
    shard.settle();
    let tables = Arc::clone(&shard.replica.tables);
    let of = |to: &str| {
        let (sender, receiver) = (ActorKey::of(&address(ALICE)), ActorKey::of(&address(to)));
        let pending = pending_of_pair(&sender, &receiver, 0, 100, &*tables, &READ).unwrap();
        let (pairs, _) = pending_pairs(&*tables, ALL, None, 100, &READ).unwrap();
        let numbers =
            pairs.into_iter().find(|(pair, _)| pair.receiver == address(to)).map(|(_, numbers)| numbers);
        assert_eq!(numbers.map_or(0, |numbers| numbers.count()), pending.len());
        let first = pending.first().map(|message| message.sequence);
        assert_eq!(first_pending(&sender, &receiver, &*tables).unwrap(), first);
        pending
    };
    assert_eq!(of(BOB).iter().map(|one| one.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(*of(BOB)[3].arguments, *large);
    assert_eq!(of("account/carol").len(), 3);
    let (sender, receiver) = (ActorKey::of(&address(ALICE)), ActorKey::of(&address(BOB)));
    for up_to in [3, 4, 2] {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        shard.replica.commit(&[crate::Command::Acknowledged { sender, receiver, up_to }]);
    }
    assert!(of(BOB).is_empty());
    assert_eq!(of("account/carol").len(), 3);
    crate::verify_actor(&*tables, &address(ALICE), u64::MAX).unwrap();
    let log = crate::log(&*tables, &address(ALICE), None, 10).unwrap();
    assert_eq!(
        log.iter().map(|step| (step.number, step.sent)).collect::<Vec<_>>(),
        [(4, 1), (3, 2), (2, 2), (1, 2)]
    );
    let outbox = crate::outbox(&*tables, &address(ALICE)).unwrap();
    let letter = gritmesh_store::ObjectId::from_bytes(outbox[0].id);
    assert_eq!(crate::sent_message(&*tables, &address(ALICE), &letter, 100).unwrap(), outbox[0]);
}

#[test]
fn a_message_is_read_once_and_in_order() {
    let mut shard = Shard::new();
    let mut history = shard.open(BOB);
    assert_eq!(history.admit(&message(ALICE, 2)), Admission::Early);
    for sequence in 1..=3 {
        assert_eq!(history.admit(&message(ALICE, sequence)), Admission::Run);
        history.commit(Draft::new("deposit".into(), message(ALICE, sequence)), gate().0);
        assert_eq!(history.admit(&message(ALICE, sequence)), Admission::Repeated, "before its commit");
    }
    assert_eq!(history.admit(&message("acme:account/alice", 1)), Admission::Run, "another sender");
    shard.settle();
    let mut history = shard.open(BOB);
    assert_eq!(history.admit(&message(ALICE, 3)), Admission::Repeated);
    assert_eq!(history.admit(&message(ALICE, 4)), Admission::Run);
    assert_eq!(history.admit(&message(ALICE, 5)), Admission::Early);
    let log = crate::log(&*shard.replica.tables, &address(BOB), None, 1).unwrap();
    assert_eq!(log[0].from, Some((address(ALICE), 3)));
    assert_eq!(history.state(), None, "a step without a state has none");
}

#[test]
fn an_answer_under_a_key_is_given_again() {
    let mut shard = Shard::new();
    let mut history = shard.open(ALICE);
    let keyed = |key: &[u8]| Origin::Keyed { key: key.into() };
    let answer = |number: u8| match number {
        0..5 => Ok(vec![number]),
        _ => Err(Failure::new(FailureCode::ActorError, "no money")),
    };
    // More than are kept in memory, so that some come from the disk; one key too long to stand in a row.
    let keys: Vec<Vec<u8>> = (0..40_u8).map(|number| vec![number; 1 + usize::from(number) * 20]).collect();
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(history.admit(&keyed(key)), Admission::Run);
        let draft = Draft { answer: Some(answer(number as u8)), ..Draft::new("add".into(), keyed(key)) };
        history.commit(draft, gate().0);
        assert_eq!(history.admit(&keyed(key)), Admission::Answered(answer(number as u8)));
        if number == 30 {
            shard.settle();
        }
    }
    shard.settle();
    for history in [&mut history, &mut shard.open(ALICE)] {
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(history.admit(&keyed(key)), Admission::Answered(answer(number as u8)));
        }
        assert!(matches!(history.admit(&keyed(&[1; 10_000])), Admission::Answered(Err(_))));
    }
    let (old, next) = crate::expired_answers(&*shard.replica.tables, ALL, None, 1, 100, &READ).unwrap();
    assert_eq!((old.len(), next), (40, None));
    shard.replica.commit(&[crate::Command::Forget { answers: old }]);
    assert_eq!(shard.open(ALICE).admit(&keyed(&keys[3])), Admission::Run);
    // What an actor in memory still has goes with the next answers, though it is not on the disk any more.
    for number in 0..40 {
        let key = [200, number];
        history.commit(Draft { answer: Some(Ok(vec![])), ..Draft::new("add".into(), keyed(&key)) }, gate().0);
        shard.settle();
    }
    assert!(keys.iter().all(|key| history.admit(&keyed(key)) == Admission::Run));
}

#[test]
fn a_reminder_fires_once_for_each_of_its_times() {
    let mut shard = Shard::new();
    let mut history = shard.open(ALICE);
    let set = |name: &str, every_ms| ReminderChange::Set {
        name: name.into(),
        due_unix_ms: 100,
        every_ms,
        late: Late::CatchUp,
        method: "tick".into(),
        arguments: vec![0x90],
    };
    let reminders = vec![set("once", None), set("often", Some(50)), set("never", None)];
    let cancel = ReminderChange::Cancel { name: "never".into() };
    let reminders = reminders.into_iter().chain([cancel]).collect();
    history.commit(Draft { reminders, ..Draft::new("plan".into(), Origin::Call) }, gate().0);
    shard.settle();
    shard.node.now.store(120, Ordering::Relaxed);
    let mut history = shard.open(ALICE);
    assert_eq!(history.reminders().len(), 2);
    let set_by = *crate::head(&*shard.replica.tables, &address(ALICE)).unwrap().unwrap().id.as_bytes();
    let fire = |name: &str, due_unix_ms, set_by| {
        let name = name.into();
        Origin::Reminder { name, due_unix_ms, set_by, skip: false }
    };
    assert_eq!(history.admit(&fire("once", 100, [9; 32])), Admission::Repeated, "set anew since");
    for name in ["once", "often"] {
        assert_eq!(history.admit(&fire(name, 100, set_by)), Admission::Run);
        history.commit(Draft::new("tick".into(), fire(name, 100, set_by)), gate().0);
        assert_eq!(history.admit(&fire(name, 100, set_by)), Admission::Repeated);
    }
    shard.settle();
    let mut history = shard.open(ALICE);
    let left = history.reminders();
    assert_eq!((left.len(), &*left[0].name, left[0].due_unix_ms), (1, "often", 150));
    assert_eq!(history.admit(&fire("often", 150, [0; 32])), Admission::Run);
}

#[test]
fn a_message_that_cannot_be_read_becomes_a_letter() {
    let mut shard = Shard::new();
    let mut history = shard.open(BOB);
    let failure = Failure::new(FailureCode::UnknownMethod, "there is no such method");
    let draft = Draft { letter: Some(failure.clone()), ..Draft::new("".into(), message(ALICE, 1)) };
    history.commit(draft, gate().0);
    shard.settle();
    let letters = crate::letters(&*shard.replica.tables, &address(BOB)).unwrap();
    assert_eq!((&letters[0].0, letters[0].1), (&address(ALICE), 1));
    assert_eq!(letters[0].2.failure, failure);
    let (receiver, sender) = (ActorKey::of(&address(BOB)), ActorKey::of(&address(ALICE)));
    shard.replica.commit(&[crate::Command::DropLetter { receiver, sender, sequence: 1 }]);
    assert!(crate::letters(&*shard.replica.tables, &address(BOB)).unwrap().is_empty());
    assert_eq!(shard.open(BOB).admit(&message(ALICE, 1)), Admission::Repeated);
}

#[test]
fn a_large_state_is_found_by_steps_that_do_not_change_it() {
    let mut shard = Shard::new();
    let state: Vec<u8> = (0..300_000_u32).map(|at| (at / 7) as u8).collect();
    shard.step(ALICE, &state);
    let mut history = shard.open(ALICE);
    history
        .commit(Draft { sends: vec![send(BOB, b"x")], ..Draft::new("pay".into(), Origin::Call) }, gate().0);
    shard.settle();
    assert_eq!(shard.open(ALICE).state().as_deref(), Some(&state[..]));
    let shown = crate::show(&*shard.replica.tables, &address(ALICE), None).unwrap();
    assert_eq!((shown.number, shown.state.as_deref(), shown.peers), (2, Some(&state[..]), (0, 1)));
    let mut history = shard.open(ALICE);
    let (gate, told) = gate();
    let huge: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    history.commit(state_draft(&huge), gate);
    assert_eq!(told.lock().clone().unwrap().unwrap_err().code, FailureCode::TooLarge);
    assert!(shard.settle().is_empty());
}

#[test]
fn a_damaged_object_is_reported_and_repaired_from_a_peer() {
    let mut shard = Shard::new();
    shard.step(ALICE, b"rich");
    let peer = shard.replica.tables.copy();
    let head = crate::head(&peer, &address(ALICE)).unwrap().unwrap().id;
    let row = (Table::Object, keys::object(address(ALICE).token(), &head));
    let length = peer.rows()[&row].len();
    for at in (0..length).step_by(7) {
        shard.replica.tables.alter(|rows| rows.get_mut(&row).unwrap()[at] ^= 0x10);
        let failure = shard.try_open(ALICE).map(drop).unwrap_err();
        assert_eq!(failure.code, FailureCode::ActivationFailed, "byte {at}");
        let damage = shard.node.damages.lock().pop().expect("it is reported");
        assert!(spare(&*shard.replica.tables, damage.token, &head).is_err() || damage.id != head);
        let token = address(ALICE).token();
        let pack = spare(&peer, token, &head).unwrap();
        shard.replica.tables.write(&repair(token, &head, &pack).unwrap());
        assert_eq!(shard.open(ALICE).state().as_deref(), Some(&b"rich"[..]));
    }
    shard.replica.tables.alter(|rows| drop(rows.remove(&row)));
    assert!(shard.try_open(ALICE).is_err());
    assert_eq!(shard.node.damages.lock().pop().map(|damage| damage.id), Some(head));
    assert!(
        repair(address(BOB).token(), &head, &spare(&peer, address(ALICE).token(), &head).unwrap()).is_err()
    );
}

#[test]
fn an_id_of_another_tenant_opens_nothing() {
    let mut shard = Shard::new();
    shard.step(ALICE, b"rich");
    let tables = &*shard.replica.tables;
    let head = crate::head(tables, &address(ALICE)).unwrap().unwrap().id;
    let mallory = address("evil:account/alice");
    assert!(matches!(crate::show(tables, &mallory, Some(head)), Err(crate::StateError::NotFound)));
    assert!(matches!(crate::log(tables, &mallory, Some(head), 1), Err(crate::StateError::NotFound)));
    assert!(matches!(crate::object(tables, &mallory, &head), Err(crate::StateError::NotFound)));
    assert_eq!(crate::object(tables, &address(ALICE), &head).unwrap().0, gritmesh_store::ObjectKind::Step);
    // Even under the same token, as if two hashes had met.
    let row = keys::object(address(ALICE).token(), &head);
    let pack = shard.replica.tables.rows()[&(Table::Object, row)].clone();
    let there = keys::object(mallory.token(), &head);
    shard.replica.tables.alter(|rows| drop(rows.insert((Table::Object, there), pack)));
    let tables = &*shard.replica.tables;
    assert!(matches!(crate::show(tables, &mallory, Some(head)), Err(crate::StateError::NotFound)));
}
