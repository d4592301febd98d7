//! The end of a batch: every shard that changed is advanced, and what all of them want sent and written leaves
//! together.
//!
//! One batch of records is on its way to the disk at a time. What comes meanwhile waits for the next one, proposals
//! included: the longer the disk takes, the more share a sync, a frame and an entry of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gritmesh_runtime::{Batch, Change, DiskError, Failure, FailureCode, Instant, NodeId, ShardId};
use gritmesh_shard::{Commands, Outcome, StateError};
use gritmesh_sharding::{Committed, Progress};

use super::Engine;
use super::commits::{Proposed, open};
use super::event::{Counted, Effect};
use super::groups::{Group, Installing};
use crate::options::Sabotage;
use crate::wire::LogMessages;

/// How long a full disk is left alone before the same batch is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// How long a disk is left alone that has too much to do.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(20);

/// Changes of the next batch above which no more of a state is pulled: the packs of some tens of parts.
const BEHIND_CHANGES: usize = 16 * 1024;

/// What is on its way to the disk, and what comes next.
#[derive(Default)]
pub(super) struct Writer {
    next: Pending,
    writing: Option<Writing>,
    number: u64,
    /// Shards with something to propose when the disk is free.
    proposing: BTreeSet<ShardId>,
    /// Whether this node creates the shards of a new cluster.
    pub(super) founding: bool,
    /// Nothing is written any more: what is in memory may not be what the records say.
    halted: bool,
}

/// Changes of many shards, and what their being on the disk means to each.
#[derive(Default)]
struct Pending {
    batch: Batch,
    /// Numbers of the replicas' progress.
    numbers: Vec<(ShardId, u64)>,
    /// Up to where the states are on the disk with it.
    applied: Vec<(ShardId, u64)>,
    /// Shards whose state from the leader it carries.
    installed: Vec<ShardId>,
    /// Shards of which it removes everything.
    buried: Vec<ShardId>,
    founding: bool,
}

struct Writing {
    number: u64,
    pending: Pending,
    /// Whether there was no room for it when it was last tried.
    full: bool,
    /// When to try again, unless it is being tried.
    retry_at: Option<Instant>,
}

impl Writer {
    pub(super) fn changes(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.next.batch.changes.extend(changes);
    }

    /// Everything of a shard is removed; see [`Self::is_burying`].
    pub(super) fn bury(&mut self, shard: ShardId) {
        self.next.buried.push(shard);
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

    /// Whether so many changes wait for the disk that what can wait should.
    pub(super) fn is_behind(&self) -> bool {
        self.next.batch.changes.len() > BEHIND_CHANGES
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.writing.as_ref()?.retry_at
    }
}

impl Engine {
    pub(super) fn pump(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut frames = BTreeMap::new();
        while !self.writer.halted {
            self.run_outputs(now, out);
            let Some(shard) = self.dirty.pop_first() else { break };
            match self.writer.writing {
                Some(_) if self.groups.get(&shard).is_some_and(|group| !group.queued.is_empty()) => {
                    self.writer.proposing.insert(shard);
                }
                Some(_) => {}
                None => self.propose_queued(shard, out),
            }
            self.pump_group(now, shard, &mut frames, out);
            if let Some(due) = self.groups.get(&shard).and_then(Group::next_deadline) {
                self.wake_by(due);
            }
        }
        for (to, messages) in frames {
            out.extend(LogMessages::frames(messages).map(|body| Effect::SendConsensus { to, body }));
        }
        self.write(now, out);
        if std::mem::take(&mut self.news) {
            self.unpark(now, out);
        }
    }

    /// The node must stop, and this engine does so at once: what it would write from now on could be wrong, and
    /// nobody should wait for it.
    pub(super) fn halt(&mut self, reason: String, out: &mut Vec<Effect>) {
        self.writer.halted = true;
        out.push(Effect::Fatal(reason));
        for shard in self.groups.keys().copied().collect::<Vec<_>>() {
            self.end_to_lead(shard, out);
        }
    }

    fn pump_group(
        &mut self,
        now: Instant,
        shard: ShardId,
        frames: &mut BTreeMap<NodeId, Vec<Vec<u8>>>,
        out: &mut Vec<Effect>,
    ) {
        if !self.advance_group(now, shard, frames, out) {
            return;
        }
        self.release_observers(now, shard, out);
        self.step_move(now, shard, out);
        self.transfer_when_settled(now, shard);
        // Asking for a new lease and handing over send messages.
        if !self.advance_group(now, shard, frames, out) {
            return;
        }
        if let Some(group) = self.groups.get_mut(&shard) {
            let until = group.replica.lease().filter(|_| group.leads).unwrap_or(Instant::ZERO);
            if until != group.lease {
                group.lease = until;
                out.push(Effect::Lease { shard, until, epoch: group.config.epoch });
            }
        }
    }

    /// Does what the replica has to do. Returns whether it goes on.
    fn advance_group(
        &mut self,
        now: Instant,
        shard: ShardId,
        frames: &mut BTreeMap<NodeId, Vec<Vec<u8>>>,
        out: &mut Vec<Effect>,
    ) -> bool {
        loop {
            let Some(group) = self.groups.get_mut(&shard) else { return false };
            if group.installing == Installing::Writing {
                return false;
            }
            let Some(progress) = group.replica.advance(now) else { return true };
            if group.installing == Installing::Begun {
                group.installing = Installing::Writing;
                self.writer.next.installed.push(shard);
            }
            for (to, message) in progress.messages {
                frames.entry(to).or_default().push(message);
            }
            let rest = Progress { messages: Vec::new(), ..progress };
            if !self.take_progress(now, shard, rest, out) {
                return false;
            }
        }
    }

