//! What the leaders on this node are asked for: the part of [`Placement`] that works towards the proposal.

use std::collections::BTreeSet;
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId, ShardId};

use super::goals::Goal;
use super::{Drain, Effect, Placement, Review, is_alive};
use crate::table::Shard;

/// A view that keeps changing is acted upon after this many times the delay, settled or not.
const SETTLE_PATIENCE: u32 = 5;

/// What has not been reached is asked for again after this time: the replica may have given up when a
/// transfer failed.
const REPEAT_AFTER: Duration = Duration::from_secs(1);

/// A shard that has been under way for so long no longer keeps others from moving: it copies much, or a node
/// that looks alive is not.
const MOVE_PATIENCE: Duration = Duration::from_secs(60);

/// Until when the view is too young to act upon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settling {
    first_change: Instant,
    until: Instant,
}

impl Settling {
    /// After one more change of the view.
    pub(super) fn restart(current: Option<Self>, now: Instant, delay: Duration) -> Self {
        let first_change =
            current.filter(|settling| settling.until > now).map_or(now, |settling| settling.first_change);
        Self { first_change, until: (now + delay).min(first_change + delay * SETTLE_PATIENCE) }
    }
}

/// What the leader of a shard was asked for.
#[derive(Clone, Debug)]
pub(super) struct Order {
    goal: Goal,
    /// When the shard's turn came.
    since: Instant,
    repeat: Instant,
}

impl Placement {
    /// Compares the table with the proposal and tells the local leaders about the difference.
    pub(super) fn review_if_due(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let due = match self.review {
            Review::Now => true,
            Review::At(due) => due <= now,
            Review::OnEvent => false,
        };
        if !due {
            return;
        }
        self.review = Review::OnEvent;
        if self.table.is_none() || !is_alive(&self.candidates, &self.me) {
            self.proposal = None;
            self.orders.clear();
            return;
        }
        let led = self.led();
        let voters: BTreeSet<NodeId> = led.iter().flat_map(|shard| shard.replicas.iter().copied()).collect();
        self.absences.watch(now, &voters, &self.candidates);
        self.refresh_proposal(now);
        if let Some(until) = self.absences.next_due(now) {
            self.review_at(until);
        }
        self.orders.retain(|shard, _| led.iter().any(|own| own.id == *shard));
        self.give_orders(now, &led, out);
    }

    /// The shards that a local replica leads, and nobody says that another one does.
    fn led(&self) -> Vec<Shard> {
        let shards = self.own.keys().filter_map(|shard| self.table.as_ref()?.shard(*shard));
        let undisputed = |shard: &&Shard| shard.leader == Some(self.me) && !self.disputes.is_open(shard.id);
        shards.filter(undisputed).cloned().collect()
    }

    fn give_orders(&mut self, now: Instant, led: &[Shard], out: &mut Vec<Effect>) {
        let settled = self.drain != Drain::No || self.settling.is_none_or(|settling| settling.until <= now);
        let mut waiting: Vec<(usize, ShardId, Goal)> = Vec::new();
        for shard in led {
            let Some(goal) = self.goal(shard) else { continue };
            let reached = goal.voters == shard.replicas && goal.leader == self.me;
            match self.orders.get(&shard.id) {
                Some(order) if order.goal == goal => {
                    if reached {
                        self.orders.remove(&shard.id);
                    } else if order.repeat <= now {
                        self.order(now, shard.id, goal, out);
                    }
                }
                Some(_) if settled => {
                    self.order(now, shard.id, goal, out);
                    if reached {
                        self.orders.remove(&shard.id);
                    }
                }
                None if !reached => {
                    let alive = |voter: &&NodeId| is_alive(&self.candidates, voter);
                    waiting.push((shard.replicas.iter().filter(alive).count(), shard.id, goal));
                }
                Some(_) | None => {}
            }
        }
        if settled {
            self.begin(now, waiting, out);
        } else if let Some(settling) = self.settling {
            self.review_at(settling.until);
        }
        if let Some(repeat) = self.orders.values().map(|order| order.repeat).filter(|due| *due > now).min() {
            self.review_at(repeat);
        }
    }

    /// Lets shards begin to move as far as the limit allows, those with the fewest living replicas first.
    fn begin(&mut self, now: Instant, mut waiting: Vec<(usize, ShardId, Goal)>, out: &mut Vec<Effect>) {
        waiting.sort_unstable_by_key(|(alive, shard, _)| (*alive, *shard));
        let patience_ends = self.orders.values().map(|order| order.since + MOVE_PATIENCE);
        let under_way: Vec<Instant> = patience_ends.filter(|due| *due > now).collect();
        let room = self.options.moves_at_once.max(1).saturating_sub(under_way.len());
        let next_room = under_way.into_iter().min().filter(|_| waiting.len() > room);
        for (_, shard, goal) in waiting.into_iter().take(room) {
            self.order(now, shard, goal, out);
        }
        if let Some(due) = next_room {
            self.review_at(due);
        }
    }

    fn order(&mut self, now: Instant, shard: ShardId, goal: Goal, out: &mut Vec<Effect>) {
        out.push(Effect::Want { shard, voters: goal.voters.clone(), leader: goal.leader });
        let since = self.orders.get(&shard).map_or(now, |order| order.since);
        self.orders.insert(shard, Order { goal, since, repeat: now + REPEAT_AFTER });
    }

    fn review_at(&mut self, due: Instant) {
        self.review = match self.review {
            Review::Now => Review::Now,
            Review::At(earlier) => Review::At(earlier.min(due)),
            Review::OnEvent => Review::At(due),
        };
    }
}
