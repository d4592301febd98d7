//! The disk of one computer: it outlives the processes, and it is honest only about what it has synced.
//!
//! Batches complete in order after a seeded latency. When the process dies, as in a power failure, some first part
//! of what was not synced survives, whether it had completed or was under way, and the rest has not: never a later
//! batch without an earlier one, never half of one, which is what [`gritmesh_runtime::Disk`] promises. A batch that
//! fails may have reached the disk all the same, as after a failed sync, unless the disk was full.
//!
//! Bits flip when a value of an object, a log entry or a field of a replica is written, and stay flipped. Of an object
//! the reader gets what is there, since he checks its hash; of anything else the database would notice, so the read
//! fails.
//!
//! Deliberately absent: latency of reads. Machines read on the thread that runs them, where no time passes.

mod contents;
mod tables;

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::{
    Batch, Change, Disk, DiskError, Instant, KeyValue, Persisted, Reads, Snapshot, Table,
};

use self::tables::{Damaged, Flip, Records, Tables};
use super::queue::Event;
use super::state::{Action, Handle, State};
use crate::NodeIndex;
use crate::options::DiskFaults;
use crate::trace::{Kind, digest};

/// Batches that may wait for the disk; as in the real one.
const BATCHES_WAITING_MAX: usize = 1024;

/// How much sooner a batch completes that is not synced, as a divisor of the latency.
const UNSYNCED_SPEEDUP: u32 = 8;

struct Write {
    batch: Arc<Batch>,
    flips: Vec<Flip>,
    done: Persisted,
    outcome: Outcome,
}

impl Write {
    const fn reaches_the_disk(&self) -> bool {
        matches!(self.outcome, Outcome::Done | Outcome::FailsButDone)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    FailsButDone,
    Fails,
    Full,
    Refused,
}

impl Outcome {
    /// What the trace says of it.
    const fn number(self) -> u64 {
        match self {
            Self::Done => 0,
            Self::FailsButDone | Self::Fails => 1,
            Self::Full => 2,
            Self::Refused => 3,
        }
    }

    fn result(self) -> Result<(), DiskError> {
        match self {
            Self::Done => Ok(()),
            Self::FailsButDone | Self::Fails => Err(io_error("writing to")),
            Self::Full => Err(DiskError::Full),
            Self::Refused => Err(DiskError::Overloaded),
        }
    }
}

/// The state of one computer's disk.
#[derive(Default)]
pub(crate) struct HostDisk {
    tables: Tables,
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
}

impl State {
    /// The process is gone: a first part of what was not synced survives. Returns completions nobody will call.
    #[must_use]
    pub(crate) fn crash_disk(&mut self, node: NodeIndex) -> Vec<Persisted> {
        let disk = &mut self.host_mut(node).disk;
        disk.last_due = Instant::ZERO;
        let writes = std::mem::take(&mut disk.writes);
        let completed = disk.tables.unsynced() as u64;
        let all = completed + writes.len() as u64;
        let kept = self.disk_rng.below(all + 1);
        if all > 0 {
            self.record(Kind::WritesAtCrash, Some(node), None, [kept, all - kept]);
        }
        let disk = &mut self.host_mut(node).disk;
        let mut abandoned = Vec::with_capacity(writes.len());
        for (at, write) in (completed..).zip(writes) {
            if at < kept && write.reaches_the_disk() {
                disk.tables.write(Arc::unwrap_or_clone(write.batch).changes, &write.flips);
            }
            abandoned.push(write.done);
        }
        disk.tables.crash(if kept < completed { kept as usize } else { usize::MAX });
        abandoned
    }

    /// The oldest batch has reached the disk, or has failed.
    pub(crate) fn finish_write(&mut self, node: NodeIndex) -> Action {
        let disk = &mut self.host_mut(node).disk;
        let Some(write) = disk.writes.pop_front() else { return Action::Internal };
        let flips = write.reaches_the_disk().then(|| flipped_keys(&write));
        let syncs = write.outcome == Outcome::Done && write.batch.sync;
        if write.reaches_the_disk() {
            disk.tables.write(Arc::unwrap_or_clone(write.batch).changes, &write.flips);
        }
        if syncs {
            disk.tables.sync();
        }
        for (table, key) in flips.into_iter().flatten() {
            self.record(Kind::BitFlipped, Some(node), None, [table as u64, key]);
        }
        self.record(Kind::WriteDone, Some(node), None, [write.outcome.number(), 0]);
        Action::Persisted { node, done: write.done, result: write.outcome.result() }
    }

    fn draw_outcome(&mut self, node: NodeIndex, batch: &Batch) -> Outcome {
        let disk = &self.host(node).disk;
        let faults = disk.faults;
        if disk.writes.len() >= BATCHES_WAITING_MAX {
            Outcome::Refused
        } else if faults.full && batch.changes.iter().any(|change| matches!(change, Change::Put { .. })) {
            Outcome::Full
        } else if faults.write_error > 0.0 && self.disk_rng.chance(faults.write_error) {
            if self.disk_rng.chance(0.5) { Outcome::FailsButDone } else { Outcome::Fails }
        } else {
            Outcome::Done
        }
    }

