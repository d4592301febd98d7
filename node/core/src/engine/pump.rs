//! The end of a batch: every shard that changed is advanced, and what all of them want sent and written leaves
//! together.
//!
//! One batch of records is on its way to the disk at a time. What comes meanwhile waits for the next one, proposals
//! included: the longer the disk takes, the more share a sync, a frame and an entry of the log.

use std::collections::BTreeMap;

use gritmesh_runtime::{Failure, FailureCode, Instant, NodeId, ShardId};
use gritmesh_shard::{Commands, Outcome, StateError};
use gritmesh_sharding::{Committed, Progress};

use super::Engine;
use super::commits::{Proposed, open};
use super::event::{Counted, Effect};
use super::groups::{Group, Installing};
use crate::options::Sabotage;

impl Engine {
    pub(super) fn pump(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut frames = BTreeMap::new();
        while !self.writer.halted {
            self.run_outputs(now, out);
            let Some(shard) = self.dirty.pop_first() else { break };
            match self.writer.is_writing() {
                true if self.groups.get(&shard).is_some_and(|group| !group.queued.is_empty()) => {
                    self.writer.proposing.insert(shard);
                }
                true => {}
                false => self.propose_queued(shard, out),
            }
            self.pump_group(now, shard, &mut frames, out);
            if let Some(due) = self.groups.get(&shard).and_then(Group::next_deadline) {
                self.wake_by(due);
            }
        }
        for (to, messages) in frames {
            out.extend(self.envelopes(messages).map(|body| Effect::SendConsensus { to, body }));
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
            let mut until = group.replica.lease().filter(|_| group.leads).unwrap_or(Instant::ZERO);
            if self.sabotage == Sabotage::LeaseTooLong && until > now {
                until = until + (until - now);
            }
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
                self.writer.install(shard);
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
        mut progress: Progress,
        out: &mut Vec<Effect>,
    ) -> bool {
        let before = self.writer.mark();
        self.writer.progress(now, shard, &mut progress);
        for committed in progress.committed {
            if let Err(error) = self.apply(now, shard, committed, out) {
                // The records that are next say that the entry was applied.
                self.writer.take_back(before);
                self.unreadable(now, shard, "an entry of its log", &error, out);
                return false;
            }
        }
        let Some(group) = self.groups.get_mut(&shard) else { return false };
        if progress.applied_to > group.applied_to {
            group.applied_to = progress.applied_to;
            self.writer.applied(shard, progress.applied_to);
        }
        if let Some(config) = progress.config {
            group.config = config;
            self.describe_own(shard, out);
        }
        if let Some(role) = progress.role {
            self.became(now, shard, &role, out);
        }
        for to in progress.snapshot_wanted {
            self.offer_state(now, shard, to, out);
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
        let Committed { index, command, own, .. } = committed;
        let applied = group.state.apply(index, Commands::decode(&command)?, &*self.disk)?;
        self.writer.lazily(applied.changes);
        let proposed = if own { group.next_proposed(out) } else { Vec::new() };
        let (leads, mut waiting) = (group.leads, proposed.into_iter());
        let (mut opened, mut refused, mut damage) = (Vec::new(), 0, None);
        for outcome in &applied.outcomes {
            let Proposed { actor, volatile, gate } = waiting.next().unwrap_or_default();
            if let Some(group) = self.groups.get_mut(&shard) {
                group.decided(actor.as_ref(), index);
            }
            if let (Outcome::Stepped(step), Some(group)) = (outcome, self.groups.get_mut(&shard))
                && let Some(note) = group.time.carried(now, shard, step, own)
            {
                self.writer.lazily(vec![note]);
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
