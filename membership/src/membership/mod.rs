//! The machine: events in, effects out, one deadline.

mod cluster;
mod detours;
mod hearsay;
mod hints;
mod leaving;
mod members;
mod names;
mod seeds;
mod suspicion;
mod sync;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;

use gritmesh_runtime::admission::Hello;
use gritmesh_runtime::{ClusterId, Instant, NodeId, Rng, Seed, Timers};

use crate::event::{Counters, Effect, Event};
use crate::health::Health;
use crate::identity::Identity;
use crate::message::{Member as SwimMember, Message, digest_of};
use crate::options::{Options, Start, StartError};
use crate::swim::{Swim, SwimTimer};
use crate::view::View;

use cluster::{Peer, Standing};
use detours::Detours;
use hearsay::Inquiries;
use hints::Hint;
use seeds::Seeds;
use suspicion::Heard;
use sync::ListState;
use types::TypeLists;

/// Peers that are connected at the same time. As many as there may be members.
const PEERS_MAX: usize = crate::swim::MEMBERS_MAX;

/// Who is in the cluster, as one node sees it.
#[derive(Debug)]
pub struct Membership {
    options: Options,
    started: Instant,
    rng: Rng,
    swim: Swim,
    standing: Standing,
    may_found: bool,
    seeds: Seeds,
    peers: BTreeMap<NodeId, Peer>,
    /// Whether peers whose cluster is not known are being asked.
    acquainting: bool,
    view: View,
    /// When each active member was last heard of.
    heard: BTreeMap<NodeId, Heard>,
    /// Since when each member that is not active is gone.
    gone: BTreeMap<NodeId, Instant>,
    health: Health,
    hints: BTreeMap<NodeId, Hint>,
    detours: Detours,
    types: TypeLists,
    lists: ListState,
    inquiries: Inquiries,
    /// When another process with this identity was first and last met.
    duplicate: Option<(Instant, Instant)>,
    alarms: Timers<Alarm>,
    counters: Counters,
}

/// What this machine waits for.
#[derive(Debug)]
enum Alarm {
    /// Timers of foca, except the following.
    Swim(SwimTimer),
    /// A member that did not answer this node's probe is to be declared down.
    Suspicion { timer: SwimTimer, began: Instant },
    /// The first thing after the start.
    Start,
    /// No cluster was heard of for long enough.
    Found,
    /// Look again at the name that is the first seed.
    Name,
    /// Ask the peers whose cluster is not known.
    Acquaint,
    /// One seed, by its index, is to be looked after.
    Seed(usize),
    /// The member list was not answered.
    Pull,
    /// Compare member lists with somebody.
    Compare,
    /// Compare once more, some time after a change.
    CompareOnce,
    /// Call out to some members that are down.
    CallDown,
    /// Call out to all members that are down, a few at a time.
    CallAll { after: Option<NodeId> },
    /// Ask for lists of actor types.
    Types,
    /// Dial a member again whose connection was reset.
    Redial(NodeId),
    /// A reset is too old to mean anything.
    HintExpired(NodeId),
    /// A member that a list called down had its time to refute.
    Hearsay { identity: Identity, incarnation: foca::Incarnation },
    /// Call more of the members that this node only heard of.
    Strangers,
    /// A member that was called should have been met by now.
    Unmet { node: NodeId, incarnation: gritmesh_runtime::Incarnation },
    /// A connected member that is said to be gone should have answered by now.
    Claim(NodeId),
    /// A member whose answer others passed on should have answered by itself by now.
    OwnAnswer(NodeId),
    /// The messages of the leave are out.
    Left,
}

impl Alarm {
    /// The order among alarms that are due at the same time: foca's own among foca's timers.
    const fn as_swim(&self) -> Option<&SwimTimer> {
        match self {
            Self::Swim(timer) | Self::Suspicion { timer, .. } => Some(timer),
            _ => None,
        }
    }
}

impl Membership {
    /// A node that starts at `now`. The machine is due at once.
    ///
    /// # Errors
    /// If an option or something that the operator gave is out of bounds.
    pub fn new(now: Instant, mut rng: Rng, options: Options, start: Start) -> Result<Self, StartError> {
        options.validate()?;
        start.validate()?;
        let Start { mut info, mut types, cluster, seeds, own_addresses } = start;
        types.sort_unstable();
        types.dedup();
        info.types = digest_of(&types).expect("the list was just sorted and has no doubles");
        let mut bytes = [0; 32];
        rng.fill(&mut bytes);
        let swim = Swim::new(info.clone(), &options, Seed::new(bytes).child("swim").rng());
        let seeds = Seeds::new(&seeds, &own_addresses, options.dial_retry);
        let mut alarms = Timers::new();
        alarms.insert(now, Alarm::Start);
        let types = TypeLists::new(info.types, types);
        let view = members::view_of_one(now, info, types.own());
        Ok(Self {
            started: now,
            rng,
            swim,
            standing: cluster.map_or(Standing::Searching, Standing::Member),
            may_found: cluster.is_none() && seeds.may_found(),
            seeds,
            peers: BTreeMap::new(),
            acquainting: false,
            view,
            heard: BTreeMap::new(),
            gone: BTreeMap::new(),
            health: Health::default(),
            hints: BTreeMap::new(),
            detours: Detours::new(options.probe_period),
            types,
            lists: ListState::default(),
            inquiries: Inquiries::default(),
            duplicate: None,
            alarms,
            counters: Counters::default(),
            options,
        })
    }

