//! A few engines, each on a disk of its own, wired by a network that loses only what a test cuts. Time passes when a
//! test says so; nothing is random.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{AnyActivation, Chain, Draft, Gate, Header, History, Origin, Payload, Submission};
use gritmesh_runtime::{
    ActorAddress, Batch, DiskError, Epoch, Failure, FailureCode, Incarnation, Instant, NodeId, Reads, Seed,
    ShardId, Token,
};
use gritmesh_shard::{
    ActorKey, Damage, Histories, Proposal, Proposer, TransferRequest, next_chunk, repair, spare,
};
use gritmesh_sharding::{Descriptor, Host, Hosting, ReplicaLimits, Routing, ShardTable, Version};
use gritmesh_store::ObjectId;
use parking_lot::Mutex;

use super::disk::MemoryDisk;
use crate::engine::{Caller, Commit, Effect, Engine, Event, Part, Routes, Start};
use crate::limits::NodeLimits;
use crate::machine::Machine;
use crate::node::check;
use crate::options::Sabotage;
use crate::wire::{Bulk, LogMessages, Place};

pub(super) const ME: NodeId = NodeId([1; 32]);
pub(super) const OTHER: NodeId = NodeId([2; 32]);
pub(super) const THIRD: NodeId = NodeId([3; 32]);
pub(super) const ZERO: ShardId = ShardId(0);

/// How long engines keep answers.
pub(super) const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

const NODES: [NodeId; 3] = [ME, OTHER, THIRD];
/// The steps in which time passes: finer than any tick.
const STEP: Duration = Duration::from_millis(10);

/// What an effect comes to, for comparing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Sent(NodeId, u64),
    Redirected(NodeId, u64, Option<NodeId>),
    Delivered(String),
    Administered(String),
    Passed(ShardId),
    Ended(Result<Vec<u8>, FailureCode>),
    Learn(Version, Option<NodeId>),
    Evict(ShardId, bool),
    EvictActor(String),
    Holds(ShardId, bool),
    Founded,
    LostLeadership(ShardId),
    Message(u64),
    Fired(String, bool),
    Pause(String),
    Forwarded(String),
    Fatal(String),
}

pub(super) type Told = Arc<Mutex<Vec<Result<(), FailureCode>>>>;

/// A gate, and what it was told, as often as it was.
pub(super) fn gate() -> (Gate, Told) {
    let told = Told::default();
    let heard = Arc::clone(&told);
    (Box::new(move |result| heard.lock().push(result.map_err(|failure| failure.code))), told)
}

/// A call without any types.
struct Recorder(Arc<Mutex<Vec<Seen>>>, usize);

impl Payload for Recorder {
    fn encode(&self) -> Result<Vec<u8>, Failure> {
        Ok(vec![0x90])
    }

    fn bytes(&self) -> usize {
        self.1
    }

    fn deliver(self: Box<Self>, _: Header, _: Arc<dyn AnyActivation>) {
        unreachable!("the engine delivers by an effect");
    }

    fn answer(self: Box<Self>, result: Result<Vec<u8>, Failure>) {
        self.0.lock().push(Seen::Ended(result.map_err(|failure| failure.code)));
    }
}

/// Collects what histories propose.
#[derive(Default)]
pub(super) struct Desk(Mutex<Vec<Proposal>>);

impl Proposer for Desk {
    fn propose(&self, proposal: Proposal) {
        self.0.lock().push(proposal);
    }

    fn observe(&self, _: Token, _: &ActorKey, _: Gate) {
        unreachable!("tests observe by an event");
    }

    fn is_certain(&self, _: Token) -> bool {
        false
    }

    fn now_unix_ms(&self) -> u64 {
        1_000
    }

    fn epoch(&self, _: Token) -> u64 {
        1
    }

    fn snapshot_epoch(&self) -> u64 {
        0
    }

    fn damaged(&self, _: Damage) {}

    fn found_damage(&self, _: Token, _: &str) {}
}

/// One actor's thread of steps.
pub(super) struct Scribe {
    pub(super) address: ActorAddress,
    history: Box<dyn History>,
    desk: Arc<Desk>,
}

