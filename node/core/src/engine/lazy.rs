//! What committed entries make of the tables, kept for a while before it is written.
//!
//! **Problem.** Every step changes a head, every entry the record of how far its log is applied. Written one by one
//! they cost as much as the entries themselves, though the log would tell all of it again after a crash.
//!
//! **Design.** The changes wait in memory until they are old (half a second, if nothing else is set), too many, or somebody needs them on the
//! disk. Of several values of one key only the newest is written. All shards of an engine go together, rows with the
//! records of how far they reach, so that the disk always has the state after some entry.
//!
//! **Deliberately absent.** Reading: whoever needs a row before it is on the disk has it in memory, or hurries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::{Change, Instant, ShardId, Table};

type Rows = BTreeMap<(Table, Vec<u8>), Option<Arc<[u8]>>>;

/// Changes that wait.
#[derive(Default)]
pub(super) struct Lazy {
    /// How long changes stay in memory. A crash costs as much of the log to be applied again.
    pause: Duration,
    /// How many keys may wait.
    keys_max: usize,
    /// The newest value of a key, or none if it is deleted.
    rows: Rows,
    /// Ranges that were deleted, in this order, before any of the rows.
    ranges: Vec<Change>,
    /// The newest records of how far the logs are applied.
    records: BTreeMap<ShardId, Change>,
    /// Up to where.
    applied: BTreeMap<ShardId, u64>,
    /// When the first of them is old enough.
    due: Option<Instant>,
    hurried: bool,
}

impl Lazy {
    pub(super) fn new(pause: Duration, keys_max: usize) -> Self {
        Self { pause, keys_max, ..Self::default() }
    }

    pub(super) fn add(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put { table, key, value } => drop(self.rows.insert((table, key), Some(value))),
                Change::Delete { table, key } => drop(self.rows.insert((table, key), None)),
                Change::DeleteRange { table, from, to } => {
                    self.forget_rows(table, &from, &to);
                    self.ranges.push(Change::DeleteRange { table, from, to });
                }
            }
        }
    }

    /// The log of a shard is applied up to here, with all that was added.
    pub(super) fn applied(&mut self, shard: ShardId, index: u64) {
        self.applied.insert(shard, index);
    }

    /// The record of how far the log of a shard is applied.
    pub(super) fn record(&mut self, now: Instant, shard: ShardId, record: Change) {
        self.records.insert(shard, record);
        self.wait(now);
    }

    /// There is something that may wait.
    pub(super) fn wait(&mut self, now: Instant) {
        self.due.get_or_insert(now + self.pause);
    }

    /// A shard's state is replaced, or removed: nothing of it is written any more. `ranges` are its keys.
    pub(super) fn forget(&mut self, shard: ShardId, ranges: &[Change]) {
        self.records.remove(&shard);
        self.applied.remove(&shard);
        for range in ranges {
            if let Change::DeleteRange { table, from, to } = range {
                self.forget_rows(*table, from, to);
            }
        }
    }

    fn forget_rows(&mut self, table: Table, from: &[u8], to: &[u8]) {
        if from < to {
            let range = (table, from.to_vec())..(table, to.to_vec());
            let keys: Vec<_> = self.rows.range(range).map(|(key, _)| key.clone()).collect();
            keys.iter().for_each(|key| drop(self.rows.remove(key)));
        }
    }

    /// Somebody needs it on the disk.
    pub(super) const fn hurry(&mut self) {
        self.hurried = true;
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| self.hurried || now >= due);
        due || self.rows.len() > self.keys_max
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Everything, and up to where it reaches.
    pub(super) fn take(&mut self, changes: &mut Vec<Change>) -> BTreeMap<ShardId, u64> {
        let Self { rows, ranges, records, applied, .. } =
            std::mem::replace(self, Self::new(self.pause, self.keys_max));
        changes.extend(ranges);
        changes.extend(rows.into_iter().map(|((table, key), value)| match value {
            Some(value) => Change::Put { table, key, value },
            None => Change::Delete { table, key },
        }));
        changes.extend(records.into_values());
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::ZERO;
    const PAUSE: Duration = Duration::from_millis(500);

    fn put(key: u8, value: u8) -> Change {
        Change::put(Table::Head, [key], [value].as_slice())
    }

    #[test]
    fn of_each_key_the_newest_value_is_written() {
        let mut lazy = Lazy::new(PAUSE, 100);
        lazy.add(vec![put(1, 1), put(2, 1), put(1, 2), Change::delete(Table::Head, [2])]);
        for index in [7, 8] {
            lazy.record(NOW, ShardId(3), Change::put(Table::Group, [3], [index].as_slice()));
            lazy.applied(ShardId(3), index.into());
        }
        let mut changes = Vec::new();
        assert_eq!(lazy.take(&mut changes), BTreeMap::from([(ShardId(3), 8)]));
        let record = Change::put(Table::Group, [3], [8].as_slice());
        assert_eq!(changes, [put(1, 2), Change::delete(Table::Head, [2]), record]);
        assert!(lazy.take(&mut changes).is_empty() && !lazy.is_due(NOW + PAUSE));
    }

    #[test]
    fn a_range_deletes_what_came_before_it_and_nothing_after() {
        let mut lazy = Lazy::new(PAUSE, 100);
        let range = Change::DeleteRange { table: Table::Head, from: vec![2], to: vec![4] };
        lazy.add(vec![put(1, 1), put(2, 1), put(3, 1), range.clone(), put(3, 2)]);
        let mut changes = Vec::new();
        lazy.take(&mut changes);
        assert_eq!(changes, [range, put(1, 1), put(3, 2)]);
    }

    #[test]
    fn a_shard_that_is_replaced_leaves_nothing_behind() {
        let mut lazy = Lazy::new(PAUSE, 100);
        lazy.add(vec![put(1, 1), put(2, 1)]);
        lazy.applied(ShardId(1), 5);
        lazy.applied(ShardId(2), 6);
        lazy.forget(ShardId(1), &[Change::DeleteRange { table: Table::Head, from: vec![1], to: vec![2] }]);
        let mut changes = Vec::new();
        assert_eq!(lazy.take(&mut changes), BTreeMap::from([(ShardId(2), 6)]));
        assert_eq!(changes, [put(2, 1)]);
    }

    #[test]
    fn it_is_due_when_it_is_old_or_needed() {
        let mut lazy = Lazy::new(PAUSE, 100);
        lazy.hurry();
        assert!(!lazy.is_due(NOW + PAUSE), "there is nothing");
        let mut lazy = Lazy::new(PAUSE, 100);
        lazy.wait(NOW);
        assert!(!lazy.is_due(NOW) && lazy.is_due(NOW + PAUSE));
        lazy.hurry();
        assert!(lazy.is_due(NOW));
    }
}
