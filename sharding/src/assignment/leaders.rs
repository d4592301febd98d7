//! Which leaders are gone.
//!
//! A leader that the view calls dead, or that has disappeared from it, is gone at once. Two kinds are waited
//! for:
//!
//! * One that the view has never shown: a shard's descriptor and its node's first sign of life travel
//!   separately.
//! * One that was draining, as its weight of 0 told: it has given its shards away before it went, so it is
//!   more likely that the table is behind than that the shard is abandoned.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId};

use super::{Candidate, is_alive};

/// What is believed of a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Alive,
    /// Gone if nothing else is heard by then.
    Awaited(Instant),
    Gone,
}

#[derive(Debug)]
pub(super) struct Leaders {
    grace: Duration,
    /// Leaders that do not live and when they count as gone. Only leaders of the table are kept.
    missing: BTreeMap<NodeId, Instant>,
}

impl Leaders {
    pub(super) const fn new(grace: Duration) -> Self {
        Self { grace, missing: BTreeMap::new() }
    }

    /// Notes who disappeared from the view without draining, and forgets who lives again.
    pub(super) fn view_changed(
        &mut self,
        now: Instant,
        before: &BTreeMap<NodeId, Candidate>,
        after: &BTreeMap<NodeId, Candidate>,
    ) {
        let left = before.iter().filter(|(node, last)| !after.contains_key(node) && last.weight > 0);
        for (node, _) in left {
            self.missing.entry(*node).or_insert(now);
        }
        self.missing.retain(|node, _| !is_alive(after, node));
    }

    /// Forgets everything, as long as nobody asks.
    pub(super) fn clear(&mut self) {
        self.missing.clear();
    }

    /// Notes the leaders that do not live and forgets nodes that lead nothing. Returns whether one of them is
    /// waited for from now on.
    pub(super) fn watch(
        &mut self,
        now: Instant,
        leaders: &BTreeSet<NodeId>,
        candidates: &BTreeMap<NodeId, Candidate>,
    ) -> bool {
        self.missing.retain(|node, _| leaders.contains(node));
        let mut awaited = false;
        for leader in leaders.iter().filter(|leader| !is_alive(candidates, leader)) {
            let grace = self.grace_of(candidates.get(leader));
            self.missing.entry(*leader).or_insert_with(|| {
                awaited |= grace > Duration::ZERO;
                now + grace
            });
        }
        awaited
    }

    pub(super) fn presence(&self, now: Instant, leader: Option<NodeId>) -> Presence {
        match leader.map(|leader| self.missing.get(&leader)) {
            None => Presence::Gone,
            Some(None) => Presence::Alive,
            Some(Some(due)) if *due > now => Presence::Awaited(*due),
            Some(Some(_)) => Presence::Gone,
        }
    }

    /// How long a leader that does not live is waited for, by what the view last said of it.
    fn grace_of(&self, last_seen: Option<&Candidate>) -> Duration {
        match last_seen {
            Some(candidate) if candidate.weight > 0 => Duration::ZERO,
            Some(_) | None => self.grace,
        }
    }
}
