//! A small deterministic world: nodes with drifting clocks, disks that forget, links that lose, and a judge.
//!
//! A run is a pure function of its seed. The judge looks at the world from outside, with a time that no node has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gritmesh_runtime::{Change, Instant, NodeId, Reads, Rng, Seed, ShardId, Table};

pub(super) use self::image::Image;
use super::{
    Called, MessageError, MessageHeader, Reconfigured, Remains, Replica, ReplicaLimits, ReplicaOptions,
    ReplicaSetup, Role, SnapshotMeta, Tombstone, WholeCommands,
};

mod image;

pub(super) const SHARD: ShardId = ShardId(7);
const MILLI: u64 = 1_000_000;

pub(super) fn node(number: usize) -> NodeId {
    NodeId([number as u8 + 1; 32])
}

fn number_of(node: NodeId) -> usize {
    usize::from(node.0[0]) - 1
}

/// What a node has applied: index to command.
type State = BTreeMap<u64, u64>;

fn state_changes(state: &State) -> Vec<Change> {
    let all = Change::DeleteRange { table: Table::Head, from: vec![0], to: vec![255; 16] };
    std::iter::once(all).chain(state.iter().map(|(index, command)| put_state(*index, *command))).collect()
}

fn put_state(index: u64, command: u64) -> Change {
    Change::put(Table::Head, index.to_be_bytes().to_vec(), command.to_be_bytes().to_vec())
}

fn read_state(image: &Image) -> State {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    let records = image.scan(Table::Head, &[0][..]..&[255; 16][..], usize::MAX).unwrap();
    records.iter().map(|(key, value)| (number(key), number(value))).collect()
}

#[derive(Debug)]
struct Written {
    number: u64,
    changes: Vec<Change>,
    sync: bool,
    replica_number: Option<u64>,
    done: bool,
}

#[derive(Debug)]
struct Node {
    replica: Option<Replica>,
    up: bool,
    /// Nobody reads or writes its links.
    isolated: bool,
    stalled_until: u64,
    /// Counts starts: what belongs to an earlier one is ignored.
    life: u64,
    clock: (u64, i64),
    durable: Image,
    written: VecDeque<Written>,
    next_batch: u64,
    disk_free: u64,
    state: State,
    /// States that followers may fetch, by index.
    offered: BTreeMap<u64, (SnapshotMeta, State)>,
    tick_at: u64,
    tombstone: Option<Tombstone>,
    /// Of a replica whose records are damaged.
    remains: Option<Remains>,
}

#[derive(Clone, Debug)]
enum Happening {
    Deliver { from: usize, to: usize, bytes: Vec<u8> },
    Tick { node: usize, life: u64 },
    Durable { node: usize, life: u64, batch: u64 },
    Pulled { node: usize, life: u64, from: usize, meta: SnapshotMeta },
    Restart { node: usize },
    Join { node: usize },
    Mend { from: usize, to: usize },
    Propose,
    Steer,
    Chaos,
}

/// What a run does.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) options: ReplicaOptions,
    pub(super) limits: ReplicaLimits,
    /// Batches are reported as durable at once.
    pub(super) lying_disk: bool,
    pub(super) chaos: bool,
    pub(super) proposals: bool,
    /// Clocks run differently fast, by up to this many millionths.
    pub(super) drift_ppm: i64,
    pub(super) loss: f64,
    /// The node whose disk damages records, and no other: from time to time, and shards have any number of voters that
    /// is not one.
    pub(super) bad_disk: Option<usize>,
}

impl Default for Plan {
    fn default() -> Self {
        let limits = ReplicaLimits { kept_entries: 40, hibernate_after: Duration::MAX, ..Default::default() };
        Self {
            options: ReplicaOptions::default(),
            limits,
            lying_disk: false,
            chaos: true,
            proposals: true,
            drift_ppm: 500,
            loss: 0.01,
            bad_disk: None,
        }
    }
}

