//! One pair: what is pending from one sender to one receiver, and what to do about it next.
//!
//! ```text
//!       first          next              end of bodies            end
//!         │ in flight   │ to be sent       │ on disk only          │
//!   ──────┼─────────────┼──────────────────┼───────────────────────┼──────
//!    acknowledged       └ falls back to what was refused, or to `first`
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use gritmesh_runtime::{Failure, FailureCode, Instant, TimerKey};

use super::budget::Budget;
use super::limits::DeliveryLimits;
use super::message::PendingMessage;
use super::trouble::{Streak, Wait};
use crate::backoff::{BackoffLimits, doubled};

#[derive(Debug)]
pub(super) struct Pair {
    /// The first that is not acknowledged. All from here to `end` are pending.
    first: u64,
    end: u64,
    /// The next to send. Those from `first` to here are in flight.
    next: u64,
    /// What was ever sent ends here.
    sent_end: u64,
    /// Those from `first` on, as far as they are in memory.
    bodies: VecDeque<Body>,
    /// Since when `first` has been known.
    head_since: Instant,
    wait: Wait,
    /// Only one message is in flight until it is acknowledged, because the last try failed.
    probing: bool,
    streak: Streak,
    resend_at: Option<Instant>,
    /// How many were acknowledged since the last prune.
    unpruned: u64,
    /// When to prune what was acknowledged, or to say again what was not heard of.
    prune_at: Option<Instant>,
    /// Up to where rows were said to be removed, until they are.
    said: Option<u64>,
    pub(super) loading: Option<Loading>,
    /// Its place in the queue of those that need a load.
    pub(super) hungry: Option<u64>,
    pub(super) timer: Option<(Instant, TimerKey)>,
}

#[derive(Debug)]
struct Body {
    message: Arc<PendingMessage>,
    since: Instant,
}

/// A load under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loading {
    pub(super) from: u64,
    pub(super) limit: usize,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is about what is not in flight any more.
    Stale,
    Waits,
    /// The first message has panicked so many times.
    Panicked(u32),
}

impl Pair {
    pub(super) fn new(now: Instant, first: u64) -> Self {
        Self {
            first,
            end: first,
            next: first,
            sent_end: first,
            bodies: VecDeque::new(),
            head_since: now,
            wait: Wait::No,
            probing: false,
            streak: Streak::default(),
            resend_at: None,
            unpruned: 0,
            prune_at: None,
            said: None,
            loading: None,
            hungry: None,
            timer: None,
        }
    }

    /// Takes in a message that is pending. Its body stays if there is room, and if it is the next one in memory.
    pub(super) fn insert(&mut self, now: Instant, message: PendingMessage, budget: &mut Budget) {
        self.reach(now, message.sequence);
        if message.sequence == self.bodies_end()
            && self.bodies.len() < budget.limits.bodies_per_pair
            && budget.has_room()
        {
            self.keep(now, message, budget);
        }
    }

    /// Takes in that everything up to `sequence` is pending.
    pub(super) fn reach(&mut self, now: Instant, sequence: u64) {
        if self.is_done() {
            self.head_since = now;
        }
        self.end = self.end.max(sequence.saturating_add(1));
    }

    /// Takes in rows from disk. Returns whether the one that was asked for is among them, or not needed any more.
    pub(super) fn loaded(
        &mut self,
        now: Instant,
        loading: Loading,
        rows: Vec<PendingMessage>,
        budget: &mut Budget,
    ) -> bool {
        let expected = self.bodies_end();
        for row in rows {
            let fits = self.bodies.is_empty() || budget.has_room();
            if row.sequence == self.bodies_end() && row.sequence < self.end && fits {
                self.keep(now, row, budget);
            }
        }
        let asked = (loading.from..loading.from.saturating_add(loading.limit as u64)).contains(&expected);
        !asked || expected >= self.end || self.bodies_end() > expected
    }

    fn keep(&mut self, now: Instant, message: PendingMessage, budget: &mut Budget) {
        budget.take(message.body_bytes());
        self.bodies.push_back(Body { message: Arc::new(message), since: now });
    }

