//! The byte forms of requests and chunks.

use bytes::Bytes;
use gritmesh_runtime::{Table, Token};
use gritmesh_store::ObjectId;

use super::{
    CHUNK_BYTES_LIMIT, Chunk, Cursor, Item, NextPack, ROW_TABLES, TransferRequest, WINDOW_HEADS_MAX,
};
use crate::StateError;
use crate::flat::{Reader, Write};
use crate::keys::{ACTOR_KEY_BYTES_MAX, ActorKey};

const VERSION: u8 = 1;
/// Longest key of any row: two actors, or an actor and a name, and some more.
const KEY_BYTES_MAX: usize = 2 * ACTOR_KEY_BYTES_MAX + 16;
const HEAD: u8 = 1;
const PACK: u8 = 2;
const ROW: u8 = 3;

impl TransferRequest {
    /// The request's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.heads.len() * 96);
        bytes.u8(VERSION);
        bytes.u64(self.tokens.0.0);
        bytes.u64(self.tokens.1.0);
        self.cursor.write(&mut bytes);
        bytes.u8(u8::from(self.end.is_some()));
        if let Some(end) = &self.end {
            bytes.short(end);
        }
        bytes.u16(u16::try_from(self.heads.len()).expect("a window has a limit"));
        for (actor, head) in &self.heads {
            bytes.short(actor.as_bytes());
            bytes.extend_from_slice(head.as_bytes());
        }
        bytes
    }

    /// Reads a request.
    ///
    /// # Errors
    /// If it has another form.
    pub fn decode(bytes: Bytes) -> Result<Self, StateError> {
        let mut bytes = Reader::new(bytes, "a request for a shard's state");
        bytes.version(VERSION)?;
        let tokens = (Token(bytes.u64()?), Token(bytes.u64()?));
        let cursor = Cursor::read(&mut bytes)?;
        let end = if bytes.flag()? { Some(key(&mut bytes)?.to_vec()) } else { None };
        let count = usize::from(bytes.u16()?);
        if count > WINDOW_HEADS_MAX || tokens.0 > tokens.1 {
            return Err(bytes.malformed());
        }
        let mut heads: Vec<(ActorKey, ObjectId)> = Vec::with_capacity(count);
        for _ in 0..count {
            let actor = ActorKey::read(bytes.short()?)?;
            if heads.last().is_some_and(|(last, _)| *last >= actor) {
                return Err(bytes.malformed());
            }
            heads.push((actor, ObjectId::from_bytes(bytes.array()?)));
        }
        bytes.end()?;
        Ok(Self { tokens, cursor, heads, end })
    }
}

impl Chunk {
    /// The chunk's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let size: usize = self.items.iter().map(Item::size).sum();
        let mut bytes = Vec::with_capacity(size + 128);
        bytes.u8(VERSION);
        bytes.u8(u8::from(self.next.is_some()));
        if let Some(next) = &self.next {
            next.write(&mut bytes);
        }
        for item in &self.items {
            match item {
                Item::Head { actor, row } => {
                    bytes.u8(HEAD);
                    bytes.short(actor.as_bytes());
                    bytes.short(row);
                }
                Item::Pack(pack) => {
                    bytes.u8(PACK);
                    bytes.long(pack);
                }
                Item::Row { table, key, value } => {
                    bytes.u8(ROW);
                    bytes.u8(*table as u8);
                    bytes.short(key);
                    bytes.long(value);
                }
            }
        }
        bytes
    }

    /// Reads a chunk. What is in it is checked by [`Assembly::take`](super::Assembly::take).
    ///
    /// # Errors
    /// If it has another form.
    pub fn decode(bytes: Bytes) -> Result<Self, StateError> {
        if bytes.len() > CHUNK_BYTES_LIMIT {
            let (what, bytes) = ("a chunk of a shard's state", bytes.len());
            return Err(StateError::TooLarge { what, bytes, limit: CHUNK_BYTES_LIMIT });
        }
        let mut bytes = Reader::new(bytes, "a chunk of a shard's state");
        bytes.version(VERSION)?;
        let next = if bytes.flag()? { Some(Cursor::read(&mut bytes)?) } else { None };
        let mut items = Vec::new();
        while !bytes.is_empty() {
            items.push(match bytes.u8()? {
                HEAD => Item::Head { actor: ActorKey::read(bytes.short()?)?, row: bytes.short()? },
                PACK => Item::Pack(bytes.long()?),
                ROW => Item::Row { table: table(&mut bytes)?, key: key(&mut bytes)?, value: bytes.long()? },
                _ => return Err(bytes.malformed()),
            });
        }
        Ok(Self { items, next })
    }
}

impl Cursor {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Heads { from } => {
                bytes.u8(0);
                bytes.short(from);
            }
            Self::Packs { actor, head, next } => {
                let (tag, id) = match next {
                    NextPack::Step(id) => (1, id),
                    NextPack::Object(id) => (2, id),
                };
                bytes.u8(tag);
                bytes.short(actor.as_bytes());
                bytes.extend_from_slice(head.as_bytes());
                bytes.extend_from_slice(id.as_bytes());
            }
            Self::Rows { table, from } => {
                bytes.u8(3);
                bytes.u8(*table as u8);
                bytes.short(from);
            }
        }
    }

    fn read(bytes: &mut Reader) -> Result<Self, StateError> {
        let tag = bytes.u8()?;
        match tag {
            0 => Ok(Self::Heads { from: key(bytes)?.to_vec() }),
            1 | 2 => {
                let actor = ActorKey::read(bytes.short()?)?;
                let head = ObjectId::from_bytes(bytes.array()?);
                let id = ObjectId::from_bytes(bytes.array()?);
                let next = if tag == 1 { NextPack::Step(id) } else { NextPack::Object(id) };
                Ok(Self::Packs { actor, head, next })
            }
            3 => Ok(Self::Rows { table: table(bytes)?, from: key(bytes)?.to_vec() }),
            _ => Err(bytes.malformed()),
        }
    }
}

fn table(bytes: &mut Reader) -> Result<Table, StateError> {
    let number = bytes.u8()?;
    ROW_TABLES.into_iter().find(|table| *table as u8 == number).ok_or_else(|| bytes.malformed())
}

fn key(bytes: &mut Reader) -> Result<Bytes, StateError> {
    let key = bytes.short()?;
    if key.len() > KEY_BYTES_MAX { Err(bytes.malformed()) } else { Ok(key) }
}
