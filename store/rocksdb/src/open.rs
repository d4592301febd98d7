//! Opening the database of a data directory: whose it is, of which format, and whether it is sound.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gritmesh_runtime::{Change, DiskError, Table};
use rocksdb::{Cache, DB, ErrorKind, IteratorMode, WriteBatch, WriteOptions};

use crate::budget::RESERVE_BYTES;
use crate::legacy::Legacy;
use crate::space::{Kind, free_bytes};
use crate::writer::add;
use crate::{Options, directory, failure, options, private, snapshot};

/// The form of the records that this version writes. A change that an older version would misread is a new number.
const FORMAT: u32 = 1;

/// The record of it in [`Table::Node`]: four bytes, little-endian.
const FORMAT_KEY: &[u8] = b"format";

const MIB: u64 = 1 << 20;

/// Why a data directory cannot be used. Nothing in it was changed. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory cannot be made or read.
    #[error("cannot use the data directory at {}: choose another one with `--data`", path.display())]
    Directory {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its owner does not let this process use it.
    #[error(
        "no permission to use the data directory at {}: make it writable for the node's user, or choose another one \
         with `--data`",
        path.display()
    )]
    Permission {
        /// The directory, or the file in it.
        path: PathBuf,
    },
    /// Other users may look into it, and this process may not change that.
    #[error("other users may read or change {}: run `chmod -R go= {}` as its owner", path.display(), path.display())]
    Exposed {
        /// The file or folder in it.
        path: PathBuf,
    },
    /// It holds something else.
    #[error(
        "{} is no data directory, it holds `{found}`: choose an empty one with `--data`",
        directory.display()
    )]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// Something in it that no node wrote.
        found: String,
    },
    /// Another process has it open.
    #[error(
        "the data directory {} is in use by another node: stop that node, or choose another directory with \
         `--data`",
        directory.display()
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "the data directory {} has format {format}, this version knows {FORMAT}: start the version that wrote it, or \
         a later one",
        directory.display()
    )]
    Newer {
        /// The directory.
        directory: PathBuf,
        /// Its format.
        format: u32,
    },
    /// What is in it contradicts its checksums, or is incomplete.
    #[error(
        "the data directory {} is damaged ({detail}): restore it, or start with an empty one and let the other \
         replicas fill it",
        directory.display()
    )]
    Corrupt {
        /// The directory.
        directory: PathBuf,
        /// What is damaged, as far as that is known.
        detail: String,
    },
    /// A file of the previous version is damaged.
    #[error("{} is damaged: restore it, or start with an empty directory", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// There is no room to open it.
    #[error(
        "no space left for the data directory {}: its file system has {free_mib} MiB free, and {needed_mib} MiB are needed \
         to start: make room there, or give it more",
        directory.display()
    )]
    Full {
        /// The directory.
        directory: PathBuf,
        /// What is free there.
        free_mib: u64,
        /// What has to be free.
        needed_mib: u64,
    },
    /// The database refuses for another reason.
    #[error("cannot open the data directory {}: {detail}", directory.display())]
    Database {
        /// The directory.
        directory: PathBuf,
        /// The database's words.
        detail: String,
    },
}

impl OpenError {
    pub(crate) fn directory(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            _ => Self::Directory { path, source },
        }
    }

    /// There is less room than `needed` bytes.
    pub(crate) fn full(directory: &Path, needed: u64) -> Self {
        let (free_mib, needed_mib) = (free_bytes(directory) / MIB, needed.div_ceil(MIB));
        Self::Full { directory: directory.to_owned(), free_mib, needed_mib }
    }

    fn of_database(directory: &Path, error: &rocksdb::Error) -> Self {
        if failure::is_no_space(error) {
            return Self::full(directory, Kind::Change.leaves(RESERVE_BYTES));
        }
        let directory = directory.to_owned();
        let text: &str = error.as_ref();
        let detail = text.lines().next().unwrap_or_default().to_owned();
        // The binding passes on nothing but the text, and of the operating system's words these.
        if text.contains("While lock file") || text.contains("lock hold by current process") {
            Self::InUse { directory }
        } else if text.contains("Permission denied") || text.contains("Read-only file system") {
            Self::Permission { path: directory }
        } else if error.kind() == ErrorKind::Corruption {
            Self::Corrupt { directory, detail }
        } else {
            Self::Database { directory, detail }
        }
    }

    fn of_disk(directory: &Path, error: DiskError) -> Self {
        let path = directory;
        let directory = directory.to_owned();
        match error {
            DiskError::Corrupt { detail } => Self::Corrupt { directory, detail },
            DiskError::Full => Self::full(path, Kind::Change.leaves(RESERVE_BYTES)),
            other => Self::Database { directory, detail: other.to_string() },
        }
    }
}

