//! The invariants, one file each. All have the same shape: they read the history and name what is wrong.

mod acknowledged_kept;
mod answered_once;
mod ends_by_deadline;
mod leaves_quietly;
mod lies_forgotten;
mod linearizable;
mod minority_refuses;
mod money_kept;
mod not_delivered_not_run;
mod nothing_early;
mod one_cluster;
mod one_history;
mod one_leader;
mod one_lease;
mod reached_is_served;
mod reminders_kept;
mod replicas_equal;
mod serves_again;
mod single_activation;
#[cfg(test)]
mod testing;
mod views_converge;

use gritmesh_runtime::Instant;

use crate::history::History;

/// Takes what a checker found: the invariant's name, when it broke, and the particulars.
pub(crate) type Found<'a> = &'a mut dyn FnMut(&'static str, Instant, String);

/// Findings of one checker that are worth reading.
const FINDINGS_MAX: usize = 20;

/// Runs every checker.
pub(crate) fn all(history: &History, found: Found<'_>) {
    for check in [
        acknowledged_kept::check,
        answered_once::check,
        ends_by_deadline::check,
        leaves_quietly::check,
        lies_forgotten::check,
        linearizable::check,
        minority_refuses::check,
        money_kept::check,
        not_delivered_not_run::check,
        nothing_early::check,
        one_cluster::check,
        one_history::check,
        one_leader::check,
        one_lease::check,
        reached_is_served::check,
        reminders_kept::check,
        replicas_equal::check,
        serves_again::check,
        single_activation::check,
        views_converge::check,
    ] {
        let mut count = 0;
        check(history, &mut |code, at, detail| {
            count += 1;
            if count <= FINDINGS_MAX {
                found(code, at, detail);
            }
        });
    }
}

/// Whether an invariant says that something must happen in the end, rather than that something must never happen.
pub(crate) const fn is_liveness(code: &str) -> bool {
    matches!(
        code.as_bytes(),
        b"views_converge" | b"serves_again" | b"reached_is_served" | b"lies_forgotten" | b"leaves_quietly"
    )
}
