//! Spreads what is known of the shards and tells their leaders where they should be.
//!
//! **Problem.** Members come, go, flap and disagree about each other. Every node should know soon who leads
//! which shard, and every shard should be kept and led by the nodes that the ring proposes, without anybody
//! who decides for all.
//!
//! **Design.** Who keeps and who leads a shard is decided by the shard's own log, through its quorum. This
//! machine only does what is left around that, on every node alike:
//!
//! * It keeps the [`ShardTable`]: what a local replica reports about its shard is taken in and broadcast, what
//!   others say is taken in if it is newer. What gossip loses, anti-entropy repairs: every node compares a
//!   hash of its table with a random peer every two seconds, and at once with peers that appear.
//! * What a local leader says of its shard is first-hand: no word of others overrules it. Others may be right all the
//!   same, for a moment; a leader that is still one after that contradicts them with a greater term, which everybody
//!   believes.
//! * For the shards that are led here it compares the table with the proposal, and asks the leader to move
//!   towards it. Only a leader asks, and only itself, so views that differ cost detours and nothing else.
//!
//! ```text
//!   Candidates ─► proposal ─┐
//!                           ├─► goal of each shard led here ─► Want ─► replica ─┐
//!   Own, gossip ─► table ───┘                                                   │ voters change,
//!        ▲                                                                      │ another one leads
//!        └────────────────────────────── Own, Lost ◄────────────────────────────┘
//! ```
//!
//! **When a node dies** its shards elect other leaders at once, but it stays a voter: it may be back in a
//! moment, and a copy of its data is expensive. After [`Options::replace_after`] another node takes its place,
//! if there is one. Deaths never make a set of voters smaller, since fewer voters only lower what the shard
//! survives; a node that drains or has left is let go.
//!
//! **Deliberately absent.** Truth, and knowledge of how a replica gets where it is wanted.

mod absences;
mod event;
mod exchange;
mod goals;
mod hearsay;
mod orders;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId, Rng, ShardId};

use crate::table::{Descriptor, ShardTable};
use absences::Absences;
pub use event::{Candidate, Effect, Event};
use exchange::Exchange;
use goals::Proposal;
pub use goals::{Missing, Move};
use hearsay::Disputes;
use orders::{Order, Settling};

/// Shards that a leader moves at the same time. Each may copy its whole state to another node, so a node that
/// gives half of its shards away does so in portions. Further ones wait for their turn.
pub const MOVES_AT_ONCE: usize = 16;

/// Voters that a shard should have: the fewest that survive the loss of one.
pub const REPLICATION_DEFAULT: usize = 3;

/// What an operator may tune about [`Placement`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Voters of each shard, as soon as there are enough nodes.
    pub replication: usize,
    /// How long the view must be unchanged before shards move between living nodes.
    pub settle_moves: Duration,
    /// How long a node must be down, as seen from here, before others replace it.
    pub replace_after: Duration,
    /// Time between two comparisons of tables with a peer, on average.
    pub summary_period: Duration,
    /// Shards that this node moves at the same time.
    pub moves_at_once: usize,
    /// A bug to have on purpose, for tests of the checkers: leaders let others say what they like about their shards.
    #[doc(hidden)]
    pub never_contradicts: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replication: REPLICATION_DEFAULT,
            settle_moves: Duration::from_millis(200),
            replace_after: Duration::from_secs(30),
            summary_period: Duration::from_secs(2),
            moves_at_once: MOVES_AT_ONCE,
            never_contradicts: false,
        }
    }
}

