//! Who may look into the data directory: the node's user alone.
//!
//! **Problem.** The records hold whatever actors were told, and RocksDB makes its files for everybody to read.
//!
//! **Design.** What is made here is made for the owner only, and the binary sets a umask, which RocksDB keeps to. Earlier
//! versions, an archive that was unpacked, or an orchestrator that opens a volume to a group leave other modes, so at
//! each start all that a node writes is tightened. What cannot be, because it is another user's, is refused with the
//! command that mends it. Only the directory itself may be another user's, as the root of a mounted volume is: what lies
//! in it is closed all the same.
//!
//! **Deliberately absent.** Anything in the directory that the node has not written, and whatever a symbolic link in
//! it leads to.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::OpenError;
use crate::directory::IDENTITY;

/// What group and others may do, which is nothing.
const OTHERS: u32 = 0o077;
const DIRECTORY_MODE: u32 = 0o700;

/// Makes a directory, and those above it that are missing.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

/// Takes from everybody else what they may do with the files of a node.
pub(crate) fn tighten(directory: &Path, database: &Path) -> Result<(), OpenError> {
    // What lies in a closed directory could not be read, whatever its own mode. If it cannot be closed, it is another
    // user's.
    let was_open = close(directory).unwrap_or(true);
    let mut tightened = u64::from(was_open);
    let identity = directory.join(IDENTITY);
    for path in [database, &identity] {
        tightened += close_or_refuse(path)?;
    }
    tightened += tighten_below(database)?;
    if was_open && tightened > 1 {
        let path = directory.display();
        tracing::warn!(%path, tightened, "other users could read the data directory: it is closed to them now");
    }
    Ok(())
}

/// Closes what lies in a directory of the database, which has one level of further ones.
fn tighten_below(directory: &Path) -> Result<u64, OpenError> {
    let failed = |source| OpenError::directory(directory, source);
    let mut tightened = 0;
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_symlink() {
            continue;
        }
        tightened += close_or_refuse(&entry.path())?;
        if kind.is_dir() {
            tightened += tighten_below(&entry.path())?;
        }
    }
    Ok(tightened)
}

fn close_or_refuse(path: &Path) -> Result<u64, OpenError> {
    match close(path) {
        Ok(closed) => Ok(u64::from(closed)),
        // RocksDB tidies up beside this.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(_) => Err(OpenError::Exposed { path: path.to_owned() }),
    }
}

/// Whether it had to be closed.
fn close(path: &Path) -> io::Result<bool> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_others_may_do_is_taken_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("above/data");
        let database = data.join("database");
        make(&database.join("incoming")).unwrap();
        assert_eq!([mode(&folder.path().join("above")), mode(&database)], [0o700; 2]);
        let files = ["identity.key", "database/CURRENT", "database/incoming/log", "somebody's"];
        for (file, given) in files.iter().zip([0o660, 0o644, 0o600, 0o644]) {
            fs::write(data.join(file), "x").unwrap();
            fs::set_permissions(data.join(file), Permissions::from_mode(given)).unwrap();
        }
        let outside = folder.path().join("outside");
        fs::write(&outside, "x").unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&outside, database.join("link")).unwrap();
        for path in [&data, &database] {
            fs::set_permissions(path, Permissions::from_mode(0o2755)).unwrap();
        }
        tighten(&data, &database).unwrap();
        assert_eq!(files.map(|file| mode(&data.join(file))), [0o600, 0o600, 0o600, 0o644]);
        assert_eq!([mode(&data), mode(&database), mode(&outside)], [0o2700, 0o2700, 0o644]);
        fs::remove_file(data.join("identity.key")).unwrap();
        tighten(&data, &database).unwrap();
    }
}
