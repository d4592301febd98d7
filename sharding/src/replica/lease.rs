//! Who may lead, in time: promises of followers, and the lease that a leader may read off them.
//!
//! **Problem.** A leader that was cut off does not know that there is another one. It must have stopped serving
//! before that one can start, though no two clocks agree.
//!
//! **Design.** Whoever hears from its leader promises neither to vote nor to stand for one election timeout, by its
//! own clock. The leader numbers its heartbeat rounds and remembers when it sent each; as soon as a majority has
//! answered a round, it holds the lease for one election timeout, less the drift of clocks, *from when the round
//! was sent*, which is before any of the promises was made. A restarted replica has forgotten what it promised, so
//! it promises again. A transfer of leadership overrides promises; the leader gives up the lease for it, and all
//! rounds up to then. Whoever has heard of a later round knows that the transfer failed and the leader may hold a
//! lease again, and keeps its promise.
//!
//! **Deliberately absent.** The library's own lease, which is none: it counts ticks, not time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use gritmesh_runtime::Instant;

use super::member::{Config, ReplicaId};
use super::message::Forced;
use super::options::LEASE_DRIFT_PART;

/// Promises given and received.
#[derive(Debug)]
pub(super) struct Lease {
    /// How long a promise lasts.
    span: Duration,
    /// Until when this replica neither votes nor stands.
    promised: Instant,
    /// Until when not even a transfer changes that: before, it does not know what it has heard.
    quiet: Instant,
    /// The newest round of a leader that it has heard of.
    heard: Forced,
    /// The newest round of its own.
    round: u64,
    /// When the latest rounds were sent.
    sent: VecDeque<(u64, Instant)>,
    /// When the latest round that a follower has answered was sent.
    answered: BTreeMap<ReplicaId, Instant>,
    rounds_max: usize,
}

impl Lease {
    pub(super) fn new(span: Duration, quiet: Instant, rounds_max: usize) -> Self {
        let (heard, sent, answered) = (Forced::default(), VecDeque::new(), BTreeMap::new());
        Self { span, promised: Instant::ZERO, quiet, heard, round: 0, sent, answered, rounds_max }
    }

    /// Whether a vote may be given now, or stood for.
    pub(super) fn is_free(&self, now: Instant, forced: Option<Forced>) -> bool {
        now >= self.quiet && (now >= self.promised || self.honours(forced))
    }

    /// Whether a transfer is newer than all that was heard of its leader.
    pub(super) fn honours(&self, forced: Option<Forced>) -> bool {
        forced.is_some_and(|forced| forced >= self.heard)
    }

    /// The leader of a term was heard, in this of its rounds if it was a heartbeat.
    pub(super) fn hear(&mut self, now: Instant, term: u64, round: Option<u64>) {
        self.promised = self.promised.max(now + self.span);
        self.heard = self.heard.max(Forced { term, round: round.unwrap_or(0) });
    }

    /// A round is about to be sent.
    pub(super) fn start_round(&mut self, now: Instant, term: u64) {
        self.round += 1;
        self.heard = self.heard.max(Forced { term, round: self.round });
        self.sent.push_back((self.round, now));
        if self.sent.len() > self.rounds_max {
            self.sent.pop_front();
        }
    }

    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// When the newest round was sent, if it still counts.
    pub(super) fn newest_sent(&self) -> Option<Instant> {
        self.sent.back().map(|(_, sent)| *sent)
    }

    /// A follower has answered a round.
    pub(super) fn answer(&mut self, from: ReplicaId, round: u64) {
        if let Ok(place) = self.sent.binary_search_by_key(&round, |(round, _)| *round) {
            let sent = self.sent[place].1;
            let latest = self.answered.entry(from).or_insert(sent);
            *latest = sent.max(*latest);
        }
    }

    /// Whether a follower has answered a round that was sent within the time of one promise.
    pub(super) fn is_answered_by(&self, now: Instant, replica: ReplicaId) -> bool {
        self.answered.get(&replica).is_some_and(|sent| now - *sent < self.span)
    }

    /// Nothing that was sent so far counts for a lease any more.
    pub(super) fn give_up(&mut self) {
        self.sent.clear();
        self.answered.clear();
    }

    /// When the newest round was sent that a majority has answered.
    pub(super) fn confirmed(
        &self,
        now: Instant,
        me: ReplicaId,
        config: &Config,
        lost: &BTreeSet<ReplicaId>,
    ) -> Option<Instant> {
        let answered = |voter| if voter == me { Some(now) } else { self.answered.get(&voter).copied() };
        config.majority(lost, answered)
    }

    /// The end of a lease that rests on a round sent then.
    pub(super) fn end(&self, sent: Instant) -> Instant {
        sent + (self.span - self.span / LEASE_DRIFT_PART)
    }

    /// Binds this replica itself to the lease that it holds.
    pub(super) fn bind(&mut self, sent: Instant) {
        self.promised = self.promised.max(sent + self.span);
    }
}
