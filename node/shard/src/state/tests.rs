//! Replicas agree, whatever is on their disks, and heads never fork.

use std::collections::BTreeMap;

use bytes::Bytes;
use gritmesh_store::{ObjectId, ObjectKind};
use proptest::prelude::*;

use super::*;
use crate::command::{LetterEntry, OutboxEntry, ReminderEntry};
use crate::rows::{AnswerRow, LetterRow, OutboxRow, ReminderRow};
use crate::scenario::{Replica, Tables};

fn actor(number: u8) -> ActorKey {
    ActorKey::of(&format!("account/{}", number % 5).parse().unwrap())
}

fn id(seed: u64) -> ObjectId {
    ObjectId::of(ObjectKind::Step, &seed.to_le_bytes())
}

/// A step with every kind of output. The rows only have to be readable.
fn step(of: u8, expected: Option<ObjectId>, number: u64, seed: u64) -> Command {
    let to = actor(of.wrapping_add(1));
    let message = OutboxRow { id: id(seed), message: Bytes::from_static(b"m"), content: None };
    let reminder = ReminderRow {
        due_unix_ms: seed,
        every_ms: None,
        late: gritmesh_actor::Late::Once,
        set_by: id(seed),
        method: "tick".into(),
        arguments: Bytes::new(),
    };
    let failure = gritmesh_runtime::Failure::new(gritmesh_runtime::FailureCode::UnknownMethod, "none");
    let letter = LetterRow { id: id(seed), time_unix_ms: seed, method: "m".into(), failure };
    let name = |number: u64| Bytes::from(format!("reminder {}", number % 3));
    Command::Step(Box::new(StepCommand {
        actor: actor(of),
        expected,
        number,
        head: id(seed),
        time_unix_ms: seed,
        epoch: 1,
        located: Vec::new(),
        outbox: vec![OutboxEntry { receiver: to.clone(), sequence: number, row: message.encode().into() }],
        reminders: vec![
            ReminderEntry { name: name(seed), row: Some(reminder.encode().into()) },
            ReminderEntry { name: name(seed / 3), row: None },
        ],
        answer: Some((
            keys::answer_suffix(&seed.to_le_bytes()).into(),
            AnswerRow { time_unix_ms: seed, answer: Ok(vec![1]) }.encode().into(),
        )),
        letter: Some(LetterEntry { sender: to, sequence: seed, row: letter.encode().into() }),
        pack: Bytes::from_static(b"a pack is longer than an id, so it is told from one"),
    }))
}

#[derive(Clone, Debug)]
enum Choice {
    /// A step on the head as it is.
    Next(u8),
    /// A step on a head of the past, or none.
    Stale(u8, u8),
    Acknowledge(u8, u8),
    Pause(u8),
    Resume(u8),
    Forget(u8),
    DropLetter(u8, u8),
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        6 => any::<u8>().prop_map(Choice::Next),
        2 => any::<(u8, u8)>().prop_map(|(of, back)| Choice::Stale(of, back)),
        2 => any::<(u8, u8)>().prop_map(|(of, up_to)| Choice::Acknowledge(of, up_to % 90)),
        1 => any::<u8>().prop_map(Choice::Pause),
        1 => any::<u8>().prop_map(Choice::Resume),
        1 => any::<u8>().prop_map(Choice::Forget),
        1 => any::<(u8, u8)>().prop_map(|(of, sequence)| Choice::DropLetter(of, sequence)),
    ]
}

/// What everybody's log says.
fn commands(choices: &[Choice]) -> Vec<Command> {
    let mut heads: BTreeMap<u8, Vec<ObjectId>> = BTreeMap::new();
    let mut seed = 0;
    let command = |choice: &Choice| {
        seed += 1;
        match *choice {
            Choice::Next(of) => {
                let chain = heads.entry(of % 5).or_default();
                let next = step(of % 5, chain.last().copied(), chain.len() as u64 + 1, seed);
                chain.push(id(seed));
                next
            }
            Choice::Stale(of, back) => {
                let chain = heads.entry(of % 5).or_default();
                let at = usize::from(back) % (chain.len() + 1);
                // Right or wrong: the one on the newest head is a step like any other.
                let next = step(of % 5, at.checked_sub(1).map(|at| chain[at]), at as u64 + 1, seed);
                if at == chain.len() {
                    chain.push(id(seed));
                }
                next
            }
            Choice::Acknowledge(of, up_to) => Command::Acknowledged {
                sender: actor(of),
                receiver: actor(of.wrapping_add(1)),
                up_to: u64::from(up_to),
            },
            Choice::Pause(of) => Command::Pause {
                actor: actor(of),
                row: PausedRow { time_unix_ms: seed, reason: "panics".into() },
            },
            Choice::Resume(of) => Command::Resume { actor: actor(of) },
            Choice::Forget(back) => {
                let key = keys::answer_suffix(&seed.saturating_sub(u64::from(back)).to_le_bytes());
                Command::Forget { answers: (0..5).map(|of| actor(of).with(&key).into()).collect() }
            }
            Choice::DropLetter(of, sequence) => Command::DropLetter {
                receiver: actor(of),
                sender: actor(of.wrapping_add(1)),
                sequence: u64::from(sequence),
            },
        }
    };
    choices.iter().map(command).collect()
}

