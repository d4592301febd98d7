//! Two threads that write in turns: group commit.
//!
//! Those who are told that their batch is written go on at once, on the thread that wrote it, so that a lonely batch
//! costs no change of threads. Meanwhile the other thread writes what has come. Only one of them writes at a time,
//! and only one tells, in the order of the writes.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use gritmesh_runtime::{Batch, Change, DiskError, Persisted, Table};
use parking_lot::{Condvar, Mutex};
use rocksdb::{ColumnFamily, DB, WriteBatch, WriteOptions};

use crate::failure::translate;
use crate::snapshot::family;
use crate::space::{Kind, Room, Space};

/// Batches that may wait. Every engine has a few under way at a time; more mean that the disk does not keep up.
/// Those beyond fail as overloaded, in their turn.
const BATCHES_WAITING_MAX: usize = 1024;

/// Bytes that may wait, lest a slow disk fill the memory. One batch may be bigger if it waits alone.
const BYTES_WAITING_MAX: usize = 64 << 20;

/// Bytes of batches that become one write. A bigger write would let the first of them wait long for its answer, and
/// gains nothing: a sync is paid for by far less.
const BYTES_PER_WRITE: usize = 8 << 20;

/// One writes while the other tells.
const THREADS: usize = 2;

/// What the database adds to a change: its kind, its table, two lengths and the head of a record.
const OVERHEAD_BYTES: usize = 32;

struct Waiting {
    /// `None` if it was refused; its completion keeps its place in line. That part of the queue is as long as the
    /// callers' own lists of what they wait for.
    batch: Option<Arc<Batch>>,
    bytes: usize,
    done: Persisted,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    batches: usize,
    bytes: usize,
    /// Whether one of the threads is writing.
    writing: bool,
    closed: bool,
}

impl Queue {
    fn has_room(&self, bytes: usize) -> bool {
        self.batches < BATCHES_WAITING_MAX && (self.bytes == 0 || self.bytes + bytes <= BYTES_WAITING_MAX)
    }

    /// The oldest batches, as many as make one write.
    fn take_group(&mut self) -> Vec<Waiting> {
        let mut group = Vec::with_capacity(self.waiting.len());
        let mut bytes = 0;
        while let Some(next) = self.waiting.front()
            && (group.is_empty() || bytes + next.bytes <= BYTES_PER_WRITE)
        {
            bytes += next.bytes;
            let next = self.waiting.pop_front().expect("the queue has a front");
            self.batches -= usize::from(next.batch.is_some());
            self.bytes -= next.bytes;
            group.push(next);
        }
        group
    }
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something waits and nobody is writing.
    ready: Condvar,
    /// Held by the thread that tells; it takes it before the other may write.
    telling: Mutex<()>,
}

/// The queue, and the threads that empty it.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the threads. What waits for a batch is called by them, as a part of the tokio runtime on which this is
    /// called, if it is: whoever is told goes on to run handlers, and those expect to be on the runtime.
    pub(crate) fn start(database: &Arc<DB>, space: &Space) -> io::Result<Self> {
        let writer = Self { shared: Arc::default(), threads: Mutex::default() };
        for _ in 0..THREADS {
            let (shared, database, space) = (Arc::clone(&writer.shared), Arc::clone(database), space.clone());
            let runtime = tokio::runtime::Handle::try_current().ok();
            let thread = std::thread::Builder::new().name("disk".into()).spawn(move || {
                let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
                let _closes = CloseAtEnd(&shared);
                let committer = Committer {
                    families: Table::ALL.map(|table| family(&database, table)),
                    database: &database,
                    space,
                };
                while shared.take_turn(&committer) {}
            })?;
            writer.threads.lock().push(thread);
        }
        Ok(writer)
    }

    /// Puts a batch in line.
    pub(crate) fn write(&self, batch: Arc<Batch>, done: Persisted) {
        let bytes = bytes_of(&batch);
        let mut queue = self.shared.queue.lock();
        if queue.closed {
            drop(queue);
            return done(Err(DiskError::Closed));
        }
        let waiting = if queue.has_room(bytes) {
            queue.batches += 1;
            queue.bytes += bytes;
            Waiting { batch: Some(batch), bytes, done }
        } else {
            Waiting { batch: None, bytes: 0, done }
        };
        queue.waiting.push_back(waiting);
        let writing = queue.writing;
        drop(queue);
        if !writing {
            self.shared.ready.notify_one();
        }
    }

    /// Writes what waits, and ends the threads. Later batches fail as closed.
    pub(crate) fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.ready.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        // The last holder of the disk may be a completion; the threads then end by themselves, right after it.
        let me = std::thread::current().id();
        if threads.iter().any(|thread| thread.thread().id() == me) {
            return;
        }
        for thread in threads {
            // A completion that panicked has said so on its own thread.
            drop(thread.join());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Writes one group, then tells all of it while the other thread may write. Returns whether there was one.
    fn take_turn(&self, committer: &Committer<'_>) -> bool {
        let Some(group) = self.wait_for_group() else { return false };
        let told = committer.commit(group);
        let _telling = self.telling.lock();
        self.written();
        told.into_iter().for_each(|(done, result)| done(result));
        true
    }

    /// Waits for batches. `None` when the writer is closed and nothing waits any more.
    fn wait_for_group(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue.lock();
        while queue.writing || queue.waiting.is_empty() {
            if queue.closed && queue.waiting.is_empty() {
                return None;
            }
            self.ready.wait(&mut queue);
        }
        queue.writing = true;
        Some(queue.take_group())
    }

    /// The other thread may write, and is woken only if there is something to write: one that has told its group
    /// finds what came meanwhile by itself.
    fn written(&self) {
        let mut queue = self.queue.lock();
        queue.writing = false;
        let (waits, closed) = (!queue.waiting.is_empty(), queue.closed);
        drop(queue);
        if closed {
            self.ready.notify_all();
        } else if waits {
            self.ready.notify_one();
        }
    }
}

