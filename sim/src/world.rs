//! The world: everything around the nodes, and the hand that moves it.

mod chaos;
mod clock;
mod disk;
mod drive;
mod executor;
mod finding;
mod notes;
mod queue;
mod spawn;
mod state;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use gritmesh_runtime::admission::{Hello, Secret};
use gritmesh_runtime::{
    Environment, Incarnation, Instant, NetworkHandler, NodeId, NodeInfo, Seed, TrafficClass, TypesDigest,
    WIRE_VERSION,
};
use serde::{Deserialize, Serialize};

pub use chaos::Partition;
pub use drive::BlockError;
pub use finding::{Finding, PANIC, SPIN};
pub use notes::Notes;
pub(crate) use queue::{Event, QueueKey};
pub(crate) use state::{Call, Handle, Held, Process, State};

use self::clock::HostClock;
use self::disk::HostDisk;
use self::executor::HostTasks;
use self::state::{Host, Shared};
use crate::network::Endpoint;
use crate::options::WorldOptions;
use crate::trace::Line;

/// The port that simulated nodes listen on.
const PEER_PORT: u16 = 7946;

/// One node of the world, counted from zero in the order of [`World::add_node`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeIndex(pub u16);

impl fmt::Display for NodeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("n{}", self.0))
    }
}

/// What is fixed about a node for as long as its data lives.
#[derive(Clone, Debug)]
pub struct NodeSlot {
    /// Its key. Two slots may share one, as after copying a data directory.
    pub node_id: NodeId,
    /// Where it listens; `None` for `10.x.y.z:7946` by its index.
    pub address: Option<SocketAddr>,
    /// The cluster's secret, as this node was given it.
    pub secret: Secret,
}

impl NodeSlot {
    /// A node with a key that follows from a number, and no secret.
    pub fn numbered(number: u64) -> Self {
        let node_id = NodeId(blake3::derive_key("gritmesh 2026 simulated node", &number.to_le_bytes()));
        Self { node_id, address: None, secret: Secret::none() }
    }
}

/// A simulated world.
///
/// It moves only when one of the methods that take virtual time is called ([`step`](Self::step),
/// [`run_until`](Self::run_until), [`block_on`](Self::block_on), ...). All of it is decided by the seed, the
/// options and the calls made, in their order.
pub struct World {
    shared: Arc<Shared>,
    seed: Seed,
}

impl World {
    /// An empty world.
    pub fn new(seed: Seed, options: WorldOptions) -> Self {
        Self { shared: Arc::new(Shared::new(seed, options)), seed }
    }

    /// Adds a computer with an empty disk and starts a process on it.
    ///
    /// # Panics
    /// If the address is taken or there are 65,535 nodes already.
    pub fn add_node(&mut self, slot: NodeSlot) -> NodeIndex {
        let mut state = self.shared.lock();
        let number = u16::try_from(state.hosts.len()).ok().filter(|number| *number < u16::MAX);
        let node = NodeIndex(number.expect("a world has at most 65,535 nodes"));
        let address = slot.address.unwrap_or_else(|| default_address(node));
        let is_free = state.network.register(node, slot.node_id, address);
        assert!(is_free, "the address {address} of {node} is taken");
        let clock = HostClock::new(state.options.drift_ppm_max, &mut state.clock_rng);
        let host = Host {
            life: 0,
            running: false,
            stalled: false,
            held: Vec::new(),
            clock,
            tasks: HostTasks::default(),
            disk: HostDisk::with_faults(state.options.disk),
            endpoint: Endpoint::new(slot.secret, default_hello(slot.node_id, address)),
            handler: None,
            seed: self.seed.child(&format!("node {}", node.0)),
            lies_per_million: 0,
        };
        state.hosts.push(host);
        state.start_process(node);
        node
    }

    /// All that the process which now runs on a node is given.
    ///
    /// # Panics
    /// If no process runs there: [`restart`](Self::restart) it.
    pub fn environment(&self, node: NodeIndex) -> Environment {
        let state = self.shared.lock();
        let process = state.current(node).expect("the node was killed and not restarted");
        let seed = state.host(node).seed.child(&format!("life {}", process.life));
        drop(state);
        let handle = Arc::new(Handle { shared: Arc::clone(&self.shared), process });
        Environment {
            clock: Arc::clone(&handle) as _,
            spawn: Arc::clone(&handle) as _,
            network: Arc::clone(&handle) as _,
            disk: handle,
            seed,
        }
    }

    /// Lets the process listen: from here on others can connect to it, and it is told what happens.
    pub fn attach(&mut self, node: NodeIndex, handler: Arc<dyn NetworkHandler>) {
        let before = self.shared.lock().host_mut(node).handler.replace(handler);
        drop(before);
    }

