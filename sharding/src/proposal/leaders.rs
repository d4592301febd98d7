//! The leader of every shard, one of its replicas.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::shares::{Claim, Room};
use super::voters::Placed;
use crate::ring::RingMember;

/// Chooses one member of every set.
pub(super) fn choose(members: &[RingMember], sets: &[Vec<Placed>]) -> Vec<usize> {
    let mut kept = vec![0; members.len()];
    sets.iter().flatten().for_each(|placed| kept[placed.member] += 1);
    let claims = members.iter().zip(&kept).map(|(member, kept)| Claim {
        weight: u64::from(member.weight),
        least: 0,
        most: *kept,
    });
    let mut choice = Choice {
        sets,
        room: Room::divide(sets.len() as u64, &claims.collect::<Vec<_>>()),
        leaders: vec![None; sets.len()],
        led: vec![BTreeSet::new(); members.len()],
    };
    let mut pairs: Vec<(u64, usize, usize)> = Vec::new();
    for (shard, set) in sets.iter().enumerate() {
        pairs.extend(set.iter().map(|placed| (placed.distance, shard, placed.member)));
    }
    pairs.sort_unstable();
    // What is left over after rounding comes second: taken first, it might be missing where it is needed to
    // give everybody the share that it is guaranteed.
    for take in [Room::take_guaranteed, Room::take] {
        for (_, shard, member) in &pairs {
            if choice.leaders[*shard].is_none() && take(&mut choice.room, *member) {
                choice.lead(*shard, *member);
            }
        }
        (0..sets.len()).for_each(|shard| choice.shift(shard, take));
    }
    (0..sets.len()).for_each(|shard| choice.settle(shard));
    choice.leaders.into_iter().map(|leader| leader.expect("every shard was given a leader")).collect()
}

struct Choice<'a> {
    sets: &'a [Vec<Placed>],
    room: Room,
    leaders: Vec<Option<usize>>,
    /// By member.
    led: Vec<BTreeSet<usize>>,
}

impl Choice<'_> {
    fn lead(&mut self, shard: usize, member: usize) {
        if let Some(former) = self.leaders[shard].replace(member) {
            self.led[former].remove(&shard);
        }
        self.led[member].insert(shard);
    }

    /// Finds a leader for a shard whose replicas all lead their share: the nearest member with room takes a
    /// shard over from another, that one from a third, and so on to a replica of this shard.
    fn shift(&mut self, shard: usize, take: fn(&mut Room, usize) -> bool) {
        if self.leaders[shard].is_some() {
            return;
        }
        // By member, the shard that it would take over.
        let mut takes: BTreeMap<usize, usize> = BTreeMap::new();
        let mut reached: VecDeque<usize> = VecDeque::new();
        let mut reach = |shard: usize, reached: &mut VecDeque<usize>| {
            for placed in &self.sets[shard] {
                takes.entry(placed.member).or_insert_with(|| {
                    reached.push_back(placed.member);
                    shard
                });
            }
        };
        reach(shard, &mut reached);
        let mut found = None;
        while let Some(member) = reached.pop_front() {
            if take(&mut self.room, member) {
                found = Some(member);
                break;
            }
            self.led[member].iter().for_each(|led| reach(*led, &mut reached));
        }
        let Some(mut member) = found else { return };
        loop {
            let taken = takes[&member];
            let former = self.leaders[taken];
            self.lead(taken, member);
            match former {
                Some(former) if taken != shard => member = former,
                Some(_) | None => return,
            }
        }
    }

    /// Weights may ask for what the sets do not allow. Then the load is uneven.
    fn settle(&mut self, shard: usize) {
        if self.leaders[shard].is_none() {
            let least =
                self.sets[shard].iter().map(|placed| (self.led[placed.member].len(), placed.member)).min();
            let (_, member) = least.expect("a shard has a replica");
            self.lead(shard, member);
        }
    }
}
