//! Deadlines kept inside a machine.

use std::collections::BTreeMap;

use crate::Instant;

/// Names one entry of [`Timers`], for cancelling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    due: Instant,
    number: u64,
}

/// Values that wait for a point in time, in the order of that time and, within it, of their insertion.
///
/// A machine keeps its deadlines here and tells the driver only the earliest one.
#[derive(Clone, Debug)]
pub struct Timers<T> {
    waiting: BTreeMap<TimerKey, T>,
    inserted: u64,
}

impl<T> Timers<T> {
    /// No timers.
    pub const fn new() -> Self {
        Self { waiting: BTreeMap::new(), inserted: 0 }
    }

    /// Lets `value` wait until `due`.
    pub fn insert(&mut self, due: Instant, value: T) -> TimerKey {
        let key = TimerKey { due, number: self.inserted };
        self.inserted += 1;
        self.waiting.insert(key, value);
        key
    }

    /// Takes a value back before it is due. `None` if it was already taken.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.waiting.remove(&key)
    }

    /// Takes the earliest value that is due at `now`, with the instant it was due at.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        let entry = self.waiting.first_entry()?;
        if entry.key().due > now {
            return None;
        }
        let (key, value) = entry.remove_entry();
        Some((key.due, value))
    }

    /// When the earliest value is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(key, _)| key.due)
    }

    /// How many values wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pops_by_time_then_by_insertion() {
        let mut timers = Timers::new();
        timers.insert(Instant::from_nanos(5), 'b');
        timers.insert(Instant::from_nanos(5), 'c');
        timers.insert(Instant::from_nanos(1), 'a');
        let gone = timers.insert(Instant::from_nanos(2), 'x');
        assert_eq!(timers.cancel(gone), Some('x'));
        assert_eq!(timers.cancel(gone), None);
        let order: Vec<char> =
            std::iter::from_fn(|| timers.pop_due(Instant::from_nanos(9)).map(|due| due.1)).collect();
        assert_eq!(order, ['a', 'b', 'c']);
    }

    #[test]
    fn nothing_pops_early() {
        let mut timers = Timers::new();
        timers.insert(Instant::from_nanos(5), ());
        assert_eq!(timers.pop_due(Instant::from_nanos(4)), None);
        assert_eq!(timers.next_due(), Some(Instant::from_nanos(5)));
        assert_eq!(timers.len(), 1);
    }
}
