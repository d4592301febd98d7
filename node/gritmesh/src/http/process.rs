//! What the operating system knows of this process and of its data directory, read when metrics are.
//!
//! The names are those that Prometheus' own clients use, so that dashboards fit.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks per second in which Linux tells processor time, whatever the kernel counts in.
const TICKS_PER_SECOND: f64 = 100.0;

/// The folders of a data directory that are looked into.
const DEPTH_MAX: usize = 2;

/// This process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let times = Times::read().unwrap_or_default();
        let cpu = ConstCounter::new(times.cpu_s);
        let help = "Processor time of this process";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let open_files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory that this process occupies", bytes(&status, "VmRSS:")),
            ("process_virtual_memory_bytes", "Addresses that this process uses", bytes(&status, "VmSize:")),
            ("process_open_fds", "Files and connections that this process has open", open_files as f64),
            ("process_max_fds", "As many as it may have open", soft_limit(&limits, "Max open files")),
            ("process_start_time_seconds", "When this process began, in seconds since 1970", times.start_s),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// The file system of a node's data, and what the node has on it.
#[derive(Debug)]
pub(super) struct Disk(pub(super) PathBuf);

impl Collector for Disk {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let free =
            rustix::fs::statvfs(&self.0).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
        for (name, help, value) in [
            ("disk_free_bytes", "Room that is left on the file system of the data directory", free),
            ("disk_used_bytes", "Bytes of the files in the data directory", used(&self.0, DEPTH_MAX)),
        ] {
            let gauge = ConstGauge::new(value as f64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// Bytes of all files. What vanishes meanwhile counts as nothing.
fn used(directory: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() && depth > 0 => used(&entry.path(), depth - 1),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    cpu_s: f64,
    start_s: f64,
}

impl Times {
    fn read() -> Option<Self> {
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot_s = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Self::of(&fs::read_to_string("/proc/self/stat").ok()?, boot_s)
    }

    /// From a line of `stat`. The second field is a name in brackets, which may hold anything.
    fn of(stat: &str, boot_s: f64) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // Counted from the third field: 14 and 15 are the time in programs and in the kernel, 22 the start.
        let ticks = |place: usize| fields.get(place - 3)?.parse::<f64>().ok();
        let cpu_s = (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND;
        Some(Self { cpu_s, start_s: boot_s + ticks(22)? / TICKS_PER_SECOND })
    }
}

fn bytes(status: &str, field: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kibibytes.unwrap_or_default() * 1024.0
}

fn soft_limit(limits: &str, field: &str) -> f64 {
    let line = limits.lines().find_map(|line| line.strip_prefix(field));
    let limit = line.and_then(|line| line.split_whitespace().next());
    // One that is `unlimited` is larger than any number that matters.
    limit.map_or(0.0, |limit| limit.parse().unwrap_or(u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_process_is_called() {
        let stat = "42 (a) b 3 (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 8 0 1234 5 6";
        let times = Times::of(stat, 1000.0).unwrap();
        assert!((times.cpu_s - 3.0).abs() < 1e-9 && (times.start_s - 1012.34).abs() < 1e-9, "{times:?}");
        assert!(Times::of("42", 0.0).is_none() && Times::of("42 (a) S 1", 0.0).is_none());
        assert!((bytes("VmRSS:\t  12 kB\n", "VmRSS:") - 12_288.0).abs() < 1e-9);
        let limits = "Limit  Soft\nMax open files            1024     4096     files\nMax x  unlimited\n";
        assert!((soft_limit(limits, "Max open files") - 1024.0).abs() < 1e-9);
        assert!(soft_limit(limits, "Max x") > 1e18);
    }

    #[test]
    fn this_process_has_used_time_and_began_in_the_past() {
        let times = Times::read().unwrap();
        let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!(times.start_s > now_s - 86_400.0 && times.start_s <= now_s + 1.0, "{times:?} at {now_s}");
    }

    #[test]
    fn files_of_a_directory_are_added_up() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(used(directory.path(), DEPTH_MAX), 0);
        fs::create_dir(directory.path().join("database")).unwrap();
        fs::write(directory.path().join("a"), "123").unwrap();
        fs::write(directory.path().join("database/b"), "45").unwrap();
        assert_eq!(used(directory.path(), DEPTH_MAX), 5);
        assert_eq!(used(Path::new("/no/such/directory"), DEPTH_MAX), 0);
    }
}
