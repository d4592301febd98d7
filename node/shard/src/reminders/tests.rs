use std::time::Duration;

use gritmesh_actor::{Late, Origin};
use gritmesh_runtime::{Failure, FailureCode, Instant, ShardId};

use super::scenario::{Defect, World, reminder};
use super::*;

const LIMITS: ReminderLimits = ReminderLimits::PRODUCTION;

const SHARD: ShardId = ShardId(1);
const WALL: u64 = 1_000_000;

#[test]
fn each_fires_when_it_has_to_whatever_happens() {
    let (mut runs, mut skips) = (0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed, Defect::None);
        if let Err(violation) = world.run() {
            panic!("seed {seed}: {violation}");
        }
        runs += world.runs;
        skips += world.skips;
    }
    assert!(runs > 1_000 && skips > 10, "{runs} runs and {skips} skips prove little");
}

#[test]
fn worlds_with_a_defect_are_caught() {
    for defect in [Defect::NoAdmission, Defect::LosesRow, Defect::KeepsOldTime, Defect::LeavesOut] {
        let caught = (0..20).find_map(|seed| World::new(seed, defect).run().err());
        assert!(caught.is_some(), "{defect:?} goes unnoticed");
    }
}

/// One machine that leads one shard at [`WALL`], and what came out.
struct Bench {
    reminders: Reminders,
    now: Instant,
    out: Vec<ReminderEffect>,
}

impl Bench {
    fn new(rows: impl IntoIterator<Item = PendingReminder>) -> Self {
        let mut bench = Self { reminders: Reminders::default(), now: Instant::ZERO, out: Vec::new() };
        bench.reminders.wall_clock(bench.now, WALL, &mut bench.out);
        bench.reminders.lead(SHARD);
        bench.reminders.found(bench.now, SHARD, rows, &mut bench.out);
        bench
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.reminders.next_deadline().filter(|due| *due <= end) {
            self.now = due;
            self.reminders.tick(due, &mut self.out);
        }
        self.now = end;
    }

    fn refuse(&mut self, row: &PendingReminder, code: FailureCode) {
        let failure = Failure::new(code, "");
        self.reminders.refused(self.now, SHARD, &row.key(), row.due_unix_ms, failure, &mut self.out);
    }

    /// Names, lateness and whether they are skipped, of what fired since the last look.
    fn fired(&mut self) -> Vec<(String, u64, bool)> {
        let fire = |effect| match effect {
            ReminderEffect::Fire { reminder, late_by_ms, skip, .. } => {
                Some((reminder.name.to_string(), late_by_ms, skip))
            }
            ReminderEffect::Failing { .. } => None,
        };
        std::mem::take(&mut self.out).into_iter().filter_map(fire).collect()
    }
}

fn fire(name: &str, late_by_ms: u64) -> (String, u64, bool) {
    (name.to_owned(), late_by_ms, false)
}

#[test]
fn they_fire_in_their_millisecond_and_in_their_order() {
    let rows = [reminder(1, "late", WALL - 70), reminder(1, "b", WALL + 20), reminder(2, "a", WALL + 10)];
    let mut bench = Bench::new(rows);
    assert_eq!(bench.fired(), [fire("late", 70)]);
    bench.wait(9);
    assert_eq!(bench.fired(), []);
    bench.wait(1);
    assert_eq!(bench.fired(), [fire("a", 0)]);
    bench.wait(10);
    assert_eq!(bench.fired(), [fire("b", 0)]);
    bench.wait(20_000);
    assert_eq!(bench.fired(), []);
}

#[test]
fn what_changed_since_is_known_better_than_the_rows() {
    let rows =
        [reminder(1, "moved", WALL + 10), reminder(1, "cancelled", WALL + 10), reminder(2, "r", WALL + 10)];
    let mut bench = Bench::new([]);
    bench.reminders.set(bench.now, SHARD, reminder(1, "moved", WALL + 20), &mut bench.out);
    bench.reminders.cancelled(bench.now, SHARD, &rows[1].key(), &mut bench.out);
    bench.reminders.found(bench.now, SHARD, rows, &mut bench.out);
    bench.reminders.found_all(SHARD);
    bench.wait(10);
    assert_eq!(bench.fired(), [fire("r", 0)]);
    bench.wait(10);
    assert_eq!(bench.fired(), [fire("moved", 0)]);
}

