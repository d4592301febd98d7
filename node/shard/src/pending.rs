//! What is pending in a shard, as its leader takes it up: messages that are not acknowledged, reminders that are set.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use gritmesh_runtime::{Reads, Table, Token};
use gritmesh_store::{Content, Message, ObjectId, ObjectKind};

use crate::StateError;
use crate::command::{OutboxEntry, ReminderEntry};
use crate::delivery::{PairName, PendingMessage};
use crate::keys::{self, ActorKey};
use crate::portion::{ReadLimits, bytes_of, portion};
use crate::reminders::PendingReminder;
use crate::rows::{OutboxRow, ReminderRow};

/// A pair, and the first and the last sequence number that is pending.
pub type Backlog = (PairName, RangeInclusive<u64>);

/// The next pairs of a range of tokens with messages that are not acknowledged, `limit` or a few more, from a key on,
/// and from where to go on, `None` at the end. What takes long is not to be read here, so fewer come if rows are
/// large, and of long backlogs only some rows are looked at: what is pending of a pair is always contiguous.
///
/// # Errors
/// If the disk cannot be read, or a key is damaged.
pub fn pending_pairs(
    reads: &dyn Reads,
    tokens: (Token, Token),
    from: Option<&[u8]>,
    limit: usize,
    limits: &ReadLimits,
) -> Result<(Vec<Backlog>, Option<Vec<u8>>), StateError> {
    let range = keys::token_range(tokens.0, tokens.1);
    let mut from = from.map_or(range.start, <[u8]>::to_vec);
    let (mut at_once, mut bytes, mut found) = (limits.rows_at_first, 0, Vec::new());
    loop {
        let rows = reads.scan(Table::Outbox, &from[..]..&range.end[..], at_once)?;
        let (is_end, begun) = (rows.len() < at_once, found.len());
        bytes += bytes_of(&rows);
        for (key, _) in rows {
            let (sender, receiver, sequence) = keys::read_outbox(&key.into())?;
            match found.last_mut() {
                Some(Pending { sender: from, receiver: to, last, .. })
                    if *from == sender && *to == receiver =>
                {
                    *last = sequence;
                }
                _ => found.push(Pending { sender, receiver, first: sequence, last: sequence }),
            }
        }
        let Some(pending) = found.last_mut().filter(|_| !is_end) else {
            return Ok((named(found)?, None));
        };
        pending.last = last_pending(pending, reads)?;
        (_, from) = keys::outbox_pair(&pending.sender, &pending.receiver);
        if found.len() >= limit || bytes >= limits.portion_bytes {
            return Ok((named(found)?, Some(from)));
        }
        let are_single = found.len() - begun == at_once;
        at_once = if are_single { (2 * at_once).min(limits.pairs_at_once) } else { limits.rows_at_first };
    }
}

/// What is pending of one pair.
struct Pending {
    sender: ActorKey,
    receiver: ActorKey,
    first: u64,
    last: u64,
}

fn named(found: Vec<Pending>) -> Result<Vec<Backlog>, StateError> {
    let name = |pending: Pending| {
        let pair = PairName { sender: pending.sender.address()?, receiver: pending.receiver.address()? };
        Ok((pair, pending.first..=pending.last))
    };
    found.into_iter().map(name).collect()
}

/// The last sequence number that is pending, found by ever larger steps, and then smaller ones.
fn last_pending(pending: &Pending, reads: &dyn Reads) -> Result<u64, StateError> {
    let is_there = |sequence| {
        let key = keys::outbox(&pending.sender, &pending.receiver, sequence);
        Ok::<_, StateError>(reads.get(Table::Outbox, &key)?.is_some())
    };
    let (mut last, mut step) = (pending.last, 1_u64);
    while last.checked_add(step).map_or(Ok(false), is_there)? {
        last += step;
        step *= 2;
    }
    while step > 1 {
        step /= 2;
        if last.checked_add(step).map_or(Ok(false), is_there)? {
            last += step;
        }
    }
    Ok(last)
}

/// The first message of a pair that is not acknowledged.
///
/// # Errors
/// If the disk cannot be read, or a key is damaged.
pub fn first_pending(
    sender: &ActorKey,
    receiver: &ActorKey,
    reads: &dyn Reads,
) -> Result<Option<u64>, StateError> {
    let (from, to) = keys::outbox_pair(sender, receiver);
    let rows = reads.scan(Table::Outbox, &from[..]..&to[..], 1)?;
    let sequence =
        |(key, _): (Vec<u8>, Vec<u8>)| keys::read_outbox(&key.into()).map(|(_, _, sequence)| sequence);
    rows.into_iter().next().map(sequence).transpose()
}

