//! Moves shards between nodes until the table says what the ring proposes.
//!
//! **Problem.** Members come, go, flap and disagree about each other. Each shard should be run by the node
//! that the proposal names, by no other at the same time as long as views agree, and by somebody soon after
//! its leader died.
//!
//! **Design.** Only one node acts on a shard at a time. While its leader lives, that is the leader: it drains
//! the shard and then names its successor, so nobody starts before somebody else has stopped. When the leader
//! is gone, it is the node that the proposal names. Everybody else merely takes in what is said.
//!
//! ```text
//!                  leader gone, proposal names me: epoch + 1
//!   (elsewhere) ───────────────────────────────────────────────► serving ──┐ proposal names another,
//!        ▲      ─────────────────────────────────────────────►   ▲     │   │ or a newer descriptor does
//!        │         a descriptor names me                         │     ▼   │
//!        │                                     taken back: target gone   releasing ◄─┘
//!        └───────────────── Released: epoch + 1, leader = target ────────────┘
//! ```
//!
//! Three delays keep it calm, all in [`Options`]: moves and claims wait until the view has been quiet for a
//! moment, a shard that has just arrived stays for a moment, and a leader that is likely to have moved or to
//! appear is waited for.
//!
//! What gossip loses, anti-entropy repairs: every node compares a hash of its table with a random peer every
//! two seconds, and at once with peers that appear, as all of the other side do when a partition heals.
//!
//! **Deliberately absent.** Agreement. Two nodes whose views differ may both claim a shard; the greater
//! epoch, then the greater leader, wins when they meet. The next layer puts epochs into a replicated log.

mod event;
mod exchange;
mod leaders;
mod moves;

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId, Rng, ShardId};

use crate::ring::RingMember;
use crate::table::{Adopted, Descriptor, ShardTable};
pub use event::{Candidate, Effect, Event};
use exchange::Exchange;
use leaders::Leaders;
use moves::Settling;

/// Shards that a node drains for others at the same time. Draining stops their actors, so a node that gives
/// half of its shards away does so in portions. Further ones wait for a drained one.
pub const MOVES_AT_ONCE: usize = 16;

/// The delays of [`Assignment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long the view must be unchanged before shards of a leader that is gone are claimed, and before a
    /// node that restarts believes that it still leads what the table says. Longer means fewer rival claims,
    /// shorter a faster takeover.
    pub settle_claims: Duration,
    /// How long the view must be unchanged before shards move between living nodes.
    pub settle_moves: Duration,
    /// How long a shard stays where it has just begun to be served. Bounds the rate at which nodes with
    /// different views can pass a shard back and forth.
    pub hold: Duration,
    /// How long a leader is waited for that the table names and that the view has not shown so far, or has
    /// shown draining before it went.
    pub stranger_grace: Duration,
    /// Time between two comparisons of tables with a peer, on average.
    pub summary_period: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settle_claims: Duration::from_millis(50),
            settle_moves: Duration::from_millis(200),
            hold: Duration::from_millis(500),
            stranger_grace: Duration::from_secs(2),
            summary_period: Duration::from_secs(2),
        }
    }
}

/// The machine that decides which shards its node serves.
#[derive(Debug)]
pub struct Assignment {
    me: NodeId,
    options: Options,
    table: Option<ShardTable>,
    candidates: BTreeMap<NodeId, Candidate>,
    /// What the engines of this node run, or still finish. At most one entry for each shard of the table.
    held: BTreeMap<ShardId, Held>,
    leaders: Leaders,
    exchange: Exchange,
    settling: Option<Settling>,
    /// Who should lead what, for the current candidates; `None` until it is computed.
    proposal: Option<BTreeMap<ShardId, NodeId>>,
    drain: Drain,
    review: Review,
    table_changed: bool,
}

/// A shard that this node runs.
#[derive(Clone, Copy, Debug)]
struct Held {
    since: Instant,
    releasing: bool,
}

/// How far this node is with giving everything away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    No,
    Draining,
    Drained,
}

/// When the table has to be compared with the proposal again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Review {
    Now,
    /// Nothing to do before, unless an event says otherwise.
    At(Instant),
    OnEvent,
}

impl Assignment {
    /// Whether every shard is led by the node that the proposal names, as far as this node knows.
    pub fn is_settled(&self) -> bool {
        let (Some(table), Some(proposal)) = (&self.table, &self.proposal) else { return false };
        self.held.values().all(|held| !held.releasing)
            && table.shards().iter().all(|shard| proposal.get(&shard.id).copied() == shard.leader)
    }

    /// The machine of the node `me`, which has no table and knows nobody yet.
    pub fn new(me: NodeId, options: Options, rng: Rng) -> Self {
        let exchange = Exchange::new(options.summary_period, rng);
        let leaders = Leaders::new(options.stranger_grace);
        Self {
            me,
            options,
            table: None,
            candidates: BTreeMap::new(),
            held: BTreeMap::new(),
            leaders,
            exchange,
            settling: None,
            proposal: None,
            drain: Drain::No,
            review: Review::OnEvent,
            table_changed: false,
        }
    }

