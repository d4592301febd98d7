//! The simulator's network, with nobody but the suite on it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gritmesh_runtime::admission::Hello;
use gritmesh_runtime::{Network, NetworkEvent, NetworkHandler, NodeInfo, Seed};
use gritmesh_sim::{NetworkFaults, NodeIndex, NodeSlot, World, WorldOptions};

use super::subject::{Event, Setup, TestNetwork};

/// Far beyond anything that a test waits for, in virtual time.
const DEADLINE: Duration = Duration::from_secs(60);

/// Keys of endpoints that ask for no particular one are numbered from here.
const FRESH_IDENTITIES: u64 = 1000;

pub(super) struct SimulatedNetwork {
    world: World,
    endpoints: Vec<Endpoint>,
}

struct Endpoint {
    node: NodeIndex,
    network: Arc<dyn Network>,
    info: NodeInfo,
    recorder: Arc<Recorder>,
}

#[derive(Default)]
struct Recorder(Mutex<VecDeque<Event>>);

impl Recorder {
    fn take(&self) -> Option<Event> {
        self.0.lock().unwrap().pop_front()
    }
}

impl NetworkHandler for Recorder {
    fn handle(&self, event: NetworkEvent<'_>) {
        self.0.lock().unwrap().push_back(event.into());
    }
}

impl SimulatedNetwork {
    /// A network without faults that break its promises. Odd seeds have uneven latencies and lost packets.
    pub(super) fn new(seed: u64) -> Self {
        let uneven = NetworkFaults { jitter_micros: 2_000, retransmit: 0.05, ..NetworkFaults::default() };
        let network = if seed % 2 == 1 { uneven } else { NetworkFaults::default() };
        let options = WorldOptions { network, ..WorldOptions::default() };
        Self { world: World::new(Seed::from_number(seed), options), endpoints: Vec::new() }
    }
}

impl TestNetwork for SimulatedNetwork {
    fn spawn(&mut self, setup: Setup) -> usize {
        let number = match setup.identity {
            0 => FRESH_IDENTITIES + self.endpoints.len() as u64,
            number => u64::from(number),
        };
        let slot = NodeSlot { secret: setup.secret.clone(), ..NodeSlot::numbered(number) };
        let node = self.world.add_node(slot);
        let Hello { info, .. } = setup.hello();
        let (node_id, peer_address) = (self.world.node_id(node), self.world.address(node));
        let info = NodeInfo { node_id, peer_address, ..info };
        let network = self.world.environment(node).network;
        network.set_hello(Hello { info: info.clone(), ..setup.hello() });
        let recorder = Arc::new(Recorder::default());
        self.world.attach(node, Arc::clone(&recorder) as _);
        self.endpoints.push(Endpoint { node, network, info, recorder });
        self.endpoints.len() - 1
    }

    fn network(&self, endpoint: usize) -> Arc<dyn Network> {
        Arc::clone(&self.endpoints[endpoint].network)
    }

    fn info(&self, endpoint: usize) -> NodeInfo {
        self.endpoints[endpoint].info.clone()
    }

    fn next_event(&mut self, endpoint: usize) -> Event {
        let deadline = self.world.now() + DEADLINE;
        loop {
            if let Some(event) = self.endpoints[endpoint].recorder.take() {
                return event;
            }
            assert!(self.world.now() < deadline && self.world.step(), "an event within the deadline");
        }
    }

    fn past_event(&mut self, endpoint: usize) -> Option<Event> {
        self.endpoints[endpoint].recorder.take()
    }

    fn proceed(&mut self) {
        self.world.step();
    }

    fn kill(&mut self, endpoint: usize) {
        self.world.kill(self.endpoints[endpoint].node);
    }

    fn shut_down(&mut self, endpoint: usize) {
        self.world.shut_down(self.endpoints[endpoint].node);
    }
}
