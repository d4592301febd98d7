//! All limits of a shard's rooms together.

use gritmesh_runtime::{Limits, NamedLimit};

use crate::{
    BackoffLimits, DeliveryLimits, HistoryLimits, ReadLimits, ReminderLimits, StateLimits, TransferLimits,
};

/// Limits of what a shard's log means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardLimits {
    /// Of delivery.
    pub delivery: DeliveryLimits,
    /// Of reminders.
    pub reminders: ReminderLimits,
    /// Of waits before the next try.
    pub backoff: BackoffLimits,
    /// Of the state.
    pub state: StateLimits,
    /// Of histories.
    pub history: HistoryLimits,
    /// Of reads.
    pub read: ReadLimits,
    /// Of transfers.
    pub transfer: TransferLimits,
}

impl Limits for ShardLimits {
    fn each(&mut self, see: &mut dyn FnMut(NamedLimit<'_>)) {
        self.delivery.each(see);
        self.reminders.each(see);
        self.backoff.each(see);
        self.state.each(see);
        self.history.each(see);
        self.read.each(see);
        self.transfer.each(see);
    }
}
