//! Delivery: carries the messages of committed steps to their receivers, each exactly once and in order.
//!
//! **Problem.** A step of a durable actor sends messages. Between its commit and the moment at which the receiver
//! has read them, links lose and repeat, receivers are down, full, paused or failing, leaders of either side
//! change, and the sender's node may be killed at any time. Still each message has to take effect once, after its
//! predecessor and before its successor, and a message that nobody can read must not cost anything else but its
//! own place on disk.
//!
//! **Design.** Four things that are on disk already are enough: the *outbox* row that was written by the sender's
//! step, the *sequence* number of its pair (sender, receiver), the *cursor* in the receiver's own step, and the
//! removal of rows, the *prune*. This machine holds nothing that has to survive: it pushes, and the receiver,
//! that reads only the sequence after its cursor and says so of any other, decides.
//!
//! ```text
//!   sender's shard (its leader)                              receiver's shard (its leader)
//!   step committed ──► committed ─┐
//!   outbox rows ─► found, loaded ─┼─► Send ─────────────────► admission: sequence is
//!                                 │                             cursor + 1: runs, a step stores the cursor
//!   rows removed ◄── Prune ◄── acknowledged ◄─────────────────  not more than the cursor: acknowledged again
//!                                 └── refused ◄───────────────  more: early; or it cannot run: a failure
//! ```
//!
//! * A pair is two numbers, the first pending sequence and the end, beside a window of bodies: what is pending is
//!   always contiguous, because steps number their messages and prunes remove from the front. So memory is
//!   bounded however much waits: beyond the budget of its shard a body is left on disk, and read by `Load` when
//!   its turn comes. Pairs that need one take turns; a pair that is refused or not answered gives its bodies up.
//! * A pair is in one of three moods: it *flows* (up to [a window](DeliveryLimits::window) in flight), it *waits*
//!   (after an early message for some milliseconds, after a failure from 500 ms on), or it *probes* (one message at a
//!   time, after a wait or a silence, until that is acknowledged). All of what was in flight fails together, and counts
//!   as one attempt.
//! * Two kinds of failures grow on their own: a receiver that is not reached is tried again after five seconds at
//!   most, and from the beginning when routes change; one that was reached and would or could not read is left alone
//!   for up to a minute. So a partition, however long, does not make the first panic after it look like the tenth.
//! * A receiver whose handler panics is reported at each repetition; who hears it pauses the actor after
//!   [`ATTEMPTS_BEFORE_PAUSE`](crate::ATTEMPTS_BEFORE_PAUSE). A pair whose receiver is paused tries on once a
//!   minute, and loses nothing.
//! * A gap between two numbers told by `committed` is not believed: it is read from disk like what has no body.
//!   A row that is not there either is counted as missing and tried for ever, because the receiver would refuse
//!   what comes behind it.
//!
//! **Deliberately absent.** Routing, deadlines of calls, the outbox itself, dead letters (the receiver's step
//! makes them: the message counts as read), and any order between pairs. No give-up: what is pending stays.

mod budget;
mod counters;
mod lane;
mod limits;
mod message;
mod pair;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use gritmesh_runtime::{Failure, Instant, ShardId};

use crate::backoff::BackoffLimits;
pub use counters::DeliveryCounters;
use lane::{Lane, Round};
pub use limits::DeliveryLimits;
pub use message::{DeliveryEffect, PairName, PendingMessage};

/// The sending side for all shards that an engine leads.
#[derive(Debug, Default)]
pub struct Delivery {
    lanes: BTreeMap<ShardId, Lane>,
    limits: DeliveryLimits,
    backoff: BackoffLimits,
    counters: DeliveryCounters,
}

impl Delivery {
    /// Delivery for no shard yet.
    pub fn new(limits: DeliveryLimits, backoff: BackoffLimits) -> Self {
        Self { limits, backoff, ..Self::default() }
    }

    /// This node leads the shard from now on. Whatever was known of it is forgotten; what is pending is told by
    /// [`Self::found`], when it is read.
    pub fn lead(&mut self, shard: ShardId) {
        self.lanes.insert(shard, Lane::new(shard, self.limits, self.backoff));
    }

