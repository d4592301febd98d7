//! What nodes claimed to be: holders of leases, and leaders of terms.

use std::sync::Arc;

use gritmesh_core::Watcher;
use gritmesh_runtime::{Instant, ShardId};
use parking_lot::Mutex;

use super::History;
use crate::world::{NodeIndex, Notes};

/// A time in which a process believed that it leads a shard alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSpan {
    /// The shard.
    pub shard: u32,
    /// Who believed it.
    pub node: NodeIndex,
    /// Since when, by the world's clock.
    pub from: Instant,
    /// Until when, by the world's clock, if nothing comes between.
    pub until: Instant,
}

/// A process that claimed to lead a shard in a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The shard.
    pub shard: u32,
    /// The term.
    pub term: u64,
    /// Who claimed it.
    pub node: NodeIndex,
    /// When it did so first.
    pub at: Instant,
}

/// Writes down what one process claims. Dropped with the process, whose leases end with it.
pub(crate) struct Claims {
    history: Arc<Mutex<History>>,
    node: NodeIndex,
    notes: Notes,
    /// Where the newest span of each shard stands.
    spans: Mutex<std::collections::BTreeMap<u32, usize>>,
}

impl Claims {
    pub(crate) fn new(history: &Arc<Mutex<History>>, node: NodeIndex, notes: Notes) -> Self {
        Self { history: Arc::clone(history), node, notes, spans: Mutex::default() }
    }
}

impl Watcher for Claims {
    fn holds_lease(&self, shard: ShardId, until: Instant) {
        let (now, until) = (self.notes.now(), self.notes.world_time(until));
        let (mut history, mut spans) = (self.history.lock(), self.spans.lock());
        let newest = spans.get(&shard.0).map(|at| &mut history.leases[*at]);
        match newest.filter(|span| span.until >= now) {
            Some(span) => span.until = until.max(now),
            None if until > now => {
                spans.insert(shard.0, history.leases.len());
                history.leases.push(LeaseSpan { shard: shard.0, node: self.node, from: now, until });
            }
            None => {}
        }
    }

    fn leads(&self, shard: ShardId, term: u64) {
        let (node, at) = (self.node, self.notes.now());
        let mut history = self.history.lock();
        let is_known = |lead: &Lead| (lead.shard, lead.term, lead.node) == (shard.0, term, node);
        if !history.leads.iter().any(is_known) {
            history.leads.push(Lead { shard: shard.0, term, node, at });
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let now = self.notes.now();
        let mut history = self.history.lock();
        for at in std::mem::take(&mut *self.spans.lock()).into_values() {
            let span = &mut history.leases[at];
            span.until = span.until.min(now);
        }
    }
}
