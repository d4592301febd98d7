//! A small world of machines: views, delays, losses, partitions and crashes, all from one seed.

use std::collections::BTreeSet;

use gritmesh_runtime::{Rng, Seed, Timers};

use super::*;
use crate::proposal::propose;

const SHARDS: u32 = 32;

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
    /// How often a shard began to be served.
    serves: usize,
    /// Whether a second server of a shard is an error.
    exclusive: bool,
}

struct Process {
    start: u64,
    machine: Assignment,
    /// Shards that the engine runs, and whether it is draining them.
    engine: BTreeMap<ShardId, bool>,
    weight: u16,
    drained: bool,
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
}

fn id(number: usize) -> NodeId {
    NodeId(*blake3::hash(&[number as u8]).as_bytes())
}

impl World {
    fn new(seed: u64, count: usize) -> Self {
        let mut world = Self {
            now: Instant::ZERO,
            rng: Seed::from_number(seed).rng(),
            nodes: (0..count).map(|_| None).collect(),
            groups: vec![0; count],
            arrivals: Timers::new(),
            starts: 0,
            broadcast_loss: 0.0,
            view_skew: Duration::from_millis(20),
            serves: 0,
            exclusive: false,
        };
        world.start(0, true);
        world
    }

    fn start(&mut self, number: usize, founds: bool) {
        if self.nodes[number].is_some() {
            return;
        }
        self.starts += 1;
        let rng = Seed::from_number(self.rng.next_u64()).rng();
        self.nodes[number] = Some(Process {
            start: self.starts,
            machine: Assignment::new(id(number), Options::default(), rng),
            engine: BTreeMap::new(),
            weight: 1,
            drained: false,
        });
        let tables = |process: &Process| process.machine.table().cloned();
        let pulled = self.reachable(number).into_iter().find_map(|peer| tables(self.nodes[peer].as_ref()?));
        if founds {
            self.arrive(number, None, What::Event(Event::Table(ShardTable::initial(SHARDS).unwrap())));
        } else if let Some(table) = pulled {
            self.arrive(number, None, What::Event(Event::Table(table)));
        }
        self.views_change();
    }

    fn crash(&mut self, number: usize) {
        self.nodes[number] = None;
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

    fn view_of(&self, viewer: usize) -> Vec<Candidate> {
        let candidate = |number: usize| {
            let process = self.nodes[number].as_ref()?;
            let alive = self.groups[number] == self.groups[viewer];
            Some(Candidate { node: id(number), weight: process.weight, zone: String::new(), alive })
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
        if let Event::Released(shard) = &event {
            assert_eq!(process.engine.remove(shard), Some(true));
        }
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
            Effect::Serve(descriptor) => self.serve(number, &descriptor),
            Effect::Release(shard) => {
                let process = self.nodes[number].as_mut().unwrap();
                assert_eq!(process.engine.insert(shard, true), Some(false), "released what was not served");
                let drain = Duration::from_millis(self.rng.below(100));
                self.arrive_after(number, None, What::Event(Event::Released(shard)), drain);
            }
            Effect::Broadcast(descriptor) => {
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
            Effect::TableChanged => {}
            Effect::Drained => self.nodes[number].as_mut().unwrap().drained = true,
        }
    }

    fn arrive_at(&mut self, to: Option<usize>, from: usize, event: Event) {
        if let Some(to) = to {
            self.arrive(to, Some(from), What::Event(event));
        }
    }

    fn serve(&mut self, number: usize, descriptor: &Descriptor) {
        assert_eq!(descriptor.leader, Some(id(number)));
        let others = (0..self.nodes.len()).filter(|other| *other != number);
        let serves = |other: usize| {
            self.nodes[other].as_ref().is_some_and(|process| process.engine.contains_key(&descriptor.shard))
        };
        let rivals = others.filter(|other| serves(*other)).count();
        assert!(!self.exclusive || rivals == 0, "shard {} is served twice", descriptor.shard);
        let process = self.nodes[number].as_mut().unwrap();
        let before = process.engine.insert(descriptor.shard, false);
        assert_ne!(before, Some(true), "served again before it was released");
        self.serves += usize::from(before.is_none());
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadlines = self.nodes.iter().flatten().filter_map(|process| process.machine.next_deadline());
            let due = deadlines.chain(self.arrivals.next_due()).min().unwrap_or(end);
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
        }
    }

    fn deliver(&mut self, arrival: Arrival) {
        let Arrival { to, start, from, what } = arrival;
        let same = self.nodes[to].as_ref().is_some_and(|process| process.start == start);
        let heard = from.is_none_or(|from| self.groups[from] == self.groups[to]);
        if same && heard {
            let event = match what {
                What::Event(event) => event,
                What::View => Event::Candidates(self.view_of(to)),
            };
            self.feed(to, event);
        }
    }

    /// All living nodes have one table, which says what the proposal says, and the engines run exactly that.
    fn check_converged(&self) {
        let living: Vec<usize> =
            (0..self.nodes.len()).filter(|number| self.nodes[*number].is_some()).collect();
        let Some(first) = living.first() else { return };
        let table = self.nodes[*first].as_ref().unwrap().machine.table().expect("a member has a table");
        let members = living.iter().map(|number| RingMember {
            node: id(*number),
            weight: self.nodes[*number].as_ref().unwrap().weight,
            zone: String::new(),
        });
        let proposal = propose(table.shards().iter().map(|shard| (shard.id, shard.start)), members);
        for number in living {
            let process = self.nodes[number].as_ref().unwrap();
            assert_eq!(process.machine.table(), Some(table), "tables differ");
            let own: BTreeSet<ShardId> = table
                .shards()
                .iter()
                .filter(|shard| shard.leader == Some(id(number)))
                .map(|shard| shard.id)
                .collect();
            assert_eq!(process.engine.keys().copied().collect::<BTreeSet<_>>(), own);
            assert_eq!(process.machine.serving().collect::<BTreeSet<_>>(), own);
            assert_eq!(process.machine.releasing().count(), 0);
        }
        for (shard, target) in proposal {
            assert_eq!(
                table.shard(shard).unwrap().leader,
                Some(target),
                "shard {shard} is not where it belongs"
            );
        }
    }
}

mod tests;
