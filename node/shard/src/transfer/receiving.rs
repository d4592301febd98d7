//! The replica's side: what it asks for, and what it takes.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use gritmesh_runtime::{Change, Reads, Table, Token};
use gritmesh_store::ObjectId;

use super::{
    Chunk, Cursor, Item, NextPack, ROW_TABLES, ROWS_BYTES_MAX, SCANNED_STEPS_MAX, TransferLimits,
    TransferRequest, WINDOW_HEADS_MAX, is_within,
};
use crate::StateError;
use crate::keys::{self, ActorKey};
use crate::objects::check_pack;
use crate::rows::{AnswerRow, HeadRow, LetterRow, OutboxRow, PausedRow, ReminderRow};
use crate::state::read_head;

/// A shard's state that is being put together.
#[derive(Debug)]
pub struct Assembly {
    tokens: (Token, Token),
    limits: TransferLimits,
    /// Where to go on; `None` when everything is there.
    cursor: Option<Cursor>,
    /// The actor whose packs are coming.
    current: Option<Current>,
    rows: Vec<Change>,
    rows_bytes: usize,
    /// The table and key of the last row: they come in order, each once.
    last: Option<(usize, Bytes)>,
    /// When the newest answer was given, by the time of the shard.
    newest_answer_ms: Option<u64>,
    /// Heads of an earlier state of which all packs came: what is lacked is what is behind these.
    pulled: BTreeMap<Vec<u8>, ObjectId>,
    /// Up to where the last request named heads, if there was one.
    named: Option<Option<Vec<u8>>>,
}

/// An actor whose packs are coming.
#[derive(Debug)]
struct Current {
    actor: ActorKey,
    head: ObjectId,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    /// Nothing: the head is known.
    Nothing,
    /// The chain down to the known head; the next step of it, and its number.
    Chain { known: Option<ObjectId>, next: Option<ObjectId>, number: u64 },
    /// All packs in any order: those that came, with the step before each.
    All { steps: BTreeMap<ObjectId, Option<ObjectId>> },
}

impl Assembly {
    /// The state of a range of tokens, both included.
    pub fn new(tokens: (Token, Token), limits: TransferLimits) -> Self {
        Self {
            tokens,
            limits,
            cursor: Some(Cursor::first(tokens)),
            current: None,
            rows: Vec::new(),
            rows_bytes: 0,
            last: None,
            newest_answer_ms: None,
            pulled: BTreeMap::new(),
            named: None,
        }
    }

    /// Begins with a later state of the same shard. The packs that came are not asked for again.
    pub fn restart(mut self) -> Self {
        let unfinished = self.current.take().map(|current| current.actor);
        let mut pulled = self.pulled;
        for row in self.rows {
            let Change::Put { table: Table::Head, key, value } = row else { continue };
            if unfinished.as_ref().is_none_or(|actor| actor.as_bytes() != key) {
                let row = HeadRow::decode(value.to_vec()).expect("the row was read when it came");
                pulled.insert(key, row.id);
            }
        }
        Self { pulled, ..Self::new(self.tokens, self.limits) }
    }

