//! Endpoints on this machine's loopback, each on a runtime of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use gritmesh_runtime::admission::{Hello, Secrets};
use gritmesh_runtime::{
    Incarnation, LossReason, Network, NetworkEvent, NetworkHandler, NodeId, NodeInfo, Tag, TrafficClass,
    TypesDigest, WIRE_VERSION,
};
use gritmesh_transport::{Identity, Options, Peers, bind};
use tokio::runtime::Runtime;

/// Far beyond anything that a test waits for.
const DEADLINE: Duration = Duration::from_secs(30);

/// Events that a test has not looked at. A reader blocks when there are more.
const EVENTS_MAX: usize = 100_000;

pub(crate) struct Endpoint {
    pub(crate) peers: Arc<Peers>,
    pub(crate) info: NodeInfo,
    runtime: Option<Runtime>,
    events: Receiver<Event>,
}

/// A network event that owns what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected(NodeId),
    Received(TrafficClass, Vec<Vec<u8>>),
    Lost(NodeId, LossReason, Vec<Tag>),
    Other(String),
}

struct Recorder(SyncSender<Event>);

impl NetworkHandler for Recorder {
    fn handle(&self, event: NetworkEvent<'_>) {
        let event = match event {
            NetworkEvent::Connected { hello } => Event::Connected(hello.info.node_id),
            NetworkEvent::Received { class, frames, .. } => {
                Event::Received(class, frames.map(<[u8]>::to_vec).collect())
            }
            NetworkEvent::Lost { peer, reason, unsent } => Event::Lost(peer, reason, unsent),
            other => Event::Other(format!("{other:?}")),
        };
        // The test may have ended.
        let _ = self.0.send(event);
    }
}

pub(crate) fn hello() -> Hello {
    let info = NodeInfo {
        node_id: NodeId([0; 32]),
        incarnation: Incarnation(1),
        peer_address: ([0, 0, 0, 0], 0).into(),
        http_address: None,
        name: "test".into(),
        zone: String::new(),
        weight: 1,
        wire_version: WIRE_VERSION,
        types: TypesDigest::of([]),
    };
    Hello { types: vec!["counter".into()], ..Hello::new(info) }
}

impl Endpoint {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let loopback: SocketAddr = ([127, 0, 0, 1], 0).into();
        let mut options = Options::new(loopback, Secrets::none(), hello());
        change(&mut options);
        let identity = Identity::generate();
        let (peers, address) = runtime.block_on(bind(&identity, options)).unwrap();
        let info = NodeInfo { node_id: identity.node_id(), peer_address: address, ..hello().info };
        let (sender, events) = sync_channel(EVENTS_MAX);
        peers.run(Arc::new(Recorder(sender)));
        Self { peers, info, runtime: Some(runtime), events }
    }

    pub(crate) fn next_event(&self) -> Event {
        self.events.recv_timeout(DEADLINE).expect("an event within the deadline")
    }

    /// Dials, and waits until both have the connection.
    pub(crate) fn connect(&self, to: &Self) {
        self.peers.dial(&to.info.peer_address.to_string());
        assert_eq!(self.next_event(), Event::Connected(to.info.node_id));
        assert_eq!(to.next_event(), Event::Connected(self.info.node_id));
    }

    /// The next `count` envelopes that arrive in one class.
    pub(crate) fn receive(&self, class: TrafficClass, count: usize) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        while bodies.len() < count {
            match self.next_event() {
                Event::Received(of, frames) if of == class => bodies.extend(frames),
                Event::Received(..) => {}
                event => panic!("expected envelopes, got {event:?}"),
            }
        }
        assert_eq!(bodies.len(), count);
        bodies
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Unblocks readers that wait for the test to look at their events.
        self.events = sync_channel(0).1;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
