//! Safety, recovery, liveness.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId, Rng, Seed};
use parking_lot::Mutex;

use super::cuts::{self, Voters};
use super::describe::describe;
use super::disks::Disks;
use super::load::{self, Planned};
use crate::cluster::Sim;
use crate::faults::{Intervention, Plan};
use crate::history::History;
use crate::workload::Probe;
use crate::world::NodeIndex;

/// Mean time between two calls, over all clients.
const CALL_EVERY: Duration = Duration::from_millis(25);

/// How often the checkers look at the whole cluster.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long views and tables must have been equal and unchanged before actors are compared. An actor that moves
/// finishes its message first. Where the message calls another actor that takes as long as the client waits: up to 4 s.
const AGREED_FOR: Duration = Duration::from_millis(4_500);

/// How long the nodes have to find each other after all faults have ended. A healed partition takes 10 s at most;
/// a node whose start failed is started again after half a second, and one that was stopped for long may have
/// to rejoin first.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

/// How long the last calls have to end: longer than any client waits.
const LAST_CALLS: Duration = Duration::from_secs(6);

/// How long each call of the liveness phase may take.
const LIVENESS_TIMEOUT: Duration = Duration::from_secs(5);

/// What all nodes agree on, if they do.
type Agreement = (BTreeMap<NodeIndex, BTreeSet<NodeId>>, Vec<(u32, u64, Option<String>)>);

pub(super) struct Phases<'a> {
    pub(super) sim: &'a mut Sim,
    pub(super) history: &'a Arc<Mutex<History>>,
    rng: Rng,
    stalled_since: BTreeMap<NodeIndex, Instant>,
    agreed: Option<(Instant, Agreement)>,
    disks: Disks,
    /// As of the last look.
    voters: Voters,
    /// Whose disk has flipped bits.
    flipped: BTreeSet<NodeIndex>,
}

impl<'a> Phases<'a> {
    pub(super) fn new(sim: &'a mut Sim, history: &'a Arc<Mutex<History>>, seed: Seed) -> Self {
        let (stalled_since, disks, voters) = (BTreeMap::new(), Disks::default(), Voters::new());
        let flipped = BTreeSet::new();
        Self { sim, history, rng: seed.rng(), stalled_since, agreed: None, disks, voters, flipped }
    }

    /// Faults and calls, until the plan is done.
    pub(super) fn safety(&mut self, plan: &Plan) {
        let begin = self.sim.now();
        let end = begin + Duration::from_micros(plan.duration_micros);
        let mut faults = plan.schedule.iter().peekable();
        let (mut next_call, mut next_look) = (begin, begin + LOOK_EVERY);
        while self.sim.now() < end {
            let next_fault = faults.peek().map_or(end, |planned| begin + planned.at());
            let next = next_fault.min(next_call).min(next_look).min(end);
            self.sim.advance(next - self.sim.now());
            let now = self.sim.now();
            while let Some(planned) = faults.next_if(|planned| begin + planned.at() <= now) {
                self.intervene(&planned.intervention);
            }
            if now >= next_call {
                // Often, since a head that is wrong may be so for a moment only.
                self.disks.look(self.sim, &mut self.history.lock());
                self.call();
                next_call = now + CALL_EVERY.mul_f64(self.rng.below(200) as f64 / 100.0);
            }
            if now >= next_look {
                self.look();
                next_look = now + LOOK_EVERY;
            }
        }
        for planned in faults {
            self.intervene(&planned.intervention);
        }
    }

    fn intervene(&mut self, intervention: &Intervention) {
        let now = self.sim.now();
        if let Intervention::Stall(node) = intervention {
            self.stalled_since.entry(*node).or_insert(now);
        }
        match intervention {
            Intervention::Partition(partition) => {
                let shards = self.voters.keys().copied();
                cuts::begin(&mut self.history.lock(), self.sim, partition, shards);
            }
            Intervention::Heal => cuts::end(&mut self.history.lock(), self.sim),
            Intervention::FlipBits { per_million: 1.., .. }
                if !cuts::have_three_voters(self.sim, self.voters.keys().copied()) =>
            {
                return;
            }
            Intervention::FlipBits { node, per_million: 1.. } => {
                self.flipped.insert(*node);
            }
            _ => {}
        }
        self.sim.inject_failure(intervention);
        let world = self.sim.world();
        for (node, since) in self.stalled_since.extract_if(.., |node, _| !world.is_stalled(*node)) {
            self.history.lock().stopped[usize::from(node.0)] += now - since;
        }
    }

    fn call(&mut self) {
        let running: Vec<NodeIndex> = self.sim.running().map(|(node, _)| node).collect();
        if running.is_empty() {
            return;
        }
        let through = running[self.rng.below(running.len() as u64) as usize];
        let mut rng = self.rng.clone();
        self.at(through.0, |place| load::call(place, &mut rng));
        self.rng = rng;
    }

