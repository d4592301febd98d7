//! Claiming, handing over, draining: the part of [`Assignment`] that changes the table.

use std::collections::{BTreeMap, BTreeSet};

use gritmesh_runtime::{Epoch, Instant, NodeId, ShardId};

use super::leaders::Presence;
use super::{Assignment, Drain, Effect, Held, MOVES_AT_ONCE, Options, Review, is_alive};
use crate::proposal::propose;
use crate::table::{Adopted, Descriptor, Shard};

/// A view that keeps changing is acted upon after this many times the delay, settled or not.
const SETTLE_PATIENCE: u32 = 5;

/// Until when the view is too young to act upon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settling {
    first_change: Instant,
    claims: Instant,
    moves: Instant,
}

impl Settling {
    /// After one more change of the view.
    pub(super) fn restart(current: Option<Self>, now: Instant, options: &Options) -> Self {
        let first_change =
            current.filter(|settling| settling.moves > now).map_or(now, |settling| settling.first_change);
        let delayed = |delay| (now + delay).min(first_change + delay * SETTLE_PATIENCE);
        Self { first_change, claims: delayed(options.settle_claims), moves: delayed(options.settle_moves) }
    }
}

impl Assignment {
    pub(super) fn begin_drain(&mut self) {
        if self.drain == Drain::No {
            self.drain = Drain::Draining;
            self.proposal = None;
            self.review = Review::Now;
        }
    }

