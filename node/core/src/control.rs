//! Control: what the node knows of the cluster, and where its shards should be.
//!
//! Two machines work here side by side, each ignorant of the other: [`Membership`] knows who is there,
//! [`Placement`] where every shard is and where it should be. Control translates between them, carries both their
//! messages in one class of traffic, and publishes what callers and engines need: the view and the routes.
//!
//! ```text
//!   network ─► Membership ── view ──► Placement ── Want ──► engines
//!                  │  ▲                   │  ▲                 │
//!               gossip └── broadcasts ────┘  └── Own, Lost ────┘
//!                  ▼                      ▼
//!               peers                 Routes, View ──► callers
//! ```
//!
//! **Deliberately absent.** Any call between actors, and any decision about one.

mod event;
mod founding;
mod translation;

use std::collections::VecDeque;
use std::sync::Arc;

use gritmesh_membership as membership;
use gritmesh_membership::{ClusterEvent, Membership};
use gritmesh_runtime::{ClusterId, Instant, NodeId, Rng, ShardId};
use gritmesh_sharding as sharding;
use gritmesh_sharding::{Candidate, Descriptor, Hosting, Placement, Routing, Shard, ShardTable, Version};

pub(crate) use event::{Effect, Event, Persisting, Start};
use translation::{broadcast_version, candidate, host, is_mixed, send};

use crate::engine::Routes;
use crate::machine::Machine;
use crate::records;
use crate::wire::Topic;

/// Members up to which each is told directly where a shard has gone. A founding cluster of this size sends each of
/// them some 300 small messages within its first second.
const TOLD_DIRECTLY_MAX: usize = 16;

/// One per node.
#[derive(Debug)]
pub(crate) struct Control {
    me: NodeId,
    membership: Membership,
    placement: Placement,
    hosting: Arc<Hosting>,
    /// Whether some node hosts a type that another one does not.
    mixed: bool,
    hosts: Vec<sharding::Host>,
    candidates: Vec<Candidate>,
    shards: u32,
    member: bool,
    /// The table as the disk held it at the start.
    stored_table: Option<ShardTable>,
    /// Whether the disk has the ranges of the shards.
    table_stored: bool,
    /// Engines that still have shards to found.
    founding: usize,
    engines: usize,
    work: VecDeque<Work>,
    malformed: u64,
}

/// What one machine has to tell the other.
#[derive(Debug)]
enum Work {
    Membership(membership::Effect),
    Placement(sharding::Effect),
}

impl Control {
    pub(crate) fn new(now: Instant, rng: Rng, start: Start) -> Result<Self, membership::StartError> {
        let me = start.membership.info.node_id;
        let mut rng = rng;
        let placement_rng = {
            let mut seed = [0; 32];
            rng.fill(&mut seed);
            gritmesh_runtime::Seed::new(seed).rng()
        };
        Ok(Self {
            me,
            membership: Membership::new(now, rng, start.membership_options, start.membership)?,
            placement: Placement::new(me, start.sharding_options, placement_rng),
            hosting: Arc::new(Hosting::new([])),
            mixed: false,
            hosts: Vec::new(),
            candidates: Vec::new(),
            shards: start.shards,
            member: false,
            table_stored: start.table.is_some(),
            stored_table: start.table,
            founding: if start.founding { start.engines } else { 0 },
            engines: start.engines,
            work: VecDeque::new(),
            malformed: 0,
        })
    }

    pub(crate) const fn placement(&self) -> &Placement {
        &self.placement
    }

    pub(crate) fn membership_counters(&self) -> membership::Counters {
        self.membership.counters()
    }

    pub(crate) const fn malformed(&self) -> u64 {
        self.malformed
    }

    fn tell_membership(&mut self, now: Instant, event: membership::Event<'_>) {
        let mut effects = Vec::new();
        self.membership.handle(now, event, &mut effects);
        self.work.extend(effects.into_iter().map(Work::Membership));
    }

    fn tell_placement(&mut self, now: Instant, event: sharding::Event) {
        let mut effects = Vec::new();
        self.placement.handle(now, event, &mut effects);
        self.work.extend(effects.into_iter().map(Work::Placement));
    }

