//! One peer: its queues, where it is, and which connection to it stands.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use gritmesh_runtime::{NodeId, Tag, TrafficClass};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::options::{BACKOFF_MAX, BACKOFF_MIN, LIVENESS_TIME_MAX};
use crate::outbox::Outbox;

/// What is kept of a peer while it is known or connected.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    outboxes: [Outbox; TrafficClass::ALL.len()],
    /// Whether the caller wants this peer; cleared by `forget`.
    pub(crate) known: AtomicBool,
    /// Whether [`Slot::standing`] is filled. A copy that senders may read without waiting.
    pub(crate) connected: AtomicBool,
    pub(crate) connected_changed: Notify,
    /// Whether a task is connecting on demand.
    pub(crate) reaching: AtomicBool,
    route: Mutex<Route>,
    /// Taken by whoever makes or ends the standing connection and reports it, so that the handler hears of one
    /// peer in order.
    pub(crate) slot: tokio::sync::Mutex<Slot>,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) standing: Option<Standing>,
}

impl Slot {
    /// The standing connection, unless its task has died of a panic.
    pub(crate) fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref().filter(|standing| !standing.orders.is_closed())
    }
}

/// The one admitted connection to a peer, as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// The peer's process.
    pub(crate) process: u64,
    /// The decision, of whichever node decides, that made this connection the standing one.
    pub(crate) ordinal: u64,
    /// To the task that looks after the connection; closed once its end has been reported.
    pub(crate) orders: mpsc::Sender<SessionOrder>,
}

#[derive(Debug)]
pub(crate) enum SessionOrder {
    /// Ask the peer for a sign of life and pass it on.
    Check(oneshot::Sender<()>),
    /// The connection is dead or superseded: end it without ceremony.
    Replace,
    /// The caller is done with the peer.
    Forget,
    /// The node ends: write out what is queued, say goodbye, close.
    ShutDown,
}

impl Standing {
    /// Whether the peer answers over this connection in time.
    pub(crate) async fn answers(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let check =
            async { self.orders.send(SessionOrder::Check(reply)).await.is_ok() && answer.await.is_ok() };
        tokio::time::timeout(LIVENESS_TIME_MAX, check).await.unwrap_or(false)
    }

    /// Ends the connection and waits until that has been reported.
    pub(crate) async fn end(&self, order: SessionOrder) {
        let _ = self.orders.send(order).await;
        self.orders.closed().await;
    }
}

/// Where a peer listens, and when to try again.
#[derive(Debug, Default)]
struct Route {
    address: Option<SocketAddr>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Peer {
    pub(crate) fn new(id: NodeId) -> Self {
        Self {
            id,
            outboxes: Default::default(),
            known: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            connected_changed: Notify::new(),
            reaching: AtomicBool::new(false),
            route: Mutex::default(),
            slot: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) const fn outbox(&self, class: TrafficClass) -> &Outbox {
        &self.outboxes[class as usize]
    }

    pub(crate) const fn outboxes(&self) -> &[Outbox; TrafficClass::ALL.len()] {
        &self.outboxes
    }

    pub(crate) fn has_queued(&self) -> bool {
        self.outboxes.iter().any(|outbox| !outbox.is_empty())
    }

    /// Empties all queues.
    pub(crate) fn drain(&self, unsent: &mut Vec<Tag>) {
        self.outboxes.iter().for_each(|outbox| outbox.drain(unsent));
    }

    /// Notes where the peer listens. A new address is worth trying at once.
    pub(crate) fn learn(&self, address: SocketAddr) {
        let mut route = self.route.lock();
        if route.address != Some(address) {
            *route = Route { address: Some(address), ..Route::default() };
        }
        drop(route);
        self.known.store(true, SeqCst);
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.route.lock().address
    }

    /// How long to wait before the next connection on demand.
    pub(crate) fn pause(&self) -> Duration {
        let not_before = self.route.lock().not_before;
        not_before.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Doubles the pause after a failure. `jitter` is in 0..1 and shortens it by up to half, so that nodes which
    /// lost the same peer do not return all at once.
    pub(crate) fn failed(&self, jitter: f64) {
        let mut route = self.route.lock();
        let doubled = BACKOFF_MIN.saturating_mul(1_u32.checked_shl(route.failures).unwrap_or(u32::MAX));
        let pause = doubled.min(BACKOFF_MAX).mul_f64(1.0 - jitter / 2.0);
        route.failures = (route.failures + 1).min(u32::BITS - 1);
        route.not_before = Some(Instant::now() + pause);
    }

    /// Forgets earlier failures: a connection has lasted.
    pub(crate) fn succeeded(&self) {
        let mut route = self.route.lock();
        route.failures = 0;
        route.not_before = None;
    }

    /// Waits until the peer is connected.
    pub(crate) async fn until_connected(&self) {
        loop {
            let changed = self.connected_changed.notified();
            if self.connected.load(SeqCst) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_a_new_address_ends_it() {
        let peer = Peer::new(NodeId([1; 32]));
        peer.learn(([127, 0, 0, 1], 1).into());
        assert_eq!(peer.pause(), Duration::ZERO);
        let pauses: Vec<Duration> = (0..80)
            .map(|_| {
                peer.failed(0.0);
                peer.pause()
            })
            .collect();
        assert!(pauses[0] <= BACKOFF_MIN && pauses[0] > BACKOFF_MIN / 2);
        assert!(pauses[3] > BACKOFF_MIN * 7);
        assert!(pauses.iter().all(|pause| *pause <= BACKOFF_MAX));
        assert!(pauses[79] > BACKOFF_MAX - Duration::from_secs(1));
        peer.learn(([127, 0, 0, 1], 1).into());
        assert!(peer.pause() > Duration::ZERO);
        peer.learn(([127, 0, 0, 1], 2).into());
        assert_eq!(peer.pause(), Duration::ZERO);
    }

    #[test]
    fn jitter_shortens_the_pause() {
        let peer = Peer::new(NodeId([1; 32]));
        peer.failed(1.0);
        assert!(peer.pause() <= BACKOFF_MIN / 2);
    }
}
