//! Reminders: calls an actor back at a time that it has set, late rather than never.
//!
//! **Problem.** A reminder is a promise about the wall clock, made by a step. Between the step and that time nodes
//! are killed, shards change leaders, clocks are put forward and back, and when everybody returns after an outage
//! all that was missed is due in one moment. Still each reminder has to run, once for each of its times as its
//! policy wants it, and none before its time.
//!
//! **Design.** The reminder is a row that the actor's own step writes, so it survives what steps survive. A new
//! leader reads the rows of its shard into this index, some at a time; it holds nothing else that matters. Firing is a call to
//! the actor with an origin that names the reminder, its time and the step that set it. The step which that call
//! makes removes the row or moves it to [`next_due`]; the news of that changes the index. A crash at any moment in
//! between leaves the row as it was, so the same firing comes again, and the actor's admission, which compares
//! the origin with the row, lets it run or knows it for a repetition.
//!
//! ```text
//!     rows ──► found ┌───────────┐ Fire (late by, skip) ──► call ──► actor: is the row still so?
//!      set, cancelled│  due      │                                     │ step: row := next_due(..)
//!   ┌───────────────►│  index    │◄── fired, refused ◄─────────────────┤
//!   │    wall_clock ►└───────────┘                                     │
//!   └──────────────────────────── applied ◄────────────────────────────┘
//! ```
//!
//! * Time is told, each second and when it jumps; in between the monotonic clock counts on, so that a reminder
//!   fires in its millisecond. The two clocks need not run alike, so the wall clock is looked at once more before the
//!   call is made, and what turns out to be early goes back to those that wait. Put back, the clock makes what waits wait longer, what rests too; what is under
//!   way stays so. Before it is told for the first time nothing fires.
//! * Policies decide about times that were missed ([`Late`](gritmesh_actor::Late)): `CatchUp` fires each, in
//!   order, one after the other, because the row moves one period at a time; `Once` fires one for all; `Skip`
//!   fires unless it is later than a period and a minute ([`is_skipped`]); then the step is made all the same,
//!   to move the row on, but the handler does not run.
//! * Refused firings are tried again with backoff for ever. They get at most half of the places, and firings all
//!   together [at most so many](ReminderLimits::firings_per_shard) for each shard, so that an outage is worked off
//!   and not burst.
//! * One that was answered, but whose row has not changed, is tried again like a refused one: the row decides.
//!
//! **Deliberately absent.** A limit of how many there are: the step that sets one has it, for each actor. The
//! call itself, the row's bytes, the step. An order between reminders of one actor, but for that of their times.

mod clock;
mod counters;
mod due;
mod lane;
mod limits;
mod reminder;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use gritmesh_runtime::{Failure, Instant, ShardId};

use crate::backoff::BackoffLimits;
use clock::WallClock;
pub use counters::ReminderCounters;
pub use due::{SKIP_AFTER_MS, is_skipped, next_due};
use lane::{Lane, Round};
pub use limits::ReminderLimits;
pub use reminder::{PendingReminder, ReminderEffect, ReminderName};

/// The due index of all shards that an engine leads.
#[derive(Debug, Default)]
pub struct Reminders {
    lanes: BTreeMap<ShardId, Lane>,
    limits: ReminderLimits,
    backoff: BackoffLimits,
    clock: Option<WallClock>,
    counters: ReminderCounters,
}

impl Reminders {
    /// Reminders of no shard yet.
    pub fn new(limits: ReminderLimits, backoff: BackoffLimits) -> Self {
        Self { limits, backoff, ..Self::default() }
    }

    /// This node leads the shard from now on. Whatever was known of it is forgotten; the reminders that are set there
    /// are told by [`Self::found`], when they are read.
    pub fn lead(&mut self, shard: ShardId) {
        self.lanes.insert(shard, Lane::new(shard, self.limits, self.backoff));
    }

