//! The disk of one computer: it outlives the processes, and it is honest only about what it has completed.
//!
//! Writes complete in order after a seeded latency. When the process dies, some first part of what was under way
//! may have reached the disk and the rest has not: never a later write without an earlier one, never half of one
//! write, which is what [`gritmesh_runtime::Disk`] promises. A write that fails may have reached the disk all the
//! same, as after a failed fsync.
//!
//! Deliberately absent: flipped bits. They matter to stored objects, which verify themselves, not to the few
//! records kept here.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::{Disk, DiskError, Instant, Persisted, Record};

use super::queue::Event;
use super::state::{Action, Handle, State};
use crate::NodeIndex;
use crate::options::DiskFaults;
use crate::trace::{Kind, digest};

/// Writes that may wait for the disk; as in the real one.
const WRITES_WAITING_MAX: usize = 1024;

struct Write {
    records: Vec<Record>,
    done: Persisted,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Durable,
    FailsButDurable,
    Fails,
    Full,
    Refused,
}

/// The state of one computer's disk.
#[derive(Default)]
pub(crate) struct HostDisk {
    durable: BTreeMap<String, Vec<u8>>,
    writes: VecDeque<Write>,
    last_due: Instant,
    pub(crate) faults: DiskFaults,
}

impl HostDisk {
    pub(crate) fn with_faults(faults: DiskFaults) -> Self {
        Self { faults, ..Self::default() }
    }

    pub(crate) fn writes_waiting(&self) -> usize {
        self.writes.len()
    }

    fn apply(&mut self, records: Vec<Record>) {
        for record in records {
            match record.value {
                Some(value) => self.durable.insert(record.key, value),
                None => self.durable.remove(&record.key),
            };
        }
    }

    fn key_bytes(records: &[Record]) -> u64 {
        records.iter().fold(0, |sum: u64, record| {
            let value = record.value.as_deref().map_or(u64::MAX, digest);
            sum.rotate_left(7) ^ digest(record.key.as_bytes()) ^ value
        })
    }
}

impl State {
    /// The process is gone: a first part of what was under way survives. Returns completions nobody will call.
    #[must_use]
    pub(crate) fn crash_disk(&mut self, node: NodeIndex) -> Vec<Persisted> {
        let disk = &mut self.host_mut(node).disk;
        disk.last_due = Instant::ZERO;
        let writes = std::mem::take(&mut disk.writes);
        let kept = self.disk_rng.below(writes.len() as u64 + 1);
        if !writes.is_empty() {
            let lost = writes.len() as u64 - kept;
            self.record(Kind::WritesAtCrash, Some(node), None, [kept, lost]);
        }
        let disk = &mut self.host_mut(node).disk;
        let mut abandoned = Vec::with_capacity(writes.len());
        for (at, write) in writes.into_iter().enumerate() {
            let survives = (at as u64) < kept;
            if survives && matches!(write.outcome, Outcome::Durable | Outcome::FailsButDurable) {
                disk.apply(write.records);
            }
            abandoned.push(write.done);
        }
        abandoned
    }

    /// The oldest write has reached the disk, or has failed.
    pub(crate) fn finish_write(&mut self, node: NodeIndex) -> Action {
        let disk = &mut self.host_mut(node).disk;
        let Some(write) = disk.writes.pop_front() else { return Action::Internal };
        if matches!(write.outcome, Outcome::Durable | Outcome::FailsButDurable) {
            disk.apply(write.records);
        }
        let result = match write.outcome {
            Outcome::Durable => Ok(()),
            Outcome::FailsButDurable | Outcome::Fails => Err(io_error("writing to", io::ErrorKind::Other)),
            Outcome::Full => Err(io_error("writing to", io::ErrorKind::StorageFull)),
            Outcome::Refused => Err(DiskError::Closed),
        };
        self.record(Kind::WriteDone, Some(node), None, [u64::from(result.is_err()), 0]);
        Action::Persisted { node, done: write.done, result }
    }

    fn draw_outcome(&mut self, node: NodeIndex, records: &[Record]) -> Outcome {
        let disk = &self.host(node).disk;
        let faults = disk.faults;
        if disk.writes.len() >= WRITES_WAITING_MAX {
            Outcome::Refused
        } else if faults.full && records.iter().any(|record| record.value.is_some()) {
            Outcome::Full
        } else if faults.write_error > 0.0 && self.disk_rng.chance(faults.write_error) {
            if self.disk_rng.chance(0.5) { Outcome::FailsButDurable } else { Outcome::Fails }
        } else {
            Outcome::Durable
        }
    }

    fn draw_write_latency(&mut self, faults: DiskFaults) -> Duration {
        let span = faults.latency_micros_max.saturating_sub(faults.latency_micros_min);
        let mut micros = u64::from(faults.latency_micros_min) + self.disk_rng.below(u64::from(span) + 1);
        if faults.slow > 0.0 && self.disk_rng.chance(faults.slow) {
            micros += self.disk_rng.below(u64::from(faults.slow_micros_max) + 1);
        }
        Duration::from_micros(micros)
    }
}

fn io_error(operation: &'static str, kind: io::ErrorKind) -> DiskError {
    DiskError::Io { operation, path: "the simulated disk".into(), source: Arc::new(kind.into()) }
}

impl Disk for Handle {
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, DiskError> {
        let mut state = self.lock();
        if !state.is_current(self.process) {
            return Err(DiskError::Closed);
        }
        let fails = state.host(self.process.node).disk.faults.read_error;
        if fails > 0.0 && state.disk_rng.chance(fails) {
            return Err(io_error("reading", io::ErrorKind::Other));
        }
        Ok(state.host(self.process.node).disk.durable.get(key).cloned())
    }

    fn write(&self, records: Vec<Record>, done: Persisted) {
        let mut state = self.lock();
        let node = self.process.node;
        if !state.is_current(self.process) {
            // A dead process hears of nothing; its closure is dropped outside of the lock.
            drop(state);
            return drop((records, done));
        }
        let summary = [records.len() as u64, HostDisk::key_bytes(&records)];
        state.record(Kind::Written, Some(node), None, summary);
        let outcome = state.draw_outcome(node, &records);
        let faults = state.host(node).disk.faults;
        let latency = state.draw_write_latency(faults);
        let earliest = state.now + latency;
        let disk = &mut state.host_mut(node).disk;
        // In the order of the writes: a quick one waits for a slow one before it.
        let due = earliest.max(disk.last_due);
        disk.last_due = due;
        let records = if outcome == Outcome::Refused { Vec::new() } else { records };
        disk.writes.push_back(Write { records, done, outcome });
        state.queue.push(due, Event::DiskDone { process: self.process });
    }
}
