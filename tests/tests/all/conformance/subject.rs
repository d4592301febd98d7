//! What the suite asks of a network under test.

use std::sync::Arc;

use gritmesh_runtime::admission::{Hello, Refusal, Secret};
use gritmesh_runtime::{
    ClusterId, DialError, Incarnation, LossReason, Network, NetworkEvent, NodeId, NodeInfo, Tag,
    TrafficClass, TypesDigest, WIRE_VERSION,
};

/// A world of endpoints.
pub(super) trait TestNetwork {
    /// Starts an endpoint and returns its number.
    fn spawn(&mut self, setup: Setup) -> usize;

    /// The endpoint's network.
    fn network(&self, endpoint: usize) -> Arc<dyn Network>;

    /// The endpoint's name and where it listens.
    fn info(&self, endpoint: usize) -> NodeInfo;

    /// Lets the world go on until the endpoint's next event, and returns that. Panics if none comes.
    fn next_event(&mut self, endpoint: usize) -> Event;

    /// An event that has already happened.
    fn past_event(&mut self, endpoint: usize) -> Option<Event>;

    /// Lets the world go on by as little as it can.
    fn proceed(&mut self);

    /// Ends the endpoint as the death of its process would.
    fn kill(&mut self, endpoint: usize);

    /// Ends the endpoint in good order.
    fn shut_down(&mut self, endpoint: usize);
}

/// How an endpoint differs from the usual one.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) secret: Secret,
    pub(super) cluster: Option<ClusterId>,
    pub(super) wire_version: u16,
    /// Endpoints with the same number have the same key. 0 stands for a fresh one.
    pub(super) identity: u8,
}

impl Default for Setup {
    fn default() -> Self {
        Self { secret: Secret::none(), cluster: None, wire_version: WIRE_VERSION, identity: 0 }
    }
}

impl Setup {
    pub(super) fn hello(&self) -> Hello {
        let info = NodeInfo {
            node_id: NodeId([0; 32]),
            incarnation: Incarnation(1),
            peer_address: ([0, 0, 0, 0], 0).into(),
            http_address: None,
            name: "test".into(),
            zone: String::new(),
            weight: 1,
            wire_version: self.wire_version,
            types: TypesDigest::of([]),
        };
        let (cluster, wire_version_min) = (self.cluster, self.wire_version);
        Hello { cluster, wire_version_min, types: vec!["counter".into()], ..Hello::new(info) }
    }
}

/// A network event that owns what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Connected(Hello),
    Received(NodeId, TrafficClass, Vec<Vec<u8>>),
    Lost(NodeId, LossReason, Vec<Tag>),
    Resolved(String, Vec<std::net::SocketAddr>),
    DialFailed(String, DialError),
    Refused { address: Option<String>, peer: Option<NodeId>, by_us: bool, refusal: Refusal },
    Malformed,
}

impl From<NetworkEvent<'_>> for Event {
    fn from(event: NetworkEvent<'_>) -> Self {
        match event {
            NetworkEvent::Connected { hello } => Self::Connected(hello),
            NetworkEvent::Received { from, class, frames } => {
                Self::Received(from, class, frames.map(<[u8]>::to_vec).collect())
            }
            NetworkEvent::Lost { peer, reason, unsent } => Self::Lost(peer, reason, unsent),
            NetworkEvent::Resolved { name, addresses } => Self::Resolved(name, addresses),
            NetworkEvent::DialFailed { address, error } => Self::DialFailed(address, error),
            NetworkEvent::Refused { address, peer, by_us, refusal } => {
                Self::Refused { address, peer, by_us, refusal }
            }
            NetworkEvent::Malformed { .. } => Self::Malformed,
        }
    }
}
