//! What lies on a disk, for whoever drives the world: no process has to run there, and no fault stands in the way.

use std::ops::Range;
use std::sync::Arc;

use gritmesh_runtime::{DiskError, KeyValue, Reads, Snapshot, Table};

use super::corrupt;
use super::tables::Records;
use crate::world::{NodeIndex, World};

/// One state of a disk. Records that are damaged stay so.
struct Contents(Arc<Records>);

impl Reads for Contents {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.0.get(table, key).map_err(corrupt)
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        self.0.scan(table, range, limit).map_err(corrupt)
    }
}

impl World {
    /// What lies on the disk of a node now, synced or not.
    pub fn disk_contents(&self, node: NodeIndex) -> Snapshot {
        Arc::new(Contents(Arc::clone(self.shared.lock().host(node).disk.tables.now())))
    }
}
