//! What RocksDB says, in our words.

use std::io;
use std::path::Path;
use std::sync::Arc;

use gritmesh_runtime::DiskError;
use rocksdb::ErrorKind;

/// How RocksDB words the operating system's ENOSPC and EDQUOT. The binding passes on nothing but the text.
const NO_SPACE: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

pub(crate) fn is_no_space(error: &rocksdb::Error) -> bool {
    let text: &str = error.as_ref();
    NO_SPACE.iter().any(|words| text.contains(words))
}

/// The error of an operation on an open database.
pub(crate) fn translate(error: &rocksdb::Error, operation: &'static str, path: &Path) -> DiskError {
    if is_no_space(error) {
        return DiskError::Full;
    }
    match error.kind() {
        ErrorKind::Corruption => {
            DiskError::Corrupt { detail: format!("{operation} `{}`: {error}", path.display()) }
        }
        ErrorKind::ShutdownInProgress => DiskError::Closed,
        _ => DiskError::Io {
            operation,
            path: path.display().to_string(),
            source: Arc::new(io::Error::other(error.clone())),
        },
    }
}
