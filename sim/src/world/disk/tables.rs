//! What is on one disk: sorted maps, and how to take back what was written but not synced.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, Range};
use std::sync::Arc;

use gritmesh_runtime::{Change, KeyValue, Table};

/// Batches that wait for a sync. An operating system writes back what is old by itself: beyond this number the
/// oldest is durable.
const UNSYNCED_MAX: usize = 4096;

/// A value at rest.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Sound(Arc<[u8]>),
    /// It no longer matches the checksum that the database keeps of it.
    Damaged,
}

/// A record that a read found to be damaged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
}

/// One state of all tables. Cheap to keep: values are shared, and the maps are until one of two holders writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    tables: [BTreeMap<Vec<u8>, Value>; Table::ALL.len()],
}

impl Records {
    fn table(&mut self, table: Table) -> &mut BTreeMap<Vec<u8>, Value> {
        &mut self.tables[table as usize]
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
        match self.tables[table as usize].get(key) {
            None => Ok(None),
            Some(Value::Sound(value)) => Ok(Some(value.to_vec())),
            Some(Value::Damaged) => Err(Damaged { table, key: key.to_vec() }),
        }
    }

    pub(super) fn scan(
        &self,
        table: Table,
        range: Range<&[u8]>,
        limit: usize,
    ) -> Result<Vec<KeyValue>, Damaged> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
        let found = self.tables[table as usize].range::<[u8], _>(bounds).take(limit);
        let record = |(key, value): (&Vec<u8>, &Value)| match value {
            Value::Sound(value) => Ok((key.clone(), value.to_vec())),
            Value::Damaged => Err(Damaged { table, key: key.clone() }),
        };
        found.map(record).collect()
    }
}

/// What a key had before; `None` if it was not there.
type Before = (Table, Vec<u8>, Option<Value>);

/// The bit of a value that flips when it is written: which change of the batch, and which bit of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flip {
    pub(super) change: usize,
    pub(super) bit: u64,
}

/// The tables as a process sees them, and what a crash would take back.
#[derive(Debug, Default)]
pub(super) struct Tables {
    now: Arc<Records>,
    /// Of each batch that was written since the last sync, oldest first: what was there before, in the order of
    /// its changes.
    unsynced: VecDeque<Vec<Before>>,
}

impl Tables {
    pub(super) fn now(&self) -> &Arc<Records> {
        &self.now
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Writes a batch, with the bits that flip on the way.
    pub(super) fn write(&mut self, changes: Vec<Change>, flips: &[Flip]) {
        let mut before = Vec::with_capacity(changes.len());
        let records = Arc::make_mut(&mut self.now);
        for (at, change) in changes.into_iter().enumerate() {
            match change {
                Change::Put { table, key, value } => {
                    let flip = flips.iter().find(|flip| flip.change == at);
                    let value = flip
                        .map_or_else(|| Value::Sound(Arc::clone(&value)), |f| flipped(table, &value, f.bit));
                    let old = records.table(table).insert(key.clone(), value);
                    before.push((table, key, old));
                }
                Change::Delete { table, key } => {
                    let old = records.table(table).remove(&key);
                    before.push((table, key, old));
                }
                Change::DeleteRange { table, from, to } if from < to => {
                    let removed = records.table(table).extract_if(from..to, |_, _| true);
                    before.extend(removed.map(|(key, old)| (table, key, Some(old))));
                }
                Change::DeleteRange { .. } => {}
            }
        }
        self.unsynced.push_back(before);
        if self.unsynced.len() > UNSYNCED_MAX {
            self.unsynced.pop_front();
        }
    }

    /// All that was written is durable now.
    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// Takes back all but the first `kept` of the batches that are not durable; these are durable then.
    pub(super) fn crash(&mut self, kept: usize) {
        let lost = self.unsynced.split_off(kept.min(self.unsynced.len()));
        let records = Arc::make_mut(&mut self.now);
        for (table, key, old) in lost.into_iter().rev().flat_map(|batch| batch.into_iter().rev()) {
            match old {
                Some(value) => drop(records.table(table).insert(key, value)),
                None => drop(records.table(table).remove(&key)),
            }
        }
        self.sync();
    }
}

/// A value with one bit flipped. Objects come back as they are, since whoever reads one checks its hash; any other
/// record is found out by the checksum of the database.
fn flipped(table: Table, value: &Arc<[u8]>, bit: u64) -> Value {
    if table != Table::Object {
        return Value::Damaged;
    }
    let mut bytes = value.to_vec();
    if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
        *byte ^= 1 << (bit % 8);
    }
    Value::Sound(bytes.into())
}

#[cfg(test)]
mod tests;
