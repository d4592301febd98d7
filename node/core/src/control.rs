//! Control: what the node knows of the cluster, and which shards it serves.
//!
//! Two machines work here side by side, each ignorant of the other: [`Membership`] knows who is there,
//! [`Assignment`] which node runs which shard. Control translates between them, carries both their messages in
//! one class of traffic, and publishes what callers and engines need: the view and the routes.
//!
//! ```text
//!   network ─► Membership ── view ──► Assignment ── Serve, Release ──► engines
//!                  │  ▲                   │  ▲                            │
//!               gossip └── broadcasts ────┘  └──────── Released ──────────┘
//!                  ▼                      ▼
//!               peers                 Routes, View ──► callers
//! ```
//!
//! **Deliberately absent.** Any call between actors, and any decision about one.

mod event;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gritmesh_membership as membership;
use gritmesh_membership::{ClusterEvent, Fatal, MemberState, Membership};
use gritmesh_runtime::{ClusterId, Instant, NodeId, Rng};
use gritmesh_sharding as sharding;
use gritmesh_sharding::{Assignment, Candidate, Descriptor, Hosting, Routing, ShardTable};

pub(crate) use event::{Effect, Event, Start};

use crate::engine::Routes;
use crate::machine::Machine;
use crate::records;
use crate::wire::Topic;

/// How long a node that was a member before waits for somebody's table before it starts from an empty one. As
/// long as founding waits: in both cases the question is whether anybody else is there.
const TABLE_AFTER: Duration = Duration::from_secs(3);

/// One per node.
#[derive(Debug)]
pub(crate) struct Control {
    membership: Membership,
    assignment: Assignment,
    hosting: Arc<Hosting>,
    /// Whether some node hosts a type that another one does not.
    mixed: bool,
    hosts: Vec<sharding::Host>,
    candidates: Vec<Candidate>,
    shards: u32,
    member: bool,
    /// When to start from an empty table.
    table_due: Option<Instant>,
    work: VecDeque<Work>,
    malformed: u64,
}

/// What one machine has to tell the other.
#[derive(Debug)]
enum Work {
    Membership(membership::Effect),
    Assignment(sharding::Effect),
}

impl Control {
    pub(crate) fn new(now: Instant, rng: Rng, start: Start) -> Result<Self, membership::StartError> {
        let me = start.membership.info.node_id;
        let mut rng = rng;
        let assignment_rng = {
            let mut seed = [0; 32];
            rng.fill(&mut seed);
            gritmesh_runtime::Seed::new(seed).rng()
        };
        Ok(Self {
            membership: Membership::new(now, rng, start.membership_options, start.membership)?,
            assignment: Assignment::new(me, start.sharding_options, assignment_rng),
            hosting: Arc::new(Hosting::new([])),
            mixed: false,
            hosts: Vec::new(),
            candidates: Vec::new(),
            shards: start.shards,
            member: false,
            table_due: None,
            work: VecDeque::new(),
            malformed: 0,
        })
    }

