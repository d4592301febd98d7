//! What the disk may use.

/// Bytes of blocks kept in memory for reading, for all tables together.
const CACHE_BYTES: usize = 64 << 20;

/// Bytes of changes kept in memory until they are written as sorted files, for all tables together.
const MEMTABLE_BYTES: usize = 64 << 20;

/// Bytes of the file system that new work leaves free. Half of it is for what is under way then, such as entries of logs
/// that other nodes have begun; the rest is enough to write out all that is in memory once.
pub(crate) const RESERVE_BYTES: u64 = 128 << 20;

/// Files kept open. The usual limit of a process is 1024, and connections need most of it.
const OPEN_FILES: i32 = 256;

/// What the disk may use of the machine. The default fits a small machine of two cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of blocks kept in memory for reading.
    pub cache_bytes: usize,
    /// Bytes of changes kept in memory until they are written as sorted files.
    pub memtable_bytes: usize,
    /// Bytes of the file system below which nothing new is begun; what is under way may use a half of them.
    pub reserve_bytes: u64,
    /// Files kept open.
    pub open_files: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: CACHE_BYTES,
            memtable_bytes: MEMTABLE_BYTES,
            reserve_bytes: RESERVE_BYTES,
            open_files: OPEN_FILES,
        }
    }
}
