//! How much room the file system has, asked before every write.

use std::path::{Path, PathBuf};

/// The part of the reserve that removals may use, one in so many: they are what makes room, so they go on while
/// puts are refused; and the rest stays for RocksDB, which needs room to carry them out.
const REMOVALS_SHARE: u64 = 2;

/// The room on the file system of a directory.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    directory: PathBuf,
    reserve: u64,
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
        Self { directory: directory.to_owned(), reserve }
    }

    pub(crate) fn measure(&self) -> Room {
        // A file system that does not tell is written to until it refuses by itself.
        let free = rustix::fs::statvfs(&self.directory)
            .map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize));
        Room { free, reserve: self.reserve, granted: 0 }
    }
}

impl Room {
    /// Whether so many bytes may be written; if so, they are counted.
    pub(crate) fn grant(&mut self, bytes: u64, only_removes: bool) -> bool {
        let kept = if only_removes { self.reserve - self.reserve / REMOVALS_SHARE } else { self.reserve };
        let wanted = kept.saturating_add(self.granted).saturating_add(bytes);
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
    fn puts_leave_the_reserve_and_removals_half_of_it() {
        let room = |free| Room { free, reserve: 100, granted: 0 };
        assert!(room(110).grant(10, false));
        assert!(!room(109).grant(10, false));
        assert!(room(60).grant(10, true));
        assert!(!room(59).grant(10, true));
    }

    #[test]
    fn what_was_granted_is_not_granted_twice() {
        let mut room = Room { free: 115, reserve: 100, granted: 0 };
        assert!(room.grant(10, false));
        assert!(!room.grant(10, false));
        assert!(room.grant(5, false));
    }

    #[test]
    fn the_file_system_tells_its_room() {
        let space = Space::new(&std::env::temp_dir(), 0);
        let free = space.measure().free;
        assert!(0 < free && free < u64::MAX);
        assert_eq!(Space::new(Path::new("/no/such/directory"), 0).measure().free, u64::MAX);
    }
}