#[test]
fn nothing_fires_before_the_time_is_known() {
    let mut bench = Bench { reminders: Reminders::default(), now: Instant::ZERO, out: Vec::new() };
    bench.reminders.lead(SHARD);
    bench.reminders.found(bench.now, SHARD, [reminder(1, "r", 5)], &mut bench.out);
    bench.wait(60_000);
    assert_eq!((bench.fired(), bench.reminders.next_deadline()), (vec![], None));
    bench.reminders.wall_clock(bench.now, WALL, &mut bench.out);
    assert_eq!(bench.fired(), [fire("r", WALL - 5)]);
}

#[test]
fn the_clock_may_be_put_forward_and_back() {
    let row = reminder(1, "r", WALL + 5_000);
    let mut bench = Bench::new([row.clone(), reminder(1, "later", WALL + 8_000)]);
    bench.wait(4_000);
    bench.reminders.wall_clock(bench.now, WALL - 10_000, &mut bench.out);
    bench.wait(14_999);
    assert_eq!(bench.fired(), []);
    bench.wait(1);
    assert_eq!(bench.fired(), [fire("r", 0)]);
    bench.refuse(&row, FailureCode::Overloaded);
    bench.reminders.wall_clock(bench.now, WALL, &mut bench.out);
    bench.wait(4_999);
    assert_eq!(bench.fired(), [], "it does not fire again before its time");
    bench.reminders.wall_clock(bench.now, WALL + 9_000, &mut bench.out);
    assert_eq!(bench.fired(), [fire("r", 4_000), fire("later", 1_000)]);
}

#[test]
fn a_firing_names_what_the_actor_knows_it_by() {
    let row = PendingReminder { set_by: [7; 32], ..reminder(1, "r", WALL) };
    let bench = Bench::new([row.clone()]);
    let [ReminderEffect::Fire { reminder, shard, .. }] = &bench.out[..] else { panic!("{:?}", bench.out) };
    for skip in [false, true] {
        let origin = Origin::Reminder { name: "r".into(), due_unix_ms: WALL, set_by: [7; 32], skip };
        assert_eq!((reminder.origin(skip), *shard, &**reminder), (origin, SHARD, &row));
    }
}

#[test]
fn its_step_moves_it_on_and_late_answers_mean_nothing() {
    let row = PendingReminder { every_ms: Some(100), ..reminder(1, "r", WALL) };
    let mut bench = Bench::new([row.clone()]);
    bench.wait(30);
    assert_eq!(bench.fired(), [fire("r", 0)]);
    let next = PendingReminder { due_unix_ms: WALL + 100, set_by: [1; 32], ..row.clone() };
    bench.reminders.set(bench.now, SHARD, next.clone(), &mut bench.out);
    bench.reminders.fired(bench.now, SHARD, &row.key(), WALL, &mut bench.out);
    bench.refuse(&row, FailureCode::Unknown);
    bench.reminders.set(bench.now, SHARD, next, &mut bench.out);
    bench.wait(70);
    assert_eq!(bench.fired(), [fire("r", 0)]);
    bench.reminders.cancelled(bench.now, SHARD, &row.key(), &mut bench.out);
    bench.wait(100_000);
    assert_eq!((bench.fired(), bench.reminders.next_deadline()), (vec![], None));
    assert_eq!((bench.reminders.pending(SHARD), bench.reminders.firing(SHARD)), (0, 0));
}

#[test]
fn what_was_answered_without_a_step_and_what_nobody_answers_fires_again() {
    let row = reminder(1, "r", WALL);
    let mut bench = Bench::new([row.clone()]);
    bench.fired();
    bench.reminders.fired(bench.now, SHARD, &row.key(), WALL, &mut bench.out);
    bench.wait(600);
    assert_eq!(bench.fired().len(), 1);
    bench.wait(59_000);
    assert_eq!(bench.fired().len(), 0);
    bench.wait(3_000);
    assert_eq!(bench.fired().len(), 1);
    assert_eq!((bench.reminders.counters().unanswered, bench.reminders.counters().retried), (1, 2));
}

