//! Anti-entropy: copies of the table find out that they differ, and then do not.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId, Rng};

use super::{Candidate, Effect, Placement};
use crate::table::ShardTable;

/// Peers that are greeted with a summary when they appear. Three of each side suffice to join two sides; the
/// rest hears it from them within a few periods.
const GREETINGS_MAX: usize = 3;

/// A peer is not sent a table more often than this: a table is a thousand times the size of the summary it
/// answers.
const TABLE_INTERVAL: Duration = Duration::from_millis(100);

/// When to compare, and with whom not too often.
#[derive(Debug)]
pub(super) struct Exchange {
    period: Duration,
    rng: Rng,
    due: Option<Instant>,
    /// Peers of the view that were sent a table, and when.
    tables_sent: BTreeMap<NodeId, Instant>,
}

impl Exchange {
    pub(super) const fn new(period: Duration, rng: Rng) -> Self {
        Self { period, rng, due: None, tables_sent: BTreeMap::new() }
    }

    pub(super) const fn next_due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn view_changed(&mut self, candidates: &BTreeMap<NodeId, Candidate>) {
        self.tables_sent.retain(|peer, _| candidates.contains_key(peer));
    }

    fn may_send_table(&mut self, now: Instant, to: NodeId) -> bool {
        let recent = self.tables_sent.get(&to).is_some_and(|sent| now - *sent < TABLE_INTERVAL);
        if !recent {
            self.tables_sent.insert(to, now);
        }
        !recent
    }

    /// The next comparison, after three to five quarters of the period, so that nodes do not march in step.
    fn schedule(&mut self, now: Instant) {
        let quarter = self.period / 4;
        let jitter = self.rng.below(2 * quarter.as_nanos() as u64);
        self.due = Some(now + quarter * 3 + Duration::from_nanos(jitter));
    }
}

impl Placement {
    pub(super) fn exchange_if_due(&mut self, now: Instant, out: &mut Vec<Effect>) {
        match self.exchange.due {
            Some(due) if due > now => return,
            Some(_) => {
                let peers: Vec<NodeId> = self.alive_peers().collect();
                let keepers = self.keepers();
                let kept: Vec<NodeId> = peers.iter().copied().filter(|peer| keepers.contains(peer)).collect();
                let rng = &mut self.exchange.rng;
                let mut draw =
                    |among: &[NodeId]| among.get(rng.below(among.len().max(1) as u64) as usize).copied();
                // With one that keeps something, and besides with one that does not: a peer may have made that one up.
                let keeper = draw(&kept);
                let other = if kept.len() < peers.len() { draw(&peers) } else { None };
                let other = other.filter(|to| !keepers.contains(to));
                let hash = self.hash();
                out.extend(keeper.into_iter().chain(other).map(|to| Effect::SendSummary { to, hash }));
            }
            None => {}
        }
        self.exchange.schedule(now);
    }

    /// Compares at once with peers that appeared.
    pub(super) fn greet(&mut self, mut appeared: Vec<NodeId>, out: &mut Vec<Effect>) {
        self.exchange.rng.shuffle(&mut appeared);
        let hash = self.hash();
        out.extend(appeared.into_iter().take(GREETINGS_MAX).map(|to| Effect::SendSummary { to, hash }));
    }

    pub(super) fn compare(&mut self, now: Instant, from: NodeId, hash: u64, out: &mut Vec<Effect>) {
        if hash != self.hash() {
            self.send_table(now, from, out);
        }
    }

    pub(super) fn answer_table(
        &mut self,
        now: Instant,
        from: NodeId,
        table: ShardTable,
        out: &mut Vec<Effect>,
    ) {
        if self.take_in(now, table, out) {
            self.send_table(now, from, out);
        }
    }

    fn send_table(&mut self, now: Instant, to: NodeId, out: &mut Vec<Effect>) {
        let Some(table) = &self.table else { return };
        if self.candidates.contains_key(&to) && self.exchange.may_send_table(now, to) {
            out.push(Effect::SendTable { to, table: table.clone() });
        }
    }

    fn hash(&self) -> u64 {
        self.table.as_ref().map_or(0, ShardTable::hash)
    }
}
