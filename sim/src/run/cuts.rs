//! Who is cut off from what: which side of a partition has no majority of which shard's replicas.

use std::collections::BTreeMap;

use gritmesh_runtime::{NodeId, ShardId};
use gritmesh_sharding::{Config, MemberRole, Replica};

use crate::cluster::Sim;
use crate::history::{Cut, History};
use crate::world::{NodeIndex, Partition};

/// The epoch and the replicas of each shard, as the best informed node knows them.
pub(super) type Voters = BTreeMap<u32, (u64, Vec<NodeIndex>)>;

/// What the nodes that run know of the shards' replicas.
pub(super) fn voters(sim: &Sim) -> Voters {
    let mut voters = Voters::new();
    for shard in sim.running().flat_map(|(_, node)| node.shard_statuses()) {
        let known = voters.entry(shard.shard).or_default();
        if shard.epoch >= known.0 {
            *known = (shard.epoch, shard.replicas.iter().filter_map(|name| node_of(name)).collect());
        }
    }
    voters
}

/// The node that has a name.
fn node_of(name: &str) -> Option<NodeIndex> {
    name.strip_prefix('n')?.parse().ok().map(NodeIndex)
}

/// Writes down what a partition cuts off.
///
/// What nodes say of the replicas may be old, so the disks are asked, those of dead nodes too. A side counts as cut off
/// from a shard if it has no majority in any configuration that any disk knows: a newer one could only come about with
/// a majority of one of these.
pub(super) fn begin(
    history: &mut History,
    sim: &Sim,
    partition: &Partition,
    shards: impl Iterator<Item = u32>,
) {
    let Partition::Groups(groups) = partition else { return };
    let known: Vec<(u32, Vec<Config>)> = shards.map(|shard| (shard, configs(sim, shard))).collect();
    for side in groups {
        let keys: Vec<NodeId> = side.iter().map(|node| sim.world().node_id(*node)).collect();
        let is_cut_off = |(_, configs): &&(u32, Vec<Config>)| {
            !configs.is_empty() && configs.iter().all(|config| !has_majority(config, &keys))
        };
        let shards = known.iter().filter(is_cut_off).map(|(shard, _)| *shard).collect();
        history.cuts.push(Cut { from: sim.now(), until: None, side: side.clone(), shards });
    }
}

/// All links are whole again.
pub(super) fn end(history: &mut History, sim: &Sim) {
    for cut in history.cuts.iter_mut().filter(|cut| cut.until.is_none()) {
        cut.until = Some(sim.now());
    }
}

/// Whether each of these shards, of which there are some, has at least three voters, whose majority survives a bad disk.
/// What only a minority of them knows of may not come about: until then those count who voted before.
pub(super) fn have_three_voters(sim: &Sim, shards: impl Iterator<Item = u32>) -> bool {
    let has_three = |shard: u32| {
        let known = configs(sim, shard);
        let newest = known.iter().max_by_key(|config| config.epoch);
        newest.is_some_and(|newest| {
            let knowing = known.iter().filter(|config| config.epoch == newest.epoch).count();
            let voters = newest.voters().count();
            !newest.joint && voters >= 3 && 2 * knowing > voters
        })
    };
    let mut shards = shards.peekable();
    shards.peek().is_some() && shards.all(has_three)
}

/// The configurations of a shard that the disks know.
fn configs(sim: &Sim, shard: u32) -> Vec<Config> {
    let on_disk = |node: u16| {
        let contents = sim.world().disk_contents(NodeIndex(node));
        Some(Replica::read_snapshot(&*contents, ShardId(shard)).ok()??.config)
    };
    (0..sim.len()).filter_map(on_disk).collect()
}

/// Whether these nodes are a majority of the old voters or of the new ones.
fn has_majority(config: &Config, side: &[NodeId]) -> bool {
    [MemberRole::Entering, MemberRole::Leaving].into_iter().any(|changing| {
        let votes = |role: MemberRole| role == MemberRole::Voter || role == changing;
        let voters = || config.members.iter().filter(|member| votes(member.role));
        let here = voters().filter(|member| side.contains(&member.node)).count();
        2 * here > voters().count()
    })
}
