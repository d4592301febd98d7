//! Who is not there, since when, and whether it will come back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId};

use super::{Candidate, is_alive};

/// Nodes that left and are remembered. Who has been forgotten counts as just having died, which only delays
/// its replacement; the one that left first is forgotten first.
const LEFT_MAX: usize = 1024;

/// What is believed of a voter that does not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// It may be back in a moment.
    Awaited,
    /// Another node should take its place.
    Lost,
    /// It said so, and will not be back.
    Left,
}

#[derive(Debug)]
pub(super) struct Absences {
    replace_after: Duration,
    /// Dead candidates, and voters of shards led here that the view does not show.
    since: BTreeMap<NodeId, Instant>,
    left: BTreeMap<NodeId, Instant>,
}

impl Absences {
    pub(super) const fn new(replace_after: Duration) -> Self {
        Self { replace_after, since: BTreeMap::new(), left: BTreeMap::new() }
    }

    pub(super) fn view_changed(
        &mut self,
        now: Instant,
        before: &BTreeMap<NodeId, Candidate>,
        after: &BTreeMap<NodeId, Candidate>,
    ) {
        // A dead member that disappears was only forgotten by the view; it never said that it leaves.
        let left = before.values().filter(|last| last.alive && !after.contains_key(&last.node));
        self.left.extend(left.map(|last| (last.node, now)));
        self.left.retain(|node, _| !after.contains_key(node));
        while self.left.len() > LEFT_MAX {
            let first = self.left.iter().min_by_key(|(_, at)| **at).map(|(node, _)| *node);
            first.and_then(|node| self.left.remove(&node));
        }
        self.since.retain(|node, _| !is_alive(after, node));
        for dead in after.values().filter(|candidate| !candidate.alive) {
            self.since.entry(dead.node).or_insert(now);
        }
    }

    /// Starts to wait for voters that the view does not show, and forgets who is neither there nor a voter.
    pub(super) fn watch(
        &mut self,
        now: Instant,
        voters: &BTreeSet<NodeId>,
        candidates: &BTreeMap<NodeId, Candidate>,
    ) {
        self.since.retain(|node, _| candidates.contains_key(node) || voters.contains(node));
        let unseen = voters.iter().filter(|voter| !candidates.contains_key(voter));
        for voter in unseen.filter(|voter| !self.left.contains_key(voter)) {
            self.since.entry(*voter).or_insert(now);
        }
    }

    /// What is believed of a node that the view does not show alive.
    pub(super) fn of(&self, now: Instant, node: &NodeId) -> Absence {
        if self.left.contains_key(node) {
            return Absence::Left;
        }
        match self.since.get(node) {
            Some(since) if *since + self.replace_after <= now => Absence::Lost,
            Some(_) | None => Absence::Awaited,
        }
    }

    /// When the next awaited node is lost.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        self.since.values().map(|since| *since + self.replace_after).filter(|due| *due > now).min()
    }
}
