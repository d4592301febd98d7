//! How much room the file system has, asked before every write.
//!
//! Of the reserve each kind of write may use a part, so that what is under way ends and what makes room goes on while
//! new work is refused, and the rest stays for RocksDB, which needs room to carry it out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gritmesh_runtime::DiskSpace;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What can wait: it leaves the whole reserve.
    Bulk,
    /// What was promised. Whoever promises asks first whether there is room.
    Change,
    /// What makes room.
    Removal,
}

impl Kind {
    /// How much of a reserve it leaves.
    pub(crate) const fn leaves(self, reserve: u64) -> u64 {
        match self {
            Self::Bulk => reserve,
            Self::Change => reserve / 2,
            Self::Removal => reserve / 4,
        }
    }
}

/// The room on the file system of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    directory: PathBuf,
    reserve: u64,
    /// Whether the reserve was begun when it was last looked at.
    low: Arc<AtomicBool>,
}

/// The room there was at one moment, and what has been granted of it since.
#[derive(Debug)]
pub(crate) struct Room {
    free: u64,
    reserve: u64,
    granted: u64,
}

impl Space {
    pub(crate) fn new(directory: &Path, reserve: u64) -> Self {
        Self { directory: directory.to_owned(), reserve, low: Arc::default() }
    }

    pub(crate) fn measure(&self) -> Room {
        let free = free_bytes(&self.directory);
        self.low.store(free < self.reserve, Ordering::Relaxed);
        Room { free, reserve: self.reserve, granted: 0 }
    }

    /// Whether the reserve is whole. While it is, every write finds out whether it still is; while it is not, nothing may
    /// be written any more, so it is looked at anew.
    pub(crate) fn has_room(&self) -> bool {
        !self.low.load(Ordering::Relaxed) || !self.now().is_full()
    }

    pub(crate) fn now(&self) -> DiskSpace {
        let Room { free, reserve, .. } = self.measure();
        DiskSpace { free_bytes: free, reserve_bytes: reserve }
    }
}

/// A file system that does not tell is written to until it refuses by itself.
pub(crate) fn free_bytes(directory: &Path) -> u64 {
    rustix::fs::statvfs(directory).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

impl Room {
    /// Whether so many bytes may be written; if so, they are counted.
    pub(crate) fn grant(&mut self, bytes: u64, kind: Kind) -> bool {
        let wanted = kind.leaves(self.reserve).saturating_add(self.granted).saturating_add(bytes);
        let fits = self.free >= wanted;
        if fits {
            self.granted += bytes;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_leaves_its_part_of_the_reserve() {
        let room = |free| Room { free, reserve: 100, granted: 0 };
        for (kind, leaves) in [(Kind::Bulk, 100), (Kind::Change, 50), (Kind::Removal, 25)] {
            assert!(room(leaves + 10).grant(10, kind));
            assert!(!room(leaves + 9).grant(10, kind));
        }
    }

    #[test]
    fn what_was_granted_is_not_granted_twice() {
        let mut room = Room { free: 115, reserve: 100, granted: 0 };
        assert!(room.grant(10, Kind::Bulk));
        assert!(!room.grant(10, Kind::Bulk));
        assert!(room.grant(5, Kind::Bulk));
    }

    #[test]
    fn the_file_system_tells_its_room() {
        let space = Space::new(&std::env::temp_dir(), 0);
        let free = space.measure().free;
        assert!(0 < free && free < u64::MAX);
        assert_eq!(Space::new(Path::new("/no/such/directory"), 0).measure().free, u64::MAX);
    }

    #[test]
    fn a_begun_reserve_is_noticed_by_a_write_and_looked_at_until_it_is_whole() {
        let mut space = Space::new(&std::env::temp_dir(), u64::MAX - 1);
        assert!(space.has_room(), "nobody has looked");
        space.measure();
        assert!(!space.has_room());
        space.reserve = 0;
        assert!(space.has_room() && !space.low.load(Ordering::Relaxed));
    }
}
