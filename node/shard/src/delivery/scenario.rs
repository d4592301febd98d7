//! A world of two nodes, their outboxes, a bad link and receivers with cursors, from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gritmesh_runtime::{ActorAddress, Failure, FailureCode, Instant, Rng, Seed, ShardId, Timers};

use super::{Delivery, DeliveryEffect, DeliveryLimits, PairName, PendingMessage};
use crate::backoff::BackoffLimits;

const NODES: usize = 2;
const SHARDS: u32 = 2;
/// How long everything goes wrong.
const CHAOS: Duration = Duration::from_secs(40);
/// How long it may take after that: one longest backoff and one longest silence, and room for the work itself.
const HEALING: Duration = Duration::from_secs(150);
const LIMITS: DeliveryLimits = DeliveryLimits {
    window: 8,
    bodies_per_pair: 16,
    bodies_per_shard: 24,
    body_bytes_per_shard: 400,
    loads_per_shard: 2,
    ..DeliveryLimits::PRODUCTION
};

/// What a part of the world does wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    None,
    /// The receiver loses its cursor now and then.
    ForgetsCursor,
    /// The receiver reads whatever is newer than its cursor.
    ReadsEarly,
    /// The sender's step numbers a message that it does not put into the outbox.
    SkipsOne,
    /// The sender removes a row before it was acknowledged.
    PrunesTooMuch,
}

enum Happening {
    Commit,
    ChangeLeader,
    ChangeRoutes,
    Arrive { node: usize, shard: ShardId, message: PendingMessage },
    Answer { node: usize, shard: ShardId, pair: PairName, sequence: u64, answer: Result<(), Failure> },
    Find { node: usize, shard: ShardId, pair: PairName },
    Load { node: usize, shard: ShardId, pair: PairName, from: u64, limit: usize },
    Prune { node: usize, shard: ShardId, pair: PairName, up_to: u64 },
}

#[derive(Default)]
struct Receiver {
    cursor: u64,
    read: Vec<u64>,
}

