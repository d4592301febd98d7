//! Calls that were sent to other nodes and have no answer yet.

use gritmesh_runtime::{Instant, NodeId};

use super::Travelling;

/// Calls from one engine that may be under way at once. Each holds its arguments, so this bounds memory; a
/// caller beyond it is told `Overloaded`.
pub(super) const PENDING_MAX: usize = 1 << 17;

const INDEX_BITS: u32 = 24;
const GENERATION_BITS: u32 = 32;

/// A call that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) call: Travelling,
    pub(crate) to: NodeId,
    pub(crate) since: Instant,
}

/// The calls under way, by slot. A slot names the engine, a place and how often that place was used, so an
/// answer that comes twice, or late, finds nothing. Slot 0 is never used.
#[derive(Debug)]
pub(super) struct Pending {
    engine: u8,
    entries: Vec<Entry>,
    free: Vec<u32>,
    used: usize,
    /// Not later than the deadline of any call under way.
    earliest: Instant,
}

#[derive(Debug)]
struct Entry {
    generation: u32,
    sent: Option<Sent>,
}

impl Pending {
    pub(super) const fn new(engine: u8) -> Self {
        Self { engine, entries: Vec::new(), free: Vec::new(), used: 0, earliest: Instant::MAX }
    }

    pub(super) const fn len(&self) -> usize {
        self.used
    }

    /// Takes a place; its slot can be written down before the call is put there.
    pub(super) fn reserve(&mut self) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, sent: None });
            u32::try_from(self.entries.len() - 1).expect("the number of pending calls is limited")
        });
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1).max(1);
        slot(self.engine, entry.generation, index)
    }

    /// Puts a call into the place that was taken for it.
    pub(super) fn put(&mut self, slot: u64, sent: Sent) {
        self.earliest = self.earliest.min(sent.call.submission.header.deadline);
        self.used += 1;
        self.entries[index_of(slot)].sent = Some(sent);
    }

    /// Gives a place back that was not used.
    pub(super) fn cancel(&mut self, slot: u64) {
        if slot != 0 {
            self.free.push(index_of(slot) as u32);
        }
    }

    pub(super) fn remove(&mut self, slot: u64) -> Option<Sent> {
        let index = index_of(slot);
        let generation = (slot >> INDEX_BITS) as u32;
        let entry = self.entries.get_mut(index)?;
        if entry.generation != generation || engine_of(slot) != self.engine {
            return None;
        }
        let sent = entry.sent.take()?;
        self.free.push(index as u32);
        self.used -= 1;
        Some(sent)
    }

    /// Whether there is such a call among those that have no answer yet.
    pub(super) fn any(&self, is_such: impl Fn(&Sent) -> bool) -> bool {
        self.entries.iter().filter_map(|entry| entry.sent.as_ref()).any(is_such)
    }

    /// Takes what was sent to one peer.
    pub(super) fn remove_peer(&mut self, peer: NodeId) -> impl Iterator<Item = Sent> + use<> {
        self.remove_where(|sent| sent.to == peer).into_iter().map(|(_, sent)| sent)
    }

    /// Takes everything.
    pub(super) fn remove_all(&mut self) -> impl Iterator<Item = Sent> + use<> {
        self.remove_where(|_| true).into_iter().map(|(_, sent)| sent)
    }

    /// Takes what has not been answered in time, with the slots.
    ///
    /// The earliest deadline is only computed anew when it has passed: it then belongs most often to a call that
    /// was answered long ago, and the scan happens about once per default deadline.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(u64, Sent)> {
        if now < self.earliest {
            return Vec::new();
        }
        let late = self.remove_where(|sent| sent.call.submission.header.deadline <= now);
        let deadlines = self.entries.iter().filter_map(|entry| entry.sent.as_ref());
        let earliest = deadlines.map(|sent| sent.call.submission.header.deadline).min();
        self.earliest = earliest.unwrap_or(Instant::MAX);
        late
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        (self.earliest < Instant::MAX).then_some(self.earliest)
    }

    fn remove_where(&mut self, matches: impl Fn(&Sent) -> bool) -> Vec<(u64, Sent)> {
        let mut removed = Vec::new();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if let Some(sent) = entry.sent.take_if(|sent| matches(sent)) {
                self.free.push(index as u32);
                self.used -= 1;
                removed.push((slot(self.engine, entry.generation, index as u32), sent));
            }
        }
        removed
    }
}

const fn slot(engine: u8, generation: u32, index: u32) -> u64 {
    (engine as u64) << (INDEX_BITS + GENERATION_BITS) | (generation as u64) << INDEX_BITS | index as u64
}

const fn index_of(slot: u64) -> usize {
    (slot & ((1 << INDEX_BITS) - 1)) as usize
}

/// Which engine a slot belongs to.
pub(crate) const fn engine_of(slot: u64) -> u8 {
    (slot >> (INDEX_BITS + GENERATION_BITS)) as u8
}
