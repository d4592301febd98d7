use gritmesh_runtime::Seed;
use proptest::prelude::*;

use super::*;
use crate::table::ShardTable;

fn member(number: u64, weight: u16) -> RingMember {
    RingMember { node: node(number), weight, zone: String::new() }
}

fn node(number: u64) -> NodeId {
    NodeId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn shards(count: u32) -> Vec<(ShardId, Token)> {
    let table = ShardTable::initial(count).unwrap();
    table.shards().iter().map(|shard| (shard.id, shard.start)).collect()
}

fn loads(proposal: &BTreeMap<ShardId, NodeId>, members: &[RingMember]) -> Vec<usize> {
    let load = |member: &RingMember| proposal.values().filter(|node| **node == member.node).count();
    members.iter().map(load).collect()
}

fn differences(a: &BTreeMap<ShardId, NodeId>, b: &BTreeMap<ShardId, NodeId>) -> usize {
    a.iter().filter(|(shard, node)| b[shard] != **node).count()
}

#[test]
fn proposals_are_pinned() {
    let members = (1..=3).map(|byte| RingMember { node: NodeId([byte; 32]), weight: 1, zone: String::new() });
    let proposal = propose(shards(16), members);
    assert_eq!(proposal.values().map(|node| node.0[0]).collect::<Vec<u8>>(), PINNED);
}

const PINNED: [u8; 16] = [3, 2, 1, 3, 2, 1, 1, 3, 2, 2, 1, 3, 1, 1, 2, 3];

#[test]
fn nobody_with_a_weight_means_no_proposal() {
    assert!(propose(shards(64), []).is_empty());
    assert!(propose(shards(64), [member(1, 0)]).is_empty());
    assert!(propose([], [member(1, 1)]).is_empty());
}

#[test]
fn a_member_without_weight_gets_nothing() {
    let members = [member(1, 1), member(2, 0), member(3, 1)];
    assert_eq!(loads(&propose(shards(64), members.clone()), &members), [32, 0, 32]);
}

#[test]
fn more_members_than_shards() {
    let members: Vec<RingMember> = (0..100).map(|number| member(number, 1)).collect();
    let proposal = propose(shards(64), members.clone());
    assert_eq!(proposal.len(), 64);
    assert!(loads(&proposal, &members).iter().all(|load| *load <= 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn equal_members_differ_by_at_most_one(
        first in any::<u32>(),
        members in 1u64..=100,
        count in 1u32..=300,
        shuffle in any::<u64>(),
    ) {
        let numbers = u64::from(first)..u64::from(first) + members;
        let mut members: Vec<RingMember> = numbers.map(|number| member(number, 1)).collect();
        let mut shards = shards(count);
        let proposal = propose(shards.clone(), members.clone());
        prop_assert_eq!(proposal.len(), count as usize);
        let loads = loads(&proposal, &members);
        prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);

        let mut rng = Seed::from_number(shuffle).rng();
        rng.shuffle(&mut members);
        rng.shuffle(&mut shards);
        prop_assert_eq!(proposal, propose(shards, members));
    }

    #[test]
    fn weighted_members_get_their_share_rounded(
        weights in prop::collection::vec(0u16..=500, 1..30),
        count in 1u32..=300,
    ) {
        let members: Vec<RingMember> =
            weights.iter().zip(0..).map(|(weight, number)| member(number, *weight)).collect();
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        prop_assume!(total > 0);
        for (load, weight) in loads(&propose(shards(count), members.clone()), &members).iter().zip(&weights) {
            let fair = f64::from(count) * f64::from(*weight) / total as f64;
            prop_assert!((fair - 1.0..=fair + 1.0).contains(&(*load as f64)), "{load} for {fair}");
            prop_assert!(*weight > 0 || *load == 0);
        }
    }

    #[test]
    fn little_moves_when_one_joins_or_leaves(first in any::<u32>(), members in 1u64..=100) {
        let numbers = u64::from(first)..=u64::from(first) + members;
        let larger: Vec<RingMember> = numbers.map(|number| member(number, 1)).collect();
        let smaller = propose(shards(64), larger[1..].to_vec());
        let moves = differences(&propose(shards(64), larger.clone()), &smaller);
        let needed = 64usize.div_ceil(larger.len());
        prop_assert!(moves <= needed + MOVES_BEYOND_NEED, "{moves} moves where {needed} are needed");
    }
}

/// Shards of 64 that move although the joiner does not get them: they make room for others. Over 50,000
/// changes of 1 to 100 members there were 12 at most, at 20 members.
const MOVES_BEYOND_NEED: usize = 16;
