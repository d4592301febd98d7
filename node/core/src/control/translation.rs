//! The words of membership in those of sharding, and the other way round.

use std::collections::BTreeMap;

use gritmesh_membership as membership;
use gritmesh_membership::MemberState;
use gritmesh_runtime::NodeId;
use gritmesh_sharding as sharding;
use gritmesh_sharding::{Candidate, Descriptor, Version};

use super::Effect;
use crate::wire::Topic;

pub(super) fn send(to: NodeId, topic: &Topic, out: &mut Vec<Effect>) {
    out.push(Effect::Send { to, body: topic.to_bytes() });
}

/// Orders descriptors of one shard as the table does: by term, then by epoch. Both are small, even after some thousand
/// lies; what does not fit is told by comparing tables.
pub(super) fn broadcast_version(descriptor: &Descriptor) -> u64 {
    /// Bits for the epoch, and for whether a leader is named.
    const EPOCH_BITS: u32 = 16;
    let Version { term, epoch } = descriptor.version;
    let epoch = epoch.0 & ((1 << EPOCH_BITS) - 1);
    (term.min(u64::MAX >> (EPOCH_BITS + 1)) << EPOCH_BITS | epoch) << 1
        | u64::from(descriptor.leader.is_some())
}

pub(super) fn host(member: &membership::Member) -> sharding::Host {
    sharding::Host {
        node: member.info.node_id,
        weight: member.info.weight,
        alive: member.state.is_active(),
        types: member.types.clone(),
    }
}

/// A member that left is no candidate at all; one that is down may come back.
pub(super) fn candidate(member: &membership::Member) -> Option<Candidate> {
    (member.state != MemberState::Left).then(|| Candidate {
        node: member.info.node_id,
        weight: member.info.weight,
        zone: member.info.zone.clone(),
        alive: member.state.is_active(),
    })
}

pub(super) fn is_mixed(hosts: &[sharding::Host]) -> bool {
    let mut lists: BTreeMap<&[String], ()> = BTreeMap::new();
    for host in hosts.iter().filter(|host| host.alive) {
        lists.insert(host.types.as_deref().unwrap_or_default(), ());
    }
    lists.len() > 1
}
