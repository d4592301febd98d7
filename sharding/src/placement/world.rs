//! A small world of machines around shards that decide by quorum: views, delays, losses, partitions and
//! crashes, all from one seed.

use gritmesh_runtime::{Epoch, Rng, Seed, Timers};

use super::*;
use crate::proposal::propose_replicas;
use crate::ring::RingMember;
use crate::table::Version;

const SHARDS: u32 = 16;

struct World {
    now: Instant,
    rng: Rng,
    /// Nodes by number; `None` where the process does not run.
    nodes: Vec<Option<Process>>,
    /// Nodes of different groups do not hear each other.
    groups: Vec<u8>,
    arrivals: Timers<Arrival>,
    starts: u64,
    broadcast_loss: f64,
    /// A change of the view reaches every node within this time.
    view_skew: Duration,
    /// What the shards' logs say.
    truth: Vec<Group>,
    /// Replicas that were copied, and leaders that were elected.
    copies: usize,
    elections: usize,
}

struct Process {
    start: u64,
    machine: Placement,
    weight: u16,
    drained: bool,
    /// What the local leaders were last asked for.
    wanted: BTreeMap<ShardId, (Vec<NodeId>, NodeId)>,
}

/// One shard's log.
struct Group {
    version: Version,
    voters: Vec<usize>,
    leader: Option<usize>,
}

/// Something that will reach a node, unless it was restarted meanwhile.
struct Arrival {
    to: usize,
    start: u64,
    from: Option<usize>,
    what: What,
}

enum What {
    Event(Event),
    /// The view, as it will be then.
    View,
    /// The time to move a shard one step further.
    Step(ShardId),
}

fn id(number: usize) -> NodeId {
    NodeId(*blake3::hash(&[number as u8]).as_bytes())
}

impl World {
    fn new(seed: u64, count: usize) -> Self {
        let group = || Group { version: Version::ZERO, voters: vec![0], leader: None };
        let mut world = Self {
            now: Instant::ZERO,
            rng: Seed::from_number(seed).rng(),
            nodes: (0..count).map(|_| None).collect(),
            groups: vec![0; count],
            arrivals: Timers::new(),
            starts: 0,
            broadcast_loss: 0.0,
            view_skew: Duration::from_millis(20),
            truth: (0..SHARDS).map(|_| group()).collect(),
            copies: 0,
            elections: 0,
        };
        world.start(0);
        world
    }

    fn number(&self, node: NodeId) -> usize {
        (0..self.nodes.len()).find(|number| id(*number) == node).expect("only nodes of the world are named")
    }

    fn start(&mut self, number: usize) {
        if self.nodes[number].is_some() {
            return;
        }
        self.starts += 1;
        let rng = Seed::from_number(self.rng.next_u64()).rng();
        self.nodes[number] = Some(Process {
            start: self.starts,
            machine: Placement::new(id(number), Options::default(), rng),
            weight: 1,
            drained: false,
            wanted: BTreeMap::new(),
        });
        self.arrive(number, None, What::Event(Event::Table(ShardTable::initial(SHARDS).unwrap())));
        for shard in 0..SHARDS {
            if self.truth[shard as usize].voters.contains(&number) {
                self.holds(number, ShardId(shard), true);
            }
        }
        self.views_change();
    }

    fn crash(&mut self, number: usize) {
        self.nodes[number] = None;
        for group in self.truth.iter_mut().filter(|group| group.leader == Some(number)) {
            group.leader = None;
        }
        self.views_change();
    }

    fn partition(&mut self, groups: &[u8]) {
        for (number, group) in groups.iter().take(self.groups.len()).enumerate() {
            self.groups[number] = *group;
        }
        self.views_change();
    }

    fn drain(&mut self, number: usize) {
        if let Some(process) = &mut self.nodes[number] {
            process.weight = 0;
            self.feed(number, Event::Drain);
            self.views_change();
        }
    }

    fn views_change(&mut self) {
        for number in 0..self.nodes.len() {
            let skew = self.rng.below(self.view_skew.as_nanos() as u64);
            self.arrive_after(number, None, What::View, Duration::from_nanos(skew));
        }
    }

    /// A node that does not run is dead for the others, unless it has left.
    fn view_of(&self, viewer: usize) -> Vec<Candidate> {
        let candidate = |number: usize| {
            let process = self.nodes[number].as_ref();
            let is_voter = self.truth.iter().any(|group| group.voters.contains(&number));
            if process.is_none() && !is_voter {
                return None;
            }
            let alive = process.is_some() && self.groups[number] == self.groups[viewer];
            let weight = process.map_or(1, |process| process.weight);
            Some(Candidate { node: id(number), weight, zone: String::new(), alive })
        };
        (0..self.nodes.len()).filter_map(candidate).collect()
    }