    /// Ends all faults, starts what is down, and what has a bad disk, so that all that was damaged is found out. Then
    /// waits until all nodes agree, and tells whether they do.
    pub(super) fn recovery(&mut self) -> bool {
        let now = self.sim.now();
        for node in std::mem::take(&mut self.stalled_since).into_iter() {
            self.history.lock().stopped[usize::from(node.0.0)] += now - node.1;
        }
        cuts::end(&mut self.history.lock(), self.sim);
        self.sim.world_mut().calm();
        for node in 0..self.sim.len() {
            if !self.sim.world().is_running(NodeIndex(node)) || self.flipped.contains(&NodeIndex(node)) {
                self.sim.restart(node);
            }
        }
        if self.sim.run_until(RECOVERY_LIMIT, Sim::is_ready) {
            return true;
        }
        let wrong = format!("{RECOVERY_LIMIT:?} after the last fault:{}", describe(self.sim));
        self.history.lock().not_recovered = Some((self.sim.now(), wrong));
        self.sim.advance(LAST_CALLS);
        false
    }

    /// Every actor answers through every node, and lives on one node only. Then all comes to rest.
    pub(super) fn liveness(&mut self) {
        let begin = self.sim.now();
        for _ in 0..(2 * AGREED_FOR.as_millis() / LOOK_EVERY.as_millis()) {
            self.sim.advance(LOOK_EVERY);
            self.look();
        }
        for through in 0..self.sim.len() {
            for actor in 0..load::PROBES {
                self.must_answer(through, &format!("p{actor}"));
            }
        }
        self.durable_actors_answer();
        self.look();
        self.sim.advance(LAST_CALLS);
        self.come_to_rest(self.sim.now() - begin);
        self.look();
    }

    fn must_answer(&mut self, through: u16, actor: &str) {
        let Some(target) = self.sim.node(through).map(|node| node.actor::<Probe>(actor)) else {
            let wrong = (self.sim.now(), format!("n{through} does not run"));
            self.history.lock().not_served.push(wrong);
            return;
        };
        let timeout = LIVENESS_TIMEOUT;
        let what = "Run { millis: 0 }".to_owned();
        let planned = Planned { actor, operation: None, timeout, one_way: true, what };
        let Some(number) = self.at(through, |place| place.begin(planned)) else { return };
        let answer = self.sim.block_on(async { target.run(number, 0).deadline(timeout).await });
        let wrong = match answer {
            Ok(Ok(answer)) if answer == number => return,
            Ok(Ok(answer)) => {
                format!("call {number} of {actor} through n{through} was answered for {answer}")
            }
            Ok(Err(error)) => format!("{actor} through n{through}: {error}"),
            Err(error) => format!("{actor} through n{through}: {error}"),
        };
        self.history.lock().not_served.push((self.sim.now(), wrong));
    }

    /// Looks at the whole cluster: at the disks, and at the actors in memory.
    fn look(&mut self) {
        self.disks.look(self.sim, &mut self.history.lock());
        self.voters = cuts::voters(self.sim);
        self.look_at_clusters();
        self.look_at_actors();
    }

    fn look_at_clusters(&self) {
        let clusters = &mut self.history.lock().clusters;
        for (number, node) in self.sim.running() {
            let Some(cluster) = node.cluster().map(|cluster| cluster.to_string()) else { continue };
            if clusters.iter().all(|(_, _, known)| *known != cluster) {
                clusters.push((self.sim.now(), number, cluster));
            }
        }
    }

    /// Compares the actors of all nodes, if the nodes have agreed for long enough.
    fn look_at_actors(&mut self) {
        let Some(agreement) = agreement(self.sim) else {
            self.agreed = None;
            return;
        };
        let now = self.sim.now();
        match &self.agreed {
            Some((since, before)) if *before == agreement => {
                if now - *since >= AGREED_FOR {
                    self.compare_actors();
                }
            }
            _ => self.agreed = Some((now, agreement)),
        }
    }

    fn compare_actors(&self) {
        let mut hosts: BTreeMap<String, Vec<NodeIndex>> = BTreeMap::new();
        for (number, node) in self.sim.running() {
            for actor in node.actors(None, usize::MAX).0 {
                hosts.entry(actor.address).or_default().push(number);
            }
        }
        let doubles = hosts.into_iter().filter(|(_, nodes)| nodes.len() > 1);
        let mut history = self.history.lock();
        for (actor, nodes) in doubles {
            let nodes: Vec<String> = nodes.iter().map(NodeIndex::to_string).collect();
            let double = format!("{actor} is in memory on {}", nodes.join(" and "));
            history.doubles.push((self.sim.now(), double));
        }
    }
}

/// What the running nodes agree on: the same members, all of them running, and the same table, served by its
/// leaders.
fn agreement(sim: &Sim) -> Option<Agreement> {
    let running: BTreeSet<NodeId> = sim.running().map(|(node, _)| sim.world().node_id(node)).collect();
    let mut views = BTreeMap::new();
    let mut table = None;
    for (number, node) in sim.running() {
        let active: BTreeSet<NodeId> = node.view().active().map(|(id, _)| *id).collect();
        if active != running || sim.world().is_stalled(number) {
            return None;
        }
        views.insert(number, active);
        let shards =
            node.shard_statuses().into_iter().map(|shard| (shard.shard, shard.epoch, shard.leader_id));
        let shards: Vec<_> = shards.collect();
        if shards.is_empty() || table.get_or_insert_with(|| shards.clone()) != &shards {
            return None;
        }
    }
    Some((views, table?))
}
