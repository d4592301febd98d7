//! What a new leader takes up: messages that are not acknowledged, and reminders.
//!
//! **Problem.** There may be a million of them, on a disk, and whoever reads them holds the engine. The actors of the
//! shard should not wait for that, and those of other shards still less.
//!
//! **Design.** The shard is served at once. Its rows are read in portions, so many in one turn as take a few
//! milliseconds, and the next turn comes a moment later; in between the engine does everything else. Of the outbox only
//! the pairs are read, and where their backlogs begin and end; the bodies come by loads when delivery wants them, which
//! share the same turns. What happens meanwhile is known better than the rows that are still to come: a message for a
//! pair that was not read yet has the pair looked up first, and what was pruned stays so, even if it is still on the
//! disk when its turn comes.
//!
//! **Deliberately absent.** An index of reminders by time on the disk: all of a shard are in memory once they are read.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use gritmesh_runtime::{Instant, ShardId};
use gritmesh_shard::{
    ActorKey, Backlog, PairName, StateError, first_pending, pending_of_pair, pending_pairs, pending_reminders,
};

use super::Engine;
use super::event::Effect;
use crate::limits::EngineLimits;

/// What every read costs, however few rows it finds.
const READ: usize = 8;

/// What is still to be read, of all shards that are led here.
#[derive(Debug)]
pub(super) struct Takeover {
    shards: BTreeMap<ShardId, Unread>,
    /// The one of which a portion was read last.
    last: ShardId,
    /// What delivery wants to have read, in its order.
    loads: VecDeque<Load>,
    /// Whether a load was the last that was read.
    loaded: bool,
    /// What may still be read in this turn.
    left: usize,
    /// When the next turn may begin.
    turn_at: Instant,
    limits: EngineLimits,
}

/// A shard of which not everything is read. A key is from where to go on.
#[derive(Debug)]
struct Unread {
    outbox: Option<Vec<u8>>,
    reminders: Option<Vec<u8>>,
    outbox_is_read: bool,
    /// What was removed from the outbox since this node leads.
    pruned: BTreeMap<PairName, u64>,
}

/// Rows of the outbox that delivery wants.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) shard: ShardId,
    pub(super) pair: PairName,
    pub(super) from_sequence: u64,
    pub(super) limit: usize,
}

impl Takeover {
    pub(super) const fn new(limits: EngineLimits) -> Self {
        Self {
            shards: BTreeMap::new(),
            last: ShardId(0),
            loads: VecDeque::new(),
            loaded: false,
            left: 0,
            turn_at: Instant::ZERO,
            limits,
        }
    }

    pub(super) fn load(&mut self, load: Load) {
        self.loads.push_back(load);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.has_work().then_some(self.turn_at)
    }

    fn has_work(&self) -> bool {
        !self.loads.is_empty() || !self.shards.is_empty()
    }

    /// Whether there is something to read now.
    fn may_read(&mut self, now: Instant) -> bool {
        if !self.has_work() {
            return false;
        }
        if self.turn_at <= now {
            self.left = self.limits.turn;
            self.turn_at = now + self.limits.turn_every;
        }
        self.left > 0
    }

    /// The next load, every other time; while nothing else is to be read, each time.
    fn next_load(&mut self) -> Option<Load> {
        self.loaded = !self.loaded && !self.shards.is_empty();
        let turn = self.loaded || self.shards.is_empty();
        if turn { self.loads.pop_front() } else { None }
    }

    /// The shard whose turn it is: a long backlog must not keep the others waiting.
    fn next_shard(&mut self) -> Option<ShardId> {
        let after = self.shards.range((Bound::Excluded(self.last), Bound::Unbounded));
        self.last = *after.chain(self.shards.range(..=self.last)).next()?.0;
        Some(self.last)
    }

    fn spend(&mut self, rows: usize) {
        self.left = self.left.saturating_sub(READ + rows);
    }
}

impl Unread {
    /// What is left of a backlog.
    fn unpruned(&self, (pair, sequences): Backlog) -> Option<Backlog> {
        let pruned = self.pruned.get(&pair).map_or(0, |up_to| up_to.saturating_add(1));
        let left = pruned.max(*sequences.start())..=*sequences.end();
        (!left.is_empty()).then_some((pair, left))
    }
}

impl Engine {
    /// A new leader begins to take up what is pending.
    pub(super) fn take_up(&mut self, shard: ShardId) {
        self.leave_outputs(shard);
        self.delivery.lead(shard);
        self.reminders.lead(shard);
        let unread = Unread { outbox: None, reminders: None, outbox_is_read: false, pruned: BTreeMap::new() };
        self.takeover.shards.insert(shard, unread);
    }