    /// Takes one event and appends what is to be done about it.
    pub fn handle(&mut self, now: Instant, event: Event<'_>, out: &mut Vec<Effect>) {
        self.notice_stall(now);
        self.swim.shared().lock().now = now;
        match event {
            Event::Tick => self.fire_due(now, out),
            _ if self.is_leaving() => {}
            Event::Connected(hello) => self.on_connected(now, hello, out),
            Event::Received { from, body } => self.on_received(now, from, body, out),
            Event::Lost { peer, reason } => self.on_lost(now, peer, reason, out),
            Event::DialFailed { address } => self.on_dial_failed(now, address),
            Event::Resolved { name, addresses } => self.on_resolved(now, name, addresses, out),
            Event::OwnAddress { address } => self.on_own_address(address, out),
            Event::Refused { address, by_us: _, refusal } => self.on_refused(now, address, refusal, out),
            Event::ClusterPersisted => self.on_cluster_persisted(now, out),
            Event::SetWeight(weight) => self.on_set_weight(weight, out),
            Event::Forget(node) => self.on_forget(node),
            Event::Leave => self.on_leave(now, out),
            Event::Broadcast(broadcast) => {
                let known = self.swim.broadcast(broadcast.key, broadcast.version, broadcast.bytes);
                self.counters.overflowed += u64::from(!known);
            }
        }
        self.settle(now, out);
    }

    /// When the machine wants a [`Event::Tick`].
    pub fn next_deadline(&self) -> Option<Instant> {
        self.alarms.next_due()
    }

    /// The current picture of all members.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// The cluster that this node belongs to, once its id is on disk.
    pub const fn cluster(&self) -> Option<ClusterId> {
        match self.standing {
            Standing::Member(cluster) => Some(cluster),
            Standing::Leaving(cluster) => cluster,
            Standing::Searching | Standing::Persisting { .. } => None,
        }
    }

