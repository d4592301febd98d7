//! How many files a node may have open, and who gets how many.
//!
//! **Problem.** A process may have so many files open, connections included, and whoever asks for one more fails. For a
//! request that is a refusal; for the disk it is the end of the node. So idle connections must not take what the disk needs.
//!
//! **Design.** Each user of files has a share that it does not exceed, and the shares together fit. The command line raises
//! the soft limit to the hard one first, see [`raise_limit`].

use rustix::process::{Resource, getrlimit, setrlimit};

/// Fewer are refused at the start: some would be missing in the middle of the work.
pub(crate) const OPEN_FILES_MIN: u64 = 256;

/// Standard streams, listeners, pollers, look-ups of names, what the process reads about itself.
const OF_PROCESS: u64 = 32;

/// Sorted files that the database keeps open, if there are enough. More gain nothing.
const OF_TABLES_MAX: u64 = 256;

/// Its logs, and the files that it is writing.
const OF_DATABASE: u64 = 48;

/// All members of a large cluster, and strangers that are not turned down yet.
const OF_PEERS_MAX: u64 = 16_384;

/// HTTP connections, each of which takes some memory.
const OF_HTTP_MAX: u64 = 8192;

/// Who gets how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) tables: u64,
    pub(crate) peers: u64,
    pub(crate) http: u64,
}

impl Files {
    /// The shares of a node that may have so many open, if these are enough.
    pub(crate) fn of(limit: u64) -> Option<Self> {
        let tables = (limit / 4).min(OF_TABLES_MAX);
        let peers = (limit / 4).min(OF_PEERS_MAX);
        let rest = limit.checked_sub(OF_PROCESS + OF_DATABASE + tables + peers)?;
        (limit >= OPEN_FILES_MIN).then_some(Self { tables, peers, http: rest.min(OF_HTTP_MAX) })
    }
}

/// How many files this process may have open.
pub(crate) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Lets this process have as many files open as it may allow itself. To be called by who owns the process.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Where that is not allowed, the limit stays, and the shares are smaller.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_fit_into_the_limit_and_nobody_goes_empty() {
        for limit in [OPEN_FILES_MIN, 300, 1024, 4096, 20_000, 1 << 20, u64::MAX] {
            let Files { tables, peers, http } = Files::of(limit).unwrap();
            assert!(tables >= 64 && peers >= 64 && http >= 48, "{limit}");
            assert!(OF_PROCESS + OF_DATABASE + tables + peers + http <= limit, "{limit}");
        }
        assert_eq!(Files::of(1024), Some(Files { tables: 256, peers: 256, http: 432 }));
        assert_eq!(Files::of(1 << 20).map(|files| files.http), Some(OF_HTTP_MAX));
    }

    #[test]
    fn too_few_are_no_share() {
        assert_eq!([0, 100, OPEN_FILES_MIN - 1].map(Files::of), [None; 3]);
    }
}
