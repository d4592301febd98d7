//! Which nodes should keep which shard, and which of them should lead it: the ring's order with bounded loads.
//!
//! **Problem.** With some 64 shards the plain ring is too coarse: one node gets five of them and another
//! fifteen. And where nodes have failure zones, a shard's replicas should not share one.
//!
//! **Design.** Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016): a shard goes to
//! the first nodes in its ring order that have room. Three refinements:
//!
//! * Room is the fair share rounded down; what is left over after rounding goes one each to nodes that are met
//!   while some is left. So loads differ by at most one between equal nodes of equal zones. With the paper's
//!   capacity, the share rounded up, one of 33 nodes may get none of 64 shards while the others have two.
//! * The shard that is closest to a node is placed first, whatever its number, and every shard gets its first
//!   replica before any gets its second. That mostly moves less than placing shards by number.
//! * Replicas come first and leaders are chosen among them, because moving a leader costs a message and
//!   moving a replica costs a copy of its data. Loads of leaders differ by at most one as well: wherever the
//!   nearest replicas of a shard lead their share already, leaders are shifted along a chain of shards.
//!
//! The outcome is a pure function of the sets: every node with the same view proposes the same. In a model
//! with random rings, one node more moved 3 % of all replicas beyond its own share on average.
//!
//! **Deliberately absent.** What is the case now. A proposal that depended on the table would move less, but
//! two nodes with different tables would pull in different directions.

mod leaders;
mod shares;
mod voters;

use std::collections::BTreeMap;

use gritmesh_runtime::{NodeId, ShardId, Token};

use crate::ring::{Ring, RingMember};
use crate::table::REPLICAS_MAX;

/// Names the nodes that should keep each shard, given with the token where its range starts: `replication` of
/// them or as many as there are, but no more than [`REPLICAS_MAX`]. The first of them should lead.
///
/// Members without weight count only where none has one. Empty if there is no member.
pub fn propose_replicas(
    shards: impl IntoIterator<Item = (ShardId, Token)>,
    members: impl IntoIterator<Item = RingMember>,
    replication: usize,
) -> BTreeMap<ShardId, Vec<NodeId>> {
    let ring = Ring::coarse(with_weight(members));
    let shards: BTreeMap<ShardId, Token> = shards.into_iter().collect();
    let members = ring.members();
    let replication = replication.clamp(1, REPLICAS_MAX).min(members.len());
    if members.is_empty() || shards.is_empty() {
        return BTreeMap::new();
    }
    let mut points: Vec<(Token, ShardId)> = shards.into_iter().map(|(shard, point)| (point, shard)).collect();
    points.sort_unstable();
    let starts: Vec<Token> = points.iter().map(|(point, _)| *point).collect();
    let sets = voters::place(&ring, &starts, replication);
    let leaders = leaders::choose(members, &sets);
    let ordered = sets.iter().zip(leaders).map(|(set, leader)| {
        let others = set.iter().map(|placed| placed.member).filter(|member| *member != leader);
        std::iter::once(leader).chain(others).map(|member| members[member].node).collect()
    });
    points.iter().map(|(_, shard)| *shard).zip(ordered).collect()
}

fn with_weight(members: impl IntoIterator<Item = RingMember>) -> Vec<RingMember> {
    let mut members: Vec<RingMember> = members.into_iter().collect();
    if members.iter().all(|member| member.weight == 0) {
        members.iter_mut().for_each(|member| member.weight = 1);
    }
    members
}

#[cfg(test)]
mod tests;