impl Scribe {
    /// Makes a step that sets the state; whoever takes it gives it to an engine.
    pub(super) fn step(&mut self, state: &[u8]) -> (Commit, Told) {
        self.draft(Draft { state: Some(state.to_vec()), ..Draft::new("set".into(), Origin::Call) })
    }

    pub(super) fn draft(&mut self, draft: Draft) -> (Commit, Told) {
        let (gate, told) = gate();
        self.history.commit(draft, gate);
        let Proposal { command, volatile, gate, .. } = self.desk.0.lock().pop().expect("a step is proposed");
        (Commit { command, volatile, gate: Some(gate) }, told)
    }
}

/// One node, as far as an engine sees it.
pub(super) struct Site {
    pub(super) engine: Engine,
    pub(super) disk: MemoryDisk,
    /// Batches on their way to the disk.
    pub(super) writes: VecDeque<(u64, Arc<Batch>)>,
    /// What the engine wants done that the world leaves to the test.
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
    /// Until when it may be sure to lead.
    pub(super) leases: BTreeMap<ShardId, Instant>,
    /// Frames of logs that it has sent.
    pub(super) frames: Vec<(NodeId, Vec<u8>)>,
    alive: bool,
}

enum Packet {
    Log(Vec<u8>),
    Bulk(Vec<u8>),
}

pub(super) struct World {
    pub(super) sites: Vec<Site>,
    pub(super) now: Instant,
    pub(super) table: ShardTable,
    /// Whether batches complete by themselves.
    pub(super) writes: bool,
    /// Whether actors leave memory at once.
    pub(super) evicts: bool,
    /// Bytes of the arguments of calls.
    pub(super) argument_bytes: usize,
    /// Whether all engines hear at once who leads.
    pub(super) gossips: bool,
    /// Pairs of sites between which nothing travels.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// Who does not answer the first site, and over whom it is reached.
    pub(super) detours: BTreeMap<NodeId, Vec<NodeId>>,
    /// Where what belongs to transfers is kept instead of travelling.
    pub(super) bulk: Option<Vec<Bulk>>,
    /// Requests for parts of states that were answered.
    pub(super) chunks: usize,
    packets: VecDeque<(usize, usize, Packet)>,
    limits: NodeLimits,
}

fn start(site: usize, disk: &MemoryDisk, limits: NodeLimits) -> Engine {
    Engine::new(Start {
        me: NODES[site],
        incarnation: Incarnation(1),
        index: 0,
        engines: 1,
        disk: Arc::new(disk.clone()),
        seed: Seed::from_number(1).child(&site.to_string()),
        replicas: gritmesh_sharding::ReplicaOptions::default(),
        answers_kept: ANSWERS_KEPT,
        tables_pause: Duration::from_millis(500),
        limits,
        sabotage: Sabotage::None,
    })
}

impl World {
    /// Engines without any shards.
    pub(super) fn new(sites: usize, shards: u32) -> Self {
        Self::with(sites, shards, ReplicaLimits::default())
    }

    pub(super) fn with(sites: usize, shards: u32, replica: ReplicaLimits) -> Self {
        let limits = NodeLimits { replica, ..NodeLimits::default() };
        let site = |number| {
            let disk = MemoryDisk::default();
            Site {
                engine: start(number, &disk, limits),
                disk,
                writes: VecDeque::new(),
                seen: Arc::default(),
                leases: BTreeMap::new(),
                frames: Vec::new(),
                alive: true,
            }
        };
        Self {
            sites: (0..sites).map(site).collect(),
            now: Instant::from_nanos(1_000_000_000),
            table: ShardTable::initial(shards).unwrap(),
            writes: true,
            evicts: true,
            argument_bytes: 0,
            gossips: true,
            cut: BTreeSet::new(),
            detours: BTreeMap::new(),
            bulk: None,
            chunks: 0,
            packets: VecDeque::new(),
            limits,
        }
    }

    /// One engine that serves all shards alone.
    pub(super) fn alone(shards: u32) -> Self {
        let mut world = Self::new(1, shards);
        world.found();
        world
    }

    /// Three engines, of which the first leads shard 0 and all vote.
    pub(super) fn three() -> Self {
        Self::three_with(ReplicaLimits::default())
    }

