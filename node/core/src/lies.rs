//! What an admitted peer may say of members and shards that is not true: for the simulator.

use gritmesh_membership as membership;
use gritmesh_runtime::{Epoch, NodeId, NodeInfo, Rng, ShardId};
use gritmesh_sharding::{Descriptor, EPOCH_MAX, ShardTable, TERM_MAX, Version};

use crate::wire::Topic;

/// Numbers of shards about which lies are told; a cluster may have less.
const SHARDS: u64 = 64;

/// Another frame of the gossip class in place of this one, in which nothing is true.
#[doc(hidden)]
pub fn lie_instead_of(body: &[u8], rng: &mut Rng, about: &[NodeInfo]) -> Vec<u8> {
    let topic = match Topic::from_bytes(body) {
        Ok(Topic::Table(bytes)) => {
            ShardTable::decode(&bytes).map(|table| Topic::Table(lying(table, rng, about)))
        }
        Ok(Topic::Summary(_)) => Ok(Topic::Summary(rng.next_u64())),
        _ if rng.chance(0.4) => {
            let shard = ShardId(rng.below(SHARDS) as u32);
            let known = Version { term: rng.below(8), epoch: Epoch(rng.below(8)) };
            Ok(Topic::Descriptor(descriptor(shard, known, rng, about).encode()))
        }
        _ => Ok(Topic::Membership(membership::lie(rng, about))),
    };
    topic.map_or_else(|_| body.to_vec(), |topic| topic.to_bytes())
}

fn lying(mut table: ShardTable, rng: &mut Rng, about: &[NodeInfo]) -> Vec<u8> {
    for shard in table.shards().to_vec() {
        if rng.chance(0.5) {
            table.adopt_own(descriptor(shard.id, shard.version(), rng, about));
        }
    }
    table.encode()
}

fn descriptor(shard: ShardId, known: Version, rng: &mut Rng, about: &[NodeInfo]) -> Descriptor {
    let mut far = |known: u64, most: u64| match rng.below(4) {
        0 => known,
        1 => known + 1,
        2 => known.saturating_add(1 << rng.below(40)).min(most),
        _ => most,
    };
    let version = Version { term: far(known.term, TERM_MAX), epoch: Epoch(far(known.epoch.0, EPOCH_MAX.0)) };
    let mut nodes: Vec<NodeId> = about.iter().map(|info| info.node_id).collect();
    nodes.push(NodeId([0xaa; 32]));
    rng.shuffle(&mut nodes);
    let leader = nodes.first().copied().filter(|_| rng.chance(0.9));
    nodes.truncate(rng.below(4) as usize);
    nodes.sort_unstable();
    Descriptor { shard, version, leader, replicas: nodes }
}
