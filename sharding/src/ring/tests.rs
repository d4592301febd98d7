use std::collections::BTreeMap;

use gritmesh_runtime::{NodeId, Seed, Token};
use proptest::prelude::*;

use super::*;

fn node(number: u64) -> NodeId {
    NodeId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn member(number: u64, weight: u16) -> RingMember {
    RingMember { node: node(number), weight, zone: String::new() }
}

fn equal_members(first: u64, count: u64) -> Vec<RingMember> {
    (first..first + count).map(|number| member(number, 1)).collect()
}

/// Ends of the arcs and their owners, clockwise from 0.
fn arcs(ring: &Ring) -> Vec<(u64, NodeId)> {
    ring.walk(Token(0)).map(|(end, member)| (end, ring.members()[member].node)).collect()
}

/// The exact share of the circle that each node owns.
fn shares(ring: &Ring) -> BTreeMap<NodeId, f64> {
    let arcs = arcs(ring);
    let mut shares: BTreeMap<NodeId, f64> = BTreeMap::new();
    let mut previous = arcs.last().unwrap().0;
    for (end, node) in arcs {
        *shares.entry(node).or_default() += end.wrapping_sub(previous) as f64 / 2f64.powi(64);
        previous = end;
    }
    shares
}

/// The exact share of the circle that two rings give to different nodes, and whether `node` is always one of
/// them.
fn moved(a: &Ring, b: &Ring, node: NodeId) -> (f64, bool) {
    let mut ends: Vec<u64> = arcs(a).into_iter().chain(arcs(b)).map(|(end, _)| end).collect();
    ends.sort_unstable();
    let mut previous = *ends.last().unwrap();
    let (mut share, mut only) = (0.0, true);
    for end in ends {
        let owners = [a, b].map(|ring| ring.first(Token(end)).unwrap());
        if owners[0] != owners[1] && end != previous {
            share += end.wrapping_sub(previous) as f64 / 2f64.powi(64);
            only &= owners.contains(&node);
        }
        previous = end;
    }
    (share, only)
}

#[test]
fn positions_are_pinned() {
    // A change here tears every running cluster apart: nodes of two builds would propose different leaders.
    let stream = member_stream(&RingMember { node: NodeId([7; 32]), weight: 1, zone: String::new() });
    let drawn: Vec<u64> = positions(stream, 3).collect();
    assert_eq!(drawn, PINNED_POSITIONS);
    let ring = Ring::new((1..=5).map(|byte| RingMember {
        node: NodeId([byte; 32]),
        weight: u16::from(byte),
        zone: String::new(),
    }));
    let first = |index: u64| ring.first(Token(index << 60)).unwrap().0[0];
    assert_eq!((0..16).map(first).collect::<Vec<u8>>(), PINNED_OWNERS);
    assert_eq!(ring.circle.len(), PINNED_POINTS);
}

const PINNED_POSITIONS: [u64; 3] =
    [4_374_490_120_154_496_623, 8_601_646_875_992_437_009, 483_129_895_052_643_128];
const PINNED_OWNERS: [u8; 16] = [5, 5, 5, 1, 2, 3, 5, 5, 5, 2, 4, 4, 1, 4, 5, 5];
const PINNED_POINTS: usize = 19_200;

#[test]
fn an_empty_ring_has_no_answer() {
    for ring in [Ring::new([]), Ring::new([member(1, 0)])] {
        assert_eq!(ring.first(Token(5)), None);
        assert_eq!(ring.order(Token(5)).count(), 0);
        assert!(ring.replicas(Token(5), 3).is_empty());
    }
}

#[test]
fn the_heavier_of_two_entries_counts_in_either_order() {
    let (light, heavy) = (member(1, 1), member(1, 3));
    let a = Ring::new([light.clone(), heavy.clone(), member(2, 1)]);
    let b = Ring::new([member(2, 1), heavy, light]);
    assert_eq!(arcs(&a), arcs(&b));
    assert_eq!(a.members().iter().map(|member| member.weight).sum::<u16>(), 4);
}

#[test]
fn extreme_weights_stay_within_the_limit_and_keep_everybody() {
    let mut members: Vec<RingMember> = (0..300).map(|number| member(number, u16::MAX)).collect();
    members.push(member(1000, 1));
    let ring = Ring::new(members);
    assert!(ring.circle.len() <= VIRTUAL_NODES_MAX);
    assert_eq!(ring.order(Token(0)).count(), 301);
}

#[test]
fn a_point_belongs_to_the_position_it_hits_and_the_circle_closes() {
    let ring = Ring::new(equal_members(1, 3));
    let arcs = arcs(&ring);
    let (last, _) = *arcs.last().unwrap();
    assert_eq!(ring.first(Token(arcs[7].0)), Some(arcs[7].1));
    assert_eq!(ring.first(Token(last + 1)), Some(arcs[0].1));
    assert_eq!(ring.first(Token(u64::MAX)), Some(arcs[0].1));
}

#[test]
fn replicas_prefer_distinct_zones_and_then_fill_up() {
    let zoned = |number: u64, zone: &str| RingMember { zone: zone.into(), ..member(number, 1) };
    let members = [zoned(1, "a"), zoned(2, "a"), zoned(3, "a"), zoned(4, "a"), zoned(5, "b"), zoned(6, "c")];
    let zones: BTreeMap<NodeId, String> =
        members.iter().map(|member| (member.node, member.zone.clone())).collect();
    let ring = Ring::new(members);
    for index in 0..200u64 {
        let point = Token(index << 56);
        let three = ring.replicas(point, 3);
        let mut distinct: Vec<&str> = three.iter().map(|node| zones[node].as_str()).collect();
        distinct.sort_unstable();
        assert_eq!(distinct, ["a", "b", "c"]);
        assert_eq!(three[0], ring.first(point).unwrap());
        let five = ring.replicas(point, 5);
        assert_eq!(five[..3], three);
        let rest: Vec<NodeId> = ring.order(point).filter(|node| !three.contains(node)).take(2).collect();
        assert_eq!(five[3..], rest);
        assert_eq!(ring.replicas(point, 100).len(), 6);
        assert_eq!(ring.replicas(point, 1), [ring.first(point).unwrap()]);
        assert!(ring.replicas(point, 0).is_empty());
    }
}

#[test]
fn large_weights_are_respected() {
    let weights = [100u16, 200, 50, 100, 10];
    let ring = Ring::new(weights.iter().enumerate().map(|(at, weight)| member(at as u64, *weight)));
    let shares = shares(&ring);
    for (at, weight) in weights.iter().enumerate() {
        let fair = f64::from(*weight) / 460.0;
        let points = virtual_nodes(*weight, VIRTUAL_NODES_PER_WEIGHT, 6) as f64;
        let deviation = (shares[&node(at as u64)] / fair - 1.0).abs();
        assert!(deviation < 5.0 / points.sqrt(), "weight {weight}: {deviation}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn equal_weights_get_equal_shares(first in any::<u32>(), count in 3u64..=50) {
        let ring = Ring::new(equal_members(first.into(), count));
        for (node, share) in shares(&ring) {
            let deviation = (share * count as f64 - 1.0).abs();
            prop_assert!(deviation < 0.1, "{node:?} is off by {deviation}");
        }
    }

    #[test]
    fn small_weights_are_respected(first in any::<u32>(), weights in prop::collection::vec(1u16..=4, 3..20)) {
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let members = weights.iter().zip(u64::from(first)..).map(|(weight, number)| member(number, *weight));
        let shares = shares(&Ring::new(members));
        for (weight, number) in weights.iter().zip(u64::from(first)..) {
            let deviation = (shares[&node(number)] * total / f64::from(*weight) - 1.0).abs();
            prop_assert!(deviation < 0.1, "weight {weight} is off by {deviation}");
        }
    }

    #[test]
    fn only_the_share_of_a_joiner_or_leaver_moves(first in any::<u32>(), count in 3u64..=50) {
        let larger = Ring::new(equal_members(first.into(), count));
        let smaller = Ring::new(equal_members(u64::from(first) + 1, count - 1));
        let (share, only) = moved(&larger, &smaller, node(first.into()));
        prop_assert!(only);
        prop_assert!(share <= 1.1 / count as f64, "{share} moved at {count} nodes");
    }

    #[test]
    fn order_names_each_node_once_whatever_the_order_of_input(
        weights in prop::collection::vec(0u16..=3, 0..12),
        point in any::<u64>(),
        shuffle in any::<u64>(),
    ) {
        let mut members: Vec<RingMember> =
            weights.iter().zip(0..).map(|(weight, number)| member(number, *weight)).collect();
        let order: Vec<NodeId> = Ring::coarse(members.clone()).order(Token(point)).collect();
        Seed::from_number(shuffle).rng().shuffle(&mut members);
        let ring = Ring::coarse(members);
        prop_assert_eq!(&order, &ring.order(Token(point)).collect::<Vec<_>>());
        prop_assert_eq!(order.first().copied(), ring.first(Token(point)));
        let distinct: std::collections::BTreeSet<_> = order.iter().collect();
        prop_assert_eq!(distinct.len(), order.len());
        prop_assert_eq!(order.len(), weights.iter().filter(|weight| **weight > 0).count());
    }
}