/// What the judge has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) leaders: BTreeMap<u64, usize>,
    pub(super) committed: BTreeMap<u64, (u64, u64)>,
    pub(super) acknowledged: BTreeSet<u64>,
    pub(super) wrong: Vec<String>,
    pub(super) snapshots: usize,
    pub(super) removed: usize,
    pub(super) replaced: usize,
    pub(super) leases: u64,
    pub(super) messages: u64,
}

pub(super) struct World {
    pub(super) plan: Plan,
    seed: Seed,
    rng: Rng,
    pub(super) time: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    nodes: Vec<Node>,
    links: BTreeMap<(usize, usize), u64>,
    /// Links that are cut, in one direction each.
    cut: BTreeSet<(usize, usize)>,
    pub(super) target: Vec<usize>,
    pub(super) steers: bool,
    pub(super) seen: Seen,
    next_command: u64,
}

impl World {
    pub(super) fn new(seed: u64, nodes: usize, plan: Plan) -> Self {
        let seed = Seed::from_number(seed);
        let mut rng = seed.child("world").rng();
        let drift = plan.drift_ppm as u64;
        let nodes = (0..nodes).map(|_| Node {
            replica: None,
            up: true,
            isolated: false,
            stalled_until: 0,
            life: 0,
            clock: (rng.below(1_000 * MILLI), rng.below(2 * drift + 1) as i64 - drift as i64),
            durable: Image::default(),
            written: VecDeque::new(),
            next_batch: 0,
            disk_free: 0,
            state: State::new(),
            offered: BTreeMap::new(),
            tick_at: 0,
            tombstone: None,
            remains: None,
        });
        let nodes = nodes.collect();
        let mut world = Self {
            plan,
            seed,
            rng,
            time: 0,
            order: 0,
            queue: BTreeMap::new(),
            nodes,
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            target: vec![0],
            steers: true,
            seen: Seen::default(),
            next_command: 1,
        };
        let (setup, now) = (world.setup(0), world.now(0));
        world.nodes[0].replica = Some(Replica::found(setup, now));
        world.pump(0, Vec::new());
        for happening in [Happening::Propose, Happening::Steer, Happening::Chaos] {
            world.after(10 * MILLI, happening);
        }
        world
    }

    fn setup(&self, at: usize) -> ReplicaSetup {
        ReplicaSetup {
            shard: SHARD,
            me: node(at),
            options: self.plan.options.clone(),
            limits: self.plan.limits,
            seed: self.seed.child(&format!("node {at}")),
            codec: Arc::new(WholeCommands),
        }
    }

    fn now(&self, at: usize) -> Instant {
        self.local(at, self.time)
    }

    fn local(&self, at: usize, time: u64) -> Instant {
        let (offset, ppm) = self.nodes[at].clock;
        let drifted = i128::from(time) * (1_000_000 + i128::from(ppm)) / 1_000_000;
        Instant::from_nanos(offset + drifted as u64)
    }

    /// When a node's clock will show this.
    fn world_time(&self, at: usize, local: Instant) -> u64 {
        let (offset, ppm) = self.nodes[at].clock;
        let run = i128::from(local.as_nanos().saturating_sub(offset));
        (run * 1_000_000 / (1_000_000 + i128::from(ppm))) as u64 + 1
    }

    fn after(&mut self, nanos: u64, happening: Happening) {
        self.at(self.time + nanos, happening);
    }

