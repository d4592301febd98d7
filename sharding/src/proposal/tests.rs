use std::collections::BTreeSet;

use gritmesh_runtime::Seed;
use proptest::prelude::*;

use super::*;
use crate::table::ShardTable;

type Proposal = BTreeMap<ShardId, Vec<NodeId>>;

fn member(number: u64, weight: u16) -> RingMember {
    zoned(number, weight, "")
}

fn zoned(number: u64, weight: u16, zone: &str) -> RingMember {
    RingMember { node: node(number), weight, zone: zone.to_owned() }
}

fn node(number: u64) -> NodeId {
    NodeId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn members(first: u32, count: u64) -> Vec<RingMember> {
    (u64::from(first)..u64::from(first) + count).map(|number| member(number, 1)).collect()
}

fn shards(count: u32) -> Vec<(ShardId, Token)> {
    let table = ShardTable::initial(count).unwrap();
    table.shards().iter().map(|shard| (shard.id, shard.start)).collect()
}

fn led(proposal: &Proposal, members: &[RingMember]) -> Vec<usize> {
    let load = |member: &RingMember| proposal.values().filter(|voters| voters[0] == member.node).count();
    members.iter().map(load).collect()
}

fn kept(proposal: &Proposal, members: &[RingMember]) -> Vec<usize> {
    let load = |member: &RingMember| proposal.values().flatten().filter(|node| **node == member.node).count();
    members.iter().map(load).collect()
}

fn spread(loads: &[usize]) -> usize {
    loads.iter().max().unwrap() - loads.iter().min().unwrap()
}

/// Replicas of the first proposal that the second has elsewhere, and leaders that differ.
fn moves(from: &Proposal, to: &Proposal) -> (usize, usize) {
    let copied = |(shard, voters): (&ShardId, &Vec<NodeId>)| {
        to[shard].iter().filter(|node| !voters.contains(node)).count()
    };
    let replicas = from.iter().map(copied).sum();
    (replicas, from.iter().filter(|(shard, voters)| to[shard][0] != voters[0]).count())
}

#[test]
fn proposals_are_pinned() {
    // A change here makes nodes of two builds propose differently, and shards move back and forth.
    let members = (1..=5).map(|byte| RingMember { node: NodeId([byte; 32]), weight: 1, zone: String::new() });
    let proposal = propose_replicas(shards(8), members, 3);
    let drawn = |voters: &Vec<NodeId>| [voters[0].0[0], voters[1].0[0], voters[2].0[0]];
    assert_eq!(proposal.values().map(drawn).collect::<Vec<_>>(), PINNED);
}

const PINNED: [[u8; 3]; 8] =
    [[3, 2, 5], [5, 1, 4], [2, 5, 4], [5, 4, 1], [4, 2, 3], [1, 3, 2], [1, 5, 2], [3, 1, 4]];

#[test]
fn few_members_keep_what_they_can() {
    for (count, expected) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (9, 3)] {
        let proposal = propose_replicas(shards(16), members(7, count), 3);
        assert_eq!(proposal.len(), if count == 0 { 0 } else { 16 });
        assert!(proposal.values().all(|voters| voters.len() == expected));
    }
    assert!(propose_replicas([], members(1, 3), 3).is_empty());
    let most = propose_replicas(shards(4), members(1, 20), 100);
    assert!(most.values().all(|voters| voters.len() == REPLICAS_MAX));
    let least = propose_replicas(shards(4), members(1, 20), 0);
    assert!(least.values().all(|voters| voters.len() == 1));
}

#[test]
fn members_without_weight_get_nothing_unless_nobody_else_is_there() {
    let three = [member(1, 1), member(2, 0), member(3, 1)];
    let proposal = propose_replicas(shards(64), three.clone(), 3);
    assert_eq!(led(&proposal, &three), [32, 0, 32]);
    assert_eq!(kept(&proposal, &three), [64, 0, 64]);
    let draining = [member(1, 0), member(2, 0)];
    let proposal = propose_replicas(shards(64), draining.clone(), 3);
    assert_eq!(led(&proposal, &draining), [32, 32]);
}

#[test]
fn more_members_than_replicas() {
    let members = members(0, 100);
    let proposal = propose_replicas(shards(16), members.clone(), 3);
    assert!(kept(&proposal, &members).iter().all(|load| *load <= 1));
}

