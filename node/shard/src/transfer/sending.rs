//! The leader's side: the next chunk of its state.

use std::collections::VecDeque;

use bytes::Bytes;
use gritmesh_runtime::{KeyValue, Reads, Table};
use gritmesh_store::{ObjectId, Pack};

use super::{Chunk, Cursor, Item, NextPack, ROW_TABLES, SCANNED_STEPS_MAX, TransferLimits, TransferRequest};
use crate::StateError;
use crate::keys::{self, ActorKey, ID_BYTES, TOKEN_BYTES};
use crate::objects::{DiskObjects, check_pack};
use crate::rows::HeadRow;

/// Rows of objects that are read at once, at least: so that a chunk is read further than its first one.
const OBJECTS_MIN: usize = 2;

/// A chunk for a replica, from one fixed state of the leader's disk: what follows the cursor. With `careful` all objects
/// are compared with their ids, which the replica does anyway: for one that could not use what it got.
///
/// # Errors
/// If that cannot be read, or an object of it is damaged.
pub fn next_chunk(
    reads: &dyn Reads,
    request: &TransferRequest,
    cursor: &Cursor,
    careful: bool,
    limits: &TransferLimits,
) -> Result<Chunk, StateError> {
    let mut sending = Sending {
        reads,
        request,
        items: Vec::new(),
        bytes: 0,
        limits,
        careful,
        heads: Ahead::default(),
        objects: Ahead::default(),
    };
    let mut cursor = Some(cursor.clone());
    while let Some(here) = cursor {
        let next = match here {
            Cursor::Heads { from } => sending.heads(from)?,
            Cursor::Packs { actor, head, next } => sending.packs(actor, head, next)?,
            Cursor::Rows { table, from } => sending.rows(table, from)?,
        };
        match next {
            Next::Now(there) => cursor = there,
            Next::Later(there) => return Ok(Chunk { items: sending.items, next: Some(there) }),
        }
    }
    Ok(Chunk { items: sending.items, next: None })
}

/// How it goes on.
enum Next {
    /// In the same chunk; `None` when all is sent.
    Now(Option<Cursor>),
    /// In the next one.
    Later(Cursor),
}

struct Sending<'a> {
    reads: &'a dyn Reads,
    request: &'a TransferRequest,
    items: Vec<Item>,
    bytes: usize,
    limits: &'a TransferLimits,
    /// Whether packs are compared with their ids.
    careful: bool,
    heads: Ahead,
    objects: Ahead,
}

/// Rows of a table that were read at once and are used one by one: opening an iterator for each actor would cost
/// more than the rows of a small one.
#[derive(Default)]
struct Ahead {
    rows: VecDeque<KeyValue>,
    /// The range in which there are no other rows.
    from: Vec<u8>,
    to: Vec<u8>,
    /// How many rows were read, and their bytes.
    read: usize,
    read_bytes: usize,
}

impl Ahead {
    /// The first row from a key on, if it is before `end`; `limit` of them are read when there are none ahead.
    fn next(
        &mut self,
        reads: &dyn Reads,
        table: Table,
        (from, end, last): (&[u8], &[u8], &[u8]),
        limit: impl FnOnce(&Self) -> usize,
    ) -> Result<Option<KeyValue>, StateError> {
        if from < self.from.as_slice() {
            self.rows.clear();
            self.to.clear();
        }
        while self.rows.front().is_some_and(|(key, _)| key.as_slice() < from) {
            self.rows.pop_front();
        }
        if self.rows.is_empty() {
            let begin = from.max(&self.to).to_vec();
            if begin.as_slice() >= end {
                return Ok(None);
            }
            let limit = limit(self);
            self.rows = reads.scan(table, &begin..last, limit)?.into();
            self.to = match self.rows.back() {
                Some((key, _)) if self.rows.len() >= limit => behind(key),
                _ => last.to_vec(),
            };
            self.from = from.to_vec();
            self.read += self.rows.len();
            self.read_bytes += self.rows.iter().map(|(key, row)| key.len() + row.len()).sum::<usize>();
        }
        let is_before = self.rows.front().is_some_and(|(key, _)| key.as_slice() < end);
        Ok(if is_before { self.rows.pop_front() } else { None })
    }
}

