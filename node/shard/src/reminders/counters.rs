//! What reminders have done so far, for metrics.

use std::collections::BTreeMap;

use gritmesh_runtime::FailureCode;

/// Totals since the node started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReminderCounters {
    /// Firings that were tried for the first time by this leader.
    pub fired: u64,
    /// Firings that were tried again.
    pub retried: u64,
    /// Of both, those that were too late to run.
    pub skipped: u64,
    /// Refusals because the actor is paused.
    pub paused: u64,
    /// All other refusals, by their code.
    pub refused: BTreeMap<FailureCode, u64>,
    /// Firings that nobody answered.
    pub unanswered: u64,
}

impl ReminderCounters {
    pub(super) const fn count_firing(&mut self, retry: bool, skip: bool) {
        *(if retry { &mut self.retried } else { &mut self.fired }) += 1;
        if skip {
            self.skipped += 1;
        }
    }

    pub(super) fn count_refusal(&mut self, code: FailureCode) {
        if code == FailureCode::Paused {
            self.paused += 1;
        } else {
            *self.refused.entry(code).or_default() += 1;
        }
    }
}
