//! Big parts of a pulled state: written as sorted files, which the database then takes over as they are.
//!
//! **Problem.** Through the log of changes every byte of a state would be written twice and copied five times, and
//! the commits of all other shards would wait behind it.
//!
//! **Design.** A thread of its own sorts the records, writes a file of each table, syncs it and hands it over. That
//! costs one write of each byte, no memory of the database, and no later compaction if the file lies in a gap
//! between others. Commits go on beside it: they only wait for the moment in which the file is entered.
//!
//! **Deliberately absent.** An order between these records and the batches: whoever needs one waits for the answer.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use gritmesh_runtime::{Change, DiskError, Persisted, Table};
use parking_lot::{Condvar, Mutex};
use rocksdb::{Cache, DB, IngestExternalFileOptions, SstFileWriter};

use crate::failure::translate;
use crate::options;
use crate::snapshot::family;
use crate::space::{Kind, Space};

/// Where files lie until the database has them, within its own folder: both must be on one file system. What a crash
/// leaves there belongs to nothing.
const FOLDER: &str = "incoming";

/// Parts that may wait. Each engine has a few under way; beyond it they fail as overloaded.
const WAITING_MAX: usize = 64;

struct Waiting {
    rows: Arc<[Change]>,
    done: Persisted,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

/// The queue, and the thread that empties it.
pub(crate) struct Ingester {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ingester {
    /// Starts the thread, which calls completions as a part of the tokio runtime on which this is called, if it is.
    pub(crate) fn start(database: Arc<DB>, space: Space, path: &Path) -> io::Result<Self> {
        let folder = path.join(FOLDER);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        let shared = Arc::new(Shared::default());
        let queue = Arc::clone(&shared);
        let runtime = tokio::runtime::Handle::try_current().ok();
        let thread = std::thread::Builder::new().name("disk-bulk".into()).spawn(move || {
            let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
            let _closes = CloseAtEnd(&queue);
            let loading = Loading { database: &database, space, folder };
            while let Some(Waiting { rows, done }) = queue.wait() {
                let loaded = loading.load(&rows);
                drop(rows);
                done(loaded);
            }
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn load(&self, rows: Arc<[Change]>, done: Persisted) {
        let mut queue = self.shared.queue.lock();
        let refused = match (queue.closed, queue.waiting.len() < WAITING_MAX) {
            (true, _) => DiskError::Closed,
            (false, false) => DiskError::Overloaded,
            (false, true) => {
                queue.waiting.push_back(Waiting { rows, done });
                drop(queue);
                self.shared.filled.notify_one();
                return;
            }
        };
        drop(queue);
        done(Err(refused));
    }

    /// Writes what waits, and ends the thread. What comes later fails as closed.
    pub(crate) fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.filled.notify_one();
        let thread = self.thread.lock().take();
        // The last holder of the disk may be a completion; the thread then ends by itself, right after it.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A completion that panicked has said so on its own thread.
            drop(thread.join());
        }
    }
}

impl Drop for Ingester {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Waits for a part. `None` when nothing comes any more.
    fn wait(&self) -> Option<Waiting> {
        let mut queue = self.queue.lock();
        while queue.waiting.is_empty() {
            if queue.closed {
                return None;
            }
            self.filled.wait(&mut queue);
        }
        queue.waiting.pop_front()
    }
}

/// However the thread ends, nobody waits for it any more.
struct CloseAtEnd<'a>(&'a Shared);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.closed = true;
        let left = std::mem::take(&mut queue.waiting);
        drop(queue);
        left.into_iter().for_each(|waiting| (waiting.done)(Err(DiskError::Closed)));
    }
}

struct Loading<'a> {
    database: &'a DB,
    space: Space,
    folder: PathBuf,
}

impl Loading<'_> {
    fn load(&self, rows: &[Change]) -> Result<(), DiskError> {
        let mut tables: BTreeMap<Table, BTreeMap<&[u8], &[u8]>> = BTreeMap::new();
        let mut bytes = 0;
        for row in rows {
            let Change::Put { table, key, value } = row else { return Err(self.failed("only puts")) };
            bytes += key.len() + value.len();
            // The later of two puts of one key counts.
            tables.entry(*table).or_default().insert(key, value);
        }
        if !self.space.measure().grant(bytes as u64, Kind::Bulk) {
            return Err(DiskError::Full);
        }
        tables.iter().try_for_each(|(table, rows)| self.load_table(*table, rows))
    }

    fn load_table(&self, table: Table, rows: &BTreeMap<&[u8], &[u8]>) -> Result<(), DiskError> {
        // One part is loaded at a time, and the database takes the file away.
        let file = self.folder.join(table.as_str());
        let loaded = self.write(table, rows, &file).and_then(|()| {
            let mut options = IngestExternalFileOptions::default();
            options.set_move_files(true);
            let family = family(self.database, table);
            self.database.ingest_external_file_cf_opts(family, &options, vec![&file])
        });
        // Of a file that was taken over only the name is left.
        let _ = fs::remove_file(&file);
        loaded.map_err(|error| translate(&error, "writing a part of a state to", self.database.path()))
    }

    fn write(&self, table: Table, rows: &BTreeMap<&[u8], &[u8]>, file: &Path) -> Result<(), rocksdb::Error> {
        let options = options::table(table, &Cache::new_lru_cache(0));
        let mut writer = SstFileWriter::create(&options);
        writer.open(file)?;
        rows.iter().try_for_each(|(key, value)| writer.put(key, value))?;
        // That syncs it too.
        writer.finish()
    }

    fn failed(&self, detail: &'static str) -> DiskError {
        DiskError::Io {
            operation: "writing a part of a state to",
            path: self.database.path().display().to_string(),
            source: Arc::new(io::Error::new(io::ErrorKind::InvalidInput, detail)),
        }
    }
}