    /// Compares the table with the proposal and does what this node has to do about the difference.
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
        if self.table.is_some() && is_alive(&self.candidates, &self.me) {
            self.refresh_proposal();
            self.watch_leaders(now, out);
            self.serve_own(now, out);
            self.claim_abandoned(now, out);
            self.release_misplaced(now, out);
        } else {
            self.leaders.clear();
        }
        self.finish_drain(out);
    }

    /// The engine has drained a shard: names the successor, or takes the shard back if there is none any
    /// more.
    pub(super) fn released(&mut self, now: Instant, shard: ShardId, out: &mut Vec<Effect>) {
        if !self.held.get(&shard).is_some_and(|held| held.releasing) {
            return;
        }
        self.held.remove(&shard);
        self.review = Review::Now;
        let Some(descriptor) = self.descriptor(shard).filter(|known| known.leader == Some(self.me)) else {
            return;
        };
        self.refresh_proposal();
        match self.proposed(shard).filter(|target| *target != self.me) {
            None => self.serve(now, descriptor, out),
            Some(to) => {
                let Some(descriptor) = self.succeed(shard, to) else { return };
                out.push(Effect::Tell { to, descriptor: descriptor.clone() });
                out.push(Effect::Broadcast(descriptor));
            }
        }
    }

    /// Runs what somebody has just said is ours: handed over by its leader, or expected of us by a caller.
    pub(super) fn serve_named(&mut self, now: Instant, shard: ShardId, out: &mut Vec<Effect>) {
        let named = self.descriptor(shard).filter(|descriptor| descriptor.leader == Some(self.me));
        let may = is_alive(&self.candidates, &self.me) && !self.held.contains_key(&shard);
        if let Some(descriptor) = named.filter(|_| may) {
            self.serve(now, descriptor, out);
        }
    }

    /// Runs what the table says is ours, as after a restart. A young table may be an old one: the peers that
    /// were greeted are given the time to correct it.
    fn serve_own(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let me = self.me;
        let own = self.select(|shard, held| shard.leader == Some(me) && held.is_none());
        match self.claims_settle(now) {
            Some(due) if !own.is_empty() => self.review_at(due),
            Some(_) => {}
            None => own.into_iter().for_each(|shard| self.serve_named(now, shard, out)),
        }
    }

    fn claim_abandoned(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let orphans = self.select(|shard, held| {
            held.is_none() && self.proposed(shard.id) == Some(self.me) && shard.leader != Some(self.me)
        });
        for shard in orphans {
            let leader = self.descriptor(shard).and_then(|descriptor| descriptor.leader);
            match self.leaders.presence(now, leader) {
                Presence::Alive => {}
                Presence::Awaited(due) => self.review_at(due),
                Presence::Gone => {
                    if let Some(due) = self.settling.map(|settling| settling.claims).filter(|due| *due > now)
                    {
                        self.review_at(due);
                        continue;
                    }
                    let Some(descriptor) = self.succeed(shard, self.me) else { continue };
                    self.serve(now, descriptor.clone(), out);
                    out.push(Effect::Broadcast(descriptor));
                }
            }
        }
    }

    fn release_misplaced(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let misplaced = self.select(|shard, held| {
            let serving = held.is_some_and(|held| !held.releasing);
            serving && self.proposed(shard.id).is_some_and(|target| target != self.me)
        });
        let mut moves = self
            .select(|shard, held| shard.leader == Some(self.me) && held.is_some_and(|held| held.releasing));
        for shard in misplaced {
            let Some(held) = self.held.get(&shard).copied() else { continue };
            let settled = self.settling.map_or(Instant::ZERO, |settling| settling.moves);
            let due = match self.drain {
                Drain::No => settled.max(held.since + self.options.hold),
                Drain::Draining | Drain::Drained => now,
            };
            if due > now {
                self.review_at(due);
            } else if moves.len() < MOVES_AT_ONCE {
                moves.push(shard);
                self.held.insert(shard, Held { releasing: true, ..held });
                out.push(Effect::Release(shard));
            }
        }
    }

    fn finish_drain(&mut self, out: &mut Vec<Effect>) {
        let nobody_else = self.proposal.as_ref().is_none_or(BTreeMap::is_empty);
        let releasing = self.held.values().any(|held| held.releasing);
        if self.drain == Drain::Draining && !releasing && (self.held.is_empty() || nobody_else) {
            self.drain = Drain::Drained;
            out.push(Effect::Drained);
        }
    }

    fn serve(&mut self, now: Instant, descriptor: Descriptor, out: &mut Vec<Effect>) {
        self.held.insert(descriptor.shard, Held { since: now, releasing: false });
        out.push(Effect::Serve(descriptor));
    }

    /// Writes the next epoch of a shard into the table.
    fn succeed(&mut self, shard: ShardId, leader: NodeId) -> Option<Descriptor> {
        let table = self.table.as_mut()?;
        let epoch = Epoch(table.shard(shard)?.epoch.0 + 1);
        let descriptor = Descriptor::led_by(shard, epoch, leader);
        let adopted = table.adopt(descriptor.clone());
        self.table_changed |= adopted == Adopted::Newer;
        (adopted == Adopted::Newer).then_some(descriptor)
    }

    fn refresh_proposal(&mut self) {
        if let (None, Some(table)) = (&self.proposal, &self.table) {
            let shards = table.shards().iter().map(|shard| (shard.id, shard.start));
            self.proposal = Some(propose(shards, self.ring_members()));
        }
    }

    fn proposed(&self, shard: ShardId) -> Option<NodeId> {
        self.proposal.as_ref()?.get(&shard).copied()
    }

    /// Keeps an eye on leaders that do not live. One that may yet turn up is asked for: others know more, if
    /// anybody does.
    fn watch_leaders(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let shards = self.table.iter().flat_map(|table| table.shards());
        let leaders: BTreeSet<NodeId> = shards.filter_map(|shard| shard.leader).collect();
        if self.leaders.watch(now, &leaders, &self.candidates) {
            self.greet(self.alive_peers().collect(), out);
        }
    }

    /// Until when nothing may be taken; `None` once the view has settled.
    fn claims_settle(&self, now: Instant) -> Option<Instant> {
        self.settling.map(|settling| settling.claims).filter(|due| *due > now)
    }

    /// Numbers of the shards that a condition holds for.
    fn select(&self, condition: impl Fn(&Shard, Option<&Held>) -> bool) -> Vec<ShardId> {
        let shards = self.table.iter().flat_map(|table| table.shards());
        shards.filter(|shard| condition(shard, self.held.get(&shard.id))).map(|shard| shard.id).collect()
    }

    fn review_at(&mut self, due: Instant) {
        self.review = match self.review {
            Review::Now => Review::Now,
            Review::At(earlier) => Review::At(earlier.min(due)),
            Review::OnEvent => Review::At(due),
        };
    }
}