/// The machine that knows where every shard is and where it should be.
#[derive(Debug)]
pub struct Placement {
    me: NodeId,
    options: Options,
    table: Option<ShardTable>,
    candidates: BTreeMap<NodeId, Candidate>,
    absences: Absences,
    /// What the local replicas that lead have said of themselves. At most one for each shard of the table.
    own: BTreeMap<ShardId, Descriptor>,
    disputes: Disputes,
    /// Shards of which there is a local replica.
    held: BTreeSet<ShardId>,
    /// What the local leaders were asked for and have not reached yet.
    orders: BTreeMap<ShardId, Order>,
    exchange: Exchange,
    settling: Option<Settling>,
    /// Where everything should be, for the current candidates; `None` until it is computed.
    proposal: Option<Proposal>,
    drain: Drain,
    review: Review,
    table_changed: bool,
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

impl Placement {
    /// The machine of the node `me`, which has no table and knows nobody yet.
    pub fn new(me: NodeId, options: Options, rng: Rng) -> Self {
        let exchange = Exchange::new(options.summary_period, rng);
        let absences = Absences::new(options.replace_after);
        Self {
            me,
            options,
            table: None,
            candidates: BTreeMap::new(),
            absences,
            own: BTreeMap::new(),
            disputes: Disputes::default(),
            held: BTreeSet::new(),
            orders: BTreeMap::new(),
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
            Event::Own(descriptor) => self.take_in_own(now, descriptor, out),
            Event::Lost(shard) => self.lost(shard),
            Event::Holds { shard, holds: true } => {
                self.held.insert(shard);
            }
            Event::Holds { shard, holds: false } => {
                self.held.remove(&shard);
            }
            Event::Summary { from, hash } => self.compare(now, from, hash, out),
            Event::TableFrom { from, table } => self.answer_table(now, from, table, out),
            Event::Drain => self.begin_drain(),
            Event::Undrain => self.end_drain(),
            Event::Tick => {}
        }
        self.contradict(now, out);
        self.review_if_due(now, out);
        self.finish_drain(out);
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
        review.into_iter().chain(self.exchange.next_due()).chain(self.disputes.next_due()).min()
    }

    /// The table, once there is one.
    pub fn table(&self) -> Option<&ShardTable> {
        self.table.as_ref()
    }

    fn candidates_changed(&mut self, now: Instant, candidates: Vec<Candidate>, out: &mut Vec<Effect>) {
        let candidates: BTreeMap<NodeId, Candidate> =
            candidates.into_iter().map(|candidate| (candidate.node, candidate)).collect();
        if candidates == self.candidates {
            return;
        }
        let before = std::mem::replace(&mut self.candidates, candidates);
        self.absences.view_changed(now, &before, &self.candidates);
        self.settling = Some(Settling::restart(self.settling, now, self.options.settle_moves));
        self.proposal = None;
        self.review = Review::Now;
        let appeared: Vec<NodeId> = self.alive_peers().filter(|peer| !is_alive(&before, peer)).collect();
        self.exchange.view_changed(&self.candidates);
        self.greet(appeared, out);
    }

    fn begin_drain(&mut self) {
        if self.drain == Drain::No {
            self.drain = Drain::Draining;
            self.proposal = None;
            self.review = Review::Now;
        }
    }

    fn end_drain(&mut self) {
        if self.drain != Drain::No {
            self.drain = Drain::No;
            self.proposal = None;
            self.review = Review::Now;
        }
    }

    fn finish_drain(&mut self, out: &mut Vec<Effect>) {
        let takes =
            |candidate: &Candidate| candidate.alive && candidate.weight > 0 && candidate.node != self.me;
        let empty = self.held.is_empty() && self.own.is_empty();
        if self.drain == Drain::Draining && (empty || !self.candidates.values().any(takes)) {
            self.drain = Drain::Drained;
            out.push(Effect::Drained);
        }
    }

    fn changed(&mut self) {
        self.table_changed = true;
        self.review = Review::Now;
    }

    fn alive_peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        let alive = self.candidates.values().filter(|candidate| candidate.alive);
        alive.map(|candidate| candidate.node).filter(|node| *node != self.me)
    }
}

fn is_alive(candidates: &BTreeMap<NodeId, Candidate>, node: &NodeId) -> bool {
    candidates.get(node).is_some_and(|candidate| candidate.alive)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
