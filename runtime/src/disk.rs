//! What a node keeps across restarts: keys and values in a few tables, ordered by key.
//!
//! **Problem.** Everything durable of a node, from its cluster's id to the logs of all its shards, should reach the
//! disk by one writer and one sync, and the simulator must be able to stand in for all of it.
//!
//! **Design.** A [`Batch`] of [`Change`]s is atomic. Batches reach the disk in the order in which they were given,
//! so after a crash a first part of them is there: at least up to the last completed one that asked to be synced,
//! and never a later one without an earlier one. What a batch changes can be read once its completion was called;
//! before that a reader may see it or not, and whoever cares keeps it in memory meanwhile.
//!
//! **Deliberately absent.** Transactions over reads, and iterators that stay open: a [`Snapshot`] is one fixed
//! state for as long as it is held.

pub mod conformance;

use std::ops::Range;
use std::sync::Arc;

/// What a record is about. Each table is ordered by its keys alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// The node itself: format, cluster, incarnation.
    Node = 0,
    /// Each shard's replica: hard state, members, how far it is applied and cut off.
    Group = 1,
    /// Each shard's log entries.
    Log = 2,
    /// Heads of actors.
    Head = 3,
    /// Grit objects.
    Object = 4,
    /// Messages that are not acknowledged yet.
    Outbox = 5,
    /// Reminders that are set.
    Reminder = 6,
    /// Answers that were given under an idempotency key.
    Answer = 7,
    /// Messages that cannot be delivered.
    Letter = 8,
    /// Actors that are paused, and why.
    Paused = 9,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 10] = [
        Self::Node,
        Self::Group,
        Self::Log,
        Self::Head,
        Self::Object,
        Self::Outbox,
        Self::Reminder,
        Self::Answer,
        Self::Letter,
        Self::Paused,
    ];

    /// The tables of actors, whose keys begin with the token, eight bytes big-endian: a shard is one range of keys
    /// in each.
    pub const OF_ACTORS: [Self; 7] =
        [Self::Head, Self::Object, Self::Outbox, Self::Reminder, Self::Answer, Self::Letter, Self::Paused];

    /// The table's name on the disk. Never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Group => "group",
            Self::Log => "log",
            Self::Head => "head",
            Self::Object => "object",
            Self::Outbox => "outbox",
            Self::Reminder => "reminder",
            Self::Answer => "answer",
            Self::Letter => "letter",
            Self::Paused => "paused",
        }
    }
}

/// One change of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key gets a value.
    Put {
        /// Where.
        table: Table,
        /// The key.
        key: Vec<u8>,
        /// Its value. Shared, since what is written is often still in use.
        value: Arc<[u8]>,
    },
    /// A key loses its value, if it has one.
    Delete {
        /// Where.
        table: Table,
        /// The key.
        key: Vec<u8>,
    },
    /// All keys from the first, included, to the second, excluded, lose their values.
    DeleteRange {
        /// Where.
        table: Table,
        /// The first key of the range.
        from: Vec<u8>,
        /// The first key behind the range.
        to: Vec<u8>,
    },
}

impl Change {
    /// A put of bytes.
    pub fn put(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Arc<[u8]>>) -> Self {
        Self::Put { table, key: key.into(), value: value.into() }
    }

    /// A delete.
    pub fn delete(table: Table, key: impl Into<Vec<u8>>) -> Self {
        Self::Delete { table, key: key.into() }
    }
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// In this order.
    pub changes: Vec<Change>,
    /// Whether it completes only when it is durable, and with it all batches before it.
    pub sync: bool,
}

impl Batch {
    /// A batch that completes when it is durable.
    pub const fn synced(changes: Vec<Change>) -> Self {
        Self { changes, sync: true }
    }
}

/// Called once when a batch has been written, or has failed.
pub type Persisted = Box<dyn FnOnce(Result<(), DiskError>) + Send>;

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Reading. Blocks for as long as the disk takes, which is why machines read only what is small.
pub trait Reads: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// If the disk cannot be read, or says itself that the record is damaged.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError>;

    /// Records of a range in the order of their keys, at most `limit` of them.
    ///
    /// # Errors
    /// If the disk cannot be read, or says itself that a record is damaged.
    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError>;
}

/// One fixed state of the disk: that after some completed batch.
pub type Snapshot = Arc<dyn Reads>;

/// The room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// What is free.
    pub free_bytes: u64,
    /// How much of it is kept for what is under way: with less, nothing new is begun.
    pub reserve_bytes: u64,
}

impl DiskSpace {
    /// Whether nothing new is begun.
    pub const fn is_full(self) -> bool {
        self.free_bytes < self.reserve_bytes
    }
}

/// The durable tables of one node.
pub trait Disk: Reads {
    /// Writes a batch, then calls `done`, possibly on another thread. Never blocks. Completions come in the order
    /// of the batches. A batch that failed may be there after a restart all the same, as after a failed sync,
    /// unless it failed as [`DiskError::Full`] or [`DiskError::Overloaded`], which change nothing.
    ///
    /// The batch is shared, so that whoever has to try again can keep it.
    fn write(&self, batch: Arc<Batch>, done: Persisted);

    /// Writes many records that need no order among the batches, as those of a state that was pulled, then calls
    /// `done`, when they are durable and can be read. After a crash before that, any of them may be there. Takes
    /// puts only. A disk that has no better way writes them as a batch.
    fn load(&self, rows: Arc<[Change]>, done: Persisted) {
        self.write(Batch::synced(rows.to_vec()).into(), done);
    }

    /// Whether there is room for something new. A disk says no while it still takes what was promised before, so that
    /// nothing under way gets stuck. Asked before every change.
    fn has_room(&self) -> bool {
        true
    }

    /// The room that there is now, if the disk knows.
    fn space(&self) -> Option<DiskSpace> {
        None
    }

    /// The state that the disk has now.
    ///
    /// # Errors
    /// If the disk is closed.
    fn snapshot(&self) -> Result<Snapshot, DiskError>;
}

/// Why the disk refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiskError {
    /// The operating system's words, or the database's.
    #[error("{operation} `{path}` failed")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// There is no room. Nothing was changed.
    #[error("the disk is full")]
    Full,
    /// Too many batches wait already. Nothing was changed.
    #[error("too much waits for the disk")]
    Overloaded,
    /// A record does not match its checksum.
    #[error("{detail}")]
    Corrupt {
        /// Which, as far as that is known.
        detail: String,
    },
    /// The process is going down.
    #[error("the disk is closed")]
    Closed,
}

impl DiskError {
    /// Whether a record is damaged, and will be the next time, rather than that the disk refused.
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }
}