    /// What this node says of itself to new peers.
    pub fn hello(&self) -> Hello {
        Hello {
            cluster: self.cluster(),
            cluster_name: self.options.cluster_name.clone(),
            types: self.types.own().to_vec(),
            ..Hello::new(self.swim.own().info().clone())
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let shared = self.swim.shared().lock();
        Counters {
            swim_errors: self.swim.errors,
            overflowed: self.counters.overflowed + shared.overflowed,
            ..self.counters
        }
    }

    fn own_id(&self) -> NodeId {
        self.swim.own().node_id()
    }

    const fn is_leaving(&self) -> bool {
        matches!(self.standing, Standing::Leaving(_))
    }

    /// Fires what is due. What becomes due meanwhile waits for the next tick, so this ends.
    fn fire_due(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut due: Vec<(Instant, Alarm)> = std::iter::from_fn(|| self.alarms.pop_due(now)).collect();
        due.sort_by(|(a_due, a), (b_due, b)| a_due.cmp(b_due).then_with(|| a.as_swim().cmp(&b.as_swim())));
        for (_, alarm) in due {
            self.fire(now, alarm, out);
            self.settle(now, out);
        }
    }

    fn fire(&mut self, now: Instant, alarm: Alarm, out: &mut Vec<Effect>) {
        if self.is_leaving() {
            if matches!(alarm, Alarm::Left) {
                out.push(Effect::Left);
            }
            return;
        }
        match alarm {
            Alarm::Swim(timer) => self.swim.fire(timer),
            Alarm::Suspicion { timer, began } => self.on_suspicion_due(now, timer, began, out),
            Alarm::Start => self.on_start(now, out),
            Alarm::Found => self.found(out),
            Alarm::Name => self.watch_name(now, out),
            Alarm::Acquaint => self.acquaint(now, out),
            Alarm::Seed(index) => self.look_after_seed(now, index, out),
            Alarm::Pull => self.pull(now, out),
            Alarm::Compare => self.compare_periodically(now, out),
            Alarm::CompareOnce => self.compare_once(out),
            Alarm::CallDown => self.call_down(now),
            Alarm::CallAll { after } => self.call_all_down(now, after),
            Alarm::Types => self.ask_for_types(now, out),
            Alarm::Redial(peer) => self.redial(peer, out),
            Alarm::HintExpired(peer) => self.expire_hint(now, peer),
            Alarm::Hearsay { identity, incarnation } => self.condemn(&identity, incarnation, now, out),
            Alarm::Strangers => self.call_strangers(now, out),
            Alarm::Unmet { node, incarnation } => self.suspect_unmet(now, node, incarnation),
            Alarm::Claim(node) => self.decide_claim(node),
            Alarm::OwnAnswer(node) => self.await_own_answer(now, node, out),
            Alarm::Left => {}
        }
    }

    fn on_received(&mut self, now: Instant, from: NodeId, body: &[u8], out: &mut Vec<Effect>) {
        let Ok(message) = Message::decode(body) else {
            self.counters.malformed += 1;
            return;
        };
        {
            let mut shared = self.swim.shared().lock();
            shared.sender = from;
            shared.witness.contacts.entry(from).and_modify(|contact| contact.heard = now);
        }
        if let Message::Introduce { cluster, asks, member } = message {
            self.on_introduce(now, from, cluster, member, out);
            if asks && self.peers.contains_key(&from) {
                self.introduce(from, false, out);
            }
            return;
        }
        let is_peer = self.peers.get(&from).is_some_and(|peer| peer.cluster == self.cluster());
        if self.cluster().is_none() || !is_peer {
            self.counters.unexpected += 1;
            return;
        }
        self.note_heard(now, from, out);
        match message {
            Message::Swim(packet) => {
                if !self.swim.receive(packet) {
                    self.counters.malformed += 1;
                }
            }
            Message::Introduce { .. } => {}
            Message::Pull => self.serve_pull(now, from, out),
            Message::Members { members, last } => self.on_members(now, from, members, last, out),
            Message::Verdict { members } => self.on_verdict(members),
            Message::Digest(hash) => self.on_digest(now, from, hash, out),
            Message::TypesRequest => {
                let types = Message::Types(self.types.own().to_vec());
                out.push(Effect::Send { to: from, body: types.encode() });
            }
            Message::Types(names) => self.on_types(from, &names, out),
            Message::Heard { node, age_ms } => self.on_heard(now, from, node, age_ms, out),
            Message::Tell { member } => self.on_tell(now, member, out),
        }
    }

    /// Carries out what foca wants, until it wants nothing more.
    fn settle(&mut self, now: Instant, out: &mut Vec<Effect>) {
        loop {
            self.follow_own_identity(now, out);
            self.refresh(now, out);
            let inquired = !self.is_leaving() && self.inquire(now, out);
            let timers = std::mem::take(&mut self.swim.wants.timers);
            for (after, timer) in timers {
                self.schedule(now, after, timer, out);
            }
            let sends = std::mem::take(&mut self.swim.wants.sends);
            let own = self.own_id();
            out.extend(
                sends.into_iter().filter(|(to, _)| *to != own).map(|(to, body)| Effect::Send { to, body }),
            );
            if !inquired && self.swim.wants.touched.is_empty() && self.swim.wants.timers.is_empty() {
                break;
            }
        }
        self.report_arrivals(out);
        self.note_answers(now, out);
    }

    /// Keeps a timer of foca. When a suspicion ends is decided here.
    fn schedule(
        &mut self,
        now: Instant,
        after: std::time::Duration,
        timer: SwimTimer,
        out: &mut Vec<Effect>,
    ) {
        if let SwimTimer::ChangeSuspectToDown { member_id, .. } = &timer {
            let suspect = member_id.clone();
            self.on_probe_failed(now, &suspect, out);
            let due = self.suspicion_due(now, now, suspect.node_id());
            self.alarms.insert(due, Alarm::Suspicion { timer, began: now });
        } else {
            self.alarms.insert(now + after, Alarm::Swim(timer));
        }
    }

    /// Reports what the last packets carried besides members.
    fn report_arrivals(&mut self, out: &mut Vec<Effect>) {
        let arrived = std::mem::take(&mut self.swim.shared().lock().arrived);
        out.extend(arrived.into_iter().map(|(key, version, bytes)| Effect::Broadcast {
            key,
            version,
            bytes,
        }));
    }

    fn send(&self, to: NodeId, message: &Message<'_>, out: &mut Vec<Effect>) {
        out.push(Effect::Send { to, body: message.encode() });
    }

    /// What foca thinks of a member.
    fn known(&self, node: NodeId) -> Option<SwimMember> {
        self.swim.shared().lock().known.get(&node).cloned()
    }
}
