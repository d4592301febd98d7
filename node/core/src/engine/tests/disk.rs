//! A disk in memory. Engines only read from it; the world writes their batches when it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gritmesh_runtime::{Batch, Change, Disk, DiskError, KeyValue, Persisted, Reads, Snapshot, Table};
use parking_lot::Mutex;

pub(super) type Rows = BTreeMap<(Table, Vec<u8>), Arc<[u8]>>;

#[derive(Clone, Default)]
pub(super) struct MemoryDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    rows: Mutex<Rows>,
    unreadable: AtomicBool,
    full: AtomicBool,
    rows_read: AtomicUsize,
    /// Rows of which the disk says that they are damaged.
    damaged: Mutex<BTreeSet<(Table, Vec<u8>)>>,
}

impl MemoryDisk {
    pub(super) fn apply(&self, batch: &Batch) {
        let (mut rows, mut damaged) = (self.0.rows.lock(), self.0.damaged.lock());
        for change in &batch.changes {
            damaged.retain(|(of, at)| !match change {
                Change::Put { table, key, .. } | Change::Delete { table, key } => of == table && at == key,
                Change::DeleteRange { table, from, to } => of == table && (from..to).contains(&at),
            });
            match change {
                Change::Put { table, key, value } => {
                    rows.insert((*table, key.clone()), Arc::clone(value));
                }
                Change::Delete { table, key } => {
                    rows.remove(&(*table, key.clone()));
                }
                Change::DeleteRange { table, from, to } => {
                    rows.retain(|(of, key), _| of != table || key < from || key >= to);
                }
            }
        }
    }

    /// A disk of its own with the same rows.
    pub(super) fn copy(&self) -> Self {
        let damaged = Mutex::new(self.0.damaged.lock().clone());
        Self(Arc::new(Shared { rows: Mutex::new(self.rows()), damaged, ..Shared::default() }))
    }

    pub(super) fn rows(&self) -> Rows {
        self.0.rows.lock().clone()
    }

    pub(super) fn rows_of(&self, table: Table) -> usize {
        self.0.rows.lock().keys().filter(|(of, _)| *of == table).count()
    }

    pub(super) fn remove(&self, table: Table, key: &[u8]) {
        self.0.rows.lock().remove(&(table, key.to_vec()));
    }

    /// How many rows were read since the last look, and how often none was found.
    pub(super) fn rows_read(&self) -> usize {
        self.0.rows_read.swap(0, Ordering::Relaxed)
    }

    /// Rows are damaged, and the disk knows, until they are written again.
    pub(super) fn damage(&self, which: impl Fn(Table, &[u8]) -> bool) {
        let rows = self.0.rows.lock();
        let hit = rows.keys().filter(|(table, key)| which(*table, key)).cloned();
        self.0.damaged.lock().extend(hit);
    }

    /// A bit of a row has flipped, and the disk does not know.
    pub(super) fn flip(&self, table: Table, key: &[u8]) {
        let mut rows = self.0.rows.lock();
        let value = rows.get_mut(&(table, key.to_vec())).expect("the row is there");
        let mut bytes = value.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        *value = bytes.into();
    }

    /// From now on reading fails.
    pub(super) fn break_reading(&self) {
        self.0.unreadable.store(true, Ordering::Relaxed);
    }

    /// Whether there is room for something new from now on.
    pub(super) fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::Relaxed);
    }

    fn sound(&self, table: Table, key: &[u8]) -> Result<(), DiskError> {
        match self.0.damaged.lock().contains(&(table, key.to_vec())) {
            true => Err(DiskError::Corrupt { detail: format!("a row of {}", table.as_str()) }),
            false => Ok(()),
        }
    }

    fn readable(&self) -> Result<(), DiskError> {
        let source = || Arc::new(ErrorKind::Other.into());
        match self.0.unreadable.load(Ordering::Relaxed) {
            true => Err(DiskError::Io { operation: "reading", path: "memory".into(), source: source() }),
            false => Ok(()),
        }
    }
}

impl Reads for MemoryDisk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.readable()?;
        self.sound(table, key)?;
        self.0.rows_read.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.rows.lock().get(&(table, key.to_vec())).map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        self.readable()?;
        let (from, to) = ((table, range.start.to_vec()), (table, range.end.to_vec()));
        if from >= to {
            return Ok(Vec::new());
        }
        let rows = self.0.rows.lock();
        let found = rows.range(from..to).take(limit);
        let row = |((table, key), value): (&(Table, Vec<u8>), &Arc<[u8]>)| {
            self.sound(*table, key)?;
            Ok((key.clone(), value.to_vec()))
        };
        let found: Vec<_> = found.map(row).collect::<Result<_, _>>()?;
        self.0.rows_read.fetch_add(found.len().max(1), Ordering::Relaxed);
        Ok(found)
    }
}

impl Disk for MemoryDisk {
    fn write(&self, _: Arc<Batch>, _: Persisted) {
        unreachable!("an engine writes by an effect");
    }

    fn has_room(&self) -> bool {
        !self.0.full.load(Ordering::Relaxed)
    }

    fn snapshot(&self) -> Result<Snapshot, DiskError> {
        Ok(Arc::new(self.copy()))
    }
}