    fn at(&mut self, time: u64, happening: Happening) {
        self.order += 1;
        self.queue.insert((time, self.order), happening);
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.time + span.as_nanos() as u64;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end || !self.seen.wrong.is_empty() {
                break;
            }
            let ((time, _), happening) = entry.remove_entry();
            self.time = self.time.max(time);
            self.happen(happening);
            self.judge_leases();
        }
        self.time = end;
    }

    /// Runs until something is true. Returns how long that took.
    pub(super) fn run_until(&mut self, limit: Duration, is: impl Fn(&Self) -> bool) -> Option<Duration> {
        let (start, step) = (self.time, Duration::from_millis(10));
        while !is(self) {
            if Duration::from_nanos(self.time - start) > limit || !self.seen.wrong.is_empty() {
                return None;
            }
            self.run(step);
        }
        Some(Duration::from_nanos(self.time - start))
    }

    fn happen(&mut self, happening: Happening) {
        let stalled = match &happening {
            Happening::Deliver { to, .. } => Some(*to),
            Happening::Tick { node, .. } | Happening::Durable { node, .. } => Some(*node),
            _ => None,
        };
        if let Some(until) = stalled.map(|at| self.nodes[at].stalled_until).filter(|it| *it > self.time) {
            return self.at(until, happening);
        }
        match happening {
            Happening::Deliver { from, to, bytes } => self.deliver(from, to, &bytes),
            Happening::Tick { node, life } => self.tick(node, life),
            Happening::Durable { node, life, batch } => self.durable(node, life, batch),
            Happening::Pulled { node, life, from, meta } => self.pulled(node, life, from, meta),
            Happening::Restart { node } => self.restart(node),
            Happening::Join { node } => self.nodes[node].isolated = false,
            Happening::Mend { from, to } => self.cut_link(from, to, false),
            Happening::Propose => self.propose_somewhere(),
            Happening::Steer => self.steer(),
            Happening::Chaos => self.chaos(),
        }
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: &[u8]) {
        if !self.nodes[to].up || self.nodes[to].isolated || self.nodes[from].isolated {
            return;
        }
        let now = self.now(to);
        let header = MessageHeader::read(bytes).unwrap();
        if self.nodes[to].remains.is_some() {
            return self.deliver_to_remains(to, from, &header);
        }
        if self.nodes[to].replica.is_none() {
            let tombstone = self.nodes[to].tombstone;
            if !header.may_join(tombstone) {
                if let Some(answer) = tombstone.and_then(|tombstone| tombstone.answer(bytes)) {
                    self.send(to, from, answer);
                }
                return;
            }
            self.nodes[to].replica = Some(Replica::join(self.setup(to), header.to, now));
        }
        let replica = self.nodes[to].replica.as_mut().unwrap();
        let result = replica.receive(now, node(from), bytes);
        if let Err(error) = result
            && error != MessageError::Misdirected
        {
            self.seen.wrong.push(format!("node {to} refused a message of node {from}: {error}"));
        }
        self.seen.messages += 1;
        self.pump(to, Vec::new());
    }

    fn deliver_to_remains(&mut self, to: usize, from: usize, header: &MessageHeader) {
        let Some(remains) = self.nodes[to].remains.as_mut() else { return };
        match remains.hear(node(from), header) {
            Called::No => self.promise(to),
            Called::Lost(answer) => self.send(to, from, answer),
            Called::Anew(tombstone) => {
                self.nodes[to].remains = None;
                self.nodes[to].tombstone = Some(tombstone);
                self.nodes[to].state = State::new();
                self.seen.replaced += 1;
                let mut changes = Replica::bury(SHARD, tombstone);
                changes.extend(state_changes(&State::new()));
                self.write(to, changes, true, None);
            }
        }
    }

    /// A damaged replica promises to be silent. That is durable at once.
    fn promise(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(remains) = node.remains.as_mut() else { return };
        if let Some((replica, change)) = remains.promise() {
            node.durable.apply(&[change]);
            remains.promised(replica);
        }
    }

    /// The node is killed and started again, and one of the fields of its replica is not what it was.
    pub(super) fn damage(&mut self, at: usize) {
        if self.nodes[at].remains.is_none() {
            self.crash(at);
            let field = self.rng.below(8) as usize;
            self.nodes[at].durable.damage_field(field);
            self.restart(at);
        }
    }

    /// A node's replica, or what is left of it, is damaged.
    pub(super) fn is_damaged(&self, at: usize) -> bool {
        self.nodes[at].remains.is_some()
    }

    fn tick(&mut self, at: usize, life: u64) {
        if self.nodes[at].life != life || self.nodes[at].tick_at > self.time {
            return;
        }
        self.nodes[at].tick_at = 0;
        let now = self.now(at);
        let Some(replica) = self.nodes[at].replica.as_mut() else { return };
        replica.tick(now);
        replica.compact(u64::MAX);
        self.pump(at, Vec::new());
    }

    /// The disk as a reader sees it: all batches that are complete.
    fn image(&self, at: usize) -> Image {
        let mut image = self.nodes[at].durable.clone();
        self.nodes[at].written.iter().filter(|it| it.done).for_each(|it| image.apply(&it.changes));
        image
    }

    fn write(&mut self, at: usize, changes: Vec<Change>, sync: bool, replica_number: Option<u64>) {
        let life = self.nodes[at].life;
        let takes = if sync { MILLI + self.rng.below(3 * MILLI) } else { MILLI / 10 };
        let target = &mut self.nodes[at];
        target.next_batch += 1;
        let batch = target.next_batch;
        target.written.push_back(Written { number: batch, changes, sync, replica_number, done: false });
        target.disk_free = target.disk_free.max(self.time) + takes;
        let time = target.disk_free;
        self.at(time, Happening::Durable { node: at, life, batch });
        if let Some(number) = replica_number.filter(|_| self.plan.lying_disk) {
            let now = self.now(at);
            self.nodes[at].replica.as_mut().unwrap().persisted(now, number);
        }
    }

    fn durable(&mut self, at: usize, life: u64, batch: u64) {
        let target = &mut self.nodes[at];
        if target.life != life {
            return;
        }
        let Some(written) = target.written.iter_mut().find(|it| it.number == batch) else { return };
        written.done = true;
        let (sync, number) = (written.sync, written.replica_number);
        if sync && !self.plan.lying_disk {
            while let Some(first) = target.written.pop_front_if(|it| it.number <= batch) {
                target.durable.apply(&first.changes);
            }
        }
        let now = self.now(at);
        if let (Some(number), Some(replica)) = (number, self.nodes[at].replica.as_mut()) {
            replica.persisted(now, number);
            self.pump(at, Vec::new());
        }
    }

    /// Does what a replica wants done. `extra` belongs into its next batch.
    fn pump(&mut self, at: usize, mut extra: Vec<Change>) {
        loop {
            let now = self.now(at);
            let Some(replica) = self.nodes[at].replica.as_mut() else { return };
            let Some(mut progress) = replica.advance(now) else { break };
            for (to, bytes) in progress.messages {
                self.send(at, number_of(to), bytes);
            }
            if progress.removed {
                let gone = self.nodes[at].replica.take().expect("the replica has just been there");
                self.nodes[at].state.clear();
                self.nodes[at].tombstone = Some(gone.tombstone());
                let mut changes = progress.changes;
                changes.extend(progress.applied);
                changes.extend(Replica::bury(SHARD, gone.tombstone()));
                changes.extend(state_changes(&State::new()));
                self.seen.removed += 1;
                return self.write(at, changes, true, None);
            }
            if let Some(Role::Leader { term }) = progress.role {
                let leader = *self.seen.leaders.entry(term).or_insert(at);
                if leader != at {
                    self.seen.wrong.push(format!("nodes {leader} and {at} lead in term {term}"));
                }
            }
            progress.changes.append(&mut extra);
            progress.changes.extend(progress.applied.take());
            for committed in progress.committed {
                let command = u64::from_be_bytes(committed.command[..8].try_into().unwrap());
                self.nodes[at].state.insert(committed.index, command);
                progress.changes.push(put_state(committed.index, command));
                self.judge_commit(at, committed.index, committed.term, command, committed.own);
            }
            for wanted in progress.snapshot_wanted {
                self.take_snapshot(at, wanted);
            }
            if let Some((from, meta)) = progress.install {
                let (life, delay) = (self.nodes[at].life, 5 * MILLI + self.rng.below(200 * MILLI));
                self.after(delay, Happening::Pulled { node: at, life, from: number_of(from), meta });
            }
            if !progress.changes.is_empty() {
                self.write(at, progress.changes, progress.sync, progress.number);
            }
        }
        let deadline = self.nodes[at].replica.as_ref().and_then(Replica::next_deadline);
        if let Some(deadline) = deadline {
            let time = self.world_time(at, deadline).max(self.time + 1);
            if self.nodes[at].tick_at == 0 || self.nodes[at].tick_at > time {
                self.nodes[at].tick_at = time;
                let life = self.nodes[at].life;
                self.at(time, Happening::Tick { node: at, life });
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let cut = self.cut.contains(&(from, to));
        if cut || self.nodes[from].isolated || self.nodes[to].isolated || self.rng.chance(self.plan.loss) {
            return;
        }
        let times = if self.rng.chance(self.plan.loss) { 2 } else { 1 };
        for _ in 0..times {
            let arrives = self.time + 100_000 + self.rng.below(2 * MILLI);
            // In the order in which it was sent.
            let last = self.links.entry((from, to)).or_insert(0);
            *last = arrives.max(*last);
            let arrives = *last;
            self.at(arrives, Happening::Deliver { from, to, bytes: bytes.clone() });
        }
    }

    fn take_snapshot(&mut self, at: usize, wanted: NodeId) {
        let image = self.image(at);
        let replica = self.nodes[at].replica.as_mut().unwrap();
        match Replica::read_snapshot(&image, SHARD).unwrap() {
            Some(meta) => {
                replica.snapshot_taken(meta.index, meta.term, meta.config.clone());
                self.nodes[at].offered.insert(meta.index, (meta, read_state(&image)));
            }
            None => replica.snapshot_failed(wanted),
        }
    }

    fn pulled(&mut self, at: usize, life: u64, from: usize, meta: SnapshotMeta) {
        let now = self.now(at);
        let offered = self.nodes[from].offered.get(&meta.index).filter(|(of, _)| *of == meta).cloned();
        let reachable = self.nodes[from].up && !self.nodes[from].isolated && !self.nodes[at].isolated;
        if self.nodes[at].life != life || !self.nodes[at].up || !reachable {
            return;
        }
        let (Some((_, state)), Some(replica)) = (offered, self.nodes[at].replica.as_mut()) else { return };
        if replica.install(now, meta).is_ok() {
            self.seen.snapshots += 1;
            self.nodes[at].state = state;
            let changes = state_changes(&self.nodes[at].state);
            self.pump(at, changes);
        }
    }

    pub(super) fn crash(&mut self, at: usize) {
        let kept = self.rng.below(self.nodes[at].written.len() as u64 + 1) as usize;
        let kept = if self.plan.lying_disk { 0 } else { kept };
        let target = &mut self.nodes[at];
        for written in target.written.drain(..).take(kept) {
            target.durable.apply(&written.changes);
        }
        target.written.clear();
        (target.up, target.replica, target.remains) = (false, None, None);
        target.offered.clear();
        (target.life, target.tick_at, target.disk_free) = (target.life + 1, 0, 0);
        target.state = State::new();
    }

    pub(super) fn restart(&mut self, at: usize) {
        if self.nodes[at].up {
            return;
        }
        let (setup, now) = (self.setup(at), self.now(at));
        let target = &mut self.nodes[at];
        target.up = true;
        target.state = read_state(&target.durable);
        target.tombstone = Replica::read_tombstone(&target.durable, SHARD).unwrap_or_default();
        match Replica::read(&target.durable, SHARD, &WholeCommands) {
            Ok(stored) => target.replica = stored.map(|stored| Replica::restore(setup, stored, now)),
            Err(_) if self.plan.bad_disk == Some(at) => {
                let me = node(at);
                target.remains = Remains::read(&target.durable, SHARD, me).unwrap();
                self.promise(at);
            }
            Err(error) => self.seen.wrong.push(format!("node {at} cannot restart: {error}")),
        }
        self.pump(at, Vec::new());
    }

    /// A node that leads in its own eyes.
    pub(super) fn leader(&self) -> Option<usize> {
        let leads = |at: &usize| {
            let status = self.nodes[*at].replica.as_ref().map(Replica::status);
            status.is_some_and(|status| matches!(status.role, Role::Leader { .. }))
        };
        (0..self.nodes.len()).filter(leads).max_by_key(|at| self.replica(*at).map(|it| it.status().term))
    }

    /// Whether somebody leads and may serve.
    pub(super) fn is_led(&self) -> bool {
        self.leader().and_then(|at| self.replica(at)).is_some_and(|it| it.lease().is_some())
    }

    pub(super) fn replica(&self, at: usize) -> Option<&Replica> {
        self.nodes[at].replica.as_ref()
    }

    pub(super) fn with_replica<T>(&mut self, at: usize, with: impl FnOnce(&mut Replica, Instant) -> T) -> T {
        let now = self.now(at);
        let result = with(self.nodes[at].replica.as_mut().expect("the node has a replica"), now);
        self.pump(at, Vec::new());
        result
    }

    /// Without doing at once what the replica wants done.
    pub(super) fn with_replica_only<T>(&mut self, at: usize, with: impl FnOnce(&mut Replica) -> T) -> T {
        with(self.nodes[at].replica.as_mut().expect("the node has a replica"))
    }

    pub(super) fn propose(&mut self, at: usize) -> bool {
        let command = self.next_command;
        self.next_command += 1;
        let bytes = Bytes::copy_from_slice(&command.to_be_bytes());
        self.with_replica(at, |replica, _| replica.propose(bytes)).is_ok()
    }

    fn propose_somewhere(&mut self) {
        let at = self.rng.below(self.nodes.len() as u64) as usize;
        if self.plan.proposals && self.nodes[at].replica.is_some() {
            for _ in 0..self.rng.below(4) {
                self.propose(at);
            }
        }
        let pause = MILLI + self.rng.below(8 * MILLI);
        self.after(pause, Happening::Propose);
    }

    /// What placement does: every leader moves its shard towards the target.
    fn steer(&mut self) {
        self.after(100 * MILLI, Happening::Steer);
        if !self.steers {
            return;
        }
        let target: Vec<NodeId> = self.target.iter().map(|at| node(*at)).collect();
        for at in 0..self.nodes.len() {
            if self.nodes[at].replica.is_none() || self.nodes[at].stalled_until > self.time {
                continue;
            }
            let first = self.with_replica(at, |replica, now| replica.reconfigure(now, &target));
            if first == Ok(Reconfigured::TransferFirst) {
                let to = target[0];
                let _may_fail = self.with_replica(at, |replica, now| replica.transfer(now, to));
            }
        }
    }

    fn chaos(&mut self) {
        let pause = 50 * MILLI + self.rng.below(400 * MILLI);
        self.after(pause, Happening::Chaos);
        if !self.plan.chaos {
            return;
        }
        let count = self.nodes.len() as u64;
        let at = self.rng.below(count) as usize;
        let at = if self.rng.chance(0.5) { self.leader().unwrap_or(at) } else { at };
        let span = 20 * MILLI + self.rng.below(1_500 * MILLI);
        if let Some(bad) = self.plan.bad_disk.filter(|bad| self.nodes[*bad].up && self.rng.chance(0.3)) {
            return self.damage(bad);
        }
        match self.rng.below(12) {
            0..3 if self.nodes[at].up => {
                self.crash(at);
                self.after(span, Happening::Restart { node: at });
            }
            3..5 => {
                self.nodes[at].isolated = true;
                self.after(span, Happening::Join { node: at });
            }
            5 => self.nodes[at].stalled_until = self.time + span,
            6..8 => {
                let to = node(self.rng.below(count) as usize);
                if self.nodes[at].replica.is_some() {
                    let _may_fail = self.with_replica(at, |replica, now| replica.transfer(now, to));
                }
            }
            8..10 => {
                let to = self.rng.below(count) as usize;
                self.cut_link(at, to, true);
                self.after(span, Happening::Mend { from: at, to });
            }
            10 => {
                let mut all: Vec<usize> = (0..self.nodes.len()).collect();
                self.rng.shuffle(&mut all);
                let voters = if self.plan.bad_disk.is_some() { 2 + self.rng.below(3) as usize } else { 3 };
                self.target = all[..voters].to_vec();
            }
            _ => self.plan.loss = [0.0, 0.01, 0.1][self.rng.below(3) as usize],
        }
    }

    /// All replicas, for a failure's message.
    pub(super) fn describe(&self) -> String {
        let one = |at: usize| {
            let node = &self.nodes[at];
            format!("{at} up {} with {} applied: {:?}", node.up, node.state.len(), node.replica)
        };
        let all: Vec<String> = (0..self.nodes.len()).map(one).collect();
        format!("target {:?}, {} committed\n{}", self.target, self.seen.committed.len(), all.join("\n"))
    }

    pub(super) fn isolate(&mut self, at: usize, isolated: bool) {
        self.nodes[at].isolated = isolated;
    }

    /// Cuts or mends a link, in one direction.
    pub(super) fn cut_link(&mut self, from: usize, to: usize, cut: bool) {
        if cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// Everything works from now on.
    pub(super) fn heal(&mut self) {
        (self.plan.chaos, self.plan.loss) = (false, 0.0);
        self.cut.clear();
        for at in 0..self.nodes.len() {
            (self.nodes[at].isolated, self.nodes[at].stalled_until) = (false, self.time);
            self.restart(at);
        }
    }

    /// Whether all members have applied everything and the target is reached.
    pub(super) fn is_settled(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let status = self.nodes[leader].replica.as_ref().expect("the leader has a replica").status();
        let wanted: BTreeSet<NodeId> = self.target.iter().map(|at| node(*at)).collect();
        let members: BTreeSet<NodeId> = status.config.voters().map(|member| member.node).collect();
        let all = self.seen.committed.len();
        !status.config.joint
            && members == wanted
            && status.config.members.len() == wanted.len()
            && self.target.iter().all(|at| self.nodes[*at].state.len() == all)
            && status.last == status.applied
    }

    fn judge_commit(&mut self, at: usize, index: u64, term: u64, command: u64, own: bool) {
        let first = *self.seen.committed.entry(index).or_insert((term, command));
        if first != (term, command) {
            let wrong = format!("node {at} applied {command} of term {term} at {index}, others {first:?}");
            self.seen.wrong.push(wrong);
        }
        if own {
            self.seen.acknowledged.insert(command);
        }
    }

    fn judge_leases(&mut self) {
        let holds = |at: &usize| {
            let now = self.now(*at);
            self.nodes[*at].replica.as_ref().and_then(Replica::lease).is_some_and(|end| now < end)
        };
        let holders: Vec<usize> = (0..self.nodes.len()).filter(holds).collect();
        self.seen.leases += holders.len() as u64;
        if holders.len() > 1 {
            self.seen.wrong.push(format!("nodes {holders:?} hold leases at {}", self.time));
        }
    }

    /// Every acknowledged command, and nothing twice, on every member in the same order.
    pub(super) fn judge_end(&mut self) {
        let sequence: State = self.seen.committed.iter().map(|(index, (_, it))| (*index, *it)).collect();
        let commands: BTreeSet<u64> = sequence.values().copied().collect();
        let lost: Vec<_> = self.seen.acknowledged.difference(&commands).collect();
        if !lost.is_empty() || commands.len() != sequence.len() {
            self.seen.wrong.push(format!("acknowledged but lost: {lost:?}, or some are there twice"));
        }
        for at in self.target.clone() {
            if self.nodes[at].state != sequence {
                self.seen.wrong.push(format!("node {at} differs from the committed sequence"));
            }
        }
    }
}
