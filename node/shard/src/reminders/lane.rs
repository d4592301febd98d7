//! One shard: its reminders by name, by the time at which they are due, and by when they are tried again.
//!
//! ```text
//!   set ──► waiting ──(wall clock)──► firing ──► set anew, or cancelled, by the step that it made
//!              ▲                       │  ▲
//!              └──(clock put back)── ready resting ◄── refused, unanswered, or fired without such a step
//!                                      ▲  │
//!                                      └──┘ after its backoff
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gritmesh_runtime::{Failure, FailureCode, Instant, ShardId, TimerKey, Timers};

use super::clock::WallClock;
use super::counters::ReminderCounters;
use super::due::is_skipped;
use super::limits::ReminderLimits;
use super::reminder::{PendingReminder, ReminderEffect, ReminderName};
use crate::backoff::{BackoffLimits, pair_hash};

/// What every event brings along.
pub(super) struct Round<'a> {
    pub(super) now: Instant,
    /// Nothing fires before the wall clock is known.
    pub(super) clock: Option<WallClock>,
    pub(super) counters: &'a mut ReminderCounters,
    pub(super) out: &'a mut Vec<ReminderEffect>,
}

#[derive(Debug)]
pub(super) struct Lane {
    shard: ShardId,
    limits: ReminderLimits,
    backoff: BackoffLimits,
    entries: BTreeMap<ReminderName, Entry>,
    /// Those that wait, by when they are due.
    due: BTreeSet<(u64, ReminderName)>,
    /// Those that are ready to be tried again, in the order in which they became so.
    ready: BTreeMap<u64, ReminderName>,
    tickets: u64,
    /// Ends of rests, and of the patience with firings.
    timers: Timers<ReminderName>,
    firing: usize,
    /// How many of those are not tried for the first time.
    retrying: usize,
    /// Those that were cancelled since this node leads, while not all rows are read: their rows may still be there.
    gone: Option<BTreeSet<ReminderName>>,
}

#[derive(Debug)]
struct Entry {
    reminder: Arc<PendingReminder>,
    place: Place,
    failures: u32,
    panics: u32,
}

/// Where an entry is listed, beside its name.
#[derive(Clone, Copy, Debug)]
enum Place {
    Due,
    Ready { ticket: u64 },
    Resting { timer: TimerKey },
    Firing { timer: TimerKey, retry: bool },
}

impl Lane {
    pub(super) const fn new(shard: ShardId, limits: ReminderLimits, backoff: BackoffLimits) -> Self {
        Self {
            shard,
            limits,
            backoff,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            ready: BTreeMap::new(),
            tickets: 0,
            timers: Timers::new(),
            firing: 0,
            retrying: 0,
            gone: Some(BTreeSet::new()),
        }
    }

    /// A row was read.
    pub(super) fn found(&mut self, reminder: PendingReminder) {
        let name = reminder.key();
        let is_gone = self.gone.as_ref().is_some_and(|gone| gone.contains(&name));
        if !is_gone && !self.entries.contains_key(&name) {
            self.set(reminder);
        }
    }

    /// All rows have been read.
    pub(super) fn found_all(&mut self) {
        self.gone = None;
    }

    pub(super) fn set(&mut self, reminder: PendingReminder) {
        let name = reminder.key();
        if self.entries.get(&name).is_some_and(|entry| *entry.reminder == reminder) {
            return;
        }
        self.remove(&name);
        self.due.insert((reminder.due_unix_ms, name.clone()));
        let reminder = Arc::new(reminder);
        self.entries.insert(name, Entry { reminder, place: Place::Due, failures: 0, panics: 0 });
    }

    pub(super) fn cancelled(&mut self, name: &ReminderName) {
        self.remove(name);
        if let Some(gone) = &mut self.gone {
            gone.insert(name.clone());
        }
    }

    fn remove(&mut self, name: &ReminderName) {
        if self.entries.contains_key(name) {
            self.leave_place(name);
            self.entries.remove(name);
        }
    }

    /// A firing has ended well. Its step should have set or cancelled the reminder before; if it has not, because
    /// the firing was taken for a repetition or the answer outran the news, it is tried again.
    pub(super) fn fired(&mut self, name: &ReminderName, due_unix_ms: u64, round: &Round<'_>) {
        if self.is_firing(name, due_unix_ms) {
            self.rest(name, 0, round.now);
        }
    }

    /// Its time has not come after all: it waits again.
    pub(super) fn early(&mut self, name: &ReminderName, due_unix_ms: u64) {
        if self.is_firing(name, due_unix_ms) {
            self.wait(name);
        }
    }

