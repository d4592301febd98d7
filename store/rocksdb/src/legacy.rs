//! What a node of the previous version left: two files, which become records.

use std::fs;
use std::io;
use std::path::Path;

use gritmesh_runtime::{Change, Table};

use crate::OpenError;

/// The files, with the length that each had. Their bytes are the records' bytes.
const FILES: [(&str, usize); 2] = [("cluster", 16), ("incarnation", 8)];

pub(crate) struct Legacy;

impl Legacy {
    /// Whether a node of the previous version has been here.
    pub(crate) fn is_in(directory: &Path) -> bool {
        FILES.iter().any(|(name, _)| directory.join(name).is_file())
    }

    /// The files as records.
    pub(crate) fn read(directory: &Path) -> Result<Vec<Change>, OpenError> {
        let mut records = Vec::new();
        for (name, bytes) in FILES {
            let path = directory.join(name);
            match fs::read(&path) {
                Ok(value) if value.len() == bytes => records.push(Change::put(Table::Node, name, value)),
                Ok(_) => return Err(OpenError::Damaged { path }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(OpenError::directory(&path, source)),
            }
        }
        Ok(records)
    }

    /// Removes the files, now that the records are durable. One that a crash brings back is removed at the next
    /// start.
    pub(crate) fn remove_all(directory: &Path) -> Result<(), OpenError> {
        for (name, _) in FILES {
            let path = directory.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(OpenError::directory(&path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
