//! The part of the log that is in memory, as the raft library reads it.
//!
//! It holds what was handed to the disk as well as what is durable already: the library asks for entries that
//! are still on their way. What a restart finds is another matter, see [`record`](super::record).

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use raft::prelude::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

use super::SnapshotMeta;
use super::member::ReplicaId;
use super::message::snapshot;

/// Bytes that an entry takes beside its content.
const ENTRY_OVERHEAD: usize = 96;

/// Entries behind the cut, and what the library wants to know at its start.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// What was cut off ends with this entry.
    base: (u64, u64),
    entries: VecDeque<Entry>,
    bytes: usize,
    hard: HardState,
    voters: ConfState,
    /// State that may be offered to followers whose entries were cut off.
    offered: Option<SnapshotMeta>,
    /// Followers that need state of which there is none to offer.
    wanted: RefCell<BTreeSet<ReplicaId>>,
}

fn size(entry: &Entry) -> usize {
    entry.data.len() + entry.context.len() + ENTRY_OVERHEAD
}

impl Log {
    pub(super) fn new(base: (u64, u64), entries: Vec<Entry>, hard: HardState, voters: ConfState) -> Self {
        let bytes = entries.iter().map(size).sum();
        Self { base, entries: entries.into(), bytes, hard, voters, ..Self::default() }
    }

    pub(super) fn base(&self) -> u64 {
        self.base.0
    }

    pub(super) fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }

    /// Appends, and forgets what stood in the place of what is new.
    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.index) else { return };
        assert!(self.base.0 < first && first <= self.last() + 1, "entries follow each other");
        while self.last() >= first {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| size(&entry));
        }
        self.bytes += entries.iter().map(size).sum::<usize>();
        self.entries.extend(entries);
    }

    /// Forgets everything: the log goes on behind this entry.
    pub(super) fn reset(&mut self, index: u64, term: u64) {
        (self.base, self.bytes) = ((index, term), 0);
        self.entries.clear();
    }

    /// Where to cut so that no more than this is kept before `index`.
    pub(super) fn cut_for(&self, index: u64, entries_max: usize, bytes_max: usize) -> u64 {
        let (mut bytes, mut cut) = (self.bytes, self.base.0);
        for entry in &self.entries {
            if entry.index > index || (index - cut <= entries_max as u64 && bytes <= bytes_max) {
                break;
            }
            bytes -= size(entry);
            cut = entry.index;
        }
        cut
    }

    /// Cuts off everything up to and with this entry. Returns its term.
    pub(super) fn cut(&mut self, index: u64) -> u64 {
        while self.base.0 < index {
            let entry = self.entries.pop_front().expect("the log is cut where it is applied");
            self.bytes -= size(&entry);
            self.base = (entry.index, entry.term);
        }
        self.base.1
    }

    pub(super) fn offer(&mut self, meta: Option<SnapshotMeta>) {
        self.offered = meta;
    }

    pub(super) fn offered(&self) -> Option<&SnapshotMeta> {
        self.offered.as_ref()
    }

    pub(super) fn take_wanted(&mut self) -> BTreeSet<ReplicaId> {
        std::mem::take(self.wanted.get_mut())
    }

    pub(super) fn wants(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }
}

impl Storage for Log {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), self.voters.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low <= self.base.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let (from, to) = ((low - self.base.0 - 1) as usize, (high - self.base.0 - 1) as usize);
        let limit = max_size.into().map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let mut bytes: usize = 0;
        let fits = |entry: &&Entry| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(size(entry));
            first || bytes <= limit
        };
        Ok(self.entries.range(from..to).take_while(fits).cloned().collect())
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.base.0 {
            return Ok(self.base.1);
        }
        if index < self.base.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        let entry = self.entries.get((index - self.base.0 - 1) as usize);
        entry.map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        let to = ReplicaId(to);
        match &self.offered {
            // A state without the follower in its configuration would be ignored by it, and one that ends before
            // the log begins would be of no use.
            Some(SnapshotMeta { index, term, config })
                if *index >= self.base.0.max(request_index) && config.member(to).is_some() =>
            {
                Ok(snapshot(*index, *term, config))
            }
            _ => {
                self.wanted.borrow_mut().insert(to);
                Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}
