//! Endpoints over libp2p on this machine's loopback, each on a runtime of its own, so that killing one is what
//! the death of its process would be: tasks vanish and the operating system closes the sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use gritmesh_runtime::{Network, NetworkEvent, NetworkHandler, NodeInfo};
use gritmesh_transport::{Identity, Options, Peers, bind};
use tokio::runtime::Runtime;

use super::subject::{Event, Setup, TestNetwork};

/// Far beyond anything that a test waits for.
const DEADLINE: Duration = Duration::from_secs(60);

/// Events that a test has not looked at. A reader blocks when there are more.
const EVENTS_MAX: usize = 100_000;

#[derive(Default)]
pub(super) struct SocketNetwork {
    endpoints: Vec<Endpoint>,
    identities: BTreeMap<u8, Identity>,
}

struct Endpoint {
    peers: Arc<Peers>,
    info: NodeInfo,
    runtime: Option<Runtime>,
    events: Receiver<Event>,
}

struct Recorder(SyncSender<Event>);

impl NetworkHandler for Recorder {
    fn handle(&self, event: NetworkEvent<'_>) {
        // The test may have ended.
        let _ = self.0.send(event.into());
    }
}

impl TestNetwork for SocketNetwork {
    fn spawn(&mut self, setup: Setup) -> usize {
        let identity = match setup.identity {
            0 => Identity::generate(),
            number => self.identities.entry(number).or_insert_with(Identity::generate).clone(),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let loopback: SocketAddr = ([127, 0, 0, 1], 0).into();
        let options = Options::new(loopback, setup.secret.clone().into(), setup.hello());
        let (peers, address) = runtime.block_on(bind(&identity, options)).unwrap();
        let info = NodeInfo { node_id: identity.node_id(), peer_address: address, ..setup.hello().info };
        let (sender, events) = sync_channel(EVENTS_MAX);
        peers.run(Arc::new(Recorder(sender)));
        self.endpoints.push(Endpoint { peers, info, runtime: Some(runtime), events });
        self.endpoints.len() - 1
    }

    fn network(&self, endpoint: usize) -> Arc<dyn Network> {
        self.endpoints[endpoint].peers.clone()
    }

    fn info(&self, endpoint: usize) -> NodeInfo {
        self.endpoints[endpoint].info.clone()
    }

    fn next_event(&mut self, endpoint: usize) -> Event {
        self.endpoints[endpoint].events.recv_timeout(DEADLINE).expect("an event within the deadline")
    }

    fn past_event(&mut self, endpoint: usize) -> Option<Event> {
        self.endpoints[endpoint].events.try_recv().ok()
    }

    fn proceed(&mut self) {
        std::thread::yield_now();
    }

    fn kill(&mut self, endpoint: usize) {
        let runtime = self.endpoints[endpoint].runtime.take().expect("an endpoint dies once");
        runtime.shutdown_timeout(DEADLINE);
    }

    fn shut_down(&mut self, endpoint: usize) {
        let Endpoint { peers, runtime, .. } = &self.endpoints[endpoint];
        runtime.as_ref().expect("the endpoint lives").block_on(peers.shutdown());
    }
}

impl Drop for SocketNetwork {
    fn drop(&mut self) {
        for endpoint in &mut self.endpoints {
            // Unblocks readers that wait for the test to look at their events.
            endpoint.events = sync_channel(0).1;
            if let Some(runtime) = endpoint.runtime.take() {
                runtime.shutdown_background();
            }
        }
    }
}