/// Messages of one pair that are not acknowledged, from a sequence number on: at most `limit`, fewer if they are
/// large, none only if there are none.
///
/// # Errors
/// If the disk cannot be read, or a row is damaged.
pub fn pending_of_pair(
    sender: &ActorKey,
    receiver: &ActorKey,
    from_sequence: u64,
    limit: usize,
    reads: &dyn Reads,
    limits: &ReadLimits,
) -> Result<Vec<PendingMessage>, StateError> {
    let from = keys::outbox(sender, receiver, from_sequence);
    let (_, to) = keys::outbox_pair(sender, receiver);
    let (rows, _) = portion(reads, Table::Outbox, &from[..]..&to[..], limit, limits)?;
    let read = |(key, row): (Vec<u8>, Vec<u8>)| {
        let (sender, receiver, sequence) = keys::read_outbox(&key.into())?;
        message(&sender, &receiver, sequence, row.into())
    };
    rows.into_iter().map(read).collect()
}

/// The next reminders of a range of tokens, at most `limit`, from a key on, and from where to go on, `None` at the
/// end.
///
/// # Errors
/// If the disk cannot be read, or a row is damaged.
pub fn pending_reminders(
    reads: &dyn Reads,
    tokens: (Token, Token),
    from: Option<&[u8]>,
    limit: usize,
    limits: &ReadLimits,
) -> Result<(Vec<PendingReminder>, Option<Vec<u8>>), StateError> {
    let range = keys::token_range(tokens.0, tokens.1);
    let rows = from.unwrap_or(&range.start)..&range.end[..];
    let (rows, next) = portion(reads, Table::Reminder, rows, limit, limits)?;
    let read = |(key, row): (Vec<u8>, Vec<u8>)| {
        let (actor, name) = ActorKey::split(&key.into())?;
        reminder(&actor, &name, row.into())
    };
    Ok((rows.into_iter().map(read).collect::<Result<_, _>>()?, next))
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

#[cfg(test)]
mod tests {
    use gritmesh_runtime::Change;

    use super::*;
    use crate::scenario::{ALL, Tables};

    fn address(id: &str) -> ActorKey {
        ActorKey::of(&format!("t/{id}").parse().expect("an address"))
    }

    fn fill(tables: &Tables, sender: &str, receiver: &str, sequences: RangeInclusive<u64>) {
        let row = |sequence| {
            let key = keys::outbox(&address(sender), &address(receiver), sequence);
            Change::put(Table::Outbox, key, vec![0; 100])
        };
        tables.write(&sequences.map(row).collect::<Vec<_>>());
    }

    fn read(tables: &Tables, limit: usize) -> (Vec<Backlog>, usize) {
        let (mut found, mut from, mut looks) = (Vec::new(), None, 0);
        loop {
            let (pairs, next) =
                pending_pairs(tables, ALL, from.as_deref(), limit, &ReadLimits::PRODUCTION).unwrap();
            found.extend(pairs);
            looks += 1;
            from = next;
            if from.is_none() {
                return (found, looks);
            }
        }
    }

    #[test]
    fn every_pair_is_found_with_all_that_is_pending() {
        let tables = Tables::default();
        assert_eq!(read(&tables, 10).0, []);
        let lengths = [1, 7, 8, 9, 16, 31, 32, 33, 1_000, 12_345];
        let mut expected = Vec::new();
        for (number, length) in lengths.into_iter().enumerate() {
            for receiver in 0..3 {
                let (sender, receiver) = (format!("s{number}"), format!("r{receiver}"));
                fill(&tables, &sender, &receiver, 5..=length + 4);
                let (sender, receiver) = (address(&sender), address(&receiver));
                let pair =
                    PairName { sender: sender.address().unwrap(), receiver: receiver.address().unwrap() };
                expected.push((keys::outbox(&sender, &receiver, 0), (pair, 5..=length + 4)));
            }
        }
        expected.sort_by(|(one, _), (other, _)| one.cmp(other));
        let expected: Vec<Backlog> = expected.into_iter().map(|(_, backlog)| backlog).collect();
        for limit in [1, 3, 1_000] {
            assert_eq!(read(&tables, limit).0, expected, "{limit}");
        }
    }

    #[test]
    fn many_pairs_are_read_in_portions() {
        let tables = Tables::default();
        for number in 0..3_000 {
            fill(&tables, &format!("s{number}"), "r", 1..=1);
        }
        let (found, looks) = read(&tables, 500);
        assert_eq!(found.len(), 3_000);
        assert!((4..=6).contains(&looks), "{looks}");
    }

    #[test]
    fn the_last_numbers_are_no_trouble() {
        let tables = Tables::default();
        fill(&tables, "s", "r", u64::MAX - 20..=u64::MAX - 1);
        assert_eq!(read(&tables, 10).0[0].1, u64::MAX - 20..=u64::MAX - 1);
    }
}
