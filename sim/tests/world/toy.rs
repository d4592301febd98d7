//! A small protocol that uses everything a world offers: nodes ping each other, count the answers, and keep the
//! count on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gritmesh_runtime::{
    Batch, Change, Environment, NetworkEvent, NetworkHandler, NodeId, NodeInfo, Seed, Table, Tag,
    TrafficClass,
};
use gritmesh_sim::{NodeIndex, NodeSlot, Plan, TraceOptions, World};

const PING: u8 = 1;
const PONG: u8 = 2;

pub(crate) struct Pinger {
    environment: Environment,
    pub(crate) pongs: AtomicU64,
    pub(crate) lost: AtomicU64,
}

impl NetworkHandler for Pinger {
    fn handle(&self, event: NetworkEvent<'_>) {
        match event {
            NetworkEvent::Received { from, frames, .. } => {
                for frame in frames {
                    match frame[0] {
                        PING => drop(self.send(from, PONG)),
                        _ => drop(self.pongs.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            }
            NetworkEvent::Lost { unsent, .. } => {
                self.lost.fetch_add(unsent.len() as u64, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

impl Pinger {
    fn send(&self, to: NodeId, kind: u8) -> bool {
        let count = self.pongs.load(Ordering::Relaxed).to_le_bytes();
        let mut body = vec![kind];
        body.extend_from_slice(&count);
        self.environment.network.send(to, TrafficClass::Calls, Tag(1), &body).is_ok()
    }

    fn keep(&self) {
        let pongs = Change::put(Table::Head, *b"pongs", self.pongs.load(Ordering::Relaxed).to_le_bytes());
        self.environment.disk.write(Batch::synced(vec![pongs]).into(), Box::new(|_| {}));
    }

    async fn run(self: Arc<Self>, peers: Vec<NodeInfo>, period: Duration) {
        let environment = &self.environment;
        peers.iter().for_each(|info| environment.network.learn(info));
        let mut rng = environment.seed.child("pinger").rng();
        let mut due = environment.clock.now();
        for round in 0u64.. {
            due += period + Duration::from_nanos(rng.below(period.as_nanos() as u64));
            environment.spawn.sleep_until(due).await;
            self.send(peers[rng.below(peers.len() as u64) as usize].node_id, PING);
            if round % 10 == 0 {
                self.keep();
            }
        }
    }
}

pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) pingers: Vec<Arc<Pinger>>,
    infos: Vec<NodeInfo>,
    period: Duration,
}

impl Run {
    pub(crate) fn new(seed: &Seed, nodes: u16, plan: &Plan, trace: TraceOptions, period: Duration) -> Self {
        let mut world = World::new(seed.child("world"), plan.options(trace));
        let infos = (0..nodes).map(|number| {
            let index = world.add_node(NodeSlot::numbered(u64::from(number)));
            NodeInfo {
                node_id: world.node_id(index),
                incarnation: gritmesh_runtime::Incarnation(1),
                peer_address: world.address(index),
                http_address: None,
                name: String::new(),
                zone: String::new(),
                weight: 1,
                wire_version: gritmesh_runtime::WIRE_VERSION,
                types: gritmesh_runtime::TypesDigest::of([]),
            }
        });
        let infos = infos.collect();
        let mut run = Self { world, pingers: Vec::new(), infos, period };
        for node in 0..nodes {
            let environment = run.world.environment(NodeIndex(node));
            run.start(NodeIndex(node), environment);
        }
        run
    }

    fn start(&mut self, node: NodeIndex, environment: Environment) {
        let kept = environment.disk.get(Table::Head, b"pongs").ok().flatten();
        let kept =
            kept.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("the value is a number")));
        let pinger = Arc::new(Pinger {
            environment: environment.clone(),
            pongs: AtomicU64::new(kept),
            lost: AtomicU64::new(0),
        });
        self.world.attach(node, Arc::clone(&pinger) as _);
        let peers =
            self.infos.iter().filter(|info| info.node_id != self.world.node_id(node)).cloned().collect();
        environment.spawn.spawn(Box::pin(Arc::clone(&pinger).run(peers, self.period)));
        match self.pingers.get_mut(usize::from(node.0)) {
            Some(before) => *before = pinger,
            None => self.pingers.push(pinger),
        }
    }

    /// The safety phase of a plan, then calm.
    pub(crate) fn through(&mut self, plan: &Plan) {
        let start = self.world.now();
        for planned in &plan.schedule {
            self.world.run_until(start + planned.at());
            if let Some((node, environment)) = self.world.apply(&planned.intervention) {
                self.start(node, environment);
            }
        }
        self.world.run_until(start + Duration::from_micros(plan.duration_micros));
        self.world.calm();
    }

    pub(crate) fn pongs(&self) -> Vec<u64> {
        self.pingers.iter().map(|pinger| pinger.pongs.load(Ordering::Relaxed)).collect()
    }
}
