//! One shard: its pairs, their deadlines, and what they share.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use gritmesh_runtime::{Failure, FailureCode, Instant, ShardId, Timers};

use super::budget::Budget;
use super::counters::DeliveryCounters;
use super::limits::DeliveryLimits;
use super::message::{DeliveryEffect, PairName, PendingMessage};
use super::pair::{Pair, Refused};
use crate::backoff::{BackoffLimits, pair_hash};

/// What every event brings along.
pub(super) struct Round<'a> {
    pub(super) now: Instant,
    pub(super) counters: &'a mut DeliveryCounters,
    pub(super) out: &'a mut Vec<DeliveryEffect>,
}

#[derive(Debug)]
pub(super) struct Lane {
    shard: ShardId,
    backoff: BackoffLimits,
    pairs: BTreeMap<PairName, Pair>,
    budget: Budget,
    timers: Timers<PairName>,
    /// Pairs whose receiver could not be reached of late.
    unrouted: BTreeSet<PairName>,
    /// Pairs that need a load, in the order in which they began to.
    hungry: BTreeMap<u64, PairName>,
    tickets: u64,
}

impl Lane {
    pub(super) fn new(shard: ShardId, limits: DeliveryLimits, backoff: BackoffLimits) -> Self {
        Self {
            shard,
            backoff,
            pairs: BTreeMap::new(),
            budget: Budget::new(limits),
            timers: Timers::new(),
            unrouted: BTreeSet::new(),
            hungry: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// Takes in what is pending of pairs that are not known yet, but no bodies.
    pub(super) fn found(
        &mut self,
        pairs: impl IntoIterator<Item = (PairName, RangeInclusive<u64>)>,
        round: &mut Round<'_>,
    ) {
        for (name, sequences) in pairs {
            if self.pairs.contains_key(&name) {
                continue;
            }
            let mut pair = Pair::new(round.now, *sequences.start());
            pair.reach(round.now, *sequences.end());
            self.pairs.insert(name.clone(), pair);
            self.settle(&name, round);
        }
    }

    pub(super) fn knows(&self, name: &PairName) -> bool {
        self.pairs.contains_key(name)
    }

    pub(super) fn committed(&mut self, message: PendingMessage, round: &mut Round<'_>) {
        let (name, first) = (message.pair(), message.sequence);
        let pair = self.pairs.entry(name.clone()).or_insert_with(|| Pair::new(round.now, first));
        pair.insert(round.now, message, &mut self.budget);
        self.settle(&name, round);
    }

    pub(super) fn acknowledged(&mut self, name: &PairName, sequence: u64, round: &mut Round<'_>) {
        if let Some(pair) = self.pairs.get_mut(name) {
            round.counters.acknowledged += pair.acknowledged(round.now, sequence, &mut self.budget);
            self.settle(name, round);
        }
    }

    pub(super) fn pruned(&mut self, name: &PairName, up_to: u64, round: &mut Round<'_>) {
        if let Some(pair) = self.pairs.get_mut(name) {
            round.counters.acknowledged += pair.pruned(round.now, up_to, &mut self.budget);
            self.settle(name, round);
        }
    }

    pub(super) fn refused(
        &mut self,
        name: &PairName,
        sequence: u64,
        failure: Failure,
        round: &mut Round<'_>,
    ) {
        round.counters.count_refusal(failure.code);
        let Some(pair) = self.pairs.get_mut(name) else { return };
        let refused = if failure.code == FailureCode::Early {
            pair.early(round.now, sequence, &self.budget.limits)
        } else {
            let hash = pair_hash(&name.sender, &name.receiver);
            pair.failed(round.now, sequence, &failure, (hash, &self.backoff), &mut self.budget)
        };
        if let Refused::Panicked(attempts) = refused {
            let (shard, pair) = (self.shard, name.clone());
            round.out.push(DeliveryEffect::Failing { shard, pair, sequence, attempts, failure });
        }
        self.settle(name, round);
    }

    pub(super) fn loaded(&mut self, name: &PairName, rows: Vec<PendingMessage>, round: &mut Round<'_>) {
        let Some(pair) = self.pairs.get_mut(name) else { return };
        let Some(loading) = pair.loading.take() else { return };
        self.budget.release(loading.limit);
        if !pair.loaded(round.now, loading, rows, &mut self.budget) {
            round.counters.missing += 1;
            let hash = pair_hash(&name.sender, &name.receiver);
            pair.missing(round.now, (hash, &self.backoff), &mut self.budget);
        }
        self.settle(name, round);
    }

    /// `place` counts over all shards; it becomes the place behind this shard's last pair.
    pub(super) fn routes_changed(&mut self, place: &mut usize, round: &mut Round<'_>) {
        for name in std::mem::take(&mut self.unrouted) {
            let bursts = u32::try_from(*place / self.budget.limits.route_burst).unwrap_or(u32::MAX);
            let pair = self.pairs.get_mut(&name).expect("a pair whose receiver was not reached exists");
            pair.route_may_exist(round.now + self.budget.limits.route_burst_every * bursts);
            if pair.expire(round.now, &mut self.budget) {
                round.counters.unanswered += 1;
            }
            *place += 1;
            self.settle(&name, round);
        }
    }

    pub(super) fn tick(&mut self, round: &mut Round<'_>) {
        while let Some((_, name)) = self.timers.pop_due(round.now) {
            let pair = self.pairs.get_mut(&name).expect("a pair that has a timer exists");
            pair.timer = None;
            if pair.expire(round.now, &mut self.budget) {
                round.counters.unanswered += 1;
            }
            self.settle(&name, round);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_due()
    }

    pub(super) fn pending(&self) -> u64 {
        self.pairs.values().map(Pair::pending).sum()
    }

    pub(super) fn oldest_age(&self, now: Instant) -> Duration {
        let oldest = self.pairs.values().filter_map(Pair::waiting_since).min();
        oldest.map_or(Duration::ZERO, |since| now - since)
    }

    pub(super) const fn bodies(&self) -> usize {
        self.budget.bodies()
    }

    /// Draws the consequences of a change of one pair: sends, prunes, queues for a load, sets its timer.
    fn settle(&mut self, name: &PairName, round: &mut Round<'_>) {
        let Some(pair) = self.pairs.get_mut(name) else { return };
        while let Some((message, anew)) = pair.send(round.now, &self.budget.limits) {
            *(if anew { &mut round.counters.sent } else { &mut round.counters.resent }) += 1;
            round.out.push(DeliveryEffect::Send { shard: self.shard, message });
        }
        if let Some(up_to) = pair.prune(round.now, &self.budget.limits) {
            round.counters.prunes += 1;
            round.out.push(DeliveryEffect::Prune { shard: self.shard, pair: name.clone(), up_to });
        }
        if pair.hungry.is_none() && pair.needs(&self.budget.limits).is_some() {
            pair.hungry = Some(self.tickets);
            self.hungry.insert(self.tickets, name.clone());
            self.tickets += 1;
        }
        if pair.is_unrouted() {
            self.unrouted.insert(name.clone());
        } else {
            self.unrouted.remove(name);
        }
        self.arm(name);
        self.feed(round);
    }

    fn arm(&mut self, name: &PairName) {
        let pair = self.pairs.get_mut(name).expect("a pair exists while it is settled");
        let deadline = pair.deadline();
        if pair.timer.map(|(due, _)| due) != deadline {
            if let Some((_, key)) = pair.timer.take() {
                self.timers.cancel(key);
            }
            pair.timer = deadline.map(|due| (due, self.timers.insert(due, name.clone())));
        }
        if pair.is_over() {
            let (hungry, timer) = (pair.hungry, pair.timer);
            self.pairs.remove(name);
            self.unrouted.remove(name);
            hungry.and_then(|ticket| self.hungry.remove(&ticket));
            timer.and_then(|(_, key)| self.timers.cancel(key));
        }
    }

    /// Starts loads, as far as there is room for what they bring.
    fn feed(&mut self, round: &mut Round<'_>) {
        while let Some(entry) = self.hungry.first_entry() {
            let pair = self.pairs.get_mut(entry.get()).expect("a pair that needs a load exists");
            if let Some(mut loading) = pair.needs(&self.budget.limits) {
                let Some(limit) = self.budget.reserve(loading.limit) else { return };
                loading.limit = limit;
                pair.loading = Some(loading);
                round.counters.loads += 1;
                let (name, from_sequence) = (entry.get().clone(), loading.from);
                round.out.push(DeliveryEffect::Load { shard: self.shard, pair: name, from_sequence, limit });
            }
            pair.hungry = None;
            entry.remove();
        }
    }
}
