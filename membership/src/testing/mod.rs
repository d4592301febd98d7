//! Shared by the tests of this crate.

mod watch;
pub(crate) mod world;

use gritmesh_runtime::{Incarnation, NodeId, NodeInfo, TypesDigest, WIRE_VERSION};

pub(crate) fn info(number: u16) -> NodeInfo {
    let [high, low] = number.to_be_bytes();
    let mut id = [low; 32];
    id[0] = high;
    NodeInfo {
        node_id: NodeId(id),
        incarnation: Incarnation(1),
        peer_address: ([10, 0, high, low], 7946).into(),
        http_address: Some(([10, 0, high, low], 8080).into()),
        name: format!("node-{number}"),
        zone: "a".into(),
        weight: 1,
        wire_version: WIRE_VERSION,
        types: TypesDigest::of([]),
    }
}
