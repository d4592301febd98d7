//! A small world of machines: virtual time, latencies, partitions, kills and stalls, all from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gritmesh_runtime::admission::{Hello, admit};
use gritmesh_runtime::{ClusterId, Instant, LossReason, NodeId, Rng, Seed};

use super::info;
use crate::identity::Identity;
use crate::message::{CHUNK_MEMBERS_MAX, Member, Message};
use crate::{ClusterEvent, Effect, Event, Membership, Options, Start};

/// How long a dial into a partition hangs, and how long a connection survives one.
const TCP_PATIENCE: Duration = Duration::from_secs(3);

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn address(number: u16) -> String {
    info(number).peer_address.to_string()
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) options: Options,
    seed: Seed,
    queue: BTreeMap<(Instant, u64), (NodeId, u64, Happening)>,
    queued: u64,
    last_arrival: BTreeMap<(NodeId, NodeId), Instant>,
    /// Nodes on one side of a partition.
    cut_off: BTreeSet<NodeId>,
    /// Links that are cut, from and to.
    cut_links: BTreeSet<(NodeId, NodeId)>,
    starts: u64,
}

pub(crate) struct Node {
    pub(crate) machine: Membership,
    pub(crate) number: u16,
    pub(crate) running: bool,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) log: Vec<(Instant, ClusterEvent)>,
    pub(crate) effects: Vec<(Instant, Effect)>,
    pub(crate) bytes_sent: u64,
    pub(crate) messages_sent: u64,
    process: u64,
    incarnation: u64,
    seeds: Vec<String>,
    hello: Option<Hello>,
    addresses: BTreeMap<NodeId, String>,
    links: BTreeSet<NodeId>,
    asleep_until: Option<Instant>,
    ticking: Option<Instant>,
}

#[derive(Debug)]
enum Happening {
    Tick,
    Wake,
    Persisted,
    Dialled { from: NodeId, address: String },
    DialFailed { address: String },
    Connected(Box<Hello>),
    Received { from: NodeId, body: Vec<u8> },
    Lost { peer: NodeId, reason: LossReason },
}

impl World {
    pub(crate) fn new(number: u64) -> Self {
        let seed = Seed::from_number(number);
        Self {
            now: Instant::ZERO,
            rng: seed.child("world").rng(),
            nodes: BTreeMap::new(),
            options: Options::default(),
            seed,
            queue: BTreeMap::new(),
            queued: 0,
            last_arrival: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            cut_links: BTreeSet::new(),
            starts: 0,
        }
    }

    /// A cluster of nodes 1 to `size` that all name the first three as seeds, joined and quiet.
    pub(crate) fn settled(number: u64, size: u16) -> Self {
        let mut world = Self::new(number);
        let seeds: Vec<u16> = (1..=size.min(3)).collect();
        (1..=size).for_each(|node| world.start(node, &seeds));
        world.run(Duration::from_secs(10));
        assert!(world.agree(size.into()), "the cluster forms: {:?}", world.sizes());
        world
    }

    /// A cluster of any size in which everybody knows and is connected to everybody, made in one stroke.
    pub(crate) fn acquainted(number: u64, size: u16) -> Self {
        let mut world = Self::new(number);
        let cluster = Some(ClusterId([1; 16]));
        for node in 1..=size {
            let seeds = if node == 1 { Vec::new() } else { vec![address(1)] };
            world.launch(node, seeds, 1, cluster);
        }
        let hellos: Vec<Hello> = world.nodes.values().map(|node| node.machine.hello()).collect();
        let members: Vec<Member> =
            hellos.iter().map(|hello| Member::alive(Identity::new(hello.info.clone()))).collect();
        let ids: BTreeSet<NodeId> = world.nodes.keys().copied().collect();
        let lists: Vec<Vec<u8>> = members
            .chunks(CHUNK_MEMBERS_MAX)
            .map(|chunk| Message::Members { members: chunk.to_vec(), last: true }.encode())
            .collect();
        let now = world.now;
        for (id, node) in &mut world.nodes {
            let mut ignored = Vec::new();
            node.links = ids.iter().copied().filter(|other| other != id).collect();
            for hello in hellos.iter().filter(|hello| hello.info.node_id != *id) {
                node.machine.handle(now, Event::Connected(hello), &mut ignored);
                ignored.clear();
            }
            let from = *node.links.first().unwrap();
            for body in &lists {
                node.machine.handle(now, Event::Received { from, body }, &mut ignored);
            }
        }
        world.run(Duration::from_secs(1));
        assert!(world.agree(size.into()));
        world
    }

    pub(crate) fn id(number: u16) -> NodeId {
        info(number).node_id
    }

