//! The data directory, before a database is opened in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::legacy::Legacy;
use crate::{OpenError, private};

/// The database's folder in the data directory.
const DATABASE: &str = "database";

/// The file by which RocksDB knows a database. It is written last when one is made.
const CURRENT: &str = "CURRENT";

/// The node's key, which lies beside the database.
pub(crate) const IDENTITY: &str = "identity.key";

/// What a freshly made file system holds.
const OF_FILE_SYSTEM: &str = "lost+found";

/// Makes the directory if it is missing, and gives the path of the database and whether there is one. A directory
/// that holds somebody else's files is left as it is.
pub(crate) fn prepare(directory: &Path) -> Result<(PathBuf, bool), OpenError> {
    let failed = |source| OpenError::directory(directory, source);
    private::make(directory).map_err(failed)?;
    let path = directory.join(DATABASE);
    let exists = path.join(CURRENT).is_file();
    if !exists {
        if let Some(found) = foreign_file(directory).map_err(failed)? {
            return Err(OpenError::Foreign { directory: directory.to_owned(), found });
        }
        private::make(&path).map_err(failed)?;
        if let Some(found) = orphan(&path).map_err(failed)? {
            let detail = format!("`{CURRENT}` is missing beside `{found}`");
            return Err(OpenError::Corrupt { directory: directory.to_owned(), detail });
        }
    }
    Ok((path, exists))
}

/// Something that does not belong to a node, in a directory where no node has been.
fn foreign_file(directory: &Path) -> io::Result<Option<String>> {
    if directory.join(IDENTITY).is_file() || Legacy::is_in(directory) {
        return Ok(None);
    }
    // The database's folder without a database is what a first start leaves that was cut short.
    first_name(directory, |name| name != OF_FILE_SYSTEM && name != DATABASE)
}

/// A file with records of a database that has lost its `CURRENT`. RocksDB would begin a new one over it.
fn orphan(database: &Path) -> io::Result<Option<String>> {
    first_name(database, |name| name.ends_with(".sst") || name.ends_with(".log"))
}

/// The first of a directory's names, in their order, that is such a one.
fn first_name(directory: &Path, is_such: impl Fn(&str) -> bool) -> io::Result<Option<String>> {
    let mut first: Option<String> = None;
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_such(&name) && first.as_ref().is_none_or(|first| name < *first) {
            first = Some(name);
        }
    }
    Ok(first)
}