#[test]
fn large_clusters_are_proposed_for() {
    let members: Vec<RingMember> =
        (0..300).map(|number| zoned(number, 1, &(number % 7).to_string())).collect();
    let proposal = propose_replicas(shards(4096), members.clone(), 3);
    assert!(spread(&led(&proposal, &members)) <= 1);
    assert!(spread(&kept(&proposal, &members)) <= 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn equal_members_differ_by_at_most_one(
        first in any::<u32>(),
        count in 1u64..=60,
        shard_count in 1u32..=300,
        replication in 1usize..=5,
        shuffle in any::<u64>(),
    ) {
        let mut members = members(first, count);
        let mut shards = shards(shard_count);
        let proposal = propose_replicas(shards.clone(), members.clone(), replication);
        prop_assert_eq!(proposal.len(), shard_count as usize);
        for voters in proposal.values() {
            prop_assert_eq!(voters.len(), replication.min(count as usize));
            prop_assert_eq!(voters.iter().collect::<BTreeSet<_>>().len(), voters.len());
        }
        prop_assert!(spread(&led(&proposal, &members)) <= 1);
        prop_assert!(spread(&kept(&proposal, &members)) <= 1 + BALANCE_LOST);

        let mut rng = Seed::from_number(shuffle).rng();
        rng.shuffle(&mut members);
        rng.shuffle(&mut shards);
        prop_assert_eq!(proposal, propose_replicas(shards, members, replication));
    }

    #[test]
    fn replicas_lie_in_as_many_zones_as_there_are(
        first in any::<u32>(),
        zones in prop::collection::vec(0u8..4, 1..16),
        weights in prop::collection::vec(1u16..4, 16),
        replication in 1usize..=5,
    ) {
        let numbers = u64::from(first)..;
        let each = zones.iter().zip(&weights).zip(numbers);
        let members: Vec<RingMember> =
            each.map(|((zone, weight), number)| zoned(number, *weight, &zone.to_string())).collect();
        let zone_of: BTreeMap<NodeId, &str> =
            members.iter().map(|member| (member.node, member.zone.as_str())).collect();
        let sizes = |zone: &str| members.iter().filter(|member| member.zone == zone).count();
        for voters in propose_replicas(shards(64), members.clone(), replication).values() {
            let mut counts: BTreeMap<&str, usize> = zone_of.values().map(|zone| (*zone, 0)).collect();
            voters.iter().for_each(|node| *counts.get_mut(zone_of[node]).unwrap() += 1);
            let most = *counts.values().max().unwrap();
            for (zone, count) in counts {
                // A zone keeps less than another only where it has no more nodes, or by one.
                prop_assert!(count + 1 >= most || count == sizes(zone), "{zone} keeps {count} of {most}");
            }
        }
    }

    #[test]
    fn equal_zones_keep_equal_loads(first in any::<u32>(), each in 1u64..8, zone_count in 3u64..6) {
        let numbers = u64::from(first)..u64::from(first) + each * zone_count;
        let members: Vec<RingMember> =
            numbers.map(|number| zoned(number, 1, &(number % zone_count).to_string())).collect();
        let proposal = propose_replicas(shards(64), members.clone(), 3);
        prop_assert!(spread(&led(&proposal, &members)) <= 1);
        prop_assert!(spread(&kept(&proposal, &members)) <= 2 + BALANCE_LOST);
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
        let proposal = propose_replicas(shards(count), members.clone(), 1);
        for (load, weight) in led(&proposal, &members).iter().zip(&weights) {
            let fair = f64::from(count) * f64::from(*weight) / total as f64;
            prop_assert!((fair - 1.0..=fair + 1.0).contains(&(*load as f64)), "{load} for {fair}");
            prop_assert!(*weight > 0 || *load == 0);
        }
        // With replicas nobody keeps more than all, so the heaviest may fall behind its weight.
        let weighty = weights.iter().filter(|weight| **weight > 0).count();
        let proposal = propose_replicas(shards(count), members.clone(), 3);
        for (load, weight) in kept(&proposal, &members).iter().zip(&weights) {
            let fair = weighty.min(3) as f64 * f64::from(count) * f64::from(*weight) / total as f64;
            prop_assert!(*load as f64 >= fair.min(f64::from(count)) - 1.0 - BALANCE_LOST as f64);
            prop_assert!(*weight > 0 || *load == 0);
        }
    }

    #[test]
    fn little_moves_when_one_joins_or_leaves(first in any::<u32>(), count in 3u64..=50) {
        let larger = members(first, count + 1);
        let [before, after] = [&larger[1..], &larger].map(|nodes| propose_replicas(shards(64), nodes.to_vec(), 3));
        for (from, to) in [(&before, &after), (&after, &before)] {
            let (replicas, leaders) = moves(from, to);
            let needed = (3usize * 64).div_ceil(larger.len());
            prop_assert!(replicas <= needed + REPLICAS_BEYOND_NEED, "{replicas} replicas, {needed} needed");
            let needed = 64usize.div_ceil(larger.len());
            prop_assert!(leaders <= needed + LEADERS_BEYOND_NEED, "{leaders} leaders, {needed} needed");
        }
    }
}

/// By how much replicas may be less even than they could be: greedy choices are corrected by one exchange.
const BALANCE_LOST: usize = 1;

/// Replicas of 192 that move although the joiner does not get them: they make room for others. 10,000 changes
/// of 3 to 50 members stayed below.
const REPLICAS_BEYOND_NEED: usize = 30;

/// Leaders of 64 that move beyond need, which costs a message each. Most where the fair share is a whole
/// number before the change, as from 32 to 33 members.
const LEADERS_BEYOND_NEED: usize = 40;
