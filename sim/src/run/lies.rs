//! A peer that lies while nothing else is wrong, and then no more: every actor is called through every node.

use std::time::Duration;

use gritmesh_runtime::Seed;

use super::describe::describe;
use super::phases::Phases;
use crate::cluster::Sim;
use crate::faults::{Intervention, Plan};
use crate::history::Lies;
use crate::world::NodeIndex;

/// How long the node lies, in seconds.
const LIES_S: [u64; 3] = [1, 5, 10];

/// In how many of a million frames.
const PER_MILLION: [u32; 3] = [10_000, 100_000, 300_000];

/// How long everything may take until it is served again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

impl Phases<'_> {
    /// Lets one node lie, if the plan has that class of faults.
    pub(super) fn lies(&mut self, plan: &Plan, seed: &Seed) {
        let nodes = self.sim.len();
        if nodes < 2 || !plan.classes.lies {
            return;
        }
        let mut rng = seed.rng();
        let liar = NodeIndex(rng.below(u64::from(nodes)) as u16);
        let lasts = Duration::from_secs(LIES_S[rng.below(LIES_S.len() as u64) as usize]);
        let per_million = PER_MILLION[rng.below(PER_MILLION.len() as u64) as usize];
        let starts = self.starts();
        self.sim.inject_failure(&Intervention::Lie { node: liar, per_million });
        self.sim.advance(lasts);
        self.sim.inject_failure(&Intervention::Lie { node: liar, per_million: 0 });
        let ended = self.sim.now();
        let served_from = ended + FORGOTTEN_AFTER;
        let is_ready = self.sim.run_until(FORGOTTEN_AFTER, Sim::is_ready);
        // One that has just started ends if all others say that its data directory is an old copy. Where the only other
        // one lies, it cannot know better.
        let stayed = nodes == 2 || self.starts() == starts;
        let wrong = match stayed {
            _ if !is_ready => Some(describe(self.sim)),
            false => Some("a node had been started again".to_owned()),
            true => None,
        };
        self.sim.advance(served_from - self.sim.now());
        self.history.lock().lies.push(Lies { liar, ended, served_from, wrong });
        self.call_all(&(0..nodes).map(NodeIndex).collect::<Vec<_>>());
    }

    /// Which start of each node runs.
    fn starts(&self) -> Vec<(NodeIndex, u64)> {
        self.sim.running().map(|(number, node)| (number, node.info().incarnation.0)).collect()
    }
}
