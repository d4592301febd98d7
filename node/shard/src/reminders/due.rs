//! When a recurring reminder is due next. Pure, because two need the same answer: the step that moves the
//! reminder on, and whoever checks it.

use gritmesh_actor::Late;

use super::reminder::PendingReminder;

/// How late a reminder with [`Late::Skip`] may be and still run: one period, but not less than this. A change of
/// leadership takes a second or two, and should not cost a run.
pub const SKIP_AFTER_MS: u64 = 60_000;

/// When the reminder is due after it has fired, or was skipped, for `fired_due`; `None` if never again.
///
/// Times keep to the grid of `fired_due` and the period, however late the firing was. With [`Late::CatchUp`] each
/// of them comes; else those that have passed by `now_unix_ms` are left out. A period of zero, which nobody should
/// be able to set, counts as one millisecond.
pub fn next_due(row: &PendingReminder, fired_due: u64, now_unix_ms: u64) -> Option<u64> {
    let every = row.every_ms?.max(1);
    let periods = match row.late {
        Late::CatchUp => 1,
        Late::Skip | Late::Once => (now_unix_ms.saturating_sub(fired_due) / every).checked_add(1)?,
    };
    fired_due.checked_add(periods.checked_mul(every)?)
}

/// Whether the reminder is so late for `row.due_unix_ms` that its handler does not run. There is still a step: it
/// moves the reminder on to [`next_due`], or removes it.
pub fn is_skipped(row: &PendingReminder, now_unix_ms: u64) -> bool {
    let bearable = row.every_ms.unwrap_or(0).max(SKIP_AFTER_MS);
    row.late == Late::Skip && now_unix_ms.saturating_sub(row.due_unix_ms) > bearable
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::scenario::reminder;
    use super::*;

    const DUE: u64 = 1_000_000;

    fn every(every_ms: Option<u64>, late: Late) -> PendingReminder {
        PendingReminder { every_ms, late, ..reminder(1, "r", DUE) }
    }

    #[test]
    fn policies_differ_in_what_was_missed() {
        for (late, now, next) in [
            (Late::CatchUp, DUE, DUE + 100),
            (Late::CatchUp, DUE + 1_234, DUE + 100),
            (Late::Once, DUE, DUE + 100),
            (Late::Once, DUE + 99, DUE + 100),
            (Late::Once, DUE + 100, DUE + 200),
            (Late::Once, DUE + 1_234, DUE + 1_300),
            (Late::Skip, DUE + 1_234, DUE + 1_300),
            (Late::Once, DUE - 500, DUE + 100),
        ] {
            assert_eq!(next_due(&every(Some(100), late), DUE, now), Some(next), "{late:?} at {now}");
        }
        assert_eq!(next_due(&every(None, Late::CatchUp), DUE, DUE), None);
        assert_eq!(next_due(&every(Some(u64::MAX), Late::Once), DUE, DUE), None, "beyond the end of time");
    }

    #[test]
    fn only_what_is_very_late_is_skipped() {
        let (short, long) = (every(Some(100), Late::Skip), every(Some(3_600_000), Late::Skip));
        assert!(!is_skipped(&short, DUE + 60_000) && is_skipped(&short, DUE + 60_001));
        assert!(!is_skipped(&long, DUE + 3_600_000) && is_skipped(&long, DUE + 3_600_001));
        assert!(is_skipped(&every(None, Late::Skip), DUE + 60_001));
        assert!(!is_skipped(&short, 0), "the clock was put back");
        assert!(!is_skipped(&every(Some(100), Late::Once), u64::MAX));
        assert!(!is_skipped(&every(Some(100), Late::CatchUp), u64::MAX));
    }

    fn policy() -> impl Strategy<Value = Late> {
        prop_oneof![Just(Late::Skip), Just(Late::Once), Just(Late::CatchUp)]
    }

    proptest! {
        #[test]
        fn the_next_time_is_later_and_on_the_grid(
            late in policy(), period in 0..u64::MAX, fired in any::<u64>(), now in any::<u64>()
        ) {
            if let Some(next) = next_due(&every(Some(period), late), fired, now) {
                prop_assert!(next > fired);
                prop_assert_eq!((next - fired) % period.max(1), 0);
            }
        }

        #[test]
        fn once_and_skip_name_the_first_time_that_is_to_come(
            period in 1..100_000_u64, fired in 0..1_u64 << 50, now in 0..1_u64 << 50
        ) {
            for late in [Late::Once, Late::Skip] {
                let next = next_due(&every(Some(period), late), fired, now).unwrap();
                prop_assert!(next > now);
                prop_assert!(next - period <= now.max(fired), "an earlier one was to come");
            }
        }

        #[test]
        fn catching_up_leaves_none_out(
            period in 1..1_000_u64, start in 0..1_u64 << 40, now in 0..1_u64 << 50, runs in 1..50_u64
        ) {
            let row = every(Some(period), Late::CatchUp);
            let last = (0..runs).fold(start, |due, _| next_due(&row, due, now).unwrap());
            prop_assert_eq!(last, start + runs * period);
        }
    }
}