    pub(crate) fn node(&self, number: u16) -> &Node {
        &self.nodes[&Self::id(number)]
    }

    pub(crate) fn start(&mut self, number: u16, seeds: &[u16]) {
        let seeds = seeds.iter().copied().map(address).collect();
        self.launch(number, seeds, 1, None);
    }

    /// Starts a node again, with the cluster id that is on its disk.
    pub(crate) fn restart(&mut self, number: u16) {
        let node = self.node(number);
        let (seeds, incarnation, cluster) = (node.seeds.clone(), node.incarnation + 1, node.cluster);
        self.launch(number, seeds, incarnation, cluster);
    }

    pub(crate) fn launch(
        &mut self,
        number: u16,
        seeds: Vec<String>,
        incarnation: u64,
        cluster: Option<ClusterId>,
    ) {
        self.starts += 1;
        let mut info = info(number);
        info.incarnation.0 = incarnation;
        let types = vec![format!("type-{}", number % 3), "common".into()];
        let own_addresses = vec![address(number)];
        let start = Start { info, types, cluster, seeds: seeds.clone(), own_addresses };
        let rng = self.seed.child(&format!("node {number} {}", self.starts)).rng();
        let machine = Membership::new(self.now, rng, self.options.clone(), start).unwrap();
        let id = Self::id(number);
        let node = Node {
            machine,
            number,
            running: true,
            cluster,
            log: Vec::new(),
            effects: Vec::new(),
            bytes_sent: 0,
            messages_sent: 0,
            process: self.starts,
            incarnation,
            seeds,
            hello: None,
            addresses: BTreeMap::new(),
            links: BTreeSet::new(),
            asleep_until: None,
            ticking: None,
        };
        self.nodes.insert(id, node);
        self.keep_ticking(id);
    }

    /// Kills a process; its kernel resets the connections unless the machine dies with it.
    pub(crate) fn kill(&mut self, number: u16, silently: bool) {
        let id = Self::id(number);
        let node = self.nodes.get_mut(&id).unwrap();
        node.running = false;
        let links = std::mem::take(&mut node.links);
        for peer in links {
            self.nodes.get_mut(&peer).unwrap().links.remove(&id);
            if !silently {
                self.deliver(id, peer, Happening::Lost { peer: id, reason: LossReason::Reset });
            }
        }
    }

    /// Stops a process for a while. What arrives is kept for it by its kernel.
    pub(crate) fn stall(&mut self, number: u16, duration: Duration) {
        let id = Self::id(number);
        let until = self.now + duration;
        let node = self.nodes.get_mut(&id).unwrap();
        node.asleep_until = Some(until);
        self.push(until, id, Happening::Wake);
    }

    /// Cuts these nodes off from the others.
    pub(crate) fn partition(&mut self, numbers: &[u16]) {
        self.cut_off = numbers.iter().copied().map(Self::id).collect();
        self.lose_cut_links();
    }

    /// Cuts the link from one node to another one, and that only.
    pub(crate) fn cut_link(&mut self, from: u16, to: u16) {
        self.cut_links.insert((Self::id(from), Self::id(to)));
        self.lose_cut_links();
    }