    pub(super) fn three_with(limits: ReplicaLimits) -> Self {
        let mut world = Self::with(3, 1, limits);
        world.found();
        world.want(&[ME, OTHER, THIRD], ME);
        assert_eq!(world.voters(0), [ME, OTHER, THIRD], "the shard has grown");
        world.take(0);
        world
    }

    pub(super) fn found(&mut self) {
        self.publish();
        let shards = self.table.shards().to_vec();
        self.feed(0, [Event::Restore, Event::Found(shards)]);
        if self.writes {
            assert!(self.take(0).contains(&Seen::Founded));
        }
    }

    /// Asks the leader of shard 0 to move it there, as often as that takes.
    pub(super) fn want(&mut self, voters: &[NodeId], leader: NodeId) {
        for _ in 0..100 {
            let Some(at) = self.leader() else {
                self.pass(100);
                continue;
            };
            let want = Event::Want { shard: ZERO, voters: voters.to_vec(), leader };
            self.feed(at, [want]);
            self.pass(100);
            if self.leader().is_some_and(|at| NODES[at] == leader && self.voters(at) == voters) {
                return;
            }
        }
        panic!("shard 0 did not get to {voters:?}, led by {leader:?}");
    }

    /// The site that leads shard 0 and serves it.
    pub(super) fn leader(&self) -> Option<usize> {
        let serves = |site: &Site| {
            site.alive && site.engine.shards_here().iter().any(|(shard, here)| *shard == ZERO && here.serves)
        };
        self.sites.iter().rposition(serves)
    }

    pub(super) fn leads(&self, site: usize) -> bool {
        self.sites[site].engine.groups.get(&ZERO).is_some_and(|group| group.leads)
    }

    pub(super) fn voters(&self, site: usize) -> Vec<NodeId> {
        let config = &self.sites[site].engine.groups[&ZERO].config;
        config.voters().filter(|_| !config.joint).map(|member| member.node).collect()
    }

    /// What a site wants done that nobody has looked at yet.
    pub(super) fn take(&mut self, site: usize) -> Vec<Seen> {
        std::mem::take(&mut *self.sites[site].seen.lock())
    }

    /// Tells every engine where everything is.
    pub(super) fn publish(&mut self) {
        for site in 0..self.sites.len() {
            let routes = self.routes();
            self.handle(site, vec![Event::Routes(routes)]);
        }
        self.settle();
    }

    pub(super) fn routes(&self) -> Arc<Routes> {
        let host = |node| Host { node, weight: 1, alive: true, types: Some(Arc::from(["t".to_owned()])) };
        let routing = Routing::new(&self.table, Arc::new(Hosting::new(NODES.map(host))));
        Arc::new(Routes {
            routing,
            table: self.table.clone(),
            cut_off: BTreeSet::new(),
            detours: self.detours.clone(),
        })
    }

    /// Makes shard 0 be led by a node as far as everybody knows, and tells what the first engine does then.
    pub(super) fn led_by(&mut self, term: u64, leader: NodeId) -> Vec<Seen> {
        let version = Version { term, epoch: Epoch(1) };
        self.table.adopt(Descriptor::led_by(ZERO, version, leader));
        self.publish();
        self.take(0)
    }

    /// Gives events to a site, and lets everything happen that follows of it.
    pub(super) fn feed(&mut self, site: usize, events: impl IntoIterator<Item = Event>) {
        self.handle(site, events.into_iter().collect());
        self.settle();
    }

    /// As [`Self::feed`], and tells what the site wants done.
    pub(super) fn seen(&mut self, site: usize, event: Event) -> Vec<Seen> {
        self.feed(site, [event]);
        self.take(site)
    }

    /// One batch of events for one engine, without what follows of it elsewhere.
    pub(super) fn handle(&mut self, site: usize, events: Vec<Event>) {
        if !self.sites[site].alive {
            return;
        }
        let mut effects = Vec::new();
        for event in events {
            self.sites[site].engine.handle(self.now, event, &mut effects);
        }
        self.sites[site].engine.flush(self.now, &mut effects);
        let (mut next, mut moved) = (Vec::new(), false);
        for effect in effects {
            match effect {
                Effect::Own(descriptor) => {
                    self.table.adopt(descriptor);
                    moved = true;
                }
                other => self.perform(site, other, &mut next),
            }
        }
        if moved && self.gossips {
            self.publish();
        }
        if !next.is_empty() {
            self.handle(site, next);
        }
    }