    /// The current instant of the world, which no node can see.
    pub fn now(&self) -> Instant {
        self.shared.lock().now
    }

    /// What the monotonic clock of a node shows.
    pub fn local_now(&self, node: NodeIndex) -> Instant {
        let state = self.shared.lock();
        state.host(node).clock.local(state.now)
    }

    /// How many nodes were added.
    pub fn nodes(&self) -> usize {
        self.shared.lock().hosts.len()
    }

    /// The key of a node.
    pub fn node_id(&self, node: NodeIndex) -> NodeId {
        self.shared.lock().host(node).endpoint.node_id
    }

    /// Where a node listens.
    pub fn address(&self, node: NodeIndex) -> SocketAddr {
        self.shared.lock().host(node).endpoint.address
    }

    /// Whether a process runs on the node, stalled or not.
    pub fn is_running(&self, node: NodeIndex) -> bool {
        self.shared.lock().current(node).is_some()
    }

    /// Whether the process on the node is stalled.
    pub fn is_stalled(&self, node: NodeIndex) -> bool {
        self.shared.lock().host(node).stalled
    }

    /// How many tasks of the node are not done.
    pub fn tasks(&self, node: NodeIndex) -> usize {
        self.shared.lock().host(node).tasks.len()
    }

    /// How many writes of the node are not done.
    pub fn writes_waiting(&self, node: NodeIndex) -> usize {
        self.shared.lock().host(node).disk.writes_waiting()
    }

    /// How many bytes all nodes together have written to their connections in one class, frame headers included.
    pub fn bytes_written(&self, class: TrafficClass) -> u64 {
        self.shared.lock().network.written[class as usize]
    }

    /// Randomness for whoever drives the world, apart from the world's own.
    pub fn seed(&self, label: &str) -> Seed {
        self.seed.child("driver").child(label)
    }

    /// What went wrong so far.
    pub fn findings(&self) -> Vec<Finding> {
        self.shared.lock().findings.clone()
    }

    /// How many further findings were counted but not kept.
    pub fn findings_left_out(&self) -> u64 {
        self.shared.lock().findings_left_out
    }

    /// Adds a finding of a checker, as `code` the name of the broken invariant.
    pub fn report_finding(&mut self, node: Option<NodeIndex>, code: &'static str, detail: String) {
        self.shared.lock().find(node, code, detail);
    }

    /// As [`report_finding`](Self::report_finding), of something that was wrong at an earlier instant.
    pub fn report_past_finding(&mut self, at: Instant, code: &'static str, detail: String) {
        self.shared.lock().find_at(at, None, code, detail);
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, node: Option<NodeIndex>, text: &str) {
        let mut state = self.shared.lock();
        let now = state.now;
        state.trace.note(now, node, text);
    }

    /// The hash over everything that happened so far.
    pub fn trace_hash(&self) -> blake3::Hash {
        self.shared.lock().trace.hash()
    }

    /// How many events happened so far.
    pub fn trace_length(&self) -> u64 {
        self.shared.lock().trace.counted()
    }

    /// The last lines of the trace.
    pub fn recent_lines(&self) -> Vec<Line> {
        self.shared.lock().trace.recent()
    }

    /// Ends the text trace, if one was asked for: what happens from here on is not in it.
    ///
    /// # Errors
    /// If a line of it could not be written.
    pub fn finish_trace(&mut self) -> std::io::Result<()> {
        self.shared.lock().trace.finish()
    }
}

fn default_address(node: NodeIndex) -> SocketAddr {
    // 10.0.0.1 for the first; 254 hosts to a network, as a reader expects.
    let (network, host) = (node.0 / 254, node.0 % 254 + 1);
    let [high, low] = network.to_be_bytes();
    SocketAddr::new(Ipv4Addr::new(10, high, low, host as u8).into(), PEER_PORT)
}

/// What a process says of itself until it says it better.
pub(crate) fn default_hello(node_id: NodeId, address: SocketAddr) -> Hello {
    let info = NodeInfo {
        node_id,
        incarnation: Incarnation(0),
        peer_address: address,
        http_address: None,
        name: String::new(),
        zone: String::new(),
        weight: 1,
        wire_version: WIRE_VERSION,
        types: TypesDigest::of([]),
    };
    Hello::new(info)
}

impl Drop for World {
    /// Tasks and handlers hold the world that holds them, so they are taken out.
    fn drop(&mut self) {
        for node in 0..self.nodes() {
            self.end_process(NodeIndex(node as u16), gritmesh_runtime::LossReason::Reset);
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("state", &*self.shared.lock()).finish_non_exhaustive()
    }
}
