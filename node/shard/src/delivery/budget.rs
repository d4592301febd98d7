//! How much of one shard's outbox is in memory.

use super::limits::DeliveryLimits;

#[derive(Debug)]
pub(super) struct Budget {
    pub(super) limits: DeliveryLimits,
    bodies: usize,
    bytes: usize,
    /// Bodies that loads under way may bring.
    reserved: usize,
    loads: usize,
}

impl Budget {
    pub(super) const fn new(limits: DeliveryLimits) -> Self {
        Self { limits, bodies: 0, bytes: 0, reserved: 0, loads: 0 }
    }

    /// Whether one more body may stay.
    pub(super) const fn has_room(&self) -> bool {
        self.bodies + self.reserved < self.limits.bodies_per_shard
            && self.bytes < self.limits.body_bytes_per_shard
    }

    pub(super) const fn take(&mut self, bytes: usize) {
        self.bodies += 1;
        self.bytes += bytes;
    }

    pub(super) const fn give_back(&mut self, bytes: usize) {
        self.bodies -= 1;
        self.bytes -= bytes;
    }

    /// Lets a load begin for up to `wanted` bodies. Returns for how many; `None` if it has to wait.
    pub(super) fn reserve(&mut self, wanted: usize) -> Option<usize> {
        if !self.has_room() || self.loads >= self.limits.loads_per_shard {
            return None;
        }
        let granted = wanted.min(self.limits.bodies_per_shard - self.bodies - self.reserved);
        self.reserved += granted;
        self.loads += 1;
        Some(granted)
    }

    /// The load has ended.
    pub(super) const fn release(&mut self, granted: usize) {
        self.reserved -= granted;
        self.loads -= 1;
    }

    pub(super) const fn bodies(&self) -> usize {
        self.bodies
    }
}