    fn perform(&mut self, site: usize, effect: Effect, next: &mut Vec<Event>) {
        let here = &mut self.sites[site];
        let seen = match effect {
            Effect::Write { number, batch, .. } => return here.writes.push_back((number, batch)),
            Effect::SendConsensus { to, body } => {
                here.frames.push((to, body.clone()));
                return self.send(site, to, Packet::Log(body));
            }
            Effect::SendBulk { to, bulk } => return self.send(site, to, Packet::Bulk(bulk.to_bytes())),
            Effect::Load { number, rows, .. } => {
                return here.writes.push_back((number, Batch::synced(rows.to_vec()).into()));
            }
            Effect::GiveChunk { to, part, giving, number, request, cursor, snapshot, careful } => {
                self.chunks += 1;
                let chunk =
                    next_chunk(&*snapshot, &request, &cursor, careful, &NodeLimits::default().shard.transfer)
                        .expect("a snapshot can be read");
                let shard = part.shard;
                next.push(Event::Given { to, shard, giving, next: chunk.next.clone() });
                let Part { shard, index, stream } = part;
                let bulk = Bulk::Chunk { shard: shard.0, index, stream, number, chunk: chunk.encode() };
                return self.send(site, to, Packet::Bulk(bulk.to_bytes()));
            }
            Effect::Check { shard, pull, assembly, chunk } => {
                let result = Box::new(check(*assembly, chunk, &here.disk));
                return next.push(Event::Checked { shard, pull, result });
            }
            Effect::Open { gate, result } => return gate(result),
            Effect::Lease { shard, until, .. } => {
                here.leases.insert(shard, until);
                return;
            }
            Effect::Answer(submission, result) => return submission.payload.answer(result),
            Effect::Expire { calls, .. } => {
                let late = || Err(Failure::new(FailureCode::Unknown, "no answer came by the deadline"));
                return calls.into_iter().for_each(|(_, submission)| submission.payload.answer(late()));
            }
            Effect::Count(_) | Effect::Stopped => return,
            Effect::Own(_) => unreachable!("it was taken before"),
            Effect::Evict { shard, leads } => {
                next.extend(self.evicts.then_some(Event::Evicted(shard)));
                Seen::Evict(shard, leads)
            }
            Effect::Send { to, slot, .. } => Seen::Sent(to, slot),
            Effect::Redirect { to, place } => Seen::Redirected(to.peer, to.slot, place.names()),
            Effect::Deliver(submission) => Seen::Delivered(submission.header.method.into_owned()),
            Effect::Administer { submission, .. } => {
                Seen::Administered(submission.header.method.into_owned())
            }
            Effect::Pass { shard, .. } => Seen::Passed(shard),
            Effect::EvictActor(address) => Seen::EvictActor(address.to_string()),
            Effect::LostLeadership(shard) => Seen::LostLeadership(shard),
            Effect::Holds { shard, holds } => Seen::Holds(shard, holds),
            Effect::Founded => Seen::Founded,
            Effect::Learn { version, leader, .. } => Seen::Learn(version, leader),
            Effect::Message { message, .. } => Seen::Message(message.sequence),
            Effect::Fire { reminder, skip, .. } => Seen::Fired(reminder.name.to_string(), skip),
            Effect::Pause { actor, .. } => Seen::Pause(actor.to_string()),
            Effect::Forward(outgoing) => Seen::Forwarded(outgoing.to.to_string()),
            Effect::Fatal(reason) => Seen::Fatal(reason),
        };
        self.sites[site].seen.lock().push(seen);
    }

    fn send(&mut self, from: usize, to: NodeId, packet: Packet) {
        if let (Packet::Bulk(body), Some(kept)) = (&packet, &mut self.bulk) {
            return kept.push(Bulk::from_bytes(body).expect("engines write what they read"));
        }
        let to = NODES.iter().position(|node| *node == to).expect("engines only know these nodes");
        if to < self.sites.len() {
            self.packets.push_back((from, to, packet));
        }
    }

