//! The disk as the node sees it.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use gritmesh_runtime::{
    Batch, Change, Disk, DiskError, DiskSpace, KeyValue, Persisted, Reads, Snapshot, Table,
};
use parking_lot::RwLock;
use rocksdb::DB;
use rocksdb::statistics::Ticker;

use crate::ingest::Ingester;
use crate::open::{Opened, open};
use crate::snapshot::{self, Held};
use crate::space::Space;
use crate::writer::Writer;
use crate::{OpenError, Options};

/// The tables of a node in one RocksDB database.
pub struct RocksDisk {
    writer: Writer,
    ingester: Ingester,
    /// `None` once it was closed.
    database: RwLock<Option<Arc<DB>>>,
    options: rocksdb::Options,
    space: Space,
}

/// Bytes that the database has written since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// To the write-ahead log: every batch once.
    pub log: u64,
    /// To sorted files, from memory.
    pub flush: u64,
    /// To sorted files, from other sorted files.
    pub compaction: u64,
}

impl Written {
    /// All of it.
    pub const fn total(&self) -> u64 {
        self.log + self.flush + self.compaction
    }
}

impl RocksDisk {
    /// Opens the database of a data directory; both are made if they are missing. What a batch completes is called
    /// by the disk's own threads, as a part of the tokio runtime on which this is called, if it is.
    ///
    /// # Errors
    /// If the directory is of no use, in one line that says what to do.
    pub fn open(directory: &Path, options: Options) -> Result<Self, OpenError> {
        let Opened { database, options: database_options, path } = open(directory, &options)?;
        let space = Space::new(&path, options.reserve_bytes);
        let writer =
            Writer::start(&database, &space).map_err(|source| OpenError::directory(directory, source))?;
        let ingester = Ingester::start(Arc::clone(&database), space.clone(), &path)
            .map_err(|source| OpenError::directory(directory, source))?;
        Ok(Self { writer, ingester, database: RwLock::new(Some(database)), options: database_options, space })
    }

    /// Writes what waits, tells all of it, and lets go of the directory as soon as the last snapshot is dropped.
    /// Whatever is asked afterwards is answered by [`DiskError::Closed`].
    pub fn close(&self) {
        self.ingester.close();
        self.writer.close();
        drop(self.database.write().take());
    }

    /// What the database has written since it was opened.
    pub fn written_bytes(&self) -> Written {
        let counted = |ticker| self.options.get_ticker_count(ticker);
        Written {
            log: counted(Ticker::WalFileBytes),
            flush: counted(Ticker::FlushWriteBytes),
            compaction: counted(Ticker::CompactWriteBytes),
        }
    }

    fn database(&self) -> Result<Arc<DB>, DiskError> {
        self.database.read().clone().ok_or(DiskError::Closed)
    }
}

impl Reads for RocksDisk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        let database = self.database()?;
        snapshot::get(&database, &*database, table, key)
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        let database = self.database()?;
        let open = |options| database.raw_iterator_cf_opt(snapshot::family(&database, table), options);
        snapshot::scan(database.path(), &range, limit, open)
    }
}

impl Disk for RocksDisk {
    fn write(&self, batch: Arc<Batch>, done: Persisted) {
        self.writer.write(batch, done);
    }

    fn load(&self, rows: Arc<[Change]>, done: Persisted) {
        self.ingester.load(rows, done);
    }

    fn has_room(&self) -> bool {
        self.space.has_room()
    }

    fn space(&self) -> Option<DiskSpace> {
        Some(self.space.now())
    }

    fn snapshot(&self) -> Result<Snapshot, DiskError> {
        Ok(Arc::new(Held::take(self.database()?)))
    }
}

impl fmt::Debug for RocksDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksDisk").finish_non_exhaustive()
    }
}
