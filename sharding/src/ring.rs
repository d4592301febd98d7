//! The order of nodes for a point: consistent hashing with virtual nodes.
//!
//! **Problem.** A point must map to a node so that all nodes and all builds agree, shares follow the weights,
//! and a node that comes or goes changes only its own share.
//!
//! **Design.** Every member owns points on a circle of 64 bits, as many as its weight asks for; a point
//! belongs to the member whose next point follows clockwise. `hashring` keeps the circle. It is fed ready
//! positions, words of the BLAKE3 stream of the node's key, through a hasher that passes them on, because
//! what `derive(Hash)` feeds to a hasher may change between compilers. The positions of a member with fewer
//! points are a prefix of those it has with more.
//!
//! **How many points.** The share of a member with `v` points spreads by about `1/sqrt(v)` around its fair
//! share. The worst of 50 members must stay within 10 % for every set of keys, about five standard
//! deviations, which needs `v` of about 2,500: the worst node of 150 such rings was off by 7.5 %. 50 members
//! are built in 5 ms, 1,000 in 120 ms and 60 MB. Whole shards are spread by [`propose_replicas`](crate::propose_replicas),
//! which counts them and so needs no such precision: it walks a ring with a fortieth of the points.
//!
//! **Deliberately absent.** Adding to and removing from a ring: it is rebuilt, which is cheap, and cannot
//! drift.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};

use gritmesh_runtime::{NodeId, Token};
use hashring::HashRing;

/// Points on the ring per unit of weight: enough that the worst of 50 equal members is within 10 % of its
/// fair share.
pub const VIRTUAL_NODES_PER_WEIGHT: u32 = 2560;

/// The same for rings that only have to give an order: where loads are counted, chance need not balance them.
const VIRTUAL_NODES_PER_WEIGHT_COARSE: u32 = 64;

/// Up to this weight a unit is worth [`VIRTUAL_NODES_PER_WEIGHT`] points. Where the heaviest member has more,
/// all counts are halved until it fits, so that weights of 100 and 200 do not cost a hundred times what 1 and
/// 2 do.
const WEIGHT_UNSCALED_MAX: u16 = 4;

/// Most points on one ring, about 100 MB. Beyond it all counts are halved as well: shares become less even.
pub const VIRTUAL_NODES_MAX: usize = 1 << 22;

/// A node as the ring sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingMember {
    /// The node.
    pub node: NodeId,
    /// Its share relative to the other members'; 0 takes nothing.
    pub weight: u16,
    /// Its failure zone; members that name none form one zone together.
    pub zone: String,
}

/// An immutable ring.
#[derive(Clone, Debug)]
pub struct Ring {
    members: Vec<RingMember>,
    circle: HashRing<VirtualNode, Positions>,
}

impl Ring {
    /// The ring of these members, in whatever order they come. Of two entries for one node the heavier
    /// counts.
    pub fn new(members: impl IntoIterator<Item = RingMember>) -> Self {
        Self::with_density(members, VIRTUAL_NODES_PER_WEIGHT)
    }

    /// A ring that is built forty times as fast and whose shares are less even.
    pub(crate) fn coarse(members: impl IntoIterator<Item = RingMember>) -> Self {
        Self::with_density(members, VIRTUAL_NODES_PER_WEIGHT_COARSE)
    }

