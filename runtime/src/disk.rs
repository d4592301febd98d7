//! What a node keeps across restarts.

use std::sync::Arc;

/// One change: a key gets a value, or loses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key, in the words of whoever owns it.
    pub key: String,
    /// Its new value; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// Called once when a write has reached the disk, or has failed.
pub type Persisted = Box<dyn FnOnce(Result<(), DiskError>) + Send>;

/// Durable keys and values of one node.
///
/// A write is atomic and durable when its completion says so, not earlier: after a crash an unfinished write
/// may be there or not. Completions come in the order of the writes.
pub trait Disk: Send + Sync {
    /// Reads one key, at start only: it blocks.
    ///
    /// # Errors
    /// If the disk cannot be read.
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, DiskError>;

    /// Writes records and makes them durable, then calls `done`, possibly on another thread. Never blocks.
    fn write(&self, records: Vec<Record>, done: Persisted);
}

/// Why the disk refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiskError {
    /// The operating system's words.
    #[error("{operation} `{path}` failed")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The process is going down.
    #[error("the disk is closed")]
    Closed,
}