    /// Lets everything happen that needs no time.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some((from, to, packet)) = self.packets.pop_front() {
                self.arrive(from, to, packet);
            } else if let Some(site) =
                self.sites.iter().position(|site| self.writes && !site.writes.is_empty())
            {
                self.complete(site, Ok(()));
            } else {
                return;
            }
        }
    }

    fn arrive(&mut self, from: usize, to: usize, packet: Packet) {
        if self.cut.contains(&(from, to)) || self.cut.contains(&(to, from)) || !self.sites[from].alive {
            return;
        }
        let peer = NODES[from];
        let event = match packet {
            Packet::Log(body) => {
                let messages = LogMessages::read(&body).map(<[u8]>::to_vec).collect();
                Event::Consensus { from: peer, messages }
            }
            Packet::Bulk(body) => match self.bulk(to, peer, Bulk::from_bytes(&body).unwrap()) {
                Some(event) => event,
                None => return,
            },
        };
        self.handle(to, vec![event]);
    }

    /// What the node around the engine makes of an envelope.
    fn bulk(&mut self, site: usize, from: NodeId, bulk: Bulk) -> Option<Event> {
        Some(match bulk {
            Bulk::Pull { shard, index, stream, up_to, request } => {
                let request =
                    TransferRequest::decode(request.into()).expect("requests of engines are well formed");
                Event::Pull { from, part: Part { shard: ShardId(shard), index, stream }, up_to, request }
            }
            Bulk::More { shard, index, stream, up_to } => {
                Event::More { from, part: Part { shard: ShardId(shard), index, stream }, up_to }
            }
            Bulk::Chunk { shard, index, stream, number, chunk } => {
                Event::Chunk { from, part: Part { shard: ShardId(shard), index, stream }, number, chunk }
            }
            Bulk::Gone { shard, index } => Event::StateGone { from, shard: ShardId(shard), index },
            Bulk::Fetch { shard, token, id } => {
                let pack = spare(&self.sites[site].disk, Token(token), &ObjectId::from_bytes(id)).ok()?;
                self.send(
                    site,
                    from,
                    Packet::Bulk(Bulk::Found { shard, token, id, pack: pack.to_vec() }.to_bytes()),
                );
                return None;
            }
            Bulk::Found { shard, token, id, pack } => {
                let rows = repair(Token(token), &ObjectId::from_bytes(id), &pack).ok()?;
                Event::Repaired { shard: ShardId(shard), rows }
            }
        })
    }

    /// The oldest batch of a site ends.
    pub(super) fn complete(&mut self, site: usize, result: Result<(), DiskError>) {
        let (number, batch) = self.sites[site].writes.pop_front().expect("a batch is on its way");
        if result.is_ok() {
            self.sites[site].disk.apply(&batch);
        }
        self.handle(site, vec![Event::Persisted { number, result }]);
    }

    /// As [`Self::complete`], with all that follows of it.
    pub(super) fn finish(&mut self, site: usize) {
        self.complete(site, Ok(()));
        self.settle();
    }

    /// Time passes, and everybody is told.
    pub(super) fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while self.now < until {
            self.now = (self.now + STEP).min(until);
            for site in 0..self.sites.len() {
                if self.sites[site].engine.next_deadline().is_some_and(|due| due <= self.now) {
                    self.handle(site, vec![Event::Tick]);
                }
            }
            self.settle();
        }
    }

    /// Ends a process. What was on its way to its disk is lost.
    pub(super) fn kill(&mut self, site: usize) {
        self.sites[site].alive = false;
        self.sites[site].writes.clear();
    }

    /// Starts a process again on the disk that it had.
    pub(super) fn restart(&mut self, site: usize) {
        self.restart_without_routes(site);
        let routes = self.routes();
        self.feed(site, [Event::Routes(routes)]);
    }

    /// As [`Self::restart`], of a node that has yet to hear where everything is.
    pub(super) fn restart_without_routes(&mut self, site: usize) {
        let disk = self.sites[site].disk.clone();
        let here = &mut self.sites[site];
        here.engine = start(site, &disk, self.limits);
        here.writes.clear();
        here.leases.clear();
        here.seen.lock().clear();
        here.alive = true;
        self.feed(site, [Event::Restore]);
    }

    /// Opens the thread of an actor on the disk of a site.
    pub(super) fn scribe(&self, site: usize, id: &str) -> Scribe {
        let address = ActorAddress::new("t", id).unwrap();
        let desk = Arc::<Desk>::default();
        let reads: Arc<dyn Reads> = Arc::new(self.sites[site].disk.clone());
        let history = Histories::new(reads, desk.clone(), NodeLimits::default().shard.history)
            .open(&address, address.token())
            .unwrap();
        Scribe { address, history, desk }
    }

    /// An actor that falls into a shard.
    pub(super) fn scribe_in(&self, shard: ShardId) -> Scribe {
        let falls = |id: &String| {
            let token = ActorAddress::new("t", id).unwrap().token();
            self.table.shard_of(token).id == shard
        };
        let id = (0..).map(|number| format!("a{number}")).find(falls).unwrap();
        self.scribe(0, &id)
    }

    /// Gives a step to the engine of a site.
    pub(super) fn commit(&mut self, site: usize, scribe: &mut Scribe, state: &[u8]) -> Told {
        let shard = self.table.shard_of(scribe.address.token()).id;
        let (commit, told) = scribe.step(state);
        self.feed(site, [Event::Commit { shard, commit }]);
        told
    }

    /// Steps that actors have on a disk.
    pub(super) fn steps(&self, site: usize, id: &str) -> u64 {
        let address = ActorAddress::new("t", id).unwrap();
        gritmesh_shard::head(&self.sites[site].disk, &address).unwrap().map_or(0, |head| head.number)
    }

    pub(super) fn submission(
        &self,
        timeout_ms: u64,
        one_way: bool,
        to: &str,
        method: &'static str,
    ) -> Submission {
        let address: ActorAddress = to.parse().unwrap();
        let header = Header {
            token: address.token(),
            address,
            method: method.into(),
            deadline: self.now + Duration::from_millis(timeout_ms),
            chain: Chain::EMPTY,
            one_way,
            origin: Origin::Call,
        };
        let seen = Arc::clone(&self.sites[0].seen);
        Submission { header, payload: Box::new(Recorder(seen, self.argument_bytes)) }
    }

    /// A call of a caller at the first site.
    pub(super) fn submit(&mut self, timeout_ms: u64) -> Vec<Seen> {
        let submission = self.submission(timeout_ms, false, "t/x", "m");
        self.seen(0, Event::Submit(submission))
    }

    /// A call that comes to the first site from a peer.
    pub(super) fn receive(&mut self, term: u64, one_way: bool, hops: u8) -> Vec<Seen> {
        let submission = self.submission(1000, one_way, "t/x", "m");
        let from = Caller { peer: OTHER, slot: 77, incarnation: Incarnation(1) };
        let version = Version { term, epoch: Epoch(1) };
        self.seen(0, Event::Received { from, submission, shard: ZERO, version, hops, relayed: false })
    }

    /// A call that comes to the first site from a peer which does not reach who serves it.
    pub(super) fn receive_relayed(&mut self, term: u64) -> Vec<Seen> {
        let submission = self.submission(1000, false, "t/x", "m");
        let from = Caller { peer: OTHER, slot: 77, incarnation: Incarnation(1) };
        let version = Version { term, epoch: Epoch(1) };
        self.seen(0, Event::Received { from, submission, shard: ZERO, version, hops: 1, relayed: true })
    }
}

/// Where a redirect says that shard 0 is.
pub(super) const fn place(term: u64, node: NodeId) -> Place {
    Place { shard: 0, term, epoch: 1, leader: Some(node), node: Some(node) }
}

pub(super) fn delivered() -> Vec<Seen> {
    vec![Seen::Delivered("m".into())]
}

pub(super) fn ended(code: FailureCode) -> Vec<Seen> {
    vec![Seen::Ended(Err(code))]
}

pub(super) fn sent_slot(seen: &[Seen]) -> u64 {
    match seen {
        [Seen::Sent(_, slot)] => *slot,
        other => panic!("expected one envelope, got {other:?}"),
    }
}