    /// Whether the leader has to be asked before it can go on.
    pub fn has_to_ask(&self) -> bool {
        match (&self.cursor, &self.named) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(cursor), Some(end)) => !is_within(cursor, end.as_deref()),
        }
    }

    /// What to ask for next; `None` when everything is there.
    ///
    /// # Errors
    /// If the own disk cannot be read.
    pub fn request(&mut self, reads: &dyn Reads) -> Result<Option<TransferRequest>, StateError> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let window_heads = self.limits.window_heads.min(WINDOW_HEADS_MAX);
        let range = keys::token_range(self.tokens.0, self.tokens.1);
        let from = match cursor {
            Cursor::Heads { from } => Some(from.as_slice()),
            Cursor::Packs { actor, .. } => Some(actor.as_bytes()),
            Cursor::Rows { .. } => None,
        };
        let rows = match from {
            Some(from) if from < range.end.as_slice() => {
                reads.scan(Table::Head, from..&range.end, window_heads + 1)?
            }
            _ => Vec::new(),
        };
        let known =
            |(key, row): (Vec<u8>, Vec<u8>)| Ok((ActorKey::read(key.into())?, HeadRow::decode(row)?.id));
        let heads: Result<BTreeMap<_, _>, StateError> = rows.into_iter().map(known).collect();
        let mut heads = heads?;
        if let Some(from) = from {
            let bounds = (Bound::Included(from), Bound::Unbounded);
            for (key, id) in self.pulled.range::<[u8], _>(bounds).take(window_heads + 1) {
                heads.insert(ActorKey::read(key.clone().into())?, *id);
            }
        }
        let mut heads: Vec<_> = heads.into_iter().collect();
        let end = heads.get(window_heads).map(|(actor, _)| actor.as_bytes().to_vec());
        heads.truncate(window_heads);
        self.named = Some(end.clone());
        Ok(Some(TransferRequest { tokens: self.tokens, cursor: cursor.clone(), heads, end }))
    }

    /// The head of which this replica has all packs.
    fn known(&self, actor: &ActorKey, reads: &dyn Reads) -> Result<Option<ObjectId>, StateError> {
        match self.pulled.get(actor.as_bytes()) {
            Some(id) => Ok(Some(*id)),
            None => Ok(read_head(actor, reads)?.map(|row| row.id)),
        }
    }

    /// Takes a chunk. The changes are rows of objects, to be written before [`Self::finish`]'s are.
    ///
    /// # Errors
    /// If anything in it is wrong. The transfer cannot go on.
    pub fn take(&mut self, chunk: Chunk, reads: &dyn Reads) -> Result<Vec<Change>, StateError> {
        let mut written = Vec::new();
        for item in chunk.items {
            match item {
                Item::Head { actor, row } => self.head(actor, row, reads)?,
                Item::Pack(pack) => self.pack(&pack, &mut written)?,
                Item::Row { table, key, value } => self.row(table, key, value)?,
            }
        }
        if !matches!(chunk.next, Some(Cursor::Packs { .. })) {
            self.end_packs()?;
        }
        self.check_cursor(chunk.next.as_ref())?;
        self.cursor = chunk.next;
        Ok(written)
    }

    /// Whether everything is there.
    pub const fn is_complete(&self) -> bool {
        self.cursor.is_none()
    }

    /// When the newest answer was given, by the time of the shard; `None` if there are no answers.
    pub const fn newest_answer_ms(&self) -> Option<u64> {
        self.newest_answer_ms
    }

    /// The changes that replace the rows of the range, for one batch.
    ///
    /// # Panics
    /// If not everything is there.
    pub fn finish(self) -> Vec<Change> {
        assert!(self.is_complete(), "a transfer is finished when everything is there");
        let range = keys::token_range(self.tokens.0, self.tokens.1);
        let tables = Table::OF_ACTORS.into_iter().filter(|table| *table != Table::Object);
        let empty = |table| Change::DeleteRange { table, from: range.start.clone(), to: range.end.clone() };
        tables.map(empty).chain(self.rows).collect()
    }

    fn head(&mut self, actor: ActorKey, row: Bytes, reads: &dyn Reads) -> Result<(), StateError> {
        self.end_packs()?;
        let HeadRow { id: head, number, .. } = HeadRow::decode(row.clone())?;
        let expected = match self.known(&actor, reads)? {
            Some(known) if known == head => Expected::Nothing,
            None if number <= SCANNED_STEPS_MAX => Expected::All { steps: BTreeMap::new() },
            known => Expected::Chain { known, next: Some(head), number },
        };
        self.keep(Table::Head, 0, Bytes::copy_from_slice(actor.as_bytes()), row)?;
        self.current = Some(Current { actor, head, expected });
        Ok(())
    }

    fn pack(&mut self, bytes: &[u8], written: &mut Vec<Change>) -> Result<(), StateError> {
        const UNASKED: StateError = StateError::Malformed { what: "a pack that was not asked for" };
        let current = self.current.as_mut().ok_or(UNASKED)?;
        let (id, pack, rows) = check_pack(current.actor.token(), bytes)?;
        let step = pack.step().expect("the pack was checked");
        if step.actor_key() != current.actor.address()?.as_key() {
            return Err(UNASKED);
        }
        match &mut current.expected {
            Expected::Nothing => return Err(UNASKED),
            Expected::Chain { known, next, number } => {
                if *next != Some(id) || *next == *known || step.number() != *number {
                    return Err(StateError::Broken { id, what: "it is not the step that comes next" });
                }
                // The first step has no other before it.
                (*next, *number) = (step.previous(), *number - 1);
            }
            // Beside the chain there may be steps that were never committed, but not many.
            Expected::All { steps } if steps.len() as u64 > 2 * SCANNED_STEPS_MAX => return Err(UNASKED),
            Expected::All { steps } => drop(steps.insert(id, step.previous())),
        }
        written.extend(rows);
        Ok(())
    }

    /// That the packs of the last actor are all there.
    fn end_packs(&mut self) -> Result<(), StateError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let is_complete = match current.expected {
            Expected::Nothing => true,
            Expected::Chain { known, next, .. } => next.is_none() || next == known,
            Expected::All { steps } => is_chain(&steps, current.head),
        };
        let error = StateError::Broken { id: current.head, what: "steps before it are missing" };
        if is_complete { Ok(()) } else { Err(error) }
    }

    fn row(&mut self, table: Table, key: Bytes, value: Bytes) -> Result<(), StateError> {
        self.end_packs()?;
        ActorKey::split(&key)?;
        match table {
            Table::Outbox => drop((keys::read_outbox(&key)?, OutboxRow::decode(value.clone())?)),
            Table::Reminder => drop(ReminderRow::decode(value.clone())?),
            Table::Answer => {
                let given_ms = AnswerRow::decode(value.clone())?.time_unix_ms;
                self.newest_answer_ms = self.newest_answer_ms.max(Some(given_ms));
            }
            Table::Letter => drop((keys::read_letter(&key)?, LetterRow::decode(value.clone())?)),
            Table::Paused => drop(PausedRow::decode(value.clone())?),
            Table::Node | Table::Group | Table::Log | Table::Head | Table::Object => {
                return Err(StateError::Malformed { what: "the table of a row" });
            }
        }
        let at = ROW_TABLES.iter().position(|other| *other == table).expect("the table was matched");
        self.keep(table, at + 1, key, value)
    }

    fn keep(&mut self, table: Table, order: usize, key: Bytes, value: Bytes) -> Result<(), StateError> {
        let range = keys::token_range(self.tokens.0, self.tokens.1);
        let is_in_range = *range.start <= *key && *key < *range.end;
        let is_next = self.last.as_ref().is_none_or(|(at, last)| (*at, last) < (order, &key));
        if !is_in_range || !is_next {
            return Err(StateError::Malformed { what: "the order of a shard's rows" });
        }
        self.rows_bytes += key.len() + value.len();
        if self.rows_bytes > ROWS_BYTES_MAX {
            let (what, bytes) = ("a shard's rows", self.rows_bytes);
            return Err(StateError::TooLarge { what, bytes, limit: ROWS_BYTES_MAX });
        }
        self.rows.push(Change::put(table, key.to_vec(), value.as_ref()));
        self.last = Some((order, key));
        Ok(())
    }

    /// That the transfer goes forward, and within what was asked for.
    fn check_cursor(&self, next: Option<&Cursor>) -> Result<(), StateError> {
        const BACK: StateError = StateError::Malformed { what: "the place at which a transfer goes on" };
        let (Some(here), Some(next)) = (&self.cursor, next) else { return Ok(()) };
        if let Cursor::Packs { actor, head, next } = next {
            let current = self.current.as_ref().ok_or(BACK)?;
            let is_asked = match (&current.expected, next) {
                (Expected::Chain { next, .. }, NextPack::Step(step)) => *next == Some(*step),
                (Expected::All { .. }, NextPack::Object(_)) => true,
                _ => false,
            };
            if *actor != current.actor || *head != current.head || !is_asked {
                return Err(BACK);
            }
        }
        let goes_on = match (here, next) {
            // Steps of a chain have no order, but the next one was compared with what the last one names.
            (
                Cursor::Packs { actor: here, next: old @ NextPack::Step(_), .. },
                Cursor::Packs { actor, next, .. },
            ) if here == actor => old != next,
            _ => place(here) < place(next),
        };
        if goes_on { Ok(()) } else { Err(BACK) }
    }
}

/// Whether the steps from the head back to the first are all there. Hashes make no circles.
fn is_chain(steps: &BTreeMap<ObjectId, Option<ObjectId>>, head: ObjectId) -> bool {
    let mut next = Some(head);
    while let Some(step) = next {
        let Some(previous) = steps.get(&step) else { return false };
        next = *previous;
    }
    true
}

/// Where a cursor stands among all.
fn place(cursor: &Cursor) -> (usize, &[u8], Option<&ObjectId>) {
    match cursor {
        Cursor::Heads { from } => (0, from, None),
        Cursor::Packs { actor, next: NextPack::Step(id) | NextPack::Object(id), .. } => {
            (0, actor.as_bytes(), Some(id))
        }
        Cursor::Rows { table, from } => {
            let at = ROW_TABLES.iter().position(|other| other == table).unwrap_or(0);
            (at + 1, from, None)
        }
    }
}
