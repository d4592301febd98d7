//! The nodes of every shard.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use gritmesh_runtime::Token;

use super::shares::{Claim, Room, apportion};
use crate::ring::{Ring, RingMember};

/// A member that keeps a shard, and how far from the shard it was met on the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) distance: u64,
    pub(super) member: usize,
}

/// Chooses `replication` members for each of the shards that start at these points. There are as many.
pub(super) fn place(ring: &Ring, starts: &[Token], replication: usize) -> Vec<Vec<Placed>> {
    let zones = Zones::new(ring.members(), replication);
    let room = zones.room(ring.members(), starts.len() as u64);
    let mut placing = Placing { zones: &zones, room, sets: vec![Vec::new(); starts.len()] };
    let mut walks: Vec<_> = starts.iter().map(|start| ring.walk(*start)).collect();
    for _ in 0..replication {
        let mut nearest = BinaryHeap::new();
        let mut stuck = Vec::new();
        let mut meet = |shard: usize, nearest: &mut BinaryHeap<_>| match walks[shard].next() {
            Some((distance, member)) => nearest.push(Reverse((distance, shard, member))),
            None => stuck.push(shard),
        };
        (0..starts.len()).for_each(|shard| meet(shard, &mut nearest));
        while let Some(Reverse((distance, shard, member))) = nearest.pop() {
            if !placing.accept(shard, Placed { distance, member }) {
                meet(shard, &mut nearest);
            }
        }
        stuck.into_iter().for_each(|shard| placing.unstick(shard));
    }
    placing.sets
}

/// How the replicas of one shard are spread over zones: as evenly as their sizes allow.
struct Zones {
    /// The zone of each member.
    of: Vec<usize>,
    sizes: Vec<usize>,
    weights: Vec<u64>,
    /// Every zone keeps this many of each shard, or as many as it has members.
    base: usize,
    /// Of each shard there are so many replicas more, in different zones.
    extras: usize,
}

impl Zones {
    fn new(members: &[RingMember], replication: usize) -> Self {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for member in members {
            let next = numbers.len();
            numbers.entry(&member.zone).or_insert(next);
        }
        let of: Vec<usize> = members.iter().map(|member| numbers[member.zone.as_str()]).collect();
        let (mut sizes, mut weights) = (vec![0; numbers.len()], vec![0; numbers.len()]);
        for (member, zone) in members.iter().zip(&of) {
            sizes[*zone] += 1;
            weights[*zone] += u64::from(member.weight);
        }
        let filled = |level: usize| sizes.iter().map(|size| level.min(*size)).sum::<usize>();
        let base = (0..replication).rev().find(|level| filled(*level) < replication);
        let base = base.expect("level 0 fills nothing, and at least one replica is wanted");
        Self { of, extras: replication - filled(base), base, sizes, weights }
    }

    /// How many replicas each member may take.
    fn room(&self, members: &[RingMember], shards: u64) -> Vec<Room> {
        let claims = self.sizes.iter().zip(&self.weights).map(|(size, weight)| Claim {
            weight: *weight,
            least: shards * self.base.min(*size) as u64,
            most: shards * (self.base + 1).min(*size) as u64,
        });
        let replicas: usize = self.sizes.iter().map(|size| self.base.min(*size)).sum::<usize>() + self.extras;
        let totals = apportion(shards * replicas as u64, &claims.collect::<Vec<_>>());
        let room_of = |(zone, total): (usize, u64)| {
            let claim = |(member, of): (&RingMember, &usize)| {
                let inside = *of == zone;
                Claim {
                    weight: if inside { u64::from(member.weight) } else { 0 },
                    least: 0,
                    most: if inside { shards } else { 0 },
                }
            };
            Room::divide(total, &members.iter().zip(&self.of).map(claim).collect::<Vec<_>>())
        };
        totals.into_iter().enumerate().map(room_of).collect()
    }
}

struct Placing<'a> {
    zones: &'a Zones,
    /// By zone, for all members.
    room: Vec<Room>,
    sets: Vec<Vec<Placed>>,
}

impl Placing<'_> {
    fn accept(&mut self, shard: usize, placed: Placed) -> bool {
        let accepts = suits(self.zones, &self.sets[shard], placed.member)
            && self.room[self.zones.of[placed.member]].take(placed.member);
        if accepts {
            self.sets[shard].push(placed);
        }
        accepts
    }

    /// Finds a replica for a shard that no member with room suits: another shard passes one of its own on
    /// and takes the member with room instead. Where even that fails, balance gives way.
    fn unstick(&mut self, shard: usize) {
        let members = 0..self.zones.of.len();
        let free = members.clone().filter(|member| self.room[self.zones.of[*member]].has(*member));
        for member in free {
            if let Some((giver, place)) = self.swap(shard, member) {
                let taken = self.room[self.zones.of[member]].take(member);
                assert!(taken, "the member had room");
                let given = std::mem::replace(&mut self.sets[giver][place], far(member));
                self.sets[shard].push(far(given.member));
                return;
            }
        }
        let set = &self.sets[shard];
        let absent = members.filter(|member| set.iter().all(|placed| placed.member != *member));
        // A zone may have more of this shard than it should, rather than the shard too few replicas.
        let worst = |member: &usize| (!suits(self.zones, set, *member), self.load(*member), *member);
        let chosen = absent.min_by_key(worst).expect("there are as many members as replicas");
        self.sets[shard].push(far(chosen));
    }

    /// A shard, and the place of a replica in it, that can take `member` and give that replica to `shard`.
    fn swap(&self, shard: usize, member: usize) -> Option<(usize, usize)> {
        (0..self.sets.len()).filter(|giver| *giver != shard).find_map(|giver| {
            let fits = |place: &usize| {
                let mut others = self.sets[giver].clone();
                let given = others.remove(*place);
                suits(self.zones, &others, member) && suits(self.zones, &self.sets[shard], given.member)
            };
            (0..self.sets[giver].len()).rev().find(fits).map(|place| (giver, place))
        })
    }

    fn load(&self, member: usize) -> usize {
        self.sets.iter().flatten().filter(|placed| placed.member == member).count()
    }
}

fn far(member: usize) -> Placed {
    Placed { distance: u64::MAX, member }
}

/// Whether a shard with this set may take the member without leaving the spread over zones.
fn suits(zones: &Zones, set: &[Placed], member: usize) -> bool {
    if set.iter().any(|placed| placed.member == member) {
        return false;
    }
    let zone_of = |placed: &Placed| zones.of[placed.member];
    let inside = |zone: usize, of: &[Placed]| of.iter().filter(|placed| zone_of(placed) == zone).count();
    let own = inside(zones.of[member], set);
    let is_extra = |place: &usize| inside(zone_of(&set[*place]), &set[..*place]) >= zones.base;
    own < zones.base || (own == zones.base && (0..set.len()).filter(is_extra).count() < zones.extras)
}
