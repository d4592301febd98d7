//! Byte forms that are on disks already, or cross between builds: `docs/format.md` writes them down.

use bytes::Bytes;
use gritmesh_actor::Late;
use gritmesh_runtime::{Failure, FailureCode, Table, Token};
use gritmesh_store::{ObjectId, ObjectKind};

use crate::{
    ActorKey, AnswerRow, Command, Commands, Cursor, HeadRow, LetterEntry, LetterRow, NextPack, OutboxEntry,
    OutboxRow, PausedRow, ReminderEntry, ReminderRow, StepCommand, TransferRequest, keys, strip,
};

fn actor(text: &str) -> ActorKey {
    ActorKey::of(&text.parse().expect("it is an address"))
}

fn id(number: u8) -> ObjectId {
    ObjectId::of(ObjectKind::Step, &[number])
}

fn failure() -> Failure {
    let failure = Failure::new(FailureCode::ActorError, "no money");
    Failure { data: vec![1, 2], retry_after_ms: 250, ..failure }
}

fn outbox() -> OutboxRow {
    OutboxRow { id: id(1), message: Bytes::from_static(b"message"), content: None }
}

fn reminder() -> ReminderRow {
    let (method, arguments) = ("tick".to_owned(), Bytes::from_static(b"\x90"));
    let every_ms = Some(60_000);
    ReminderRow {
        due_unix_ms: 1_700_000_000_000,
        every_ms,
        late: Late::CatchUp,
        set_by: id(2),
        method,
        arguments,
    }
}

fn answer() -> AnswerRow {
    AnswerRow { time_unix_ms: 1_700_000_000_000, answer: Ok(vec![0x2a]) }
}

fn letter() -> LetterRow {
    LetterRow { id: id(3), time_unix_ms: 1_700_000_000_000, method: "pay".into(), failure: failure() }
}

fn paused() -> PausedRow {
    PausedRow { time_unix_ms: 1_700_000_000_000, reason: "it panics".into() }
}

fn step() -> StepCommand {
    let (alice, bob) = (actor("account/alice"), actor("acme:account/bob"));
    StepCommand {
        actor: alice,
        expected: Some(id(4)),
        number: 7,
        head: id(5),
        time_unix_ms: 1_700_000_000_000,
        epoch: 3,
        located: vec![id(6)],
        outbox: vec![OutboxEntry { receiver: bob.clone(), sequence: 9, row: outbox().encode().into() }],
        reminders: vec![
            ReminderEntry { name: Bytes::from_static(b"daily"), row: Some(reminder().encode().into()) },
            ReminderEntry { name: Bytes::from_static(b"once"), row: None },
        ],
        answer: Some((keys::answer_suffix(b"key").into(), answer().encode().into())),
        letter: Some(LetterEntry { sender: bob, sequence: 2, row: letter().encode().into() }),
        pack: Bytes::from_static(b"a pack has more than thirty-two bytes"),
    }
}

fn entry() -> Vec<u8> {
    let (alice, bob) = (actor("account/alice"), actor("acme:account/bob"));
    Commands::encode(&[
        Command::Step(Box::new(step())),
        Command::Acknowledged { sender: alice.clone(), receiver: bob.clone(), up_to: 9 },
        Command::Pause { actor: bob.clone(), row: paused() },
        Command::Resume { actor: bob.clone() },
        Command::Forget { answers: vec![alice.with(&keys::answer_suffix(b"key")).into()] },
        Command::DropLetter { receiver: alice, sender: bob, sequence: 2 },
    ])
}

fn request() -> TransferRequest {
    let next = NextPack::Step(id(7));
    TransferRequest {
        tokens: (Token(0), Token(u64::MAX)),
        cursor: Cursor::Packs { actor: actor("account/alice"), head: id(5), next },
        heads: vec![(actor("account/alice"), id(4))],
        end: Some(actor("account/bob").as_bytes().to_vec()),
    }
}

fn row_keys() -> Vec<u8> {
    let (alice, bob) = (actor("account/alice"), actor("acme:account/bob"));
    let keys = [
        alice.as_bytes().to_vec(),
        keys::object(alice.token(), &id(5)),
        keys::outbox(&alice, &bob, 9),
        keys::letter(&bob, &alice, 9),
        keys::reminder(&alice, "daily"),
        alice.with(&keys::answer_suffix(b"key")),
        alice.with(&keys::answer_suffix(&[7; 200])),
    ];
    keys.concat()
}

/// Every sample with what its file is called.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let long = OutboxRow { content: Some(Bytes::from_static(b"long")), ..outbox() };
    let refused = AnswerRow { answer: Err(failure()), ..answer() };
    vec![
        ("keys-1", row_keys()),
        ("head-1", HeadRow { id: id(5), number: 7, epoch: 3 }.encode()),
        ("outbox-1", outbox().encode()),
        ("outbox-long-1", long.encode()),
        ("reminder-1", reminder().encode()),
        ("answer-1", answer().encode()),
        ("answer-failure-1", refused.encode()),
        ("letter-1", letter().encode()),
        ("paused-1", paused().encode()),
        ("entry-1", entry()),
        ("entry-stub-1", strip(&entry().into()).expect("it is an entry").0),
        ("transfer-request-1", request().encode()),
    ]
}

fn written(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

#[test]
fn byte_forms_are_what_they_were() {
    for (name, bytes) in samples() {
        let path = format!("{}/tests/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(written(&bytes), golden, "{name}: rows like these are on disks");
    }
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(Commands::decode(&entry().into()).unwrap().len(), 6);
    assert_eq!(TransferRequest::decode(request().encode().into()).unwrap(), request());
    assert_eq!(Table::Head as u8, 3, "chunks name tables by their numbers");
}
