//! What is on its way to the disk: one batch at a time for all shards of an engine, while the next one grows.
//!
//! A batch that has to be synced, or that somebody waits for, leaves as soon as the disk is free. What the log would
//! tell again is written seldom, see [`lazy`](super::lazy).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::{Batch, Change, DiskError, Instant, ShardId};

use gritmesh_sharding::{Progress, ReplicaId};

use super::Engine;
use super::event::Effect;
use super::groups::Installing;
use super::lazy::Lazy;
use crate::limits::EngineLimits;
use crate::options::Sabotage;

/// What is on its way to the disk, and what comes next.
#[derive(Default)]
pub(super) struct Writer {
    next: Pending,
    lazy: Lazy,
    writing: Option<Writing>,
    number: u64,
    /// Shards with something to propose when the disk is free.
    pub(super) proposing: BTreeSet<ShardId>,
    /// Whether this node creates the shards of a new cluster.
    pub(super) founding: bool,
    /// Nothing is written any more: what is in memory may not be what the records say.
    pub(super) halted: bool,
}

/// Changes of many shards, and what their being on the disk means to each.
#[derive(Default)]
struct Pending {
    batch: Batch,
    /// Somebody waits for it, though it may not have to be synced.
    urgent: bool,
    /// Numbers of the replicas' progress.
    numbers: Vec<(ShardId, u64)>,
    /// Up to where the states are on the disk with it.
    applied: BTreeMap<ShardId, u64>,
    /// Shards whose state from the leader it carries.
    installed: Vec<ShardId>,
    /// Shards of which it removes everything.
    buried: Vec<ShardId>,
    /// Damaged replicas of which it says that they will never speak again.
    promises: Vec<(ShardId, ReplicaId)>,
    founding: bool,
}

struct Writing {
    number: u64,
    /// What is written; the rest is what its being written means.
    batch: Arc<Batch>,
    pending: Pending,
    /// Whether there was no room for it when it was last tried.
    full: bool,
    /// When to try again, unless it is being tried.
    retry_at: Option<Instant>,
}

impl Writer {
    /// One that keeps what the logs make of the tables for so long.
    pub(super) fn new(tables_pause: Duration, limits: &EngineLimits) -> Self {
        Self { lazy: Lazy::new(tables_pause, limits.lazy_keys), ..Self::default() }
    }

    /// What a replica has to write.
    pub(super) fn progress(&mut self, now: Instant, shard: ShardId, progress: &mut Progress) {
        let next = &mut self.next;
        next.batch.sync |= progress.sync;
        next.numbers.extend(progress.number.map(|number| (shard, number)));
        if !progress.changes.is_empty() {
            next.batch.changes.append(&mut progress.changes);
            self.lazy.wait(now);
        }
        if let Some(record) = progress.applied.take() {
            self.lazy.record(now, shard, record);
        }
        if progress.config.is_some() {
            // The disk has the members as of the entry up to which the state goes.
            self.lazy.hurry();
        }
    }

    /// What [`Self::take_back`] needs, if what a replica has to write must not be.
    pub(super) const fn mark(&self) -> (usize, usize) {
        (self.next.batch.changes.len(), self.next.numbers.len())
    }

    /// Takes back what has come since a mark. What waits lazily is for [`Self::replace`] to drop.
    pub(super) fn take_back(&mut self, (changes, numbers): (usize, usize)) {
        self.next.batch.changes.truncate(changes);
        self.next.numbers.truncate(numbers);
    }

    /// What entries did that are applied up to this one. Nobody waits for it: the log would tell it again.
    pub(super) fn applied(&mut self, shard: ShardId, to: u64) {
        self.lazy.applied(shard, to);
    }

    /// Changes that the log would tell again.
    pub(super) fn lazily(&mut self, changes: Vec<Change>) {
        self.lazy.add(changes);
    }

    /// The next batch has the state of a shard that came from its leader.
    pub(super) fn install(&mut self, shard: ShardId) {
        self.next.installed.push(shard);
        self.lazy.hurry();
    }

    pub(super) const fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Changes that should be on the disk soon.
    pub(super) fn changes(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.next.batch.changes.extend(changes);
        self.next.urgent = true;
    }

    /// Everything of a shard is removed; see [`Self::is_burying`]. `ranges` are its keys.
    pub(super) fn bury(&mut self, shard: ShardId, ranges: &[Change]) {
        self.lazy.forget(shard, ranges);
        self.next.buried.push(shard);
    }

    /// A damaged replica will never speak again. Others rely on it, so it has to be synced.
    pub(super) fn promise(&mut self, shard: ShardId, replica: ReplicaId, change: Change) {
        self.next.batch.changes.push(change);
        self.next.batch.sync = true;
        self.next.promises.push((shard, replica));
    }

    /// The state of a shard is replaced: what its log has made of the old one is not written any more.
    pub(super) fn replace(&mut self, shard: ShardId, ranges: &[Change]) {
        self.lazy.forget(shard, ranges);
    }

