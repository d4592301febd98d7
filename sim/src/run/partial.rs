//! A partial partition while nothing else is wrong: one pair of nodes is cut, and every actor is called through both.

use std::time::Duration;

use gritmesh_runtime::Seed;

use super::cuts;
use super::load;
use super::phases::Phases;
use crate::cluster::Sim;
use crate::faults::Plan;
use crate::history::PairCut;
use crate::world::NodeIndex;

/// How long every shard has to have three voters, so that it has a majority whatever pair is cut.
const VOTERS_LIMIT: Duration = Duration::from_secs(10);

/// How long the cut lasts before the calls, while the connection of the two still stands.
const SOON: Duration = Duration::from_secs(4);

/// How long it lasts until that is long gone, and whatever else was wrong before.
const LATE: Duration = Duration::from_secs(14);

/// How long earlier faults have an effect: what they held up is retransmitted up to 3 s after their end, and who was
/// silent for so long may have been taken for dead.
const AFTERMATH: Duration = Duration::from_secs(5);

/// How long each call may take.
const TIMEOUT: Duration = Duration::from_secs(4);

/// How long the cluster has to be whole again.
const MENDED_LIMIT: Duration = Duration::from_secs(10);

impl Phases<'_> {
    /// Cuts one pair, if the plan has that class of faults and no replica may be damaged.
    pub(super) fn partial_partition(&mut self, plan: &Plan, seed: &Seed) {
        let nodes = self.sim.len();
        if nodes < 3 || !plan.classes.cut_pairs || plan.classes.flipped_bits {
            return;
        }
        let shards: Vec<u32> = cuts::voters(self.sim).into_keys().collect();
        let have_voters = |sim: &Sim| cuts::have_three_voters(sim, shards.iter().copied());
        if !self.sim.run_until(VOTERS_LIMIT, have_voters) {
            return;
        }
        let mut rng = seed.rng();
        let (one_way, soon) = (rng.chance(0.5), rng.chance(0.5));
        if soon {
            self.sim.advance(AFTERMATH);
            if !self.sim.run_until(VOTERS_LIMIT, |sim| sim.is_ready() && have_voters(sim)) {
                return;
            }
        }
        let one = rng.below(u64::from(nodes)) as u16;
        let other = (one + 1 + rng.below(u64::from(nodes) - 1) as u16) % nodes;
        let (one, other) = (NodeIndex(one), NodeIndex(other));
        self.sim.world_mut().cut_pair(one, other, one_way);
        let from = self.sim.now();
        self.history.lock().pair_cuts.push(PairCut { from, until: None, nodes: [one, other] });
        self.sim.advance(if soon { SOON } else { LATE });
        self.call_all(&[one, other]);
        for cut in &mut self.history.lock().pair_cuts {
            cut.until = Some(self.sim.now());
        }
        self.sim.world_mut().mend_pair(one, other);
        self.sim.run_until(MENDED_LIMIT, Sim::is_ready);
    }

    /// Calls every actor through each of these nodes, all at once, and waits until all calls have ended.
    pub(super) fn call_all(&mut self, through: &[NodeIndex]) {
        let mut calls = Vec::new();
        for through in through {
            let made = self.at(through.0, |place| {
                let durable = load::members()
                    .map(|(kind, id)| load::answer_now(place, (kind, &id), None, TIMEOUT))
                    .collect::<Vec<u64>>();
                let volatile = (0..load::PROBES).map(|probe| load::probe_now(place, probe, 0, TIMEOUT));
                volatile.chain(durable).collect::<Vec<u64>>()
            });
            calls.extend(made.into_iter().flatten());
        }
        let history = self.history.clone();
        let ended = |number: &u64| !history.lock().calls[*number as usize].ends.is_empty();
        self.sim.run_until(2 * TIMEOUT, |_| calls.iter().all(ended));
    }
}