#[test]
fn a_late_one_that_wants_it_is_skipped() {
    let rows = [
        PendingReminder { late: Late::Skip, ..reminder(1, "skip", WALL - 60_001) },
        PendingReminder { late: Late::Skip, ..reminder(2, "bearable", WALL - 60_000) },
        PendingReminder { late: Late::CatchUp, ..reminder(3, "all", WALL - 600_000) },
    ];
    let mut bench = Bench::new(rows);
    let skipped = ("skip".to_owned(), 60_001, true);
    assert_eq!(bench.fired(), [fire("all", 600_000), skipped, fire("bearable", 60_000)]);
    assert_eq!(bench.reminders.counters().skipped, 1);
}

#[test]
fn an_outage_is_worked_off_and_those_that_fail_leave_room() {
    let rows: Vec<PendingReminder> = (0..200).map(|n| reminder(n, "r", WALL - 1_000 + n)).collect();
    let mut bench = Bench::new(rows.clone());
    assert_eq!(bench.fired().len(), LIMITS.firings_per_shard);
    assert_eq!(bench.reminders.next_deadline(), Some(bench.now + LIMITS.silence), "no place is free");
    for row in &rows[..LIMITS.firings_per_shard] {
        bench.refuse(row, FailureCode::Overloaded);
    }
    assert_eq!(bench.fired().len(), LIMITS.firings_per_shard);
    bench.wait(1_000);
    for row in &rows[LIMITS.firings_per_shard..2 * LIMITS.firings_per_shard] {
        bench.reminders.cancelled(bench.now, SHARD, &row.key(), &mut bench.out);
    }
    assert_eq!(bench.fired().len(), LIMITS.firings_per_shard);
    let counters = bench.reminders.counters();
    assert_eq!(counters.retried, LIMITS.retries_per_shard as u64);
    assert_eq!(counters.fired, (3 * LIMITS.firings_per_shard - LIMITS.retries_per_shard) as u64);
}

#[test]
fn panics_are_counted_until_it_is_paused() {
    let row = reminder(1, "r", WALL);
    let mut bench = Bench::new([row.clone()]);
    for (code, expected) in [
        (FailureCode::Panicked, Some(1)),
        (FailureCode::Overloaded, None),
        (FailureCode::Panicked, Some(2)),
        (FailureCode::Paused, None),
        (FailureCode::Panicked, Some(1)),
    ] {
        bench.out.clear();
        bench.refuse(&row, code);
        let attempts = bench.out.iter().find_map(|effect| match effect {
            ReminderEffect::Failing { attempts, .. } => Some(*attempts),
            ReminderEffect::Fire { .. } => None,
        });
        assert_eq!(attempts, expected);
        bench.wait(10_000);
    }
    assert_eq!(bench.reminders.counters().paused, 1);
}

/// Between two times that are told, the clock that counts on may run faster than the wall clock.
#[test]
fn one_whose_time_has_not_come_after_all_waits_again() {
    let row = reminder(1, "r", WALL + 500);
    let mut bench = Bench::new([row.clone()]);
    bench.wait(500);
    assert_eq!(bench.fired(), [fire("r", 0)]);
    // Whoever was to make the call sees that it is a little earlier.
    bench.reminders.wall_clock(bench.now, WALL + 490, &mut bench.out);
    bench.reminders.early(bench.now, SHARD, &row.key(), row.due_unix_ms, &mut bench.out);
    assert_eq!((bench.reminders.firing(SHARD), bench.reminders.pending(SHARD)), (0, 1));
    bench.wait(9);
    assert_eq!(bench.fired(), []);
    bench.wait(1);
    assert_eq!(bench.fired(), [fire("r", 0)]);
    // It is about a time that the reminder has left behind.
    let next = PendingReminder { due_unix_ms: WALL + 900, ..row.clone() };
    bench.reminders.set(bench.now, SHARD, next, &mut bench.out);
    bench.reminders.early(bench.now, SHARD, &row.key(), row.due_unix_ms, &mut bench.out);
    bench.wait(400);
    assert_eq!(bench.fired(), [fire("r", 0)]);
}