    /// Returns whether the replica still exists.
    fn take_progress(
        &mut self,
        now: Instant,
        shard: ShardId,
        progress: Progress,
        out: &mut Vec<Effect>,
    ) -> bool {
        let next = &mut self.writer.next;
        next.batch.sync |= progress.sync;
        next.batch.changes.extend(progress.changes);
        next.numbers.extend(progress.number.map(|number| (shard, number)));
        for committed in progress.committed {
            if let Err(error) = self.apply(now, shard, committed, out) {
                // The records that are next say that the entry was applied.
                self.halt(format!("shard {shard} cannot go on: {error}"), out);
                return false;
            }
        }
        let Some(group) = self.groups.get_mut(&shard) else { return false };
        if progress.applied_to > group.applied_to {
            group.applied_to = progress.applied_to;
            self.writer.next.applied.push((shard, progress.applied_to));
        }
        if let Some(config) = progress.config {
            group.config = config;
            self.describe_own(shard, out);
        }
        if let Some(role) = progress.role {
            self.became(now, shard, &role, out);
        }
        for to in progress.snapshot_wanted {
            self.offer_state(now, shard, to);
        }
        if let Some((from, meta)) = progress.install {
            self.begin_transfer(now, shard, from, meta, out);
        }
        if progress.removed {
            self.end_to_lead(shard, out);
            self.destroy(shard, out);
            return false;
        }
        true
    }

    fn apply(
        &mut self,
        now: Instant,
        shard: ShardId,
        committed: Committed,
        out: &mut Vec<Effect>,
    ) -> Result<(), StateError> {
        let Some(group) = self.groups.get_mut(&shard) else { return Ok(()) };
        let Committed { index, term, command, own } = committed;
        let applied = group.state.apply(index, term, Commands::decode(&command)?, &*self.disk)?;
        self.writer.next.batch.changes.extend(applied.changes);
        let proposed = if own { group.next_proposed(out) } else { Vec::new() };
        let (leads, mut waiting) = (group.leads, proposed.into_iter());
        let (mut opened, mut refused, mut damage) = (Vec::new(), 0, None);
        for outcome in &applied.outcomes {
            let Proposed { actor, volatile, gate } = waiting.next().unwrap_or_default();
            if let Some(group) = self.groups.get_mut(&shard) {
                group.decided(actor.as_ref(), index);
            }
            let result = result_of(outcome);
            match result.is_ok() {
                // What a step says is handed to delivery before anybody may see that it is committed.
                true if leads => {
                    if let Err(error) = self.output(now, shard, outcome, out) {
                        damage = Some(error);
                    }
                }
                true => {}
                false => refused += 1,
            }
            if result.is_ok() {
                out.extend(volatile.into_iter().map(Effect::Forward));
            }
            opened.push((gate, result));
        }
        out.push(Effect::Count(Counted::Committed(applied.outcomes.len() as u64 - refused)));
        if refused > 0 {
            out.push(Effect::Count(Counted::Refused(refused)));
        }
        for (gate, result) in opened {
            open(gate, result, out);
        }
        damage.map_or(Ok(()), Err)
    }

    fn write(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.writer.writing.is_some() || self.writer.halted {
            return;
        }
        let mut pending = std::mem::take(&mut self.writer.next);
        if pending.batch.changes.is_empty() && pending.numbers.is_empty() {
            return;
        }
        pending.founding = std::mem::take(&mut self.writer.founding);
        self.writer.number += 1;
        let number = self.writer.number;
        if self.sabotage == Sabotage::AcknowledgeBeforeSync {
            for (shard, progress) in pending.numbers.drain(..) {
                if let Some(group) = self.groups.get_mut(&shard) {
                    group.replica.persisted(now, progress);
                }
                self.dirty.insert(shard);
            }
        }
        out.push(Effect::Write { engine: self.index, number, batch: pending.batch.clone() });
        self.writer.writing = Some(Writing { number, pending, full: false, retry_at: None });
    }

    pub(super) fn persisted(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<(), DiskError>,
        out: &mut Vec<Effect>,
    ) {
        let Some(writing) = self.writer.writing.as_mut().filter(|writing| writing.number == number) else {
            return;
        };
        match result {
            Ok(()) => {}
            Err(DiskError::Overloaded) => {
                writing.retry_at = Some(now + OVERLOADED_PAUSE);
                return;
            }
            Err(DiskError::Full) => {
                writing.retry_at = Some(now + FULL_PAUSE);
                if !std::mem::replace(&mut writing.full, true) {
                    tracing::warn!("the disk is full: changes are refused until there is room");
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
            if let Err(error) = group.state.reload(&*self.disk) {
                return self.halt(format!("shard {shard} cannot be read any more: {error}"), out);
            }
            group.installing = Installing::No;
            group.persisted_to = group.persisted_to.max(group.applied_to);
            self.dirty.insert(shard);
        }
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
            self.try_open(now, shard, out);
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
        out.push(Effect::Write { engine, number, batch: writing.pending.batch.clone() });
    }
}

/// What those are told who wait for a command.
fn result_of(outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Refused { actor, .. } => {
            let detail = format!("another step of {actor:?} came first; this one changed nothing");
            Err(Failure::new(FailureCode::NotDelivered, detail))
        }
        Outcome::Stepped(_)
        | Outcome::Acknowledged { .. }
        | Outcome::Paused { .. }
        | Outcome::Resumed { .. }
        | Outcome::Forgot { .. }
        | Outcome::LetterDropped { .. } => Ok(()),
    }
}
