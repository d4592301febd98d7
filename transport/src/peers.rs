//! A node's network, as the node holds it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use futures::future::join_all;
use gritmesh_runtime::admission::{Hello, Secrets};
use gritmesh_runtime::frame::FRAME_BYTES_MAX;
use gritmesh_runtime::{LossReason, Network, NetworkHandler, NodeId, NodeInfo, SendError, Tag, TrafficClass};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::driver::{self, COMMANDS_MAX};
use crate::identity::{Identity, entropy};
use crate::lanes::LaneSwarm;
use crate::meter::Counters;
use crate::options::{CLOSE_TIME_MAX, Options, StartError};
use crate::peer::{Peer, SessionOrder};
use crate::reach;
use crate::shared::{DriverCommand, Parts, Shared};

/// Reserves the address to listen on and prepares a network. Nothing is sent or received until
/// [`Peers::run`]; sends and dials before that wait.
///
/// Must be called on a tokio runtime, which then runs the network.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn bind(identity: &Identity, options: Options) -> Result<(Arc<Peers>, SocketAddr), StartError> {
    let mut rng = entropy().rng();
    let process = rng.next_u64();
    let (swarm, bound) = driver::bind(identity, &options, process).await?;
    let (commands, queue) = mpsc::channel(COMMANDS_MAX);
    let shared = Shared::new(Parts { node: identity.node_id(), process, options, bound, commands, rng });
    let stage = Mutex::new(Stage::Bound(Box::new(swarm), queue));
    Ok((Arc::new(Peers { shared: Arc::new(shared), stage }), bound))
}

/// The peers of one node over libp2p.
///
/// Dropping it cuts all connections, as the death of the process would; [`Self::shutdown`] ends them in good
/// order.
pub struct Peers {
    shared: Arc<Shared>,
    stage: Mutex<Stage>,
}

enum Stage {
    Bound(Box<LaneSwarm>, mpsc::Receiver<DriverCommand>),
    Running(AbortHandle),
    Ended,
}

impl Peers {
    /// Starts to accept and make connections and reports to `handler`.
    ///
    /// # Panics
    /// If it was called before, or after [`Self::shutdown`].
    pub fn run(&self, handler: Arc<dyn NetworkHandler>) {
        let mut stage = self.stage.lock();
        let Stage::Bound(swarm, commands) = std::mem::replace(&mut *stage, Stage::Ended) else {
            panic!("a network runs once");
        };
        self.shared.handler.store(Some(Arc::new(handler)));
        let _ = self.shared.running.set(());
        let driver = self.shared.runtime.spawn(driver::run(self.shared.clone(), *swarm, commands));
        *stage = Stage::Running(driver.abort_handle());
    }

    /// Writes out what is queued as far as peers take it within a second, says goodbye to them and closes
    /// everything. Each connection ends with a [`Lost`](gritmesh_runtime::NetworkEvent::Lost).
    pub async fn shutdown(&self) {
        self.shared.closed.store(true, SeqCst);
        let peers = self.shared.peers();
        let endings = peers.iter().map(|peer| end(&self.shared, peer, SessionOrder::ShutDown));
        // Closing takes up to a second for queues and another one for links that do not end.
        let _ = timeout(CLOSE_TIME_MAX * 4, join_all(endings)).await;
        if matches!(*self.stage.lock(), Stage::Running(_)) {
            let (done, closed) = oneshot::channel();
            let _ = self.shared.commands.send(DriverCommand::CloseAll(done)).await;
            let _ = timeout(CLOSE_TIME_MAX, closed).await;
        }
        self.cut();
        // The handler may hold this network.
        self.shared.handler.store(None);
    }

    /// Changes the secrets of connections to come. Those that stand go on.
    pub fn set_secrets(&self, secrets: Secrets) {
        self.shared.secrets.store(Arc::new(secrets));
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.shared.meter.read()
    }

    fn cut(&self) {
        if let Stage::Running(driver) = std::mem::replace(&mut *self.stage.lock(), Stage::Ended) {
            driver.abort();
        }
    }
}

/// Ends the connection to a peer, if there is one, and fails what is queued for it.
async fn end(shared: &Shared, peer: &Peer, order: SessionOrder) {
    let standing = peer.slot.lock().await.standing().cloned();
    if let Some(standing) = standing {
        standing.end(order).await;
    }
    let slot = peer.slot.lock().await;
    if slot.standing().is_some() {
        return;
    }
    if peer.has_queued() {
        shared.fail_queued(peer, LossReason::Local);
    }
    shared.remove_if_unknown(peer);
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.shared.closed.store(true, SeqCst);
        self.cut();
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { node, bound, .. } = &*self.shared;
        f.debug_struct("Peers").field("node", node).field("bound", bound).finish_non_exhaustive()
    }
}

impl Network for Peers {
    fn send(&self, to: NodeId, class: TrafficClass, tag: Tag, body: &[u8]) -> Result<(), SendError> {
        if self.shared.is_closed() {
            return Err(SendError::Closed);
        }
        if body.len() > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge { bytes: body.len(), limit: FRAME_BYTES_MAX });
        }
        let queue = |peer: &Arc<Peer>| {
            if !peer.known.load(Relaxed) {
                return Err(SendError::UnknownPeer);
            }
            peer.outbox(class).push(tag, body, self.shared.limits)?;
            if !peer.connected.load(SeqCst) {
                self.shared.reach(peer);
            }
            Ok(())
        };
        let result = self.shared.with_peer(to, queue).unwrap_or(Err(SendError::UnknownPeer));
        if result == Err(SendError::QueueFull) {
            self.shared.meter.queue_full.fetch_add(1, Relaxed);
        }
        result
    }

    fn withdraw(&self, to: NodeId, class: TrafficClass, chosen: &dyn Fn(Tag) -> bool) -> Vec<Tag> {
        self.shared.with_peer(to, |peer| peer.outbox(class).withdraw(chosen)).unwrap_or_default()
    }

    fn dial(&self, address: &str) {
        if !self.shared.is_closed() {
            reach::start_dial(&self.shared, address);
        }
    }

    fn learn(&self, info: &NodeInfo) {
        if info.node_id == self.shared.node {
            return;
        }
        match self.shared.enter(info.node_id) {
            Some(peer) => peer.learn(info.peer_address),
            None => tracing::warn!(peer = %info.node_id.short(), "the table of peers is full"),
        }
    }

    fn forget(&self, peer: NodeId) {
        let Some(peer) = self.shared.peer(peer) else { return };
        if peer.known.swap(false, SeqCst) {
            let shared = self.shared.clone();
            self.shared.runtime.spawn(async move { end(&shared, &peer, SessionOrder::Forget).await });
        }
    }

    fn set_hello(&self, hello: Hello) {
        self.shared.set_hello(hello);
    }
}