    /// Rows of reminders. Those that were set or cancelled since this node leads are known better.
    pub fn found(
        &mut self,
        now: Instant,
        shard: ShardId,
        rows: impl IntoIterator<Item = PendingReminder>,
        out: &mut Vec<ReminderEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, _| rows.into_iter().for_each(|row| lane.found(row)));
    }

    /// All rows that were there when this node began to lead have been told.
    pub fn found_all(&mut self, shard: ShardId) {
        if let Some(lane) = self.lanes.get_mut(&shard) {
            lane.found_all();
        }
    }

    /// This node leads the shard no longer.
    pub fn stop(&mut self, shard: ShardId) {
        self.lanes.remove(&shard);
    }

    /// A step that sets this reminder, or moves it on, was applied.
    pub fn set(&mut self, now: Instant, shard: ShardId, row: PendingReminder, out: &mut Vec<ReminderEffect>) {
        self.on_lane(now, shard, out, |lane, _| lane.set(row));
    }

    /// A step that removes this reminder was applied: it was cancelled, or has fired for the last time.
    pub fn cancelled(
        &mut self,
        now: Instant,
        shard: ShardId,
        name: &ReminderName,
        out: &mut Vec<ReminderEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, _| lane.cancelled(name));
    }

    /// The wall clock shows `unix_ms` at `now`. To be told each second, and at once when it jumps.
    pub fn wall_clock(&mut self, now: Instant, unix_ms: u64, out: &mut Vec<ReminderEffect>) {
        self.clock = Some(WallClock::new(now, unix_ms));
        self.tick(now, out);
    }

    /// The call ended and its step is committed, or the actor knew the firing for a repetition. That the handler
    /// answered with an error of its own makes no difference.
    pub fn fired(
        &mut self,
        now: Instant,
        shard: ShardId,
        name: &ReminderName,
        due_unix_ms: u64,
        out: &mut Vec<ReminderEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, round| lane.fired(name, due_unix_ms, round));
    }

    /// The call did not run, or it is not known whether it did.
    pub fn refused(
        &mut self,
        now: Instant,
        shard: ShardId,
        name: &ReminderName,
        due_unix_ms: u64,
        failure: Failure,
        out: &mut Vec<ReminderEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, round| lane.refused(name, due_unix_ms, failure, round));
    }

    /// The call was not made: whoever was about to make it saw a wall clock that shows an earlier time than it was
    /// thought to, which is to be [told](Self::wall_clock) first.
    pub fn early(
        &mut self,
        now: Instant,
        shard: ShardId,
        name: &ReminderName,
        due_unix_ms: u64,
        out: &mut Vec<ReminderEffect>,
    ) {
        self.on_lane(now, shard, out, |lane, _| lane.early(name, due_unix_ms));
    }

    /// Fires what is due.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<ReminderEffect>) {
        let (clock, counters) = (self.clock, &mut self.counters);
        for lane in self.lanes.values_mut() {
            lane.pump(&mut Round { now, clock, counters, out });
        }
    }

    /// When the next `tick` has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lanes.values().filter_map(|lane| lane.next_deadline(self.clock)).min()
    }

    /// What was done so far.
    pub const fn counters(&self) -> &ReminderCounters {
        &self.counters
    }

    /// How many reminders are set in a shard.
    pub fn pending(&self, shard: ShardId) -> usize {
        self.lanes.get(&shard).map_or(0, Lane::len)
    }

    /// How many of a shard's are under way.
    pub fn firing(&self, shard: ShardId) -> usize {
        self.lanes.get(&shard).map_or(0, Lane::firing)
    }

    fn on_lane(
        &mut self,
        now: Instant,
        shard: ShardId,
        out: &mut Vec<ReminderEffect>,
        event: impl FnOnce(&mut Lane, &mut Round<'_>),
    ) {
        if let Some(lane) = self.lanes.get_mut(&shard) {
            let mut round = Round { now, clock: self.clock, counters: &mut self.counters, out };
            event(lane, &mut round);
            lane.pump(&mut round);
        }
    }
}