    /// Carries effects from one machine to the other until both are quiet.
    fn settle(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Membership(effect) => self.membership_effect(now, effect, out),
                Work::Placement(effect) => self.placement_effect(now, effect, out),
            }
        }
    }

    fn membership_effect(&mut self, now: Instant, effect: membership::Effect, out: &mut Vec<Effect>) {
        use membership::Effect as From;
        match effect {
            From::Send { to, body } => send(to, &Topic::Membership(body), out),
            From::Dial { address } => out.push(Effect::Dial(address)),
            From::Learn(info) => out.push(Effect::Learn(info)),
            From::Forget(node) => out.push(Effect::Forget(node)),
            From::SetHello(hello) => out.push(Effect::SetHello(hello)),
            From::PersistCluster { cluster, founded } => {
                let mut changes = vec![records::cluster(cluster), records::founding(founded)];
                if founded {
                    changes.push(records::table(&self.initial_table()));
                }
                out.push(Effect::Persist { what: Persisting::Cluster, changes });
            }
            From::ViewChanged => self.view_changed(now, out),
            From::DetoursChanged => self.publish(out),
            From::Notify(event) => {
                // Who left still answers what it was sent, and then closes its connections, which is heard apart.
                if let ClusterEvent::NodeDown(info) = &event {
                    out.push(Effect::Gone(info.node_id));
                }
                out.push(Effect::Notify(event));
            }
            From::Broadcast { bytes, .. } => self.descriptor(now, &bytes),
            From::Founded(cluster) => {
                self.become_member(now, cluster, out);
                self.found(now, out);
            }
            From::Joined(cluster) => self.become_member(now, cluster, out),
            From::Fatal(fatal) => out.push(Effect::Fatal(fatal.to_string())),
            From::Left => out.push(Effect::Left),
        }
    }

    fn placement_effect(&mut self, now: Instant, effect: sharding::Effect, out: &mut Vec<Effect>) {
        use sharding::Effect as From;
        match effect {
            From::Want { shard, voters, leader } => out.push(Effect::Want { shard, voters, leader }),
            From::Broadcast(descriptor) => {
                let bytes = descriptor.encode();
                let (key, version) = (u64::from(descriptor.shard.0), broadcast_version(&descriptor));
                let broadcast = membership::Broadcast { key, version, bytes: &bytes };
                self.tell_membership(now, membership::Event::Broadcast(broadcast));
                self.tell_directly(&bytes, out);
            }
            From::Doubt(shard) => out.push(Effect::Doubt(shard)),
            From::Tell { to, descriptor } => send(to, &Topic::Descriptor(descriptor.encode()), out),
            From::SendSummary { to, hash } => send(to, &Topic::Summary(hash), out),
            From::SendTable { to, table } => send(to, &Topic::Table(table.encode()), out),
            From::TableChanged => self.publish(out),
            From::Drained => out.push(Effect::Drained),
        }
    }

    /// In a small cluster everybody hears of a shard at once, and a call seldom goes to the wrong place. In a large one
    /// gossip is cheaper.
    pub(super) fn tell_directly(&self, descriptor: &[u8], out: &mut Vec<Effect>) {
        let alive = self.candidates.iter().filter(|candidate| candidate.alive);
        if alive.clone().count() <= TOLD_DIRECTLY_MAX {
            for peer in alive.filter(|candidate| candidate.node != self.me) {
                send(peer.node, &Topic::Descriptor(descriptor.to_vec()), out);
            }
        }
    }

    fn become_member(&mut self, now: Instant, cluster: ClusterId, out: &mut Vec<Effect>) {
        self.member = true;
        out.push(Effect::Member(cluster));
        let candidates = self.candidates.clone();
        self.tell_placement(now, sharding::Event::Candidates(candidates));
    }

    fn view_changed(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let view = self.membership.view().clone();
        let hosts: Vec<sharding::Host> = view.members.values().map(host).collect();
        let candidates: Vec<Candidate> = view.members.values().filter_map(candidate).collect();
        out.push(Effect::View(Arc::new(view)));
        let (moved, others) = (hosts != self.hosts, candidates != self.candidates);
        if moved {
            self.hosting = Arc::new(Hosting::new(hosts.iter().cloned()));
            (self.mixed, self.hosts) = (is_mixed(&hosts), hosts);
        }
        if moved || others {
            self.publish(out);
        }
        if others {
            self.candidates.clone_from(&candidates);
        }
        if others && self.member {
            self.tell_placement(now, sharding::Event::Candidates(candidates));
        }
    }

    fn publish(&mut self, out: &mut Vec<Effect>) {
        let Some(table) = self.placement.table() else { return };
        if !std::mem::replace(&mut self.table_stored, true) {
            let changes = vec![records::table(table)];
            out.push(Effect::Persist { what: Persisting::Table, changes });
        }
        let routing = Routing::new(table, Arc::clone(&self.hosting));
        let cut_off = table.shards().iter().filter(|shard| self.is_cut_off(shard)).map(|shard| shard.id);
        let detours = self.membership.detours();
        let routes = Routes { routing, table: table.clone(), cut_off: cut_off.collect(), detours };
        out.push(Effect::Routes { routes: Arc::new(routes), mixed: self.mixed });
    }

    /// Whether no majority of a shard's replicas is alive, as seen from here.
    fn is_cut_off(&self, shard: &Shard) -> bool {
        let members = &self.membership.view().members;
        let is_alive = |node: &&NodeId| members.get(*node).is_some_and(|it| it.state.is_active());
        let alive = shard.replicas.iter().filter(is_alive).count();
        !shard.replicas.is_empty() && alive <= shard.replicas.len() / 2
    }

    fn received(&mut self, now: Instant, from: NodeId, body: &[u8]) {
        let Ok(topic) = Topic::from_bytes(body) else {
            self.malformed += 1;
            return;
        };
        match topic {
            Topic::Membership(bytes) => {
                self.tell_membership(now, membership::Event::Received { from, body: &bytes });
            }
            Topic::Descriptor(bytes) => self.descriptor(now, &bytes),
            Topic::Summary(hash) if self.member => {
                self.tell_placement(now, sharding::Event::Summary { from, hash });
            }
            Topic::Summary(_) => {}
            Topic::Table(bytes) => match ShardTable::decode(&bytes) {
                Ok(table) if self.member => {
                    self.tell_placement(now, sharding::Event::TableFrom { from, table })
                }
                Ok(_) => {}
                Err(_) => self.malformed += 1,
            },
        }
    }

    fn descriptor(&mut self, now: Instant, bytes: &[u8]) {
        match Descriptor::decode(bytes) {
            Ok(descriptor) => self.tell_placement(now, sharding::Event::Descriptor(descriptor)),
            Err(_) => self.malformed += 1,
        }
    }

    /// A redirect names who leads; who else has the shard is heard of elsewhere.
    fn learn(&mut self, now: Instant, shard: ShardId, version: Version, leader: Option<NodeId>) {
        if let Some(leader) = leader {
            let descriptor = Descriptor::led_by(shard, version, leader);
            self.tell_placement(now, sharding::Event::Descriptor(descriptor));
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.membership.next_deadline().is_some_and(|due| due <= now) {
            self.tell_membership(now, membership::Event::Tick);
        }
        if self.placement.next_deadline().is_some_and(|due| due <= now) {
            self.tell_placement(now, sharding::Event::Tick);
        }
    }
}