    /// The receiver has read everything up to `sequence`. Returns how many of these were pending.
    pub(super) fn acknowledged(&mut self, now: Instant, sequence: u64, budget: &mut Budget) -> u64 {
        if sequence < self.first || self.is_done() {
            return 0;
        }
        let first = sequence.saturating_add(1).min(self.end);
        let count = first - self.first;
        let in_memory = self.bodies.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        for body in self.bodies.drain(..in_memory) {
            budget.give_back(body.message.body_bytes());
        }
        self.first = first;
        self.head_since = self.bodies.front().map_or(now, |body| body.since);
        if first > self.next {
            // What is being waited for, and more, has been read: an earlier transmission arrived after all.
            self.next = first;
            self.wait = Wait::No;
        }
        self.probing = false;
        self.streak = Streak::default();
        self.resend_at = (self.next > first).then(|| now + budget.limits.resend_min);
        self.unpruned += count;
        let due = now + budget.limits.prune_after;
        self.prune_at = Some(self.prune_at.map_or(due, |at| at.min(due)));
        count
    }

    /// The rows up to `sequence` are gone, which says that they had been acknowledged.
    pub(super) fn pruned(&mut self, now: Instant, sequence: u64, budget: &mut Budget) -> u64 {
        let count = self.acknowledged(now, sequence, budget);
        if count > 0 && self.unpruned == count {
            self.unpruned = 0;
        }
        self.said = self.said.filter(|up_to| *up_to > sequence);
        if self.unpruned == 0 && self.said.is_none() {
            self.prune_at = None;
        }
        count
    }

    /// The receiver has not read one before `sequence`: everything is sent again, after a moment.
    pub(super) fn early(&mut self, now: Instant, sequence: u64, limits: &DeliveryLimits) -> Refused {
        if !(self.first..self.next).contains(&sequence) {
            return Refused::Stale;
        }
        self.next = self.first;
        self.resend_at = None;
        self.streak.unrouted = 0;
        if self.wait == Wait::No {
            self.streak.earlies = self.streak.earlies.saturating_add(1);
            let wait = doubled(self.streak.earlies, limits.early_min, limits.early_max);
            self.wait = Wait::Early { until: now + wait };
        }
        Refused::Waits
    }

