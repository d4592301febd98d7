//! A world of one shard, its rows, its actors and a wall clock that jumps, from one seed.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_actor::Late;
use gritmesh_runtime::{ActorAddress, Failure, FailureCode, Instant, Rng, Seed, ShardId, Timers};

use super::{PendingReminder, ReminderEffect, ReminderLimits, ReminderName, Reminders, next_due};

const SHARD: ShardId = ShardId(1);
const CHAOS: Duration = Duration::from_secs(120);
/// One longest silence and one longest backoff, and room for the work itself.
const HEALING: Duration = Duration::from_secs(180);
/// What the wall shows at the beginning.
const START_UNIX_MS: u64 = 1_700_000_000_000;

/// What a part of the world does wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    None,
    /// The actor runs every firing that comes.
    NoAdmission,
    /// A new leader does not get all rows.
    LosesRow,
    /// The machine is not told that the clock was put back.
    KeepsOldTime,
    /// The step leaves times out that have to be caught up with.
    LeavesOut,
}

enum Happening {
    Set,
    ChangeLeader,
    TellTime,
    Jump,
    Find { leadership: u64, rows: Vec<PendingReminder> },
    Arrive { reminder: PendingReminder, skip: bool },
    Answer { name: ReminderName, due: u64, answer: Result<(), Failure> },
}

