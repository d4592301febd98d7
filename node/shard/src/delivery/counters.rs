//! What delivery has done so far, for metrics.

use std::collections::BTreeMap;

use gritmesh_runtime::FailureCode;

/// Totals since the node started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounters {
    /// Messages sent for the first time by this leader.
    pub sent: u64,
    /// Messages sent again.
    pub resent: u64,
    /// Messages that were acknowledged.
    pub acknowledged: u64,
    /// Refusals because a message before was not read.
    pub early: u64,
    /// Refusals because the receiver is paused.
    pub paused: u64,
    /// All other refusals, by their code.
    pub refused: BTreeMap<FailureCode, u64>,
    /// Times at which nobody answered.
    pub unanswered: u64,
    /// Prunes wanted.
    pub prunes: u64,
    /// Loads wanted.
    pub loads: u64,
    /// Loads that did not bring the row that was wanted: the disk failed, or a row is missing.
    pub missing: u64,
}

impl DeliveryCounters {
    pub(crate) fn count_refusal(&mut self, code: FailureCode) {
        match code {
            FailureCode::Early => self.early += 1,
            FailureCode::Paused => self.paused += 1,
            _ => *self.refused.entry(code).or_default() += 1,
        }
    }
}
