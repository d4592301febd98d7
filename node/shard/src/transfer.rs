//! Bringing a replica that lags, or is new, to the state that the leader has.
//!
//! **Problem.** The log no longer has what the replica lacks. Most of a shard's bytes are objects, and of these a
//! replica that was away for an hour has nearly all.
//!
//! **Design.** The replica pulls. It asks for what follows a [`Cursor`], and says which heads it has there; the leader
//! answers from one fixed state of its disk with the heads of that window, the packs between each and the head that
//! the replica has, and at last the rows of the other tables:
//!
//! ```text
//!   replica                                     leader, on a snapshot of its disk
//!   cursor, own heads of the window ──────────► known head: walk back to it │ unknown: all packs of the actor
//!   checked packs: written at once  ◄────────── head, pack, pack, … head, pack …          ≤ 256 KiB, next cursor
//!   rows: kept                      ◄────────── outbox, reminders, answers, letters, paused
//!   end: one batch that empties the range and writes all rows
//! ```
//!
//! One request is answered by a stream of chunks, each of which goes on where the one before it ended, up to the end
//! of the window of heads. What the replica has checked of a state it names as its own when it pulls a later one.
//!
//! Packs are named by their hashes, so writing them early harms nobody; if the transfer breaks off, they are there.
//! All other rows change at once, so the replica has its old state, or the new one. Steps between two heads must
//! form the chain from one to the other.
//!
//! **Deliberately absent.** Trust in what arrives: every pack, key and row is checked before it is kept.

mod receiving;
mod sending;
mod wire;

use bytes::Bytes;
use gritmesh_runtime::{Table, Token, limits};
use gritmesh_store::ObjectId;

use crate::keys::ActorKey;

pub use receiving::Assembly;
pub use sending::next_chunk;

limits! {
    /// Limits of transfers.
    pub struct TransferLimits in "transfer" {
        /// Size of a chunk that is not exceeded but by its only item. Below a millisecond on the wire and of a core, and
        /// small enough that calls to the same peer do not wait for it, or for the few that are on their way with it. A
        /// few of them travel in a round trip: with much smaller ones a state takes minutes.
        chunk_bytes: usize = 256 * 1024, small ["4000", "16000"];
        /// Heads that a replica names at once, at most [as many as travel](WINDOW_HEADS_MAX).
        window_heads: usize = WINDOW_HEADS_MAX, small ["2", "5"];
        /// Rows that are read at once. With the largest packs that is 64 MiB, which only a hostile actor would cause.
        scan_rows: usize = 64, small ["1", "2"];
        /// Rows of objects that are read at first.
        first_objects: usize = 4, small ["1"];
        /// Rows of objects that are read at once, in view of those before them as many as the chunk may take. What is
        /// read and does not fit is read again for the next chunk.
        objects: usize = 128, small ["2", "3"];
    }
}

/// Largest chunk that is taken: a full one with the largest row behind it.
pub const CHUNK_BYTES_LIMIT: usize = TransferLimits::PRODUCTION.chunk_bytes + 2 * 1024 * 1024 + 64 * 1024;
/// Heads that a request names, at most. About 100 KiB.
pub const WINDOW_HEADS_MAX: usize = 1024;
/// Bytes of rows that a replica keeps until the end of a transfer. What is not an object is small, so a shard with
/// more should have been split long before; the transfer fails.
pub const ROWS_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Steps of an actor that the replica does not have and that are read in the order in which they lie; more are read
/// along the chain, which is slower, but needs no memory to tell that none is missing. 10 MB here. Both sides have to
/// agree.
const SCANNED_STEPS_MAX: u64 = 100_000;

/// The tables whose rows follow the heads, in this order.
const ROW_TABLES: [Table; 5] = [Table::Outbox, Table::Reminder, Table::Answer, Table::Letter, Table::Paused];

/// Where a transfer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Among the heads, from this key on.
    Heads {
        /// The first key that was not sent.
        from: Vec<u8>,
    },
    /// Among the packs of an actor whose head was sent.
    Packs {
        /// Which actor.
        actor: ActorKey,
        /// Its head.
        head: ObjectId,
        /// The next pack: the step, walking back, or the first key of the table of objects.
        next: NextPack,
    },
    /// Among the rows of another table, from this key on.
    Rows {
        /// Which table.
        table: Table,
        /// The first key that was not sent.
        from: Vec<u8>,
    },
}

/// Which pack of an actor comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextPack {
    /// That of this step; then those before it, up to the known head.
    Step(ObjectId),
    /// All from this object on, in the order of their ids.
    Object(ObjectId),
}

/// What a replica asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRequest {
    /// First and last token of the shard.
    pub tokens: (Token, Token),
    /// Where it stands.
    pub cursor: Cursor,
    /// Its own heads from there on, in order.
    pub heads: Vec<(ActorKey, ObjectId)>,
    /// The first key about which it says nothing; `None` if it has named all heads.
    pub end: Option<Vec<u8>>,
}

impl TransferRequest {
    /// Whether the leader can go on there with what the replica has said of its heads.
    pub fn covers(&self, cursor: &Cursor) -> bool {
        is_within(cursor, self.end.as_deref())
    }
}

/// Whether a cursor is not behind the heads that were named.
fn is_within(cursor: &Cursor, end: Option<&[u8]>) -> bool {
    match (cursor, end) {
        (Cursor::Heads { from }, Some(end)) => from.as_slice() < end,
        _ => true,
    }
}

/// What the leader answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    items: Vec<Item>,
    /// Where to go on; `None` when this was all.
    pub next: Option<Cursor>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// A head, whose packs follow.
    Head { actor: ActorKey, row: Bytes },
    /// A pack of the last actor.
    Pack(Bytes),
    /// Any other row.
    Row { table: Table, key: Bytes, value: Bytes },
}

impl Item {
    fn size(&self) -> usize {
        match self {
            Self::Head { actor, row } => 5 + actor.as_bytes().len() + row.len(),
            Self::Pack(pack) => 5 + pack.len(),
            Self::Row { key, value, .. } => 8 + key.len() + value.len(),
        }
    }
}

impl Cursor {
    /// The beginning of a transfer.
    pub fn first(tokens: (Token, Token)) -> Self {
        Self::Heads { from: crate::keys::token_range(tokens.0, tokens.1).start }
    }
}

#[cfg(test)]
mod tests;