pub(super) struct World {
    rng: Rng,
    defect: Defect,
    now: Instant,
    healed: bool,
    queue: Timers<Happening>,
    machine: Reminders,
    leads: bool,
    leaderships: u64,
    /// Milliseconds that the wall shows more than the monotonic clock has counted.
    offset: u64,
    rows: BTreeMap<ReminderName, PendingReminder>,
    steps: u64,
    /// The last time for which each reminder, as it was set, has fired.
    fired: BTreeMap<(ReminderName, u64), u64>,
    /// Counts how often each was set.
    settings: BTreeMap<ReminderName, u64>,
    pub(super) runs: u64,
    pub(super) skips: u64,
    violation: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, defect: Defect) -> Self {
        let mut queue = Timers::new();
        for happening in [Happening::TellTime, Happening::ChangeLeader, Happening::Set, Happening::Jump] {
            queue.insert(Instant::ZERO, happening);
        }
        Self {
            rng: Seed::from_number(seed).rng(),
            defect,
            now: Instant::ZERO,
            healed: false,
            queue,
            machine: Reminders::default(),
            leads: false,
            leaderships: 0,
            offset: START_UNIX_MS,
            rows: BTreeMap::new(),
            steps: 0,
            fired: BTreeMap::new(),
            settings: BTreeMap::new(),
            runs: 0,
            skips: 0,
            violation: None,
        }
    }

    /// Runs chaos, heals, and says what was wrong, if anything.
    pub(super) fn run(&mut self) -> Result<(), String> {
        self.run_until(Instant::ZERO + CHAOS);
        self.healed = true;
        if !self.leads {
            self.lead();
        }
        self.run_until(Instant::ZERO + CHAOS + HEALING);
        if let Some(violation) = self.violation.take() {
            return Err(violation);
        }
        // A firing that takes its round trip at this very moment is no harm, an older one is.
        let unix_ms = self.unix_ms();
        match self.rows.values().find(|row| row.due_unix_ms + 1_000 < unix_ms) {
            Some(row) => Err(format!("{row:?} should have fired by {unix_ms}")),
            None => Ok(()),
        }
    }

    fn unix_ms(&self) -> u64 {
        self.offset + self.now.as_nanos() / 1_000_000
    }

    fn run_until(&mut self, end: Instant) {
        while self.violation.is_none() {
            let next = self.queue.next_due().into_iter().chain(self.machine.next_deadline()).min();
            let next = next.unwrap_or(Instant::MAX);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if let Some((_, happening)) = self.queue.pop_due(self.now) {
                self.happen(happening);
            }
            self.on_machine(|machine, now, out| machine.tick(now, out));
        }
        self.now = end;
    }

    fn on_machine(&mut self, event: impl FnOnce(&mut Reminders, Instant, &mut Vec<ReminderEffect>)) {
        let mut out = Vec::new();
        event(&mut self.machine, self.now, &mut out);
        let firing = self.machine.firing(SHARD);
        self.demand(firing <= ReminderLimits::PRODUCTION.firings_per_shard, || {
            format!("{firing} are under way")
        });
        for effect in out {
            let ReminderEffect::Fire { reminder, late_by_ms, skip, .. } = effect else { continue };
            let unix_ms = self.unix_ms();
            self.demand(reminder.due_unix_ms <= unix_ms, || {
                format!("{reminder:?} fires early, at {unix_ms}")
            });
            // The machine counts on from a time in whole milliseconds, so that it is behind by less than one.
            let off = unix_ms.abs_diff(reminder.due_unix_ms + late_by_ms);
            self.demand(off <= 1, || format!("late by {late_by_ms} at {unix_ms}: {reminder:?}"));
            for _ in 0..self.copies() {
                let (due, reminder) = (self.soon(), (*reminder).clone());
                self.queue.insert(due, Happening::Arrive { reminder, skip });
            }
        }
    }

    fn demand(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(otherwise());
        }
    }

    fn copies(&mut self) -> u64 {
        match self.rng.below(20) {
            0 if !self.healed => 0,
            1 if !self.healed => 2,
            _ => 1,
        }
    }

    fn soon(&mut self) -> Instant {
        let late = !self.healed && self.rng.chance(0.02);
        self.now + Duration::from_micros(self.rng.below(if late { 9_000_000 } else { 20_000 }) + 100)
    }

    fn again(&mut self, happening: Happening, within_ms: u64) {
        let due = self.now + Duration::from_micros(self.rng.below(within_ms * 1_000));
        self.queue.insert(due, happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::TellTime => {
                let unix_ms = self.unix_ms();
                self.on_machine(|machine, now, out| machine.wall_clock(now, unix_ms, out));
                self.queue.insert(self.now + Duration::from_secs(1), Happening::TellTime);
            }
            Happening::Set | Happening::ChangeLeader | Happening::Jump if self.healed => {}
            Happening::Set => self.change_reminder(),
            Happening::ChangeLeader => {
                self.machine.stop(SHARD);
                self.leads = false;
                if self.rng.chance(0.7) {
                    self.lead();
                }
                self.again(Happening::ChangeLeader, 10_000);
            }
            Happening::Jump => self.jump(),
            Happening::Find { leadership, rows } if self.leads && leadership == self.leaderships => {
                self.on_machine(|machine, now, out| machine.found(now, SHARD, rows, out));
                self.machine.found_all(SHARD);
            }
            Happening::Find { .. } => {}
            Happening::Arrive { reminder, skip } => self.arrive(&reminder, skip),
            Happening::Answer { name, due, answer } => self.on_machine(|machine, now, out| match answer {
                Ok(()) => machine.fired(now, SHARD, &name, due, out),
                Err(failure) => machine.refused(now, SHARD, &name, due, failure, out),
            }),
        }
    }

    fn lead(&mut self) {
        self.leads = true;
        let skipped = usize::from(self.defect == Defect::LosesRow);
        let mut rows: Vec<_> = self.rows.values().skip(skipped).cloned().collect();
        // Some are told at once; others later, as they were now, by which time they may have changed.
        let later = rows.split_off(self.rng.below(rows.len() as u64 + 1) as usize);
        self.machine.lead(SHARD);
        self.leaderships += 1;
        let due = self.now + Duration::from_micros(self.rng.below(2_000_000));
        self.queue.insert(due, Happening::Find { leadership: self.leaderships, rows: later });
        self.on_machine(|machine, now, out| machine.found(now, SHARD, rows, out));
    }

    fn jump(&mut self) {
        let by = self.rng.below(90_000);
        let back = self.rng.chance(0.5);
        self.offset = if back { self.offset - by } else { self.offset + by };
        if !(back && self.defect == Defect::KeepsOldTime) {
            let unix_ms = self.unix_ms();
            self.on_machine(|machine, now, out| machine.wall_clock(now, unix_ms, out));
        }
        self.again(Happening::Jump, 60_000);
    }

    fn change_reminder(&mut self) {
        let name = format!("r{}", self.rng.below(4));
        let due = self.unix_ms() + self.rng.below(8_000);
        let mut row = reminder(self.rng.below(3), &name, due);
        if self.rng.chance(0.2) {
            self.step(&row.key(), None);
        } else {
            row.late = [Late::Skip, Late::Once, Late::CatchUp][self.rng.below(3) as usize];
            row.every_ms = self.rng.chance(0.7).then(|| 200 + self.rng.below(5_000));
            *self.settings.entry(row.key()).or_default() += 1;
            let key = row.key();
            self.step(&key, Some(row));
        }
        self.again(Happening::Set, 3_000);
    }

    /// A step that changes one row is committed and applied.
    fn step(&mut self, name: &ReminderName, row: Option<PendingReminder>) {
        self.steps += 1;
        let mut set_by = [0; 32];
        set_by[..8].copy_from_slice(&self.steps.to_le_bytes());
        match row {
            Some(row) => {
                let row = PendingReminder { set_by, ..row };
                self.rows.insert(name.clone(), row.clone());
                self.on_machine(|machine, now, out| machine.set(now, SHARD, row, out));
            }
            None => {
                self.rows.remove(name);
                self.on_machine(|machine, now, out| machine.cancelled(now, SHARD, name, out));
            }
        }
    }

    fn arrive(&mut self, reminder: &PendingReminder, skip: bool) {
        let answer = self.receive(reminder, skip);
        for _ in 0..self.copies() {
            let (name, due) = (reminder.key(), reminder.due_unix_ms);
            let happening = Happening::Answer { name, due, answer: answer.clone() };
            let at = self.soon();
            self.queue.insert(at, happening);
        }
    }

    /// What the actor makes of a firing.
    fn receive(&mut self, reminder: &PendingReminder, skip: bool) -> Result<(), Failure> {
        const CODES: [FailureCode; 3] = [FailureCode::Overloaded, FailureCode::Panicked, FailureCode::Paused];
        if !self.healed && self.rng.chance(0.2) {
            return Err(Failure::new(CODES[self.rng.below(3) as usize], "chaos"));
        }
        if !self.leads {
            return Err(Failure::new(FailureCode::NotDelivered, "nobody leads"));
        }
        let name = reminder.key();
        if self.rows.get(&name) != Some(reminder) && self.defect != Defect::NoAdmission {
            return Ok(());
        }
        self.note(&name, reminder, skip);
        let later = if self.defect == Defect::LeavesOut { reminder.every_ms.unwrap_or(0) } else { 0 };
        let next = next_due(reminder, reminder.due_unix_ms + later, self.unix_ms());
        let row = next.map(|due_unix_ms| PendingReminder { due_unix_ms, ..reminder.clone() });
        self.step(&name, row);
        if !self.healed && self.rng.chance(0.1) {
            return Err(Failure::new(FailureCode::Unknown, "the connection broke"));
        }
        Ok(())
    }

    /// Checks that the firing is one that has to be, and the first of its time.
    fn note(&mut self, name: &ReminderName, reminder: &PendingReminder, skip: bool) {
        self.demand(!skip || reminder.late == Late::Skip, || format!("{reminder:?} is skipped"));
        *(if skip { &mut self.skips } else { &mut self.runs }) += 1;
        let due = reminder.due_unix_ms;
        let last = self.fired.insert((name.clone(), self.settings[name]), due);
        let Some(last) = last else { return };
        self.demand(last < due, || format!("{reminder:?} fires again after {last}"));
        if reminder.late == Late::CatchUp {
            let every = reminder.every_ms.unwrap_or(0);
            self.demand(last + every == due, || format!("{reminder:?} leaves some out after {last}"));
        }
    }
}

pub(super) fn reminder(actor: u64, name: &str, due_unix_ms: u64) -> PendingReminder {
    PendingReminder {
        actor: ActorAddress::new("alarm", &actor.to_string()).unwrap(),
        name: name.into(),
        due_unix_ms,
        every_ms: None,
        late: Late::Once,
        method: "ring".into(),
        arguments: vec![1].into(),
        set_by: [0; 32],
    }
}