pub(super) struct World {
    rng: Rng,
    defect: Defect,
    now: Instant,
    healed: bool,
    queue: Timers<Happening>,
    nodes: Vec<Delivery>,
    leaders: BTreeMap<ShardId, usize>,
    outbox: BTreeMap<(ShardId, PairName, u64), PendingMessage>,
    sent: BTreeMap<(ShardId, PairName), u64>,
    receivers: BTreeMap<PairName, Receiver>,
    /// The first sequence that each leader may believe to be pending.
    believed: BTreeMap<(usize, ShardId, PairName), u64>,
    busy: BTreeSet<PairName>,
    pub(super) trace: Vec<String>,
    violation: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, defect: Defect) -> Self {
        let nodes = (0..NODES).map(|_| Delivery::new(LIMITS, BackoffLimits::PRODUCTION)).collect();
        let mut world = Self {
            rng: Seed::from_number(seed).rng(),
            defect,
            now: Instant::ZERO,
            healed: false,
            queue: Timers::new(),
            nodes,
            leaders: BTreeMap::new(),
            outbox: BTreeMap::new(),
            sent: BTreeMap::new(),
            receivers: BTreeMap::new(),
            believed: BTreeMap::new(),
            busy: BTreeSet::new(),
            trace: Vec::new(),
            violation: None,
        };
        world.queue.insert(Instant::ZERO, Happening::Commit);
        world.queue.insert(Instant::ZERO, Happening::ChangeLeader);
        world.queue.insert(Instant::ZERO, Happening::ChangeRoutes);
        world
    }

    /// Runs chaos, heals, and says what was wrong, if anything.
    pub(super) fn run(&mut self) -> Result<(), String> {
        self.run_until(Instant::ZERO + CHAOS);
        self.healed = true;
        self.ensure_leaders();
        self.run_until(Instant::ZERO + CHAOS + HEALING);
        self.check_all_read()?;
        // Prunes may have been lost; who leads next must come to the end of what was left behind.
        for shard in (0..SHARDS).map(ShardId) {
            self.move_to(shard, 1 - self.leaders[&shard]);
        }
        self.run_until(Instant::ZERO + CHAOS + HEALING * 2);
        self.check_all_read()?;
        match self.outbox.first_key_value() {
            Some((key, _)) => Err(format!("{key:?} is still in the outbox")),
            None => Ok(()),
        }
    }

    fn check_all_read(&mut self) -> Result<(), String> {
        if let Some(violation) = self.violation.take() {
            return Err(violation);
        }
        for ((shard, pair), sent) in &self.sent {
            let read = self.receivers.get(pair).map_or(0, |receiver| receiver.read.len() as u64);
            if read != *sent {
                return Err(format!("{read} of {sent} read of {pair:?} of shard {shard}"));
            }
        }
        let shards = || (0..SHARDS).map(ShardId);
        let pending = self.nodes.iter().flat_map(|node| shards().map(|shard| node.pending(shard)));
        match pending.sum::<u64>() {
            0 => Ok(()),
            pending => Err(format!("{pending} are pending though all were read")),
        }
    }

    fn run_until(&mut self, end: Instant) {
        while self.violation.is_none() {
            let timers = self.nodes.iter().filter_map(Delivery::next_deadline).min();
            let next = timers.into_iter().chain(self.queue.next_due()).min().unwrap_or(Instant::MAX);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if let Some((_, happening)) = self.queue.pop_due(self.now) {
                self.happen(happening);
            }
            for node in 0..NODES {
                self.on_node(node, |delivery, now, out| delivery.tick(now, out));
            }
        }
        self.now = end;
    }

    fn on_node(&mut self, node: usize, event: impl FnOnce(&mut Delivery, Instant, &mut Vec<DeliveryEffect>)) {
        let mut out = Vec::new();
        event(&mut self.nodes[node], self.now, &mut out);
        for shard in (0..SHARDS).map(ShardId) {
            let held = self.nodes[node].bodies_held(shard);
            self.demand(held <= LIMITS.bodies_per_shard, || format!("{held} bodies are held"));
        }
        for effect in out {
            self.effect(node, effect);
        }
    }

    fn demand(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(otherwise());
        }
    }

    fn effect(&mut self, node: usize, effect: DeliveryEffect) {
        self.trace.push(format!("{} {node} {effect:?}", self.now));
        match effect {
            DeliveryEffect::Send { shard, message } => {
                let first = self.believed.get(&(node, shard, message.pair())).copied().unwrap_or(1);
                let ahead = message.sequence.saturating_sub(first);
                self.demand(ahead < LIMITS.window as u64, || format!("{ahead} ahead of the window"));
                for _ in 0..self.copies() {
                    let due = self.link_delay();
                    let message = (*message).clone();
                    self.queue.insert(due, Happening::Arrive { node, shard, message });
                }
            }
            DeliveryEffect::Prune { shard, pair, up_to } => {
                let due = self.link_delay();
                self.queue.insert(due, Happening::Prune { node, shard, pair, up_to });
            }
            DeliveryEffect::Load { shard, pair, from_sequence, limit } => {
                let due = self.now + Duration::from_micros(self.rng.below(5_000));
                self.queue.insert(due, Happening::Load { node, shard, pair, from: from_sequence, limit });
            }
            DeliveryEffect::Failing { attempts, .. } => {
                self.demand(attempts > 0, || "an attempt is counted from one".to_owned());
            }
        }
    }

    fn copies(&mut self) -> u64 {
        match self.rng.below(10) {
            0 | 1 if !self.healed => 0,
            2 if !self.healed => 2,
            _ => 1,
        }
    }

    fn link_delay(&mut self) -> Instant {
        let late = !self.healed && self.rng.chance(0.02);
        let millis = if late { 5_000 } else { 30 };
        self.now + Duration::from_micros(self.rng.below(millis * 1_000) + 100)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Commit | Happening::ChangeLeader if self.healed => {}
            Happening::Commit => self.commit(),
            Happening::ChangeLeader => self.change_leader(),
            Happening::ChangeRoutes => {
                let node = self.rng.below(NODES as u64) as usize;
                self.on_node(node, |delivery, now, out| delivery.routes_changed(now, out));
                self.again(Happening::ChangeRoutes, 3_000);
            }
            Happening::Arrive { node, shard, message } => {
                let (pair, sequence) = (message.pair(), message.sequence);
                let answer = self.read(&pair, sequence);
                for _ in 0..self.copies() {
                    let due = self.link_delay();
                    let (pair, answer) = (pair.clone(), answer.clone());
                    self.queue.insert(due, Happening::Answer { node, shard, pair, sequence, answer });
                }
            }
            Happening::Answer { node, shard, pair, sequence, answer } => {
                self.answer(node, shard, &pair, sequence, answer);
            }
            Happening::Find { node, shard, pair } => self.find(node, shard, [pair]),
            Happening::Load { node, shard, pair, from, limit } => {
                let failed = !self.healed && self.rng.chance(0.1);
                let range = (shard, pair.clone(), from)..(shard, pair.clone(), u64::MAX);
                let rows = self.outbox.range(range).map(|(_, row)| row.clone());
                let rows = rows.take(if failed { 0 } else { limit }).collect();
                self.on_node(node, |delivery, now, out| delivery.loaded(now, shard, &pair, rows, out));
            }
            Happening::Prune { node, shard, pair, up_to } => {
                let lost = !self.healed && self.rng.chance(0.3);
                if self.leaders.get(&shard) == Some(&node) && !lost {
                    let more = u64::from(self.defect == Defect::PrunesTooMuch);
                    self.outbox.retain(|key, _| key.0 != shard || key.1 != pair || key.2 > up_to + more);
                    self.believe(node, shard, &pair, up_to);
                    self.on_node(node, |delivery, now, out| delivery.pruned(now, shard, &pair, up_to, out));
                }
            }
        }
    }

    fn again(&mut self, happening: Happening, within_ms: u64) {
        if !self.healed {
            let due = self.now + Duration::from_micros(self.rng.below(within_ms * 1_000));
            self.queue.insert(due, happening);
        }
    }

    fn commit(&mut self) {
        let shard = ShardId(self.rng.below(u64::from(SHARDS)) as u32);
        let sender = address("sender", u64::from(shard.0) * 10 + self.rng.below(2));
        let receiver = address("receiver", self.rng.below(3));
        let pair = PairName { sender, receiver };
        for _ in 0..=self.rng.below(if self.rng.clone().chance(0.05) { 60 } else { 3 }) {
            let sent = self.sent.entry((shard, pair.clone())).or_default();
            *sent += 1;
            let sequence = *sent;
            if self.defect == Defect::SkipsOne && sequence == 7 {
                continue;
            }
            let message = message(&pair, sequence);
            if let Some(&node) =
                self.leaders.get(&shard).filter(|node| !self.nodes[**node].knows(shard, &pair))
            {
                self.find(node, shard, [pair.clone()]);
            }
            self.outbox.insert((shard, pair.clone(), sequence), message.clone());
            if let Some(&node) = self.leaders.get(&shard) {
                self.believed.entry((node, shard, pair.clone())).or_insert(sequence);
                self.on_node(node, |delivery, now, out| delivery.committed(now, shard, message, out));
            }
        }
        self.again(Happening::Commit, 300);
    }

    fn change_leader(&mut self) {
        let shard = ShardId(self.rng.below(u64::from(SHARDS)) as u32);
        match self.rng.below(4) {
            0 => {
                if let Some(node) = self.leaders.remove(&shard) {
                    self.nodes[node].stop(shard);
                }
            }
            // The old leader does not know at once that it is deposed, and goes on sending.
            1 if self.leaders.contains_key(&shard) => {
                let node = 1 - self.leaders[&shard];
                self.lead(shard, node);
            }
            _ => {
                let node = self.rng.below(NODES as u64) as usize;
                self.move_to(shard, node);
            }
        }
        self.again(Happening::ChangeLeader, 8_000);
    }

    fn ensure_leaders(&mut self) {
        for shard in (0..SHARDS).map(ShardId) {
            let node = self.leaders.get(&shard).copied().unwrap_or(0);
            self.nodes[1 - node].stop(shard);
            if !self.leaders.contains_key(&shard) {
                self.lead(shard, node);
            }
        }
    }

    fn move_to(&mut self, shard: ShardId, node: usize) {
        for other in &mut self.nodes {
            other.stop(shard);
        }
        self.lead(shard, node);
    }

    fn lead(&mut self, shard: ShardId, node: usize) {
        self.leaders.insert(shard, node);
        self.believed.retain(|key, _| key.0 != node || key.1 != shard);
        self.nodes[node].lead(shard);
        let mut pairs: Vec<PairName> =
            self.outbox.keys().filter(|key| key.0 == shard).map(|key| key.1.clone()).collect();
        pairs.dedup();
        // Some are read at once, others when there is time.
        let later = pairs.split_off(self.rng.below(pairs.len() as u64 + 1) as usize);
        self.find(node, shard, pairs);
        for pair in later {
            let due = self.now + Duration::from_micros(self.rng.below(500_000));
            self.queue.insert(due, Happening::Find { node, shard, pair });
        }
    }

    /// What is pending of pairs is read.
    fn find(&mut self, node: usize, shard: ShardId, pairs: impl IntoIterator<Item = PairName>) {
        for pair in pairs {
            let mut rows = self.outbox.range((shard, pair.clone(), 0)..=(shard, pair.clone(), u64::MAX));
            let Some(((_, _, first), _)) = rows.next() else { continue };
            let (first, last) = (*first, rows.next_back().map_or(*first, |((_, _, last), _)| *last));
            if !self.nodes[node].knows(shard, &pair) {
                self.believed.insert((node, shard, pair.clone()), first);
            }
            self.on_node(node, |delivery, now, out| delivery.found(now, shard, [(pair, first..=last)], out));
        }
    }

    /// What the receiver makes of a message.
    fn read(&mut self, pair: &PairName, sequence: u64) -> Result<(), Failure> {
        if !self.healed && self.rng.chance(0.01) && !self.busy.remove(pair) {
            self.busy.insert(pair.clone());
        }
        if !self.healed && (self.busy.contains(pair) || self.rng.chance(0.03)) {
            const CODES: [FailureCode; 5] = [
                FailureCode::NotDelivered,
                FailureCode::Overloaded,
                FailureCode::NoQuorum,
                FailureCode::Paused,
                FailureCode::Panicked,
            ];
            let code = CODES[self.rng.below(5) as usize];
            return Err(Failure::new(code, "chaos"));
        }
        let receiver = self.receivers.entry(pair.clone()).or_default();
        if self.defect == Defect::ForgetsCursor && !self.healed && self.rng.chance(0.001) {
            receiver.cursor = 0;
        }
        let fits = sequence == receiver.cursor + 1
            || (self.defect == Defect::ReadsEarly && sequence > receiver.cursor);
        if !fits && sequence > receiver.cursor {
            return Err(Failure::new(FailureCode::Early, ""));
        }
        if fits {
            receiver.cursor = sequence;
            receiver.read.push(sequence);
            let in_order = receiver.read.len() as u64 == sequence;
            self.demand(in_order, || format!("{sequence} of {pair:?} was read out of order, or again"));
        }
        if !self.healed && self.rng.chance(0.02) {
            return Err(Failure::new(FailureCode::Unknown, "the connection broke"));
        }
        Ok(())
    }

    fn answer(
        &mut self,
        node: usize,
        shard: ShardId,
        pair: &PairName,
        sequence: u64,
        answer: Result<(), Failure>,
    ) {
        if answer.is_ok() {
            self.believe(node, shard, pair, sequence);
        }
        self.on_node(node, |delivery, now, out| match answer {
            Ok(()) => delivery.acknowledged(now, shard, pair, sequence, out),
            Err(failure) => delivery.refused(now, shard, pair, sequence, failure, out),
        });
    }

    /// The node hears that everything up to `sequence` was read.
    fn believe(&mut self, node: usize, shard: ShardId, pair: &PairName, sequence: u64) {
        if let Some(first) = self.believed.get_mut(&(node, shard, pair.clone())) {
            *first = (*first).max(sequence + 1);
        }
    }
}

pub(super) fn address(kind: &str, number: u64) -> ActorAddress {
    ActorAddress::new(kind, &number.to_string()).unwrap()
}

pub(super) fn message(pair: &PairName, sequence: u64) -> PendingMessage {
    PendingMessage {
        sender: pair.sender.clone(),
        receiver: pair.receiver.clone(),
        sequence,
        id: [sequence as u8; 32],
        method: "take".into(),
        arguments: vec![7; (sequence % 40) as usize].into(),
        snapshot_epoch: 0,
    }
}