    fn with_density(members: impl IntoIterator<Item = RingMember>, per_weight: u32) -> Self {
        let members = distinct(members);
        let shift = halvings(&members, per_weight);
        let mut points: Vec<VirtualNode> = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let count = virtual_nodes(member.weight, per_weight, shift);
            let member = index as u32;
            points.extend(
                positions(member_stream(&members[index]), count).map(|at| VirtualNode { at, member }),
            );
        }
        // Two members on one position would make the circle's search ambiguous: the smaller key keeps it.
        points.sort_unstable_by_key(|point| (point.at, point.member));
        points.dedup_by_key(|point| point.at);
        let mut circle = HashRing::with_hasher(Positions);
        circle.batch_add(points);
        Self { members, circle }
    }

    /// The members that take part, by key.
    pub fn members(&self) -> &[RingMember] {
        &self.members
    }

    /// The node that a point belongs to; `None` if no member has a weight.
    pub fn first(&self, point: Token) -> Option<NodeId> {
        self.at_or_after(point.0).map(|found| self.members[found.member as usize].node)
    }

    /// All nodes, each once, clockwise from a point.
    pub fn order(&self, point: Token) -> impl Iterator<Item = NodeId> + '_ {
        self.members_from(point).map(|member| member.node)
    }

    /// Up to `count` nodes for the copies of what lies at a point: clockwise, first one of each zone, then
    /// the remaining ones. The first of them is [`Self::first`].
    pub fn replicas(&self, point: Token, count: usize) -> Vec<NodeId> {
        let zones = self.members.iter().map(|member| member.zone.as_str());
        let zones = zones.collect::<std::collections::BTreeSet<&str>>().len();
        let mut chosen: Vec<&RingMember> = Vec::new();
        let mut passed: Vec<&RingMember> = Vec::new();
        for member in self.members_from(point) {
            if chosen.len() == count || (chosen.len() == zones && chosen.len() + passed.len() >= count) {
                break;
            }
            let zone_is_new = chosen.iter().all(|other| other.zone != member.zone);
            if zone_is_new { chosen.push(member) } else { passed.push(member) }
        }
        chosen.into_iter().chain(passed).take(count).map(|member| member.node).collect()
    }

    /// The points clockwise from a position, with their distance from it and the index of their member.
    pub(crate) fn walk(&self, from: Token) -> Walk<'_> {
        Walk { ring: self, from: from.0, next: from.0, left: self.circle.len() }
    }

    fn members_from(&self, point: Token) -> impl Iterator<Item = &RingMember> {
        let mut seen = vec![false; self.members.len()];
        let mut left = self.members.len();
        let mut walk = self.walk(point);
        std::iter::from_fn(move || {
            while left > 0 {
                let (_, member) = walk.next()?;
                if !std::mem::replace(&mut seen[member], true) {
                    left -= 1;
                    return Some(&self.members[member]);
                }
            }
            None
        })
    }

    fn at_or_after(&self, position: u64) -> Option<&VirtualNode> {
        self.circle.get(&position)
    }
}

/// See [`Ring::walk`].
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    ring: &'a Ring,
    from: u64,
    next: u64,
    left: usize,
}

impl Iterator for Walk<'_> {
    type Item = (u64, usize);

    fn next(&mut self) -> Option<(u64, usize)> {
        self.left = self.left.checked_sub(1)?;
        let found = self.ring.at_or_after(self.next)?;
        self.next = found.at.wrapping_add(1);
        Some((found.at.wrapping_sub(self.from), found.member as usize))
    }
}

/// Members with a weight, sorted, each node once.
fn distinct(members: impl IntoIterator<Item = RingMember>) -> Vec<RingMember> {
    let mut sorted: Vec<RingMember> = members.into_iter().filter(|member| member.weight > 0).collect();
    sorted.sort_unstable();
    let by_node: BTreeMap<NodeId, RingMember> =
        sorted.into_iter().map(|member| (member.node, member)).collect();
    by_node.into_values().collect()
}

fn halvings(members: &[RingMember], per_weight: u32) -> u32 {
    let heaviest = members.iter().map(|member| member.weight).max().unwrap_or(0);
    let fits = |shift: u32| {
        let total: usize = members.iter().map(|member| virtual_nodes(member.weight, per_weight, shift)).sum();
        heaviest >> shift <= WEIGHT_UNSCALED_MAX && total <= VIRTUAL_NODES_MAX
    };
    (0..u16::BITS - 1).find(|shift| fits(*shift)).unwrap_or(u16::BITS - 1)
}

fn virtual_nodes(weight: u16, per_weight: u32, shift: u32) -> usize {
    ((u32::from(weight) * per_weight) >> shift).max(1) as usize
}

fn member_stream(member: &RingMember) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_derive_key("gritmesh 2026 ring positions");
    hasher.update(&member.node.0);
    hasher.finalize_xof()
}

fn positions(mut stream: blake3::OutputReader, count: usize) -> impl Iterator<Item = u64> {
    let mut bytes = vec![0; count * 8];
    stream.fill(&mut bytes);
    (0..count).map(move |index| {
        let word = bytes[index * 8..index * 8 + 8].try_into().expect("the slice has eight bytes");
        u64::from_le_bytes(word)
    })
}

#[derive(Clone, Copy, Debug)]
struct VirtualNode {
    at: u64,
    member: u32,
}

impl Hash for VirtualNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.at);
    }
}

/// Hashes a position to itself.
#[derive(Clone, Copy, Debug)]
struct Positions;

impl BuildHasher for Positions {
    type Hasher = Position;

    fn build_hasher(&self) -> Position {
        Position(0)
    }
}

#[derive(Debug)]
struct Position(u64);

impl Hasher for Position {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a position is hashed as one u64");
    }

    fn write_u64(&mut self, position: u64) {
        self.0 = position;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