/// An open database, whose format is this version's.
pub(crate) struct Opened {
    pub(crate) database: Arc<DB>,
    /// Kept, because RocksDB counts in them.
    pub(crate) options: rocksdb::Options,
    pub(crate) path: PathBuf,
}

pub(crate) fn open(directory: &Path, wanted: &Options) -> Result<Opened, OpenError> {
    let (path, exists) = directory::prepare(directory)?;
    // A new node has to keep its reserve; one that was there before comes up with less, to be asked and to be mended.
    let kind = if exists { Kind::Change } else { Kind::Bulk };
    let needed = kind.leaves(wanted.reserve_bytes);
    if free_bytes(directory) < needed {
        return Err(OpenError::full(directory, needed));
    }
    if exists {
        check_tables(directory, &path)?;
    }
    let database_options = options::database(wanted);
    let cache = Cache::new_lru_cache(wanted.cache_bytes);
    let tables = Table::ALL.map(|table| (table.as_str(), options::table(table, &cache)));
    let database = DB::open_cf_with_opts(&database_options, &path, tables)
        .map_err(|error| OpenError::of_database(directory, &error))?;
    settle_format(&database, directory)?;
    private::tighten(directory, &path)?;
    Ok(Opened { database: Arc::new(database), options: database_options, path })
}

/// Refuses what RocksDB would open and change although it is not ours, or not for us.
fn check_tables(directory: &Path, path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::of_database(directory, &error);
    let found = DB::list_cf(&rocksdb::Options::default(), path).map_err(failed)?;
    let ours = |name: &str| Table::ALL.iter().any(|table| table.as_str() == name);
    let unknown = found.iter().find(|name| *name != rocksdb::DEFAULT_COLUMN_FAMILY_NAME && !ours(name));
    let node = Table::Node.as_str();
    let has_node = found.iter().any(|name| name == node);
    if unknown.is_none() && has_node {
        return Ok(());
    }
    let families = has_node.then_some(node);
    let database = DB::open_cf_for_read_only(&rocksdb::Options::default(), path, families, false);
    let database = database.map_err(failed)?;
    if has_node && let Some(format) = read_format(&database, directory)? {
        // Tables that this version does not know: whatever the number, it cannot open them.
        return Err(OpenError::Newer { directory: directory.to_owned(), format });
    }
    match unknown {
        Some(name) => Err(OpenError::Foreign { directory: directory.to_owned(), found: name.clone() }),
        // What a first start leaves that was cut short: no table yet, and nothing in it.
        None if database.iterator(IteratorMode::Start).next().is_none() => Ok(()),
        None => Err(foreign_database(directory)),
    }
}

fn foreign_database(directory: &Path) -> OpenError {
    OpenError::Foreign { directory: directory.to_owned(), found: "another database".into() }
}

fn read_format(database: &DB, directory: &Path) -> Result<Option<u32>, OpenError> {
    let found = snapshot::get(database, database, Table::Node, FORMAT_KEY)
        .map_err(|error| OpenError::of_disk(directory, error))?;
    let Some(bytes) = found else { return Ok(None) };
    let number = bytes.try_into().map(u32::from_le_bytes).ok().filter(|number| *number > 0);
    let damaged =
        || OpenError::Corrupt { directory: directory.to_owned(), detail: "the record of its format".into() };
    number.ok_or_else(damaged).map(Some)
}

fn settle_format(database: &DB, directory: &Path) -> Result<(), OpenError> {
    match read_format(database, directory)? {
        Some(FORMAT) => {
            // Left over if the last start was cut short after it had made records of them.
            Legacy::remove_all(directory)
        }
        Some(format) => Err(OpenError::Newer { directory: directory.to_owned(), format }),
        None if !is_empty(database) => Err(foreign_database(directory)),
        None => {
            let mut records = Legacy::read(directory)?;
            records.push(Change::put(Table::Node, FORMAT_KEY, FORMAT.to_le_bytes()));
            write_first(database, &records).map_err(|error| OpenError::of_database(directory, &error))?;
            Legacy::remove_all(directory)
        }
    }
}

fn is_empty(database: &DB) -> bool {
    Table::ALL.iter().all(|table| {
        let family = snapshot::family(database, *table);
        database.iterator_cf(family, IteratorMode::Start).next().is_none()
    })
}

fn write_first(database: &DB, records: &[Change]) -> Result<(), rocksdb::Error> {
    let mut batch = WriteBatch::default();
    let families = Table::ALL.map(|table| snapshot::family(database, table));
    records.iter().for_each(|change| add(&mut batch, &families, change));
    let mut options = WriteOptions::default();
    options.set_sync(true);
    database.write_opt(batch, &options)
}
