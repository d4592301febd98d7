//! What is pending in a shard, as its leader takes it up: messages that are not acknowledged, reminders that are set.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use gritmesh_runtime::{Reads, Table, Token};
use gritmesh_store::{Content, Message, ObjectId, ObjectKind};

use crate::StateError;
use crate::command::{OutboxEntry, ReminderEntry};
use crate::delivery::PendingMessage;
use crate::keys::{self, ActorKey};
use crate::reminders::PendingReminder;
use crate::rows::{OutboxRow, ReminderRow};

/// Rows that are read from the disk at once.
const ROWS_AT_ONCE: usize = 1024;

/// All messages of a range of tokens that are not acknowledged, those of a pair in their order.
///
/// # Errors
/// If the disk cannot be read, or a row is damaged.
pub fn pending_messages(
    first: Token,
    last: Token,
    reads: &dyn Reads,
) -> Result<Vec<PendingMessage>, StateError> {
    let mut messages = Vec::new();
    each_row(Table::Outbox, keys::token_range(first, last), reads, |key, row| {
        let (sender, receiver, sequence) = keys::read_outbox(key)?;
        messages.push(message(&sender, &receiver, sequence, row)?);
        Ok(())
    })?;
    Ok(messages)
}

/// Messages of one pair that are not acknowledged, from a sequence number on.
///
/// # Errors
/// If the disk cannot be read, or a row is damaged.
pub fn pending_of_pair(
    sender: &ActorKey,
    receiver: &ActorKey,
    from_sequence: u64,
    limit: usize,
    reads: &dyn Reads,
) -> Result<Vec<PendingMessage>, StateError> {
    let from = keys::outbox(sender, receiver, from_sequence);
    let (_, to) = keys::outbox_pair(sender, receiver);
    let rows = reads.scan(Table::Outbox, &from[..]..&to[..], limit)?;
    let read = |(key, row): (Vec<u8>, Vec<u8>)| {
        let (sender, receiver, sequence) = keys::read_outbox(&key.into())?;
        message(&sender, &receiver, sequence, row.into())
    };
    rows.into_iter().map(read).collect()
}

/// All reminders of a range of tokens.
///
/// # Errors
/// If the disk cannot be read, or a row is damaged.
pub fn pending_reminders(
    first: Token,
    last: Token,
    reads: &dyn Reads,
) -> Result<Vec<PendingReminder>, StateError> {
    let mut reminders = Vec::new();
    each_row(Table::Reminder, keys::token_range(first, last), reads, |key, row| {
        let (actor, name) = ActorKey::split(key)?;
        reminders.push(reminder(&actor, &name, row)?);
        Ok(())
    })?;
    Ok(reminders)
}

impl OutboxEntry {
    /// The message, for whoever delivers it.
    ///
    /// # Errors
    /// If the row is damaged.
    pub fn pending(&self, sender: &ActorKey) -> Result<PendingMessage, StateError> {
        message(sender, &self.receiver, self.sequence, self.row.clone())
    }
}

impl ReminderEntry {
    /// The reminder, if it is set.
    ///
    /// # Errors
    /// If the row is damaged.
    pub fn pending(&self, actor: &ActorKey) -> Result<Option<PendingReminder>, StateError> {
        self.row.clone().map(|row| reminder(actor, &self.name, row)).transpose()
    }

    /// Its name.
    ///
    /// # Errors
    /// If it is no text.
    pub fn name_text(&self) -> Result<Arc<str>, StateError> {
        text(&self.name)
    }
}

fn message(
    sender: &ActorKey,
    receiver: &ActorKey,
    sequence: u64,
    row: Bytes,
) -> Result<PendingMessage, StateError> {
    const MALFORMED: StateError = StateError::Malformed { what: "a message of the outbox" };
    let row = OutboxRow::decode(row)?;
    if ObjectId::of(ObjectKind::Message, &row.message) != row.id {
        return Err(StateError::Damaged { token: sender.token(), id: row.id, missing: false });
    }
    let message = Message::decode(&row.message).map_err(|_| MALFORMED)?;
    let arguments = match (message.content, row.content) {
        (Content::Bytes(bytes), _) => bytes.into(),
        (Content::Blob(_), Some(content)) => content.as_ref().into(),
        (Content::Blob(_), None) => return Err(MALFORMED),
    };
    Ok(PendingMessage {
        sender: sender.address()?,
        receiver: receiver.address()?,
        sequence,
        id: *row.id.as_bytes(),
        method: message.method.into(),
        arguments,
        snapshot_epoch: message.snapshot_epoch,
    })
}

fn reminder(actor: &ActorKey, name: &Bytes, row: Bytes) -> Result<PendingReminder, StateError> {
    let row = ReminderRow::decode(row)?;
    Ok(PendingReminder {
        actor: actor.address()?,
        name: text(name)?,
        due_unix_ms: row.due_unix_ms,
        every_ms: row.every_ms,
        late: row.late,
        method: row.method.into(),
        arguments: row.arguments.as_ref().into(),
        set_by: *row.set_by.as_bytes(),
    })
}

fn text(bytes: &Bytes) -> Result<Arc<str>, StateError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| StateError::Malformed { what: "the name of a reminder" })?;
    Ok(text.into())
}

fn each_row(
    table: Table,
    range: Range<Vec<u8>>,
    reads: &dyn Reads,
    mut row: impl FnMut(&Bytes, Bytes) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let mut from = range.start;
    loop {
        let rows = reads.scan(table, &from[..]..&range.end[..], ROWS_AT_ONCE)?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        from = last.clone();
        // The key right behind the last one.
        from.push(0);
        for (key, value) in rows {
            row(&key.into(), value.into())?;
        }
    }
}