    fn draw_write_latency(&mut self, faults: DiskFaults, sync: bool) -> Duration {
        let span = faults.latency_micros_max.saturating_sub(faults.latency_micros_min);
        let mut micros = u64::from(faults.latency_micros_min) + self.disk_rng.below(u64::from(span) + 1);
        if !sync {
            return Duration::from_micros(micros) / UNSYNCED_SPEEDUP;
        }
        if faults.slow > 0.0 && self.disk_rng.chance(faults.slow) {
            micros += self.disk_rng.below(u64::from(faults.slow_micros_max) + 1);
        }
        Duration::from_micros(micros)
    }

    fn draw_flips(&mut self, faults: DiskFaults, batch: &Batch) -> Vec<Flip> {
        if faults.flipped_bits <= 0.0 {
            return Vec::new();
        }
        let mut flips = Vec::new();
        for (change, value) in batch.changes.iter().enumerate() {
            let Change::Put { table: Table::Object | Table::Log | Table::Group, value, .. } = value else {
                continue;
            };
            if !value.is_empty() && self.disk_rng.chance(faults.flipped_bits) {
                flips.push(Flip { change, bit: self.disk_rng.below(value.len() as u64 * 8) });
            }
        }
        flips
    }

    /// Draws whether a read fails, and finds what there is to read.
    fn read_disk(&mut self, node: NodeIndex) -> Result<&Arc<Records>, DiskError> {
        let fails = self.host(node).disk.faults.read_error;
        if fails > 0.0 && self.disk_rng.chance(fails) {
            return Err(io_error("reading"));
        }
        Ok(self.host(node).disk.tables.now())
    }
}

/// The tables and the digests of the keys whose values flip.
fn flipped_keys(write: &Write) -> Vec<(Table, u64)> {
    let of_flip = |flip: &Flip| match write.batch.changes.get(flip.change) {
        Some(Change::Put { table, key, .. }) => Some((*table, digest(key))),
        _ => None,
    };
    write.flips.iter().filter_map(of_flip).collect()
}

fn summary(batch: &Batch) -> u64 {
    batch.changes.iter().fold(u64::from(batch.sync), |sum, change| {
        let (table, key, rest) = match change {
            Change::Put { table, key, value } => (table, key, digest(value)),
            Change::Delete { table, key } => (table, key, u64::MAX),
            Change::DeleteRange { table, from, to } => (table, from, !digest(to)),
        };
        sum.rotate_left(7) ^ digest(key).rotate_left(*table as u32) ^ rest
    })
}

fn io_error(operation: &'static str) -> DiskError {
    let source = Arc::new(io::ErrorKind::Other.into());
    DiskError::Io { operation, path: "the simulated disk".into(), source }
}

fn corrupt(damaged: Damaged) -> DiskError {
    let Damaged { table, key } = damaged;
    DiskError::Corrupt {
        detail: format!("a record of table {} does not match its checksum: {key:02x?}", table.as_str()),
    }
}

impl Handle {
    /// Lets a process read: the disk as it is now, or a state of it that the process keeps.
    fn read<T>(
        &self,
        fixed: Option<&Arc<Records>>,
        read: impl FnOnce(&Records) -> Result<T, Damaged>,
    ) -> Result<T, DiskError> {
        let mut state = self.lock();
        if !state.is_current(self.process) {
            return Err(DiskError::Closed);
        }
        let now = state.read_disk(self.process.node)?;
        read(fixed.unwrap_or(now)).map_err(corrupt)
    }
}

impl Reads for Handle {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.read(None, |records| records.get(table, key))
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        self.read(None, |records| records.scan(table, range, limit))
    }
}

/// A state of the disk, for as long as the process lives.
struct Fixed {
    handle: Handle,
    records: Arc<Records>,
}

impl Reads for Fixed {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.handle.read(Some(&self.records), |records| records.get(table, key))
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        self.handle.read(Some(&self.records), |records| records.scan(table, range, limit))
    }
}

impl Disk for Handle {
    fn write(&self, batch: Arc<Batch>, done: Persisted) {
        let mut state = self.lock();
        let node = self.process.node;
        if !state.is_current(self.process) {
            // A dead process hears of nothing; its closure is dropped outside of the lock.
            drop(state);
            return drop((batch, done));
        }
        let numbers = [batch.changes.len() as u64, summary(&batch)];
        state.record(Kind::Written, Some(node), None, numbers);
        let outcome = state.draw_outcome(node, &batch);
        let faults = state.host(node).disk.faults;
        let latency = state.draw_write_latency(faults, batch.sync);
        let flips = state.draw_flips(faults, &batch);
        let earliest = state.now + latency;
        let disk = &mut state.host_mut(node).disk;
        // In the order of the batches: a quick one waits for a slow one before it.
        let due = earliest.max(disk.last_due);
        disk.last_due = due;
        let batch = if outcome == Outcome::Refused { Arc::default() } else { batch };
        disk.writes.push_back(Write { batch, flips, done, outcome });
        state.queue.push(due, Event::DiskDone { process: self.process });
    }

    fn has_room(&self) -> bool {
        let state = self.lock();
        !state.is_current(self.process) || !state.host(self.process.node).disk.faults.full
    }

    fn snapshot(&self) -> Result<Snapshot, DiskError> {
        let state = self.lock();
        if !state.is_current(self.process) {
            return Err(DiskError::Closed);
        }
        let records = Arc::clone(state.host(self.process.node).disk.tables.now());
        Ok(Arc::new(Fixed { handle: self.clone(), records }))
    }
}
