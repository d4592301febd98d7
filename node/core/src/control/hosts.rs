//! Members, in the words of sharding.

use std::collections::BTreeMap;

use gritmesh_membership as membership;
use gritmesh_membership::MemberState;
use gritmesh_sharding as sharding;
use gritmesh_sharding::Candidate;

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