/// However the thread ends, nobody waits for it any more.
struct CloseAtEnd<'a>(&'a Shared);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.closed = true;
        let left = std::mem::take(&mut queue.waiting);
        drop(queue);
        self.0.ready.notify_all();
        left.into_iter().for_each(|waiting| (waiting.done)(Err(DiskError::Closed)));
    }
}

struct Committer<'a> {
    database: &'a DB,
    families: [&'a ColumnFamily; Table::ALL.len()],
    space: Space,
}

impl Committer<'_> {
    /// Makes one write of a group. Answers what is to be told to whom.
    fn commit(&self, group: Vec<Waiting>) -> Vec<(Persisted, Result<(), DiskError>)> {
        let mut room = self.space.measure();
        let mut write = WriteBatch::default();
        let mut sync = false;
        let mut told = Vec::with_capacity(group.len());
        for waiting in group {
            let admitted = admit(waiting.batch.as_deref(), waiting.bytes, &mut room);
            if let (Some(batch), Ok(())) = (&waiting.batch, &admitted) {
                batch.changes.iter().for_each(|change| add(&mut write, &self.families, change));
                sync |= batch.sync;
            }
            told.push((waiting.done, admitted));
        }
        let written = self.write(write, sync);
        told.into_iter().map(|(done, admitted)| (done, admitted.and_then(|()| written.clone()))).collect()
    }

    fn write(&self, write: WriteBatch, sync: bool) -> Result<(), DiskError> {
        let written = if write.is_empty() {
            // Nothing but a wish that what came before be durable.
            if sync { self.database.flush_wal(true) } else { Ok(()) }
        } else {
            let mut options = WriteOptions::default();
            options.set_sync(sync);
            self.database.write_opt(write, &options)
        };
        written.map_err(|error| translate(&error, "writing to", self.database.path()))
    }
}

/// Whether a batch becomes a part of the next write.
fn admit(batch: Option<&Batch>, bytes: usize, room: &mut Room) -> Result<(), DiskError> {
    let Some(batch) = batch else { return Err(DiskError::Overloaded) };
    let puts = batch.changes.iter().any(|change| matches!(change, Change::Put { .. }));
    let kind = if puts { Kind::Change } else { Kind::Removal };
    if batch.changes.is_empty() || room.grant(bytes as u64, kind) { Ok(()) } else { Err(DiskError::Full) }
}

pub(crate) fn add(write: &mut WriteBatch, families: &[&ColumnFamily; Table::ALL.len()], change: &Change) {
    let family = |table: &Table| families[*table as usize];
    match change {
        Change::Put { table, key, value } => write.put_cf(family(table), key, value),
        Change::Delete { table, key } => write.delete_cf(family(table), key),
        // RocksDB takes a range that ends before it begins for a mistake, and refuses the whole batch.
        Change::DeleteRange { from, to, .. } if from >= to => {}
        Change::DeleteRange { table, from, to } => write.delete_range_cf(family(table), from, to),
    }
}

fn bytes_of(batch: &Batch) -> usize {
    let of_change = |change: &Change| {
        OVERHEAD_BYTES
            + match change {
                Change::Put { key, value, .. } => key.len() + value.len(),
                Change::Delete { key, .. } => key.len(),
                Change::DeleteRange { from, to, .. } => from.len() + to.len(),
            }
    };
    batch.changes.iter().map(of_change).sum()
}

#[cfg(test)]
mod tests;
