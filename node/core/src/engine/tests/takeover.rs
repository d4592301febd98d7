//! A new leader takes up what is pending, a portion at a time.

use gritmesh_actor::{Draft, Late, Origin, Outgoing};
use gritmesh_runtime::{ActorAddress, Batch, Change, Table, UnixTime};
use gritmesh_shard::{ActorKey, Command, OutboxRow, ReminderRow, keys};
use gritmesh_store::{Content, Message, Object, ObjectId, ObjectKind};

use super::world::{Scribe, Seen, World, ZERO};
use crate::engine::{Commit, Event};

/// Pairs with a message each, and reminders: what takes longest to read. The fewer fit into the memory that delivery
/// may use.
const PAIRS: usize = 20_000;
const FEWER_PAIRS: usize = 3_000;
const REMINDERS: usize = 5_000;
/// Their messages' number, by which they can be told from others.
const NUMBER: u64 = 9;
/// Rows that may be read in ten milliseconds, two turns.
const ROWS_IN_A_STEP: usize = 3_000;

fn address(id: &str) -> ActorAddress {
    ActorAddress::new("t", id).unwrap()
}

fn key(id: &str) -> ActorKey {
    ActorKey::of(&address(id))
}

fn message(sender: &str, receiver: &str, sequence: u64) -> Change {
    let message = Message {
        sender: address(sender),
        receiver: address(receiver),
        sequence,
        previous: None,
        method: "m".into(),
        headers: Vec::new(),
        snapshot_epoch: 0,
        content: Content::Bytes(vec![0x90]),
    };
    let message = Object::new(ObjectKind::Message, message.encode());
    let row = OutboxRow { id: message.id(), message: message.bytes().to_vec().into(), content: None };
    Change::put(Table::Outbox, keys::outbox(&key(sender), &key(receiver), sequence), row.encode())
}

fn reminder(actor: &str) -> Change {
    let row = ReminderRow {
        due_unix_ms: 5_000,
        every_ms: None,
        late: Late::Once,
        set_by: ObjectId::from_bytes([1; 32]),
        method: "ring".into(),
        arguments: vec![0x90].into(),
    };
    Change::put(Table::Reminder, keys::reminder(&key(actor), "r"), row.encode())
}

/// Starts the first engine again with all these pending, and waits until it serves its shard.
fn with_backlog(world: &mut World, pairs: usize) {
    let messages = (0..pairs).map(|number| message(&format!("s{number}"), "r", NUMBER));
    let changes = messages.chain((0..REMINDERS).map(|number| reminder(&format!("a{number}")))).collect();
    world.sites[0].disk.apply(&Batch { changes, sync: false });
    world.kill(0);
    world.restart(0);
    while world.leader().is_none() {
        world.pass(10);
    }
}

fn is_reading(world: &World) -> bool {
    world.sites[0].engine.takeover.next_deadline().is_some()
}

fn read_all(world: &mut World) {
    for _ in 0..1_000 {
        if !is_reading(world) {
            return;
        }
        world.pass(10);
    }
    panic!("the backlog is never read to its end");
}

/// A sender whose rows are read last.
fn last_sender(world: &World) -> Scribe {
    let last = (0..10_000).map(|number| format!("x{number}")).max_by_key(|id| address(id).token());
    world.scribe(0, &last.expect("there are some"))
}

fn send(world: &mut World, scribe: &mut Scribe) {
    let sent = Outgoing { to: address("receiver"), method: "m".into(), arguments: vec![0x90], durable: true };
    let (commit, _) = scribe.draft(Draft { sends: vec![sent], ..Draft::new("pay".into(), Origin::Call) });
    world.feed(0, [Event::Commit { shard: ZERO, commit }]);
}

/// Messages of that sender that have left.
fn left(world: &mut World) -> Vec<u64> {
    let number = |seen| match seen {
        Seen::Message(number) if number != NUMBER => Some(number),
        _ => None,
    };
    world.take(0).into_iter().filter_map(number).collect()
}

#[test]
fn a_long_backlog_holds_the_engine_only_for_moments() {
    let mut world = World::alone(1);
    with_backlog(&mut world, PAIRS);
    assert!(is_reading(&world), "the shard is served before all is read");
    world.feed(0, [Event::WallClock(UnixTime(1_000))]);
    world.sites[0].disk.rows_read();
    let (mut steps, mut most) = (0, 0);
    while is_reading(&world) {
        world.pass(10);
        most = most.max(world.sites[0].disk.rows_read());
        steps += 1;
    }
    assert!(steps > 5 && most <= ROWS_IN_A_STEP, "{most} rows in one of {steps} steps");
    let engine = &world.sites[0].engine;
    assert_eq!((engine.messages_pending(), engine.reminders.pending(ZERO)), (PAIRS as u64, REMINDERS));
}

#[test]
fn a_message_waits_for_those_before_it_that_are_not_read_yet() {
    let mut world = World::alone(1);
    let mut sender = last_sender(&world);
    (0..3).for_each(|_| send(&mut world, &mut sender));
    with_backlog(&mut world, FEWER_PAIRS);
    assert_eq!(left(&mut world), [0_u64; 0]);
    send(&mut world, &mut sender);
    assert!(is_reading(&world));
    // Those that were found before it have their turn before.
    read_all(&mut world);
    assert_eq!(left(&mut world), [1, 2, 3, 4]);
    assert_eq!(world.sites[0].engine.messages_pending(), FEWER_PAIRS as u64 + 4, "each is counted once");
}

#[test]
fn what_was_pruned_stays_so_though_it_is_still_on_the_disk() {
    let mut world = World::alone(1);
    let mut scribe = last_sender(&world);
    (0..3).for_each(|_| send(&mut world, &mut scribe));
    with_backlog(&mut world, FEWER_PAIRS);
    world.writes = false;
    let (sender, receiver) = (ActorKey::of(&scribe.address), key("receiver"));
    let command = Command::Acknowledged { sender, receiver, up_to: 2 };
    let commit = Commit { command, volatile: Vec::new(), gate: None };
    world.feed(0, [Event::Commit { shard: ZERO, commit }]);
    world.finish(0);
    assert!(is_reading(&world));
    read_all(&mut world);
    assert_eq!(world.sites[0].disk.rows_of(Table::Outbox), FEWER_PAIRS + 3);
    assert_eq!(world.sites[0].engine.messages_pending(), FEWER_PAIRS as u64 + 1);
}
