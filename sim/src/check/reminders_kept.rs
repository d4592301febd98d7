//! Reminders ring: a one-shot one once, none before it is due or after it was cancelled, and recurring ones as often as
//! their policy says.
//!
//! Where wall clocks jump, a time that was due need not have come, so that only those counts are judged that no clock
//! can excuse.

use gritmesh_actor::Late;

use super::Found;
use crate::history::{AlarmLeft, History, Remains, Ring};

const CODE: &str = "reminders_kept";

/// How late a reminder may be in a cluster that has been calm for long, in milliseconds: a search for what is due, a
/// commit, and the difference of two clocks.
const LATE_MS: u64 = 2_500;

pub(crate) fn check(history: &History, found: Found<'_>) {
    let Some(remains) = &history.remains else { return };
    for (actor, left) in &remains.actors {
        let Some(alarm) = &left.alarm else { continue };
        for (number, ring) in &alarm.rings {
            let mut wrong = |what: String| {
                found(CODE, remains.at, format!("reminder {number} of {actor} {what}: {ring:?}"));
            };
            always(ring, &mut wrong);
            match alarm.pending.get(number) {
                Some(_) if ring.cancelled_unix_ms.is_some() => wrong("was cancelled and is set".into()),
                pending => kept(history, remains, alarm, ring, pending.copied(), &mut wrong),
            }
        }
        for number in alarm.pending.keys().filter(|number| !alarm.rings.contains_key(number)) {
            found(
                CODE,
                remains.at,
                format!("reminder {number} of {actor} is set, which the actor never did"),
            );
        }
    }
}

/// What holds whatever clocks do.
fn always(ring: &Ring, wrong: &mut dyn FnMut(String)) {
    if ring.every_ms.is_none() && ring.count > 1 {
        wrong(format!("rang {} times", ring.count));
    }
    if ring.after_cancel > 0 {
        wrong("rang after it was cancelled".into());
    }
}

/// What holds for a reminder that is or was set.
fn kept(
    history: &History,
    remains: &Remains,
    alarm: &AlarmLeft,
    ring: &Ring,
    pending: Option<u64>,
    wrong: &mut dyn FnMut(String),
) {
    let is_once = ring.every_ms.is_none();
    let is_over = ring.cancelled_unix_ms.is_some() || is_once && ring.count > 0;
    // Its time came while nobody could ring it, or a clock says so.
    let is_skipped =
        is_once && ring.late == Late::Skip && (history.clocks_jump || ring.due_unix_ms < alarm.now_unix_ms);
    if !is_over && !is_skipped && pending.is_none() {
        return wrong("is lost".into());
    }
    if history.clocks_jump {
        return;
    }
    if ring.early > 0 {
        wrong(format!("rang {} times before it was due", ring.early));
    }
    let until = ring.cancelled_unix_ms.unwrap_or(alarm.now_unix_ms);
    let due = ring.times_due(until);
    let certain = ring.times_due(until.saturating_sub(LATE_MS));
    if ring.count > due {
        return wrong(format!("rang {} times and was due {due} times", ring.count));
    }
    let calm_ms = remains.calm_for.as_millis() as u64;
    let silenced_late = calm_ms > LATE_MS + ring.every_ms.unwrap_or(0);
    let rang_lately = ring.last_unix_ms + LATE_MS + ring.every_ms.unwrap_or(0) >= until;
    match ring.every_ms {
        // Cancelled while the cluster was in trouble, it may just not have come to it.
        None if !is_over && !is_skipped && certain > 0 => wrong("did not ring".into()),
        Some(_) if silenced_late && certain > 0 && !rang_lately && is_calm(remains, alarm, until) => {
            wrong("has stopped".into());
        }
        Some(_) if ring.late == Late::CatchUp && ring.count < certain && is_calm(remains, alarm, until) => {
            wrong(format!("rang {} times and was due {certain} times", ring.count));
        }
        _ => {}
    }
}