    /// Connections over links that are cut break in the end.
    fn lose_cut_links(&mut self) {
        let pairs: Vec<(NodeId, NodeId)> = self
            .nodes
            .iter()
            .flat_map(|(id, node)| node.links.iter().map(|peer| (*id, *peer)))
            .filter(|(a, b)| self.is_cut(*a, *b) || self.is_cut(*b, *a))
            .collect();
        for (id, peer) in pairs {
            let lost = Happening::Lost { peer, reason: LossReason::Unreachable };
            self.push(self.now + TCP_PATIENCE, id, lost);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut_off.clear();
        self.cut_links.clear();
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut_off.contains(&from) != self.cut_off.contains(&to) || self.cut_links.contains(&(from, to))
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), (node, process, happening)) = entry.remove_entry();
            self.now = at;
            self.happen(node, process, happening);
        }
        self.now = end;
    }

    fn push(&mut self, at: Instant, node: NodeId, happening: Happening) {
        self.queued += 1;
        let process = self.nodes[&node].process;
        self.queue.insert((at, self.queued), (node, process, happening));
    }

    /// In order for each pair, 0.2 to 1 ms after it was sent.
    fn deliver(&mut self, from: NodeId, to: NodeId, happening: Happening) {
        let at = self.now + Duration::from_micros(200 + self.rng.below(800));
        let last = self.last_arrival.entry((from, to)).or_default();
        *last = at.max(*last);
        let at = *last;
        self.push(at, to, happening);
    }

    fn happen(&mut self, id: NodeId, process: u64, happening: Happening) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        if let Happening::Dialled { from, address } = &happening
            && (!node.running || address_of(node) != *address)
        {
            let (from, address) = (*from, address.clone());
            return self.deliver(id, from, Happening::DialFailed { address });
        }
        if !node.running || node.process != process {
            return;
        }
        if let Some(until) = node.asleep_until.filter(|until| *until > now) {
            return self.push(until, id, happening);
        }
        match happening {
            Happening::Tick => {
                node.ticking = None;
                if node.machine.next_deadline().is_some_and(|due| due <= now) {
                    self.handle(id, Event::Tick);
                }
            }
            Happening::Wake => node.asleep_until = None,
            Happening::Persisted => {
                node.cluster = node.effects.iter().rev().find_map(|(_, effect)| match effect {
                    Effect::PersistCluster { cluster, .. } => Some(*cluster),
                    _ => None,
                });
                self.handle(id, Event::ClusterPersisted);
            }
            Happening::Dialled { from, .. } => self.connect(from, id),
            Happening::DialFailed { address } => self.handle(id, Event::DialFailed { address: &address }),
            Happening::Connected(hello) => {
                if self.nodes[&hello.info.node_id].running {
                    self.handle(id, Event::Connected(&hello));
                }
            }
            Happening::Received { from, body } => self.handle(id, Event::Received { from, body: &body }),
            Happening::Lost { peer, reason } => {
                node.links.remove(&peer);
                if let Some(peer) = self.nodes.get_mut(&peer) {
                    peer.links.remove(&id);
                }
                self.handle(id, Event::Lost { peer, reason });
            }
        }
        self.keep_ticking(id);
    }

    fn connect(&mut self, from: NodeId, to: NodeId) {
        let (Some(theirs), Some(ours)) = (self.nodes[&from].hello.clone(), self.nodes[&to].hello.clone())
        else {
            return;
        };
        if from == to || self.nodes[&to].links.contains(&from) {
            return;
        }
        assert_eq!(admit(&ours, &theirs, true), Ok(()), "{} dials {}", theirs.info.name, ours.info.name);
        self.nodes.get_mut(&from).unwrap().links.insert(to);
        self.nodes.get_mut(&to).unwrap().links.insert(from);
        self.deliver(to, from, Happening::Connected(Box::new(ours)));
        self.handle(to, Event::Connected(&theirs));
    }

    pub(crate) fn handle(&mut self, id: NodeId, event: Event<'_>) {
        let now = self.now;
        let mut out = Vec::new();
        self.nodes.get_mut(&id).unwrap().machine.handle(now, event, &mut out);
        for effect in out {
            self.carry_out(id, effect);
        }
        self.keep_ticking(id);
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        match effect {
            Effect::Send { to, body } => {
                node.bytes_sent += body.len() as u64 + 4;
                node.messages_sent += 1;
                let linked = node.links.contains(&to);
                let known = linked || node.addresses.contains_key(&to);
                let opens = linked || !self.is_cut(to, id);
                if !known || !opens || self.is_cut(id, to) {
                    return;
                }
                if !linked && self.nodes.contains_key(&to) {
                    let address = self.nodes[&id].addresses[&to].clone();
                    self.deliver(id, to, Happening::Dialled { from: id, address });
                }
                self.deliver(id, to, Happening::Received { from: id, body });
            }
            Effect::Dial { address } => {
                let target =
                    self.nodes.iter().find(|(_, node)| address_of(node) == address).map(|(id, _)| *id);
                match target {
                    Some(target) if self.is_cut(id, target) || self.is_cut(target, id) => {
                        self.push(now + TCP_PATIENCE, id, Happening::DialFailed { address });
                    }
                    Some(target) => self.deliver(id, target, Happening::Dialled { from: id, address }),
                    None => self.push(now + millis(1), id, Happening::DialFailed { address }),
                }
            }
            Effect::Learn(info) => {
                node.addresses.insert(info.node_id, info.peer_address.to_string());
            }
            Effect::Forget(peer) => {
                node.addresses.remove(&peer);
            }
            Effect::SetHello(hello) => node.hello = Some(hello),
            Effect::Notify(event) => node.log.push((now, event)),
            Effect::PersistCluster { .. } => {
                node.effects.push((now, effect));
                self.push(now + millis(1), id, Happening::Persisted);
            }
            other => node.effects.push((now, other)),
        }
    }

    fn keep_ticking(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(due) = node.machine.next_deadline() else { return };
        if node.ticking.is_none_or(|at| due < at) {
            node.ticking = Some(due);
            let at = due.max(self.now);
            self.push(at, id, Happening::Tick);
        }
    }
}

fn address_of(node: &Node) -> String {
    address(node.number)
}