impl Machine for Control {
    type Event = Event;
    type Effect = Effect;

    fn handle(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Start => {
                self.view_changed(now, out);
                if let Some(cluster) = self.membership.cluster() {
                    self.become_member(now, cluster, out);
                    match self.founding {
                        0 => self.recall_table(now),
                        _ => self.found(now, out),
                    }
                }
                self.tick(now);
            }
            Event::Tick => self.tick(now),
            Event::Connected(hello) => self.tell_membership(now, membership::Event::Connected(&hello)),
            Event::Received { from, body } => self.received(now, from, &body),
            Event::Lost { peer, reason } => {
                self.tell_membership(now, membership::Event::Lost { peer, reason })
            }
            Event::Resolved { name, addresses } => {
                let event = membership::Event::Resolved { name: &name, addresses: &addresses };
                self.tell_membership(now, event);
            }
            Event::DialFailed { address, own: true } => {
                self.tell_membership(now, membership::Event::OwnAddress { address: &address });
            }
            Event::DialFailed { address, own: false } => {
                self.tell_membership(now, membership::Event::DialFailed { address: &address });
            }
            Event::Refused { address, by_us, refusal } => {
                let event =
                    membership::Event::Refused { address: address.as_deref(), by_us, refusal: &refusal };
                self.tell_membership(now, event);
            }
            Event::Persisted { what: Persisting::Cluster, result: Ok(()) } => {
                self.tell_membership(now, membership::Event::ClusterPersisted);
            }
            Event::Persisted { what: Persisting::Table, result: Ok(()) } => {}
            Event::Persisted { result: Err(error), .. } => {
                out.push(Effect::Fatal(format!("what this node is cannot be written: {error}")));
            }
            Event::Learn { shard, version, leader } => self.learn(now, shard, version, leader),
            Event::Own(descriptor) => self.tell_placement(now, sharding::Event::Own(descriptor)),
            Event::LostLeadership(shard) => self.tell_placement(now, sharding::Event::Lost(shard)),
            Event::Holds { shard, holds } => {
                self.tell_placement(now, sharding::Event::Holds { shard, holds });
            }
            Event::Founded => self.founded(out),
            Event::Drain => {
                self.tell_membership(now, membership::Event::SetWeight(0));
                self.tell_placement(now, sharding::Event::Drain);
            }
            Event::Undrain { weight } => {
                self.tell_membership(now, membership::Event::SetWeight(weight));
                self.tell_placement(now, sharding::Event::Undrain);
            }
            Event::Forget(node) => self.tell_membership(now, membership::Event::Forget(node)),
            Event::Leave => self.tell_membership(now, membership::Event::Leave),
        }
        self.settle(now, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.membership.next_deadline(), self.placement.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn tick() -> Event {
        Event::Tick
    }
}
