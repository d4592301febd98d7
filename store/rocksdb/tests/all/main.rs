//! The disk on real files: what every disk promises, and what only a real one can suffer.

#![expect(clippy::disallowed_methods, reason = "these tests start processes and wait for them")]
#![expect(clippy::unwrap_used, reason = "what the helpers of tests need is there, or the test has failed")]

mod child;
mod conformance;
mod damage;
mod full;
mod kill;
mod queue;
mod refusals;

use std::path::Path;
use std::sync::mpsc::sync_channel;

use gritmesh_runtime::{Batch, Change, Disk, DiskError, Table};
use gritmesh_store_rocksdb::{Options, RocksDisk};

/// Little memory, so that records reach sorted files soon.
const SMALL: Options =
    Options { cache_bytes: 1 << 20, memtable_bytes: 1 << 20, reserve_bytes: 0, open_files: 64 };

fn open(directory: &Path) -> RocksDisk {
    RocksDisk::open(directory, SMALL).expect("the directory can be used")
}

/// Writes a batch and waits for it.
fn write(disk: &RocksDisk, batch: Batch) -> Result<(), DiskError> {
    let (done, wait) = sync_channel(1);
    disk.write(batch.into(), Box::new(move |result| done.send(result).expect("the test waits")));
    wait.recv().expect("every batch completes")
}

fn put(table: Table, key: &[u8], value: &[u8]) -> Change {
    Change::put(table, key, value)
}