    /// Another one does.
    pub(super) fn leave_outputs(&mut self, shard: ShardId) {
        self.delivery.stop(shard);
        self.reminders.stop(shard);
        self.takeover.shards.remove(&shard);
        self.takeover.loads.retain(|load| load.shard != shard);
    }

    /// Reads something that is wanted, if this turn still allows it. Returns whether it did.
    pub(super) fn read_on(&mut self, now: Instant, out: &mut Vec<Effect>) -> bool {
        if !self.takeover.may_read(now) {
            return false;
        }
        if let Some(load) = self.takeover.next_load() {
            self.serve_load(now, load, out);
            return true;
        }
        let Some(shard) = self.takeover.next_shard() else { return false };
        if let Err(error) = self.read_portion(now, shard) {
            self.unreadable(now, shard, "what it has yet to send", &error, out);
        }
        true
    }

    fn serve_load(&mut self, now: Instant, load: Load, out: &mut Vec<Effect>) {
        let Load { shard, pair, from_sequence, limit } = load;
        let (sender, receiver) = (ActorKey::of(&pair.sender), ActorKey::of(&pair.receiver));
        let rows =
            pending_of_pair(&sender, &receiver, from_sequence, limit, &*self.disk, &self.limits.shard.read);
        let rows = rows.unwrap_or_else(|error| {
            tracing::error!(%shard, %error, "messages that wait to be delivered cannot be read");
            if error.is_damage() {
                self.found_damage(now, shard, &error.to_string(), out);
            }
            Vec::new()
        });
        self.takeover.spend(rows.len());
        self.delivery.loaded(now, shard, &pair, rows, &mut self.delivering);
    }

    fn read_portion(&mut self, now: Instant, shard: ShardId) -> Result<(), StateError> {
        let (portion, read) = (self.limits.engine.portion, &self.limits.shard.read);
        let Some(range) = self.range(shard) else {
            self.takeover.shards.remove(&shard);
            return Ok(());
        };
        let tokens = (range.start, range.end);
        let Some(unread) = self.takeover.shards.get_mut(&shard) else { return Ok(()) };
        if !unread.outbox_is_read {
            let (pairs, next) = pending_pairs(&*self.disk, tokens, unread.outbox.as_deref(), portion, read)?;
            unread.outbox_is_read = next.is_none();
            unread.outbox = next;
            let pairs: Vec<Backlog> = pairs.into_iter().filter_map(|pair| unread.unpruned(pair)).collect();
            self.takeover.spend(pairs.len());
            self.delivery.found(now, shard, pairs, &mut self.delivering);
            return Ok(());
        }
        let (rows, next) =
            pending_reminders(&*self.disk, tokens, unread.reminders.as_deref(), portion, read)?;
        let is_all = next.is_none();
        unread.reminders = next;
        self.takeover.spend(rows.len());
        self.reminders.found(now, shard, rows, &mut self.reminding);
        if is_all {
            self.reminders.found_all(shard);
            self.takeover.shards.remove(&shard);
        }
        Ok(())
    }

    /// A message is about to be told to delivery, whose pair may have others that are not read yet.
    pub(super) fn look_up_pair(
        &mut self,
        now: Instant,
        shard: ShardId,
        pair: &PairName,
        sequence: u64,
    ) -> Result<(), StateError> {
        let Some(unread) = self.takeover.shards.get(&shard).filter(|unread| !unread.outbox_is_read) else {
            return Ok(());
        };
        if self.delivery.knows(shard, pair) {
            return Ok(());
        }
        let (sender, receiver) = (ActorKey::of(&pair.sender), ActorKey::of(&pair.receiver));
        let first = first_pending(&sender, &receiver, &*self.disk)?.unwrap_or(sequence);
        if let Some(backlog) = (first < sequence)
            .then(|| (pair.clone(), first..=sequence - 1))
            .and_then(|found| unread.unpruned(found))
        {
            self.delivery.found(now, shard, [backlog], &mut self.delivering);
        }
        Ok(())
    }

    /// Messages were removed from the outbox.
    pub(super) fn pruned(&mut self, now: Instant, shard: ShardId, pair: PairName, up_to: u64) {
        self.delivery.pruned(now, shard, &pair, up_to, &mut self.delivering);
        if let Some(unread) = self.takeover.shards.get_mut(&shard).filter(|unread| !unread.outbox_is_read) {
            let known = unread.pruned.entry(pair).or_default();
            *known = up_to.max(*known);
        }
    }
}