    /// The message was not read for a reason that time may cure: it and those behind it wait.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        sequence: u64,
        failure: &Failure,
        (hash, limits): (u64, &BackoffLimits),
        budget: &mut Budget,
    ) -> Refused {
        // While all wait because one was early, the failure of that earlier one may still be on its way.
        let sent = if matches!(self.wait, Wait::Early { .. }) { self.sent_end } else { self.next };
        if !(self.first..sent).contains(&sequence) {
            return Refused::Stale;
        }
        self.next = self.next.min(sequence);
        if !matches!(self.wait, Wait::Refused { .. }) {
            // The others that were in flight beside it fail for the same reason: together they are one attempt.
            self.back_off(now, failure, (hash, limits), budget);
        }
        if failure.code == FailureCode::Paused {
            self.streak.panics = 0;
        }
        if failure.code == FailureCode::Panicked && sequence == self.first {
            self.streak.panics = self.streak.panics.saturating_add(1);
            return Refused::Panicked(self.streak.panics);
        }
        Refused::Waits
    }

    /// The row that should be on disk was not read.
    pub(super) fn missing(
        &mut self,
        now: Instant,
        (hash, limits): (u64, &BackoffLimits),
        budget: &mut Budget,
    ) {
        self.streak.failures = self.streak.failures.saturating_add(1);
        let until = now + limits.backoff(self.streak.failures, hash, 0);
        self.wait = Wait::Refused { until, unrouted: false };
        self.rest(budget);
    }

    fn back_off(
        &mut self,
        now: Instant,
        failure: &Failure,
        (hash, limits): (u64, &BackoffLimits),
        budget: &mut Budget,
    ) {
        let unrouted =
            matches!(failure.code, FailureCode::NotDelivered | FailureCode::NoQuorum | FailureCode::Unknown);
        let wait = if unrouted {
            self.streak.unrouted = self.streak.unrouted.saturating_add(1);
            limits.route_backoff(self.streak.unrouted, hash)
        } else {
            self.streak.unrouted = 0;
            self.streak.failures = self.streak.failures.saturating_add(1);
            limits.backoff(self.streak.failures, hash, failure.retry_after_ms)
        };
        self.wait = Wait::Refused { until: now + wait, unrouted };
        self.rest(budget);
    }

    /// What does not move makes room for others.
    fn rest(&mut self, budget: &mut Budget) {
        for body in self.bodies.drain(..) {
            budget.give_back(body.message.body_bytes());
        }
        self.probing = true;
        self.resend_at = None;
    }

    /// Ends the waits that are over. Returns whether nobody answered in time.
    pub(super) fn expire(&mut self, now: Instant, budget: &mut Budget) -> bool {
        if self.waits_until().is_some_and(|until| until <= now) {
            self.wait = Wait::No;
            self.resend_at = (self.next > self.first).then(|| now + budget.limits.resend_min);
        }
        let silent = self.wait == Wait::No && self.resend_at.is_some_and(|at| at <= now);
        if silent {
            self.streak.silences = self.streak.silences.saturating_add(1);
            self.next = self.first;
            self.rest(budget);
        }
        silent
    }

    /// Lets a wait for a route end not later than `until`. What was in its way before does not count any more.
    pub(super) fn route_may_exist(&mut self, route_until: Instant) {
        self.streak.unrouted = 0;
        if let Wait::Refused { until, unrouted: true } = self.wait {
            self.wait = Wait::Refused { until: until.min(route_until), unrouted: false };
        }
    }

    /// The next message that may go, and whether it goes for the first time.
    pub(super) fn send(
        &mut self,
        now: Instant,
        limits: &DeliveryLimits,
    ) -> Option<(Arc<PendingMessage>, bool)> {
        let window = if self.probing { 1 } else { limits.window as u64 };
        if self.wait != Wait::No || self.next >= self.first.saturating_add(window) {
            return None;
        }
        let ahead = usize::try_from(self.next - self.first).ok()?;
        let message = Arc::clone(&self.bodies.get(ahead)?.message);
        let anew = self.next >= self.sent_end;
        self.next += 1;
        self.sent_end = self.sent_end.max(self.next);
        let silence = doubled(self.streak.silences.saturating_add(1), limits.resend_min, limits.resend_max);
        self.resend_at.get_or_insert(now + silence);
        Some((message, anew))
    }

    /// How many rows it needs from disk, and from which on.
    pub(super) fn needs(&self, limits: &DeliveryLimits) -> Option<Loading> {
        let on_disk = self.end - self.bodies_end();
        let (enough, most) =
            if self.probing { (1, 1) } else { (limits.window / 2 + 1, limits.bodies_per_pair) };
        let needs = on_disk > 0 && self.wait == Wait::No && self.bodies.len() < enough;
        let limit = (most - self.bodies.len().min(most)).min(usize::try_from(on_disk).unwrap_or(usize::MAX));
        (needs && self.loading.is_none()).then(|| Loading { from: self.bodies_end(), limit })
    }

    /// Up to where rows are to be removed now.
    pub(super) fn prune(&mut self, now: Instant, limits: &DeliveryLimits) -> Option<u64> {
        let due = self.prune_at.is_some_and(|at| at <= now);
        if !due && self.unpruned < limits.prune_at {
            return None;
        }
        // A proposal may be refused or lost, and nothing else would ever remove the rows of a pair that rests.
        self.prune_at = Some(now + limits.prune_again);
        self.unpruned = 0;
        self.said = Some(self.first - 1);
        self.said
    }

    /// When something has to be done that no event brings about.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let send = self.waits_until().or(self.resend_at);
        send.into_iter().chain(self.prune_at).min()
    }

    fn waits_until(&self) -> Option<Instant> {
        match self.wait {
            Wait::No => None,
            Wait::Early { until } | Wait::Refused { until, .. } => Some(until),
        }
    }

    /// Whether the receiver could not be reached of late.
    pub(super) const fn is_unrouted(&self) -> bool {
        self.streak.unrouted > 0
    }

    const fn is_done(&self) -> bool {
        self.first == self.end
    }

    /// Whether there is nothing left to do, not even to prune or to wait for a load.
    pub(super) const fn is_over(&self) -> bool {
        self.is_done() && self.unpruned == 0 && self.said.is_none() && self.loading.is_none()
    }

    pub(super) const fn pending(&self) -> u64 {
        self.end - self.first
    }

    /// Since when the first pending message has been known; `None` if nothing is pending.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        (!self.is_done()).then_some(self.head_since)
    }

    fn bodies_end(&self) -> u64 {
        self.first + self.bodies.len() as u64
    }
}
