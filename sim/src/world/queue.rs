//! The future of the world, in order.

use std::collections::BTreeMap;
use std::task::Waker;

use gritmesh_runtime::Instant;

use super::Process;
use crate::network::NetworkOccurrence;

/// What happens at a point of virtual time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A sleep is over.
    Wake { process: Process, waker: Waker },
    /// A task that was woken gets its turn at last.
    TaskReady { process: Process, task: u64 },
    /// The oldest write of the process has reached the disk, or failed.
    DiskDone { process: Process },
    /// Something arrives, or fails to.
    Network(NetworkOccurrence),
}

impl Event {
    /// The process that the event happens to. Without it the event does not happen.
    pub(crate) const fn owner(&self) -> Option<Process> {
        match self {
            Self::Wake { process, .. } | Self::TaskReady { process, .. } | Self::DiskDone { process } => {
                Some(*process)
            }
            Self::Network(occurrence) => occurrence.owner(),
        }
    }
}

/// Names one entry of the queue.
pub(crate) type QueueKey = (Instant, u64);

/// Events by virtual time and, within it, by the order in which they were pushed.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: BTreeMap<QueueKey, Event>,
    pushed: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, due: Instant, event: Event) -> QueueKey {
        let key = (due, self.pushed);
        self.pushed += 1;
        self.events.insert(key, event);
        key
    }

    /// Takes an event back. The caller drops it after it has let go of the world: dropping a waker may drop a
    /// task, and that may call back.
    #[must_use]
    pub(crate) fn cancel(&mut self, key: QueueKey) -> Option<Event> {
        self.events.remove(&key)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.events.first_key_value().map(|(key, _)| key.0)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Event> {
        let entry = self.events.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Takes out everything that was to happen to one process, in order.
    #[must_use]
    pub(crate) fn remove_owned_by(&mut self, process: Process) -> Vec<Event> {
        self.events
            .extract_if(.., |_, event| event.owner() == Some(process))
            .map(|(_, event)| event)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeIndex;

    fn done(node: u16) -> Event {
        Event::DiskDone { process: Process { node: NodeIndex(node), life: 0 } }
    }

    fn owner(event: &Event) -> u16 {
        event.owner().unwrap().node.0
    }

    #[test]
    fn pops_by_time_then_by_insertion_and_never_early() {
        let mut queue = Queue::default();
        let at = Instant::from_nanos;
        queue.push(at(5), done(2));
        queue.push(at(5), done(3));
        queue.push(at(1), done(1));
        let gone = queue.push(at(2), done(9));
        assert!(queue.cancel(gone).is_some() && queue.cancel(gone).is_none());
        assert!(queue.pop_due(at(0)).is_none());
        let order: Vec<u16> = std::iter::from_fn(|| queue.pop_due(at(5)).map(|e| owner(&e))).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn removes_what_belongs_to_one_process() {
        let mut queue = Queue::default();
        for node in [1, 2, 1] {
            queue.push(Instant::ZERO, done(node));
        }
        assert_eq!(queue.remove_owned_by(Process { node: NodeIndex(1), life: 0 }).len(), 2);
        assert_eq!(owner(&queue.pop_due(Instant::ZERO).unwrap()), 2);
        assert_eq!(queue.next_due(), None);
    }
}