/// Applies the same log, writing batches at other moments and forgetting all memory now and then.
fn run(log: &[Vec<Command>], moods: &[u8]) -> (Tables, Vec<Outcome>) {
    let mut replica = Replica::new();
    let mut outcomes: BTreeMap<u64, Vec<Outcome>> = BTreeMap::new();
    let mut waiting: Vec<(u64, Vec<Change>)> = Vec::new();
    let stubs: Vec<Bytes> = log.iter().map(|commands| replica.append(commands)).collect();
    let mut moods = moods.iter().cycle();
    while replica.state.applied() < log.len() as u64 {
        let index = replica.state.applied();
        let applied = replica.apply(&stubs[index as usize]);
        outcomes.insert(index + 1, applied.outcomes);
        waiting.push((index + 1, applied.changes));
        match moods.next().expect("moods go round") % 8 {
            0..3 => {}
            3..6 => write(&mut replica, waiting.drain(..)),
            6 => write(&mut replica, waiting.drain(..1)),
            // Crash: what was not written is applied again.
            _ => {
                waiting.clear();
                replica = Replica::on(replica.tables, replica.state.persisted);
            }
        }
        if waiting.is_empty() && *moods.next().expect("moods go round") == 7 {
            write(&mut replica, std::iter::empty());
        }
    }
    write(&mut replica, waiting.drain(..));
    (replica.tables.copy(), outcomes.into_values().flatten().collect())
}

fn write(replica: &mut Replica, batches: impl Iterator<Item = (u64, Vec<Change>)>) {
    for (index, changes) in batches {
        replica.tables.write(&changes);
        replica.state.persisted(index);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn replicas_agree_whatever_they_have_written(
        choices in prop::collection::vec(choice(), 1..200),
        per_entry in 1..6_usize,
        one in prop::collection::vec(any::<u8>(), 40),
        other in prop::collection::vec(0..7_u8, 40),
    ) {
        let log: Vec<Vec<Command>> = commands(&choices).chunks(per_entry).map(<[_]>::to_vec).collect();
        // Moods that only crash would never end.
        let one: Vec<u8> = one.into_iter().chain([3, 3]).collect();
        let (one_tables, one_outcomes) = run(&log, &one);
        let (other_tables, other_outcomes) = run(&log, &other);
        prop_assert_eq!(one_tables.rows(), other_tables.rows());
        prop_assert_eq!(&one_outcomes, &other_outcomes);
        let mut chains: BTreeMap<ActorKey, (Option<ObjectId>, u64)> = BTreeMap::new();
        for outcome in &one_outcomes {
            if let Outcome::Stepped(step) = outcome {
                let last = chains.entry(step.actor.clone()).or_default();
                prop_assert_eq!((step.expected, step.number), (last.0, last.1 + 1), "two children of one step");
                *last = (Some(step.head), step.number);
            }
        }
        for (actor, (head, number)) in chains {
            let row = read_head(&actor, &one_tables).unwrap().unwrap();
            prop_assert_eq!((Some(row.id), row.number), (head, number));
        }
    }
}

#[test]
fn an_old_epoch_is_refused() {
    let mut replica = Replica::new();
    replica.commit(&[step(1, None, 1, 1)]);
    let Command::Step(mut late) = step(1, Some(id(1)), 2, 2) else { unreachable!("it is a step") };
    late.epoch = 0;
    let outcomes = replica.commit(&[Command::Step(late)]);
    assert!(matches!(&outcomes[..], [Outcome::Refused { current: Some(head), .. }] if head.number == 1));
}

#[test]
fn a_head_is_known_before_it_is_written() {
    let mut replica = Replica::new();
    let stub = replica.append(&[step(1, None, 1, 1)]);
    let applied = replica.apply(&stub);
    let number =
        |replica: &Replica| replica.state.head(&actor(1), &*replica.tables).unwrap().map(|head| head.number);
    assert_eq!((number(&replica), read_head(&actor(1), &*replica.tables).unwrap()), (Some(1), None));
    replica.tables.write(&applied.changes);
    replica.state.persisted(1);
    assert_eq!(number(&replica), Some(1));
}

#[test]
fn memory_is_bounded() {
    let mut replica = Replica::new();
    for number in 0..3 * StateLimits::PRODUCTION.heads_kept as u64 {
        let mut first = step(0, None, 1, number);
        if let Command::Step(step) = &mut first {
            step.actor = ActorKey::of(&format!("account/{number}").parse().unwrap());
        }
        replica.commit(&[first]);
    }
    assert!(
        replica.state.heads.len() <= StateLimits::PRODUCTION.heads_kept
            && replica.state.set.len() <= 2 * StateLimits::PRODUCTION.heads_kept
    );
}
