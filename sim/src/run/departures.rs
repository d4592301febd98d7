//! A planned leave while nothing else is wrong: one node is told to leave, and comes back, under calls through the others.

use std::time::Duration;

use gritmesh_runtime::Seed;

use super::load;
use super::phases::Phases;
use crate::cluster::Sim;
use crate::faults::{Intervention, Plan};
use crate::history::Departure;
use crate::world::NodeIndex;

/// How long earlier faults have an effect, as what they held up is retransmitted.
const AFTERMATH: Duration = Duration::from_secs(5);

/// How long the cluster has to be whole, before and after.
const WHOLE_LIMIT: Duration = Duration::from_secs(15);

/// How long the node may take to leave.
const GONE_LIMIT: Duration = Duration::from_secs(15);

/// How long it takes at most if it has handed over all: a little less than it is given for that. What is left after that
/// is cut off.
const IN_TIME: Duration = Duration::from_millis(9_900);

/// How long it is away.
const AWAY: Duration = Duration::from_secs(2);

/// Time between two calls.
const CALL_EVERY: Duration = Duration::from_millis(20);

/// How long handlers of volatile actors take: some run at any time.
const HANDLER_MILLIS: u64 = 300;

/// How long each call may take: longer than any hand-over.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Phases<'_> {
    /// Lets one node leave and come back, if the plan has such faults and no replica may be damaged.
    pub(super) fn departure(&mut self, plan: &Plan, seed: &Seed) {
        let (nodes, mut rng) = (self.sim.len(), seed.rng());
        if nodes < 2 || !plan.classes.leaves || plan.classes.flipped_bits {
            return;
        }
        self.sim.advance(AFTERMATH);
        if !self.sim.run_until(WHOLE_LIMIT, Sim::is_ready) {
            return;
        }
        let leaver = NodeIndex(rng.below(u64::from(nodes)) as u16);
        let (from, mut calls) = (self.sim.now(), Vec::new());
        self.sim.inject_failure(&Intervention::Leave(leaver));
        self.call_others(leaver, GONE_LIMIT, &mut calls, |sim| !sim.world().is_running(leaver));
        let took = self.sim.now() - from;
        self.call_others(leaver, AWAY, &mut calls, |_| false);
        self.sim.inject_failure(&Intervention::Return(leaver));
        self.call_others(leaver, WHOLE_LIMIT, &mut calls, Sim::is_ready);
        let departure = Departure { node: leaver, from, until: self.sim.now(), in_time: took < IN_TIME };
        self.history.lock().departures.push(departure);
        let history = self.history.clone();
        let ended = |number: &u64| !history.lock().calls[*number as usize].ends.is_empty();
        self.sim.run_until(2 * TIMEOUT, |_| calls.iter().all(ended));
    }

    /// Calls one actor after the other through all nodes but one, until that is enough.
    fn call_others(
        &mut self,
        but: NodeIndex,
        limit: Duration,
        calls: &mut Vec<u64>,
        is_enough: impl Fn(&Sim) -> bool,
    ) {
        let end = self.sim.now() + limit;
        let others: Vec<u16> = (0..self.sim.len()).filter(|node| *node != but.0).collect();
        let members: Vec<(load::Kind, String)> = load::members().collect();
        while self.sim.now() < end && !is_enough(self.sim) {
            let turn = calls.len();
            let call = self.at(others[turn % others.len()], |place| {
                let (kind, id) = &members[turn / 2 % members.len()];
                match turn.is_multiple_of(2) {
                    true => load::answer_now(place, (*kind, id), None, TIMEOUT),
                    false => load::probe_now(place, turn as u64 / 2 % load::PROBES, HANDLER_MILLIS, TIMEOUT),
                }
            });
            calls.extend(call);
            self.sim.advance(CALL_EVERY);
        }
    }
}