impl Sending<'_> {
    /// Heads, up to one whose packs are lacked.
    fn heads(&mut self, mut from: Vec<u8>) -> Result<Next, StateError> {
        let range = keys::token_range(self.request.tokens.0, self.request.tokens.1);
        let end = self.request.end.as_ref().unwrap_or(&range.end);
        while let Some((key, row)) =
            self.heads.next(self.reads, Table::Head, (&from, end, end), |_| self.limits.scan_rows)?
        {
            let actor = ActorKey::read(key.clone().into())?;
            let HeadRow { id: head, number, .. } = HeadRow::decode(row.clone())?;
            if !self.add(Item::Head { actor: actor.clone(), row: row.into() }) {
                return Ok(Next::Later(Cursor::Heads { from: key }));
            }
            if let Some(next) = self.first_pack(&actor, head, number) {
                return Ok(Next::Now(Some(Cursor::Packs { actor, head, next })));
            }
            from = behind(&key);
        }
        match &self.request.end {
            // What the replica has behind its window it says in the next request.
            Some(end) if *end < range.end => Ok(Next::Later(Cursor::Heads { from: end.clone() })),
            _ => Ok(Next::Now(Some(Cursor::Rows { table: ROW_TABLES[0], from: range.start }))),
        }
    }

    fn known(&self, actor: &ActorKey) -> Option<ObjectId> {
        let heads = &self.request.heads;
        let at = heads.binary_search_by(|(known, _)| known.cmp(actor)).ok()?;
        Some(heads[at].1)
    }

    /// Where an actor's packs begin, if the replica lacks any.
    fn first_pack(&self, actor: &ActorKey, head: ObjectId, number: u64) -> Option<NextPack> {
        match self.known(actor) {
            Some(known) if known == head => None,
            Some(_) => Some(NextPack::Step(head)),
            None if number > SCANNED_STEPS_MAX => Some(NextPack::Step(head)),
            None => Some(NextPack::Object(ObjectId::from_bytes([0; ID_BYTES]))),
        }
    }

    fn packs(&mut self, actor: ActorKey, head: ObjectId, next: NextPack) -> Result<Next, StateError> {
        let left = match next {
            NextPack::Step(step) => self.walk(&actor, step)?.map(NextPack::Step),
            NextPack::Object(id) => self.scan(&actor, id)?.map(NextPack::Object),
        };
        Ok(match left {
            Some(next) => Next::Later(Cursor::Packs { actor, head, next }),
            None => Next::Now(Some(Cursor::Heads { from: behind(actor.as_bytes()) })),
        })
    }

    /// Packs from a step back to the known head. Returns the first one that did not fit.
    fn walk(&mut self, actor: &ActorKey, step: ObjectId) -> Result<Option<ObjectId>, StateError> {
        let objects = DiskObjects::new(self.reads, actor.token());
        let known = self.known(actor);
        let mut next = Some(step);
        while let Some(step) = next.filter(|step| Some(*step) != known) {
            let pack = objects.pack(&step)?;
            self.compare(actor, &step, pack.bytes())?;
            next = pack.step().expect("the pack's step was looked into when it was read").previous();
            if !self.add(Item::Pack(Bytes::from_owner(pack.bytes().clone()))) {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    /// All packs of an actor from an id on. Returns the first one that did not fit.
    fn scan(&mut self, actor: &ActorKey, from: ObjectId) -> Result<Option<ObjectId>, StateError> {
        let address = actor.address()?;
        let (_, end) = keys::starting_with(&actor.as_bytes()[..TOKEN_BYTES]);
        let end = if end.is_empty() { vec![u8::MAX; TOKEN_BYTES + ID_BYTES + 1] } else { end };
        let range = keys::token_range(self.request.tokens.0, self.request.tokens.1);
        // A replica that has nothing lacks the packs of the next actors too.
        let last = if self.request.heads.is_empty() { range.end.max(end.clone()) } else { end.clone() };
        let mut from = keys::object(actor.token(), &from);
        loop {
            let room = self.limits.chunk_bytes.saturating_sub(self.bytes);
            let limit = |ahead: &Ahead| match ahead.read_bytes.checked_div(ahead.read) {
                Some(average) => {
                    (room / average.max(1)).clamp(OBJECTS_MIN, self.limits.objects.max(OBJECTS_MIN))
                }
                None => self.limits.first_objects,
            };
            let next = self.objects.next(self.reads, Table::Object, (&from, &end, &last), limit)?;
            let Some((key, row)) = next else { return Ok(None) };
            from = behind(&key);
            // The places of objects within packs are found anew by whoever gets the packs.
            if row.len() == ID_BYTES {
                continue;
            }
            let id = key[TOKEN_BYTES..].try_into().map(ObjectId::from_bytes);
            let id = id.map_err(|_| StateError::Malformed { what: "the key of an object" })?;
            let damaged = StateError::Damaged { token: actor.token(), id, missing: false };
            let step = Pack::peek(&row).map_err(|_| damaged)?;
            // One that is damaged may have another name than its actor's.
            self.compare(actor, &id, &row)?;
            let is_own = step.actor_key() == address.as_key();
            if is_own && !self.add(Item::Pack(row.into())) {
                return Ok(Some(id));
            }
        }
    }

    /// Whether a pack is what it should be, if that is to be known.
    fn compare(&self, actor: &ActorKey, id: &ObjectId, pack: &[u8]) -> Result<(), StateError> {
        let is_sound = || matches!(check_pack(actor.token(), pack), Ok((step, ..)) if step == *id);
        match self.careful && !is_sound() {
            true => Err(StateError::Damaged { token: actor.token(), id: *id, missing: false }),
            false => Ok(()),
        }
    }

    /// Rows of a table from a key on.
    fn rows(&mut self, table: Table, mut from: Vec<u8>) -> Result<Next, StateError> {
        let range = keys::token_range(self.request.tokens.0, self.request.tokens.1);
        while from < range.end {
            let rows = self.reads.scan(table, &from..&range.end, self.limits.scan_rows)?;
            let Some((last, _)) = rows.last() else { break };
            from = behind(last);
            for (key, value) in rows {
                let item = Item::Row { table, key: key.clone().into(), value: value.into() };
                if !self.add(item) {
                    return Ok(Next::Later(Cursor::Rows { table, from: key }));
                }
            }
        }
        let at = ROW_TABLES.iter().position(|other| *other == table).expect("a cursor names such a table");
        let next = ROW_TABLES.get(at + 1).map(|table| Cursor::Rows { table: *table, from: range.start });
        Ok(Next::Now(next))
    }

    /// Adds an item unless the chunk is full. The first one always fits.
    fn add(&mut self, item: Item) -> bool {
        let fits = self.items.is_empty() || self.bytes + item.size() <= self.limits.chunk_bytes;
        if fits {
            self.bytes += item.size();
            self.items.push(item);
        }
        fits
    }
}

/// The key right behind another.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
