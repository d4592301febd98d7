//! A disk in memory. Engines only read from it; the world writes their batches when it likes.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gritmesh_runtime::{Batch, Change, Disk, DiskError, KeyValue, Persisted, Reads, Snapshot, Table};
use parking_lot::Mutex;

type Rows = BTreeMap<(Table, Vec<u8>), Arc<[u8]>>;

#[derive(Clone, Default)]
pub(super) struct MemoryDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    rows: Mutex<Rows>,
    unreadable: AtomicBool,
    rows_read: AtomicUsize,
}

impl MemoryDisk {
    pub(super) fn apply(&self, batch: &Batch) {
        let mut rows = self.0.rows.lock();
        for change in &batch.changes {
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
        Self(Arc::new(Shared { rows: Mutex::new(self.rows()), ..Shared::default() }))
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

    /// From now on reading fails.
    pub(super) fn break_reading(&self) {
        self.0.unreadable.store(true, Ordering::Relaxed);
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
        let found: Vec<_> = found.map(|((_, key), value)| (key.clone(), value.to_vec())).collect();
        self.0.rows_read.fetch_add(found.len().max(1), Ordering::Relaxed);
        Ok(found)
    }
}

impl Disk for MemoryDisk {
    fn write(&self, _: Arc<Batch>, _: Persisted) {
        unreachable!("an engine writes by an effect");
    }

    fn snapshot(&self) -> Result<Snapshot, DiskError> {
        Ok(Arc::new(self.copy()))
    }
}