    /// Nothing is written any more.
    pub(super) fn stop(&mut self) {
        *self = Self { halted: true, ..Self::default() };
    }

    /// Somebody waits for what committed entries did to be on the disk.
    pub(super) const fn hurry(&mut self) {
        self.lazy.hurry();
    }

    /// The next batch, if it is time for it.
    fn take(&mut self, now: Instant) -> Option<(Batch, Pending)> {
        let Pending { batch, numbers, urgent, installed, .. } = &self.next;
        let needed = batch.sync || *urgent || self.founding || !numbers.is_empty() || !installed.is_empty();
        let lazy = self.lazy.is_due(now);
        if !needed && !lazy {
            return None;
        }
        let mut pending = std::mem::take(&mut self.next);
        let mut batch = std::mem::take(&mut pending.batch);
        if lazy {
            pending.applied = self.lazy.take(&mut batch.changes);
        }
        pending.founding = std::mem::take(&mut self.founding);
        Some((batch, pending))
    }

    /// Whether the removal of a shard is on its way to the disk. Before it is there, nothing may be read of the
    /// shard, and no number of the removed replica may be taken for one of a new one.
    pub(super) fn is_burying(&self, shard: ShardId) -> bool {
        let writing = self.writing.as_ref().map(|writing| &writing.pending);
        writing.into_iter().chain([&self.next]).any(|pending| pending.buried.contains(&shard))
    }

    pub(super) fn is_full(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.full)
    }

    /// Names what is given to the disk, so that its answer finds back.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.writing {
            Some(writing) => writing.retry_at,
            None => self.lazy.next_deadline(),
        }
    }
}

impl Engine {
    pub(super) fn write(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.writer.writing.is_some() || self.writer.halted {
            return;
        }
        let Some((batch, mut pending)) = self.writer.take(now) else { return };
        let batch = Arc::new(batch);
        let number = self.writer.next_number();
        if self.sabotage == Sabotage::AcknowledgeBeforeSync {
            for (shard, progress) in pending.numbers.drain(..) {
                if let Some(group) = self.groups.get_mut(&shard) {
                    group.replica.persisted(now, progress);
                }
                self.dirty.insert(shard);
            }
        }
        out.push(Effect::Write { engine: self.index, number, batch: Arc::clone(&batch) });
        self.writer.writing = Some(Writing { number, batch, pending, full: false, retry_at: None });
    }

    pub(super) fn persisted(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<(), DiskError>,
        out: &mut Vec<Effect>,
    ) {
        let Some(writing) = self.writer.writing.as_mut().filter(|writing| writing.number == number) else {
            return self.loaded(now, number, result, out);
        };
        match result {
            Ok(()) => {}
            Err(DiskError::Overloaded) => {
                writing.retry_at = Some(now + self.limits.engine.overloaded_pause);
                return;
            }
            Err(DiskError::Full) => {
                writing.retry_at = Some(now + self.limits.engine.full_pause);
                if !std::mem::replace(&mut writing.full, true) {
                    tracing::warn!(
                        "the disk has no room for what is under way: it is tried again until there is room"
                    );
                    self.refuse_queued(out);
                }
                return;
            }
            Err(error) => return self.halt(format!("the disk failed: {error}"), out),
        }
        let pending = self.writer.writing.take().map(|writing| writing.pending).unwrap_or_default();
        for (shard, number) in pending.numbers {
            if let Some(group) = self.groups.get_mut(&shard) {
                group.replica.persisted(now, number);
                self.dirty.insert(shard);
            }
        }
        for shard in pending.installed {
            let Some(group) = self.groups.get_mut(&shard) else { continue };
            group.state.reload(group.applied_to);
            group.installing = Installing::No;
            group.persisted_to = group.persisted_to.max(group.applied_to);
            self.dirty.insert(shard);
        }
        self.promised(now, pending.promises, out);
        let mut opening = Vec::new();
        for (shard, index) in pending.applied {
            let Some(group) = self.groups.get_mut(&shard) else { continue };
            group.persisted_to = group.persisted_to.max(index);
            group.state.persisted(index);
            group.unsettled.retain(|_, actor| actor.undecided > 0 || actor.applied_at > index);
            group.replica.compact(index);
            self.dirty.insert(shard);
            opening.push(shard);
        }
        self.dirty.append(&mut self.writer.proposing);
        for shard in opening {
            self.try_open(shard);
        }
        if pending.founding {
            out.push(Effect::Founded);
        }
        self.unpark_unsettled(now, out);
    }

    /// Tries a batch again that found the disk full.
    pub(super) fn retry_write(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let Some(writing) = self.writer.writing.as_mut() else { return };
        if writing.retry_at.is_none_or(|at| at > now) {
            return;
        }
        // Whether there is room is not known before it is done, so for those who ask it is still full.
        writing.retry_at = None;
        let (engine, number) = (self.index, writing.number);
        out.push(Effect::Write { engine, number, batch: Arc::clone(&writing.batch) });
    }
}
