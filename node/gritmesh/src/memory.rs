//! How much memory this process uses, and how much it may.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::{MemoryLimit, Size};

/// How long a reading counts: memory does not change faster than this matters.
const READING_AGE_MAX: Duration = Duration::from_secs(1);

const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// The limit in bytes; `None` if there is none or it cannot be found out.
pub(crate) fn limit_bytes(limit: MemoryLimit) -> Option<u64> {
    match limit {
        MemoryLimit::Off => None,
        MemoryLimit::Bytes(Size(bytes)) => Some(bytes),
        MemoryLimit::Detected => cgroup_limit().into_iter().chain(machine_bytes()).min(),
    }
}

/// A function that tells how many bytes of memory this process occupies; 0 where that is not known.
pub(crate) fn used() -> Arc<dyn Fn() -> u64 + Send + Sync> {
    let last: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
    Arc::new(move || {
        let mut last = last.lock();
        match *last {
            Some((at, bytes)) if at.elapsed() < READING_AGE_MAX => bytes,
            _ => {
                let bytes = resident_bytes().unwrap_or(0);
                *last = Some((Instant::now(), bytes));
                bytes
            }
        }
    })
}

/// `statm` counts in pages, whose size only the C library tells; `status` has the same figure in kibibytes.
fn resident_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

fn machine_bytes() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// The tightest limit among this process's control group and those around it.
fn cgroup_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let groups: PathBuf = Path::new(CGROUP_ROOT).join(own);
    let groups = groups.ancestors().take_while(|group| group.starts_with(CGROUP_ROOT));
    let limit = |group: &Path| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse::<u64>().ok();
    groups.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_found_and_scaled() {
        let text = "VmSize:\t  100 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(kibibytes(text, "VmRSS:"), Some(12 * 1024));
        assert_eq!(kibibytes(text, "VmData:"), None);
        assert_eq!(kibibytes("VmRSS: many kB", "VmRSS:"), None);
    }

    #[test]
    fn this_process_uses_some_memory_and_less_than_it_may() {
        let used = used()();
        let limit = limit_bytes(MemoryLimit::Detected).unwrap();
        assert!(0 < used && used < limit, "{used} of {limit}");
        assert_eq!(limit_bytes(MemoryLimit::Bytes(Size(5))), Some(5));
        assert_eq!(limit_bytes(MemoryLimit::Off), None);
    }
}
