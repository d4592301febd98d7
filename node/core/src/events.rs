//! Cluster events as a stream for users.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::StreamExt;
use futures::channel::mpsc;
use gritmesh_membership::ClusterEvent;
use parking_lot::Mutex;

/// Events that may wait for one subscriber. One that falls further behind is cut off: a partial list of events
/// is worse than none, and the view always tells the present state.
const EVENTS_WAITING_MAX: usize = 1024;

/// Subscribers of one node. There is a handful; more are a leak.
const SUBSCRIBERS_MAX: usize = 1024;

/// What happens to the members of the cluster, as seen by one node. Ends when the node stops, or when the
/// subscriber falls more than 1,024 events behind; then look at the view and subscribe again.
pub struct ClusterEvents {
    events: mpsc::Receiver<ClusterEvent>,
}

impl Stream for ClusterEvents {
    type Item = ClusterEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClusterEvent>> {
        self.events.poll_next_unpin(cx)
    }
}

impl fmt::Debug for ClusterEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterEvents")
    }
}

/// Everyone who follows the cluster from this node.
#[derive(Default)]
pub(crate) struct Subscribers {
    senders: Mutex<Vec<mpsc::Sender<ClusterEvent>>>,
}

impl Subscribers {
    /// A new subscriber; the oldest one is cut off if there are too many.
    pub(crate) fn subscribe(&self) -> ClusterEvents {
        let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let mut senders = self.senders.lock();
        if senders.len() >= SUBSCRIBERS_MAX {
            senders.remove(0);
        }
        senders.push(sender);
        ClusterEvents { events }
    }

    pub(crate) fn notify(&self, event: &ClusterEvent) {
        self.senders.lock().retain_mut(|sender| sender.try_send(event.clone()).is_ok());
    }
}