    /// Pairs that have messages in the outbox, each with the first and the last sequence number that is pending. A pair
    /// that is known already is known better. The bodies are read by loads.
    ///
    /// Before a step with a message is told by [`Self::committed`], the pair has to be known, if it has anything in the
    /// outbox.
    pub fn found(
        &mut self,
        now: Instant,
        shard: ShardId,
        pairs: impl IntoIterator<Item = (PairName, RangeInclusive<u64>)>,
        out: &mut Vec<DeliveryEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, round| lane.found(pairs, round));
    }

    /// Whether a pair of a shard has anything left to do here.
    pub fn knows(&self, shard: ShardId, pair: &PairName) -> bool {
        self.lanes.get(&shard).is_some_and(|lane| lane.knows(pair))
    }

    /// This node leads the shard no longer. What is in flight may still arrive; its answers mean nothing here.
    pub fn stop(&mut self, shard: ShardId) {
        self.lanes.remove(&shard);
    }

    /// A step with this message was applied. Ignored for a shard that is not led here.
    pub fn committed(
        &mut self,
        now: Instant,
        shard: ShardId,
        message: PendingMessage,
        out: &mut Vec<DeliveryEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, round| lane.committed(message, round));
    }

    /// A step of the receiver is committed that has read everything of the pair up to `sequence`. That includes
    /// handlers that answered with an error of their own, and messages that became dead letters.
    pub fn acknowledged(
        &mut self,
        now: Instant,
        shard: ShardId,
        pair: &PairName,
        sequence: u64,
        out: &mut Vec<DeliveryEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, round| lane.acknowledged(pair, sequence, round));
    }

    /// A prune was applied. Usually that says nothing new; but one that this node proposed when it led before may
    /// come late, and then nobody should wait for rows that are gone.
    pub fn pruned(
        &mut self,
        now: Instant,
        shard: ShardId,
        pair: &PairName,
        up_to: u64,
        out: &mut Vec<DeliveryEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, round| lane.pruned(pair, up_to, round));
    }

    /// The message was not read, or it is not known whether it was. [`Early`](gritmesh_runtime::FailureCode::Early)
    /// is no failure: the message overtook one before it, or that one was lost or refused.
    pub fn refused(
        &mut self,
        now: Instant,
        shard: ShardId,
        pair: &PairName,
        sequence: u64,
        failure: Failure,
        out: &mut Vec<DeliveryEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, round| lane.refused(pair, sequence, failure, round));
    }

    /// Answers a [`DeliveryEffect::Load`]: rows of the outbox in order, none if it could not be read.
    pub fn loaded(
        &mut self,
        now: Instant,
        shard: ShardId,
        pair: &PairName,
        rows: Vec<PendingMessage>,
        out: &mut Vec<DeliveryEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, round| lane.loaded(pair, rows, round));
    }

    /// Leaders or connections have changed: what waits for a route is tried at once, and as if for the first time.
    pub fn routes_changed(&mut self, now: Instant, out: &mut Vec<DeliveryEffect>) {
        let mut place = 0;
        for lane in self.lanes.values_mut() {
            lane.routes_changed(&mut place, &mut Round { now, counters: &mut self.counters, out });
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<DeliveryEffect>) {
        for lane in self.lanes.values_mut() {
            lane.tick(&mut Round { now, counters: &mut self.counters, out });
        }
    }

    /// When the next `tick` has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lanes.values().filter_map(Lane::next_deadline).min()
    }

    /// What was done so far.
    pub const fn counters(&self) -> &DeliveryCounters {
        &self.counters
    }

    /// Messages of a shard that are not acknowledged.
    pub fn pending(&self, shard: ShardId) -> u64 {
        self.lanes.get(&shard).map_or(0, Lane::pending)
    }

    /// Bodies of a shard's messages that are in memory.
    pub fn bodies_held(&self, shard: ShardId) -> usize {
        self.lanes.get(&shard).map_or(0, Lane::bodies)
    }

    /// For how long the message that waits longest has been known here to wait. A body that was read from disk
    /// counts from then on.
    pub fn oldest_age(&self, now: Instant) -> Duration {
        self.lanes.values().map(|lane| lane.oldest_age(now)).max().unwrap_or_default()
    }

    fn on_lane(
        &mut self,
        now: Instant,
        shard: ShardId,
        out: &mut Vec<DeliveryEffect>,
        event: impl FnOnce(&mut Lane, &mut Round<'_>),
    ) {
        if let Some(lane) = self.lanes.get_mut(&shard) {
            event(lane, &mut Round { now, counters: &mut self.counters, out });
        }
    }
}