    /// Takes one event in and appends what has to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Candidates(candidates) => self.candidates_changed(now, candidates, out),
            Event::Table(table) => {
                self.take_in(now, table, out);
            }
            Event::Descriptor(descriptor) => self.adopt(now, descriptor, out),
            Event::Released(shard) => self.released(now, shard, out),
            Event::Summary { from, hash } => self.compare(now, from, hash, out),
            Event::TableFrom { from, table } => self.answer_table(now, from, table, out),
            Event::Drain => self.begin_drain(),
            Event::Tick => {}
        }
        self.review_if_due(now, out);
        self.exchange_if_due(now, out);
        if std::mem::take(&mut self.table_changed) {
            out.push(Effect::TableChanged);
        }
    }

    /// When [`Event::Tick`] has to come at the latest, if nothing else comes before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let review = match self.review {
            Review::At(due) => Some(due),
            Review::Now | Review::OnEvent => None,
        };
        review.into_iter().chain(self.exchange.next_due()).min()
    }

    /// The table, once there is one.
    pub fn table(&self) -> Option<&ShardTable> {
        self.table.as_ref()
    }

    /// Shards whose actors this node runs, by number.
    pub fn serving(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.held.iter().filter(|(_, held)| !held.releasing).map(|(shard, _)| *shard)
    }

    /// Shards that this node has stopped serving and whose running work it still finishes, by number.
    pub fn releasing(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.held.iter().filter(|(_, held)| held.releasing).map(|(shard, _)| *shard)
    }

    fn candidates_changed(&mut self, now: Instant, candidates: Vec<Candidate>, out: &mut Vec<Effect>) {
        let candidates: BTreeMap<NodeId, Candidate> =
            candidates.into_iter().map(|candidate| (candidate.node, candidate)).collect();
        if candidates == self.candidates {
            return;
        }
        let before = std::mem::replace(&mut self.candidates, candidates);
        self.leaders.view_changed(now, &before, &self.candidates);
        self.settling = Some(Settling::restart(self.settling, now, &self.options));
        self.proposal = None;
        self.review = Review::Now;
        let appeared: Vec<NodeId> = self.alive_peers().filter(|peer| !is_alive(&before, peer)).collect();
        self.exchange.view_changed(&self.candidates);
        self.greet(appeared, out);
    }

    /// Takes in a whole table: the first one as it is, later ones entry by entry. Returns whether the other
    /// side knows less.
    fn take_in(&mut self, now: Instant, table: ShardTable, out: &mut Vec<Effect>) -> bool {
        let Some(known) = &mut self.table else {
            self.table = Some(table);
            self.changed();
            self.proposal = None;
            self.settling = Some(Settling::restart(self.settling, now, &self.options));
            return false;
        };
        // A table with other ranges is of no use until ranges can change; it was never ours.
        let merged = known.merge(&table).unwrap_or_default();
        for shard in merged.adopted {
            self.adopted(shard, out);
        }
        merged.other_is_behind
    }

    fn adopt(&mut self, now: Instant, descriptor: Descriptor, out: &mut Vec<Effect>) {
        let Some(table) = &mut self.table else {
            // The table that is on its way contains it, or a comparison will bring it.
            return;
        };
        let (shard, claimant) = (descriptor.shard, descriptor.leader);
        match table.adopt(descriptor) {
            Adopted::Newer => {
                self.adopted(shard, out);
                self.serve_named(now, shard, out);
            }
            Adopted::Stale(known) => self.correct(claimant, known, out),
            Adopted::Known | Adopted::Refused(_) => {}
        }
    }

    /// Tells a node that believes to lead a shard of ours that it does not.
    fn correct(&self, claimant: Option<NodeId>, known: Descriptor, out: &mut Vec<Effect>) {
        let Some(to) = claimant else { return };
        if known.leader == Some(self.me) && to != self.me && is_alive(&self.candidates, &to) {
            out.push(Effect::Tell { to, descriptor: known });
        }
    }

    /// A newer descriptor from elsewhere is in the table.
    fn adopted(&mut self, shard: ShardId, out: &mut Vec<Effect>) {
        self.changed();
        let Some(descriptor) = self.descriptor(shard) else { return };
        let Some(held) = self.held.get_mut(&shard).filter(|held| !held.releasing) else {
            return;
        };
        if descriptor.leader == Some(self.me) {
            out.push(Effect::Serve(descriptor));
        } else {
            held.releasing = true;
            out.push(Effect::Release(shard));
        }
    }

    fn changed(&mut self) {
        self.table_changed = true;
        self.review = Review::Now;
    }

    fn descriptor(&self, shard: ShardId) -> Option<Descriptor> {
        Some(self.table.as_ref()?.shard(shard)?.descriptor())
    }

    fn alive_peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        let alive = self.candidates.values().filter(|candidate| candidate.alive);
        alive.map(|candidate| candidate.node).filter(|node| *node != self.me)
    }

    fn ring_members(&self) -> impl Iterator<Item = RingMember> + '_ {
        let alive = self.candidates.values().filter(|candidate| candidate.alive);
        alive.map(|candidate| {
            let gives_all_away = candidate.node == self.me && self.drain != Drain::No;
            RingMember {
                node: candidate.node,
                weight: if gives_all_away { 0 } else { candidate.weight },
                zone: candidate.zone.clone(),
            }
        })
    }
}

fn is_alive(candidates: &BTreeMap<NodeId, Candidate>, node: &NodeId) -> bool {
    candidates.get(node).is_some_and(|candidate| candidate.alive)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
