//! The leader's side: the next chunk of its state.

use bytes::Bytes;
use gritmesh_runtime::{Reads, Table};
use gritmesh_store::{ObjectId, Pack};

use super::{CHUNK_BYTES_MAX, Chunk, Cursor, Item, NextPack, ROW_TABLES, SCANNED_STEPS_MAX, TransferRequest};
use crate::StateError;
use crate::keys::{self, ActorKey, ID_BYTES, TOKEN_BYTES};
use crate::objects::DiskObjects;
use crate::rows::HeadRow;

/// Rows that are read at once. With the largest packs that is 64 MiB, which only a hostile actor would cause.
const SCAN_ROWS: usize = 64;

/// The next chunk for a replica, from one fixed state of the leader's disk.
///
/// # Errors
/// If that cannot be read, or an object of it is damaged.
pub fn next_chunk(reads: &dyn Reads, request: &TransferRequest) -> Result<Chunk, StateError> {
    chunk_of(reads, request, CHUNK_BYTES_MAX)
}

/// A chunk of about so many bytes.
pub(super) fn chunk_of(
    reads: &dyn Reads,
    request: &TransferRequest,
    bytes_max: usize,
) -> Result<Chunk, StateError> {
    let mut sending = Sending { reads, request, items: Vec::new(), bytes: 0, bytes_max };
    let mut cursor = Some(request.cursor.clone());
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
    bytes_max: usize,
}

impl Sending<'_> {
    /// The next head.
    fn heads(&mut self, from: Vec<u8>) -> Result<Next, StateError> {
        let range = keys::token_range(self.request.tokens.0, self.request.tokens.1);
        let end = self.request.end.as_ref().unwrap_or(&range.end);
        let rows =
            if from < *end { self.reads.scan(Table::Head, &from..end, SCAN_ROWS)? } else { Vec::new() };
        let is_last = rows.len() < SCAN_ROWS;
        for (key, row) in rows {
            let next = Cursor::Heads { from: key.clone() };
            let actor = ActorKey::read(key.into())?;
            let HeadRow { id: head, number, .. } = HeadRow::decode(row.clone())?;
            if !self.add(Item::Head { actor: actor.clone(), row: row.into() }) {
                return Ok(Next::Later(next));
            }
            if let Some(next) = self.first_pack(&actor, head, number) {
                return Ok(Next::Now(Some(Cursor::Packs { actor, head, next })));
            }
        }
        if let (false, Some(Item::Head { actor, .. })) = (is_last, self.items.last()) {
            return Ok(Next::Now(Some(Cursor::Heads { from: behind(actor.as_bytes()) })));
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
        let mut from = keys::object(actor.token(), &from);
        loop {
            let rows = self.reads.scan(Table::Object, &from..&end, SCAN_ROWS)?;
            let Some((last, _)) = rows.last() else { return Ok(None) };
            from = behind(last);
            for (key, row) in rows {
                // The places of objects within packs are found anew by whoever gets the packs.
                if row.len() == ID_BYTES {
                    continue;
                }
                let id = key[TOKEN_BYTES..].try_into().map(ObjectId::from_bytes);
                let id = id.map_err(|_| StateError::Malformed { what: "the key of an object" })?;
                let damaged = StateError::Damaged { token: actor.token(), id, missing: false };
                let pack = Pack::open(row, false).map_err(|_| damaged.clone())?;
                let step = pack.step().map_err(|_| damaged)?;
                let is_own = step.actor_key() == address.as_key();
                if is_own && !self.add(Item::Pack(Bytes::from_owner(pack.bytes().clone()))) {
                    return Ok(Some(id));
                }
            }
        }
    }

    /// Rows of a table from a key on.
    fn rows(&mut self, table: Table, mut from: Vec<u8>) -> Result<Next, StateError> {
        let range = keys::token_range(self.request.tokens.0, self.request.tokens.1);
        while from < range.end {
            let rows = self.reads.scan(table, &from..&range.end, SCAN_ROWS)?;
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
        let fits = self.items.is_empty() || self.bytes + item.size() <= self.bytes_max;
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