/// Whether a moment lies in the last part of the run, when nothing was wrong for long enough.
fn is_calm(remains: &Remains, alarm: &AlarmLeft, unix_ms: u64) -> bool {
    let calm_ms = remains.calm_for.as_millis() as u64;
    unix_ms + calm_ms.saturating_sub(LATE_MS) >= alarm.now_unix_ms
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::Story;
    use super::*;

    const NOW: u64 = 100_000;

    /// An alarm with one reminder, at [`NOW`].
    fn alarm(ring: Ring, pending: Option<u64>) -> Story {
        let mut story = Story::new();
        let pending = pending.map(|due| (7, due)).into_iter().collect();
        story.left("a0").alarm = Some(AlarmLeft { now_unix_ms: NOW, rings: [(7, ring)].into(), pending });
        story.history.remains.as_mut().unwrap().calm_for = Duration::from_secs(20);
        story
    }

    fn once(due_unix_ms: u64, count: u64) -> Ring {
        Ring {
            due_unix_ms,
            every_ms: None,
            late: Late::Once,
            cancelled_unix_ms: None,
            count,
            last_unix_ms: due_unix_ms,
            early: 0,
            after_cancel: 0,
        }
    }

    /// Due first at 50 s, then every second, cancelled at 99 s: 50 times due, of which 47 surely had their turn.
    fn again(late: Late, count: u64) -> Ring {
        let (every_ms, cancelled_unix_ms) = (Some(1_000), Some(99_000));
        Ring { every_ms, late, cancelled_unix_ms, count, last_unix_ms: 98_100, ..once(50_000, 0) }
    }

    #[test]
    fn what_rang_once_or_is_not_due_is_clean() {
        alarm(once(50_000, 1), None).is_clean(check);
        alarm(once(NOW + 9, 0), Some(NOW + 9)).is_clean(check);
        alarm(once(NOW - 9, 0), Some(NOW - 9)).is_clean(check);
        alarm(Ring { cancelled_unix_ms: Some(49_000), ..once(50_000, 0) }, None).is_clean(check);
    }

    #[test]
    fn what_did_not_ring_rang_twice_or_is_lost_is_found() {
        alarm(once(50_000, 0), Some(50_000)).is_broken(check, "reminder 7 of a0 did not ring");
        alarm(once(50_000, 2), None).is_broken(check, "rang 2 times");
        alarm(once(NOW + 9, 0), None).is_broken(check, "is lost");
        alarm(once(50_000, 0), None).is_broken(check, "is lost");
        alarm(Ring { early: 1, ..once(50_000, 1) }, None).is_broken(check, "before it was due");
    }

    #[test]
    fn one_that_may_be_skipped_may_be_gone_but_not_before_its_time() {
        let skipped = |due| Ring { late: Late::Skip, ..once(due, 0) };
        alarm(skipped(50_000), None).is_clean(check);
        alarm(skipped(NOW + 9), None).is_broken(check, "is lost");
    }

    #[test]
    fn what_was_cancelled_stays_silent() {
        let ring = Ring { cancelled_unix_ms: Some(49_000), ..once(50_000, 0) };
        alarm(Ring { after_cancel: 1, ..ring }, None).is_broken(check, "after it was cancelled");
        alarm(ring, Some(50_000)).is_broken(check, "was cancelled and is set");
    }

    #[test]
    fn what_recurs_keeps_its_policy() {
        alarm(again(Late::CatchUp, 50), None).is_clean(check);
        alarm(again(Late::CatchUp, 47), None).is_clean(check);
        alarm(again(Late::Skip, 3), None).is_clean(check);
        alarm(again(Late::CatchUp, 30), None).is_broken(check, "rang 30 times and was due 47 times");
        alarm(again(Late::Once, 51), None).is_broken(check, "rang 51 times and was due 50 times");
        let stopped = Ring { last_unix_ms: 60_000, ..again(Late::Skip, 3) };
        alarm(stopped, None).is_broken(check, "has stopped");
    }

    #[test]
    fn where_clocks_jump_only_the_certain_is_judged() {
        let mut story = alarm(once(50_000, 0), Some(50_000));
        story.history.clocks_jump = true;
        story.is_clean(check);
        let mut story = alarm(once(50_000, 2), None);
        story.history.clocks_jump = true;
        story.is_broken(check, "rang 2 times");
    }

    #[test]
    fn a_reminder_from_nowhere_is_found() {
        let mut story = alarm(once(50_000, 1), None);
        story.left("a0").alarm.as_mut().unwrap().pending.insert(8, NOW + 9);
        story.is_broken(check, "reminder 8 of a0 is set, which the actor never did");
    }
}