    fn reachable(&self, from: usize) -> Vec<usize> {
        let near = |other: &usize| *other != from && self.groups[*other] == self.groups[from];
        (0..self.nodes.len()).filter(|other| near(other) && self.nodes[*other].is_some()).collect()
    }

    fn arrive(&mut self, to: usize, from: Option<usize>, what: What) {
        let latency = Duration::from_micros(500 + self.rng.below(20_000));
        self.arrive_after(to, from, what, latency);
    }

    fn arrive_after(&mut self, to: usize, from: Option<usize>, what: What, delay: Duration) {
        if let Some(process) = &self.nodes[to] {
            self.arrivals.insert(self.now + delay, Arrival { to, start: process.start, from, what });
        }
    }

    fn feed(&mut self, number: usize, event: Event) {
        let Some(process) = &mut self.nodes[number] else { return };
        let mut out = Vec::new();
        process.machine.handle(self.now, event, &mut out);
        let overdue = process.machine.next_deadline().is_some_and(|due| due <= self.now);
        assert!(!overdue, "the machine asks for a deadline that has passed");
        for effect in out {
            self.perform(number, effect);
        }
    }

    fn perform(&mut self, number: usize, effect: Effect) {
        let peers = self.reachable(number);
        let number_of = |node: NodeId| peers.iter().copied().find(|peer| id(*peer) == node);
        match effect {
            Effect::Want { shard, voters, leader } => {
                let process = self.nodes[number].as_mut().unwrap();
                process.wanted.insert(shard, (voters, leader));
                let delay = Duration::from_millis(self.rng.below(200));
                self.arrive_after(number, None, What::Step(shard), delay);
            }
            Effect::Broadcast(descriptor) => {
                let descriptor = Descriptor::decode(&descriptor.encode()).unwrap();
                for peer in peers {
                    if !self.rng.chance(self.broadcast_loss) {
                        self.arrive(peer, Some(number), What::Event(Event::Descriptor(descriptor.clone())));
                    }
                }
            }
            Effect::Tell { to, descriptor } => {
                self.arrive_at(number_of(to), number, Event::Descriptor(descriptor));
            }
            Effect::SendSummary { to, hash } => {
                self.arrive_at(number_of(to), number, Event::Summary { from: id(number), hash });
            }
            Effect::SendTable { to, table } => {
                let table = ShardTable::decode(&table.encode()).unwrap();
                self.arrive_at(number_of(to), number, Event::TableFrom { from: id(number), table });
            }
            Effect::TableChanged | Effect::Doubt(_) => {}
            Effect::Drained => self.nodes[number].as_mut().unwrap().drained = true,
        }
    }

    fn arrive_at(&mut self, to: Option<usize>, from: usize, event: Event) {
        if let Some(to) = to {
            self.arrive(to, Some(from), What::Event(event));
        }
    }

    fn holds(&mut self, number: usize, shard: ShardId, holds: bool) {
        self.arrive_after(number, None, What::Event(Event::Holds { shard, holds }), Duration::ZERO);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadlines = self.nodes.iter().flatten().filter_map(|process| process.machine.next_deadline());
            let elections = self.now + ELECTION;
            let due =
                deadlines.chain(self.arrivals.next_due()).min().map_or(elections, |due| due.min(elections));
            if due > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(due);
            while let Some((_, arrival)) = self.arrivals.pop_due(self.now) {
                self.deliver(arrival);
            }
            for number in 0..self.nodes.len() {
                let deadline =
                    self.nodes[number].as_ref().and_then(|process| process.machine.next_deadline());
                if deadline.is_some_and(|due| due <= self.now) {
                    self.feed(number, Event::Tick);
                }
            }
            (0..SHARDS).for_each(|shard| self.elect(ShardId(shard)));
        }
    }

    fn deliver(&mut self, arrival: Arrival) {
        let Arrival { to, start, from, what } = arrival;
        let same = self.nodes[to].as_ref().is_some_and(|process| process.start == start);
        let heard = from.is_none_or(|from| self.groups[from] == self.groups[to]);
        if same && heard {
            match what {
                What::Event(event) => self.feed(to, event),
                What::View => {
                    let view = Event::Candidates(self.view_of(to));
                    self.feed(to, view);
                }
                What::Step(shard) => self.step(to, shard),
            }
        }
    }
}

/// How long elections take at least.
const ELECTION: Duration = Duration::from_millis(100);

mod groups;
mod tests;
