//! What the suite asks of a network under test.

use std::sync::Arc;

use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::{
    ClusterId, DialError, Incarnation, LossReason, Network, NodeId, NodeInfo, Tag, TrafficClass, TypesDigest,
    WIRE_VERSION,
};

/// A world of endpoints.
pub(crate) trait TestNetwork {
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

    /// Ends the endpoint as the death of its process would.
    fn kill(&mut self, endpoint: usize);

    /// Ends the endpoint in good order.
    fn shut_down(&mut self, endpoint: usize);
}

/// How an endpoint differs from the usual one.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) secret: &'static str,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) wire_version: u16,
    pub(crate) queue_bytes_max: usize,
    /// Endpoints with the same number have the same key. 0 stands for a fresh one.
    pub(crate) identity: u8,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            secret: "secret",
            cluster: None,
            wire_version: WIRE_VERSION,
            queue_bytes_max: 16 * 1024 * 1024,
            identity: 0,
        }
    }
}

impl Setup {
    pub(crate) fn hello(&self) -> Hello {
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
        Hello { info, cluster: self.cluster, types: vec!["counter".into()] }
    }
}

/// A network event that owns what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected(Hello),
    Received(NodeId, TrafficClass, Vec<Vec<u8>>),
    Lost(NodeId, LossReason, Vec<Tag>),
    DialFailed(String, DialError),
    Refused(Option<NodeId>, bool, Refusal),
    Malformed,
}