    pub(crate) const fn assignment(&self) -> &Assignment {
        &self.assignment
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

    fn tell_assignment(&mut self, now: Instant, event: sharding::Event) {
        let mut effects = Vec::new();
        self.assignment.handle(now, event, &mut effects);
        self.work.extend(effects.into_iter().map(Work::Assignment));
    }

    /// Carries effects from one machine to the other until both are quiet.
    fn settle(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Membership(effect) => self.membership_effect(now, effect, out),
                Work::Assignment(effect) => self.assignment_effect(now, effect, out),
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
            From::PersistCluster(cluster) => {
                out.push(Effect::Persist { records: vec![records::cluster(cluster)] });
            }
            From::ViewChanged => self.view_changed(now, out),
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
                self.start_table(now);
            }
            From::Joined(cluster) => self.become_member(now, cluster, out),
            From::Fatal(fatal) => out.push(Effect::Fatal(fatal_text(&fatal))),
            From::Left => out.push(Effect::Left),
        }
    }

    fn assignment_effect(&mut self, now: Instant, effect: sharding::Effect, out: &mut Vec<Effect>) {
        use sharding::Effect as From;
        match effect {
            From::Serve(descriptor) => out.push(Effect::Serve(descriptor.shard)),
            From::Release(shard) => out.push(Effect::Release(shard)),
            From::Broadcast(descriptor) => {
                let bytes = descriptor.encode();
                let (key, version) = (u64::from(descriptor.shard.0), broadcast_version(&descriptor));
                let broadcast = membership::Broadcast { key, version, bytes: &bytes };
                self.tell_membership(now, membership::Event::Broadcast(broadcast));
            }
            From::Tell { to, descriptor } => send(to, &Topic::Descriptor(descriptor.encode()), out),
            From::SendSummary { to, hash } => send(to, &Topic::Summary(hash), out),
            From::SendTable { to, table } => send(to, &Topic::Table(table.encode()), out),
            From::TableChanged => self.publish(out),
            From::Drained => out.push(Effect::Drained),
        }
    }

    fn become_member(&mut self, now: Instant, cluster: ClusterId, out: &mut Vec<Effect>) {
        self.member = true;
        self.table_due = Some(now + TABLE_AFTER);
        out.push(Effect::Member(cluster));
        let candidates = self.candidates.clone();
        self.tell_assignment(now, sharding::Event::Candidates(candidates));
    }

    /// Founds the table, which is the same on every node: even ranges that nobody leads yet.
    fn start_table(&mut self, now: Instant) {
        self.table_due = None;
        if self.assignment.table().is_none() {
            let table = ShardTable::initial(self.shards).expect("the number of shards was checked at start");
            self.tell_assignment(now, sharding::Event::Table(table));
        }
    }

    fn view_changed(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let view = self.membership.view().clone();
        let hosts: Vec<sharding::Host> = view.members.values().map(host).collect();
        let candidates: Vec<Candidate> = view.members.values().filter_map(candidate).collect();
        out.push(Effect::View(Arc::new(view)));
        if hosts != self.hosts {
            self.mixed = is_mixed(&hosts);
            self.hosting = Arc::new(Hosting::new(hosts.iter().cloned()));
            self.hosts = hosts;
            self.publish(out);
        }
        if candidates != self.candidates {
            self.candidates.clone_from(&candidates);
            if self.member {
                self.tell_assignment(now, sharding::Event::Candidates(candidates));
            }
        }
    }

    fn publish(&mut self, out: &mut Vec<Effect>) {
        let Some(table) = self.assignment.table() else { return };
        self.table_due = None;
        let routing = Routing::new(table, Arc::clone(&self.hosting));
        let routes = Arc::new(Routes { routing, table: table.clone() });
        out.push(Effect::Routes { routes, mixed: self.mixed });
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
                self.tell_assignment(now, sharding::Event::Summary { from, hash });
            }
            Topic::Summary(_) => {}
            Topic::Table(bytes) => match ShardTable::decode(&bytes) {
                Ok(table) if self.member => {
                    self.tell_assignment(now, sharding::Event::TableFrom { from, table })
                }
                Ok(_) => {}
                Err(_) => self.malformed += 1,
            },
        }
    }

    fn descriptor(&mut self, now: Instant, bytes: &[u8]) {
        match Descriptor::decode(bytes) {
            Ok(descriptor) => self.tell_assignment(now, sharding::Event::Descriptor(descriptor)),
            Err(_) => self.malformed += 1,
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.table_due.is_some_and(|due| due <= now) {
            self.start_table(now);
        }
        if self.membership.next_deadline().is_some_and(|due| due <= now) {
            self.tell_membership(now, membership::Event::Tick);
        }
        if self.assignment.next_deadline().is_some_and(|due| due <= now) {
            self.tell_assignment(now, sharding::Event::Tick);
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
                }
                self.tick(now);
            }
            Event::Tick => self.tick(now),
            Event::Connected(hello) => self.tell_membership(now, membership::Event::Connected(&hello)),
            Event::Received { from, body } => self.received(now, from, &body),
            Event::Lost { peer, reason } => {
                self.tell_membership(now, membership::Event::Lost { peer, reason })
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
            Event::Persisted(Ok(())) => self.tell_membership(now, membership::Event::ClusterPersisted),
            Event::Persisted(Err(error)) => {
                out.push(Effect::Fatal(format!("the cluster's id cannot be written: {error}")));
            }
            Event::Learn { shard, epoch, leader: Some(leader) } => {
                let descriptor = Descriptor::led_by(shard, epoch, leader);
                self.tell_assignment(now, sharding::Event::Descriptor(descriptor));
            }
            Event::Learn { leader: None, .. } => {}
            Event::Released(shard) => self.tell_assignment(now, sharding::Event::Released(shard)),
            Event::Drain => {
                self.tell_membership(now, membership::Event::SetWeight(0));
                self.tell_assignment(now, sharding::Event::Drain);
            }
            Event::Leave => self.tell_membership(now, membership::Event::Leave),
        }
        self.settle(now, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.membership.next_deadline(), self.assignment.next_deadline(), self.table_due];
        deadlines.into_iter().flatten().min()
    }

    fn tick() -> Event {
        Event::Tick
    }
}

fn send(to: NodeId, topic: &Topic, out: &mut Vec<Effect>) {
    out.push(Effect::Send { to, body: topic.to_bytes() });
}

/// Orders descriptors of one shard as the table does: by epoch, then by leader.
fn broadcast_version(descriptor: &Descriptor) -> u64 {
    let leader = descriptor.leader.map_or([0, 0], |leader| [leader.0[0], leader.0[1]]);
    descriptor.epoch.0 << 16 | u64::from(u16::from_be_bytes(leader))
}

fn host(member: &membership::Member) -> sharding::Host {
    sharding::Host {
        node: member.info.node_id,
        weight: member.info.weight,
        alive: member.state.is_active(),
        types: member.types.clone(),
    }
}

/// A member that left is no candidate at all; one that is down may come back.
fn candidate(member: &membership::Member) -> Option<Candidate> {
    (member.state != MemberState::Left).then(|| Candidate {
        node: member.info.node_id,
        weight: member.info.weight,
        zone: member.info.zone.clone(),
        alive: member.state.is_active(),
    })
}

fn is_mixed(hosts: &[sharding::Host]) -> bool {
    let mut lists: BTreeMap<&[String], ()> = BTreeMap::new();
    for host in hosts.iter().filter(|host| host.alive) {
        lists.insert(host.types.as_deref().unwrap_or_default(), ());
    }
    lists.len() > 1
}

fn fatal_text(fatal: &Fatal) -> String {
    fatal.to_string()
}
