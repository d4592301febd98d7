//! Nodes that only write down what the network tells them.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::admission::Hello;
use gritmesh_runtime::{
    Environment, LossReason, NetworkEvent, NetworkHandler, NodeId, Seed, SendError, Tag, TrafficClass,
};
use gritmesh_sim::{NodeIndex, NodeSlot, World, WorldOptions};
use parking_lot::Mutex;

/// What a node was told, in a form that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Connected(NodeId),
    Received { from: NodeId, class: TrafficClass, bodies: Vec<Vec<u8>> },
    Lost { peer: NodeId, reason: LossReason, unsent: Vec<u64> },
    DialFailed { address: String, error: String },
    Refused { by_us: bool, code: &'static str, peer: Option<NodeId>, address: Option<String> },
}

#[derive(Default)]
pub(crate) struct Recorder {
    seen: Mutex<Vec<Seen>>,
}

impl NetworkHandler for Recorder {
    fn handle(&self, event: NetworkEvent<'_>) {
        let seen = match event {
            NetworkEvent::Connected { hello } => Seen::Connected(hello.info.node_id),
            NetworkEvent::Received { from, class, frames } => {
                Seen::Received { from, class, bodies: frames.map(<[u8]>::to_vec).collect() }
            }
            NetworkEvent::Lost { peer, reason, unsent } => {
                Seen::Lost { peer, reason, unsent: unsent.iter().map(|tag| tag.0).collect() }
            }
            NetworkEvent::DialFailed { address, error } => {
                Seen::DialFailed { address, error: error.to_string() }
            }
            NetworkEvent::Refused { address, peer, by_us, refusal } => {
                Seen::Refused { by_us, code: refusal.as_str(), peer, address }
            }
            NetworkEvent::Resolved { .. } => panic!("no name was given to the world"),
            NetworkEvent::Malformed { .. } => panic!("the simulated network sends whole frames"),
        };
        self.seen.lock().push(seen);
    }
}

pub(crate) struct Node {
    pub(crate) environment: Environment,
    pub(crate) recorder: Arc<Recorder>,
}

pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    pub(crate) fn new(seed: u64, nodes: u64, options: WorldOptions) -> Self {
        let mut cluster = Self { world: World::new(Seed::from_number(seed), options), nodes: Vec::new() };
        (0..nodes).for_each(|number| {
            cluster.add(NodeSlot::numbered(number));
        });
        cluster
    }

    pub(crate) fn healthy(nodes: u64) -> Self {
        Self::new(1, nodes, WorldOptions::default())
    }

    /// Two nodes that are connected, and nothing seen yet.
    pub(crate) fn connected_pair() -> Self {
        let mut cluster = Self::healthy(2);
        cluster.dial(0, 1);
        cluster.advance(50);
        assert_eq!(cluster.take(0), [Seen::Connected(cluster.id(1))]);
        assert_eq!(cluster.take(1), [Seen::Connected(cluster.id(0))]);
        cluster
    }

    pub(crate) fn add(&mut self, slot: NodeSlot) -> NodeIndex {
        let index = self.world.add_node(slot);
        let environment = self.world.environment(index);
        let recorder = Arc::new(Recorder::default());
        self.world.attach(index, Arc::clone(&recorder) as _);
        self.nodes.push(Node { environment, recorder });
        index
    }

    pub(crate) fn restart(&mut self, node: usize) {
        let index = NodeIndex(node as u16);
        self.nodes[node].environment = self.world.restart(index);
        self.nodes[node].recorder = Arc::default();
        self.world.attach(index, Arc::clone(&self.nodes[node].recorder) as _);
    }

    pub(crate) fn index(&self, node: usize) -> NodeIndex {
        NodeIndex(node as u16)
    }

    pub(crate) fn id(&self, node: usize) -> NodeId {
        self.world.node_id(NodeIndex(node as u16))
    }

    pub(crate) fn address(&self, node: usize) -> String {
        self.world.address(NodeIndex(node as u16)).to_string()
    }

    pub(crate) fn dial(&self, from: usize, to: usize) {
        self.nodes[from].environment.network.dial(&self.address(to));
    }

    pub(crate) fn learn(&self, at: usize, of: usize) {
        let mut hello = self.hello(of);
        hello.info.peer_address = self.world.address(self.index(of));
        self.nodes[at].environment.network.learn(&hello.info);
    }

    pub(crate) fn hello(&self, node: usize) -> Hello {
        let info = gritmesh_runtime::NodeInfo {
            node_id: self.id(node),
            incarnation: gritmesh_runtime::Incarnation(1),
            peer_address: self.world.address(self.index(node)),
            http_address: None,
            name: String::new(),
            zone: String::new(),
            weight: 1,
            wire_version: gritmesh_runtime::WIRE_VERSION,
            types: gritmesh_runtime::TypesDigest::of([]),
        };
        Hello::new(info)
    }

    pub(crate) fn send(&self, from: usize, to: usize, tag: u64, body: &[u8]) -> Result<(), SendError> {
        self.nodes[from].environment.network.send(self.id(to), TrafficClass::Calls, Tag(tag), body)
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        self.world.advance(Duration::from_millis(millis));
    }

    /// What a node has seen since last asked.
    pub(crate) fn take(&self, node: usize) -> Vec<Seen> {
        std::mem::take(&mut self.nodes[node].recorder.seen.lock())
    }

    /// The bodies among what a node has seen, in order, and everything else it has seen.
    pub(crate) fn take_bodies(&self, node: usize) -> (Vec<Vec<u8>>, Vec<Seen>) {
        let (mut all, mut others) = (Vec::new(), Vec::new());
        for seen in self.take(node) {
            match seen {
                Seen::Received { bodies, .. } => all.extend(bodies),
                other => others.push(other),
            }
        }
        (all, others)
    }

    pub(crate) fn lost(&self, peer: usize, reason: LossReason, unsent: &[u64]) -> Seen {
        Seen::Lost { peer: self.id(peer), reason, unsent: unsent.to_vec() }
    }
}
