//! Reading, now or from a fixed state.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use gritmesh_runtime::{DiskError, KeyValue, Reads, Table};
use rocksdb::{ColumnFamily, DB, DBAccess, DBRawIteratorWithThreadMode, ReadOptions};

use crate::failure::translate;

const OPENED: &str = "every table was opened with the database";

pub(crate) fn family(database: &DB, table: Table) -> &ColumnFamily {
    database.cf_handle(table.as_str()).expect(OPENED)
}

pub(crate) fn get(
    database: &DB,
    from: &impl DBAccess,
    table: Table,
    key: &[u8],
) -> Result<Option<Vec<u8>>, DiskError> {
    let found = from.get_cf_opt(family(database, table), key, &ReadOptions::default());
    found.map_err(|error| translate(&error, "reading", database.path()))
}

/// Reads a range with an iterator that the caller opens.
pub(crate) fn scan<'a, D: DBAccess + 'a>(
    path: &Path,
    range: &Range<&[u8]>,
    limit: usize,
    open: impl FnOnce(ReadOptions) -> DBRawIteratorWithThreadMode<'a, D>,
) -> Result<Vec<KeyValue>, DiskError> {
    let mut found = Vec::new();
    if range.start >= range.end {
        return Ok(found);
    }
    let mut options = ReadOptions::default();
    options.set_iterate_range(range.start..range.end);
    // What is scanned is read once, and should not drive out what is looked up often.
    options.fill_cache(false);
    let mut records = open(options);
    records.seek_to_first();
    while found.len() < limit
        && let Some((key, value)) = records.item()
    {
        found.push((key.to_vec(), value.to_vec()));
        records.next();
    }
    // An iterator ends at an error as it ends at the last record.
    records.status().map_err(|error| translate(&error, "reading", path))?;
    Ok(found)
}

type Fixed<'a> = rocksdb::Snapshot<'a>;

self_cell::self_cell!(
    /// A snapshot together with the database that it is of.
    pub(crate) struct Held {
        owner: Arc<DB>,

        #[covariant]
        dependent: Fixed,
    }
);

impl Held {
    pub(crate) fn take(database: Arc<DB>) -> Self {
        Self::new(database, |database| database.snapshot())
    }
}

impl Reads for Held {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        let database = self.borrow_owner();
        let found = self.borrow_dependent().get_cf(family(database, table), key);
        found.map_err(|error| translate(&error, "reading", database.path()))
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        let database = self.borrow_owner();
        let open = |options| self.borrow_dependent().raw_iterator_cf_opt(family(database, table), options);
        scan(database.path(), &range, limit, open)
    }
}