    pub(super) fn refused(
        &mut self,
        name: &ReminderName,
        due_unix_ms: u64,
        failure: Failure,
        round: &mut Round<'_>,
    ) {
        round.counters.count_refusal(failure.code);
        if !self.is_firing(name, due_unix_ms) {
            return;
        }
        self.rest(name, failure.retry_after_ms, round.now);
        let entry = self.entry(name);
        match failure.code {
            FailureCode::Paused => entry.panics = 0,
            FailureCode::Panicked => {
                entry.panics = entry.panics.saturating_add(1);
                let (attempts, reminder) = (entry.panics, name.clone());
                round.out.push(ReminderEffect::Failing { shard: self.shard, reminder, attempts, failure });
            }
            _ => {}
        }
    }

    fn is_firing(&self, name: &ReminderName, due_unix_ms: u64) -> bool {
        self.entries.get(name).is_some_and(|entry| {
            matches!(entry.place, Place::Firing { .. }) && entry.reminder.due_unix_ms == due_unix_ms
        })
    }

    /// Fires what is due, as far as there is room.
    pub(super) fn pump(&mut self, round: &mut Round<'_>) {
        self.expire(round);
        let Some(clock) = round.clock else { return };
        let unix_ms = clock.unix_ms(round.now);
        while self.firing < self.limits.firings_per_shard {
            let first_due = self.due.first().filter(|(due, _)| *due <= unix_ms).map(|(_, name)| name.clone());
            let again =
                self.ready.first_key_value().filter(|_| self.retrying < self.limits.retries_per_shard);
            if let Some(name) = again.map(|(_, name)| name.clone()) {
                self.fire(&name, true, unix_ms, round);
            } else if let Some(name) = first_due {
                self.fire(&name, false, unix_ms, round);
            } else {
                break;
            }
        }
    }

    fn expire(&mut self, round: &mut Round<'_>) {
        while let Some((_, name)) = self.timers.pop_due(round.now) {
            if matches!(self.entry(&name).place, Place::Firing { .. }) {
                round.counters.unanswered += 1;
                self.rest(&name, 0, round.now);
            } else {
                let ticket = self.tickets;
                self.tickets += 1;
                self.leave_place(&name);
                self.ready.insert(ticket, name.clone());
                self.entry(&name).place = Place::Ready { ticket };
            }
        }
    }

    fn fire(&mut self, name: &ReminderName, retry: bool, unix_ms: u64, round: &mut Round<'_>) {
        let due_unix_ms = self.entry(name).reminder.due_unix_ms;
        if due_unix_ms > unix_ms {
            // The clock was put back while it rested.
            return self.wait(name);
        }
        self.leave_place(name);
        let timer = self.timers.insert(round.now + self.limits.silence, name.clone());
        self.firing += 1;
        self.retrying += usize::from(retry);
        let entry = self.entry(name);
        entry.place = Place::Firing { timer, retry };
        let reminder = Arc::clone(&entry.reminder);
        let skip = is_skipped(&reminder, unix_ms);
        round.counters.count_firing(retry, skip);
        let late_by_ms = unix_ms - due_unix_ms;
        round.out.push(ReminderEffect::Fire { shard: self.shard, reminder, late_by_ms, skip });
    }

    /// Puts it among those that wait until they are due.
    fn wait(&mut self, name: &ReminderName) {
        self.leave_place(name);
        let entry = self.entry(name);
        entry.place = Place::Due;
        let due_unix_ms = entry.reminder.due_unix_ms;
        self.due.insert((due_unix_ms, name.clone()));
    }

    fn rest(&mut self, name: &ReminderName, retry_after_ms: u32, now: Instant) {
        self.leave_place(name);
        let entry = self.entry(name);
        entry.failures = entry.failures.saturating_add(1);
        let hash = pair_hash(&name.actor, &name.actor).wrapping_add(entry.reminder.due_unix_ms);
        let failures = entry.failures;
        let until = now + self.backoff.backoff(failures, hash, retry_after_ms);
        let timer = self.timers.insert(until, name.clone());
        self.entry(name).place = Place::Resting { timer };
    }

    /// Takes the entry off the list that it stands on. Its place must be set anew, or the entry removed.
    fn leave_place(&mut self, name: &ReminderName) {
        let entry = self.entries.get(name).expect("an entry on a list exists");
        match entry.place {
            Place::Due => {
                self.due.remove(&(entry.reminder.due_unix_ms, name.clone()));
            }
            Place::Ready { ticket } => {
                self.ready.remove(&ticket);
            }
            Place::Resting { timer } => {
                self.timers.cancel(timer);
            }
            Place::Firing { timer, retry } => {
                self.timers.cancel(timer);
                self.firing -= 1;
                self.retrying -= usize::from(retry);
            }
        }
    }

    fn entry(&mut self, name: &ReminderName) -> &mut Entry {
        self.entries.get_mut(name).expect("an entry on a list exists")
    }

    pub(super) fn next_deadline(&self, clock: Option<WallClock>) -> Option<Instant> {
        let first = self.due.first().filter(|_| self.firing < self.limits.firings_per_shard);
        let due = first.zip(clock).map(|((due, _), clock)| clock.instant_of(*due));
        due.into_iter().chain(self.timers.next_due()).min()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) const fn firing(&self) -> usize {
        self.firing
    }
}
