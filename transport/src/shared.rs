//! What all tasks of one node's network share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use gritmesh_runtime::admission::{Hello, Refusal, Secrets};
use gritmesh_runtime::{LossReason, NetworkEvent, NetworkHandler, NodeId, Rng};
use libp2p::swarm::ConnectionId;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{SetOnce, mpsc, oneshot};

use crate::complaints::Complaints;
use crate::meter::{LogGate, Meter};
use crate::options::{Options, PEERS_MAX};
use crate::outbox::Limits;
use crate::peer::Peer;
use crate::places::Places;
use crate::reach::{self, DialRequest};
use crate::session::Connection;

/// What the task that drives libp2p is asked to do.
#[derive(Debug)]
pub(crate) enum DriverCommand {
    Dial(DialRequest),
    Close(ConnectionId),
    /// Close all connections and tell when they are closed.
    CloseAll(oneshot::Sender<()>),
}

pub(crate) struct Shared {
    pub(crate) node: NodeId,
    /// A random number of this process.
    pub(crate) process: u64,
    pub(crate) options: Options,
    pub(crate) limits: Limits,
    pub(crate) bound: SocketAddr,
    pub(crate) hello: Mutex<Hello>,
    /// The secrets of connections to come.
    pub(crate) secrets: ArcSwap<Secrets>,
    /// Set while the network runs.
    pub(crate) handler: ArcSwapOption<Arc<dyn NetworkHandler>>,
    /// Set once the network runs.
    pub(crate) running: SetOnce<()>,
    /// Read by every send, so readers never wait; changed under `table_change`.
    table: ArcSwap<BTreeMap<NodeId, Arc<Peer>>>,
    table_change: Mutex<()>,
    pub(crate) commands: mpsc::Sender<DriverCommand>,
    /// Addresses being dialled for the caller.
    pub(crate) dialling: Mutex<BTreeSet<String>>,
    /// Inbound connections that are encrypted but not yet admitted.
    pub(crate) admissions: Arc<Places>,
    /// Counts this node's decisions on which connection stands.
    pub(crate) decisions: AtomicU64,
    rng: Mutex<Rng>,
    pub(crate) closed: AtomicBool,
    pub(crate) runtime: Handle,
    pub(crate) meter: Meter,
    pub(crate) stranger_log: LogGate,
    complaints: Complaints,
}

/// The parts of [`Shared`] that differ from node to node.
pub(crate) struct Parts {
    pub(crate) node: NodeId,
    pub(crate) process: u64,
    pub(crate) options: Options,
    pub(crate) bound: SocketAddr,
    pub(crate) commands: mpsc::Sender<DriverCommand>,
    pub(crate) rng: Rng,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let options = parts.options;
        let limits = Limits { bytes: options.queue_bytes_max, envelopes: options.queue_envelopes_max };
        let shared = Self {
            node: parts.node,
            process: parts.process,
            limits,
            bound: parts.bound,
            hello: Mutex::new(options.hello.clone()),
            secrets: ArcSwap::from_pointee(options.secrets.clone()),
            admissions: Places::new(options.admissions_max() as usize),
            options,
            handler: ArcSwapOption::empty(),
            running: SetOnce::new(),
            table: ArcSwap::default(),
            table_change: Mutex::new(()),
            commands: parts.commands,
            dialling: Mutex::default(),
            decisions: AtomicU64::new(0),
            rng: Mutex::new(parts.rng),
            closed: AtomicBool::new(false),
            runtime: Handle::current(),
            meter: Meter::default(),
            stranger_log: LogGate::default(),
            complaints: Complaints::default(),
        };
        let hello = shared.hello.lock().clone();
        shared.set_hello(hello);
        shared
    }

    /// Fills in what only the network knows of its node.
    pub(crate) fn set_hello(&self, mut hello: Hello) {
        let address = &mut hello.info.peer_address;
        if address.port() == 0 {
            address.set_port(self.bound.port());
        }
        if address.ip().is_unspecified() {
            address.set_ip(self.bound.ip());
        }
        hello.info.node_id = self.node;
        *self.hello.lock() = hello;
    }

    pub(crate) fn emit(&self, event: NetworkEvent<'_>) {
        if let Some(handler) = &*self.handler.load() {
            handler.handle(event);
        }
    }

    /// Reports an admitted peer that broke the protocol.
    pub(crate) fn malformed(&self, from: NodeId, detail: String) {
        self.meter.malformed.fetch_add(1, Relaxed);
        tracing::warn!(peer = %from.short(), detail, "a peer broke the protocol");
        self.emit(NetworkEvent::Malformed { from: Some(from), detail });
    }

    pub(crate) fn random(&self) -> u64 {
        self.rng.lock().next_u64()
    }

    /// A number in 0..1.
    pub(crate) fn jitter(&self) -> f64 {
        const STEPS: u64 = 1 << 20;
        self.rng.lock().below(STEPS) as f64 / STEPS as f64
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    pub(crate) fn peer(&self, id: NodeId) -> Option<Arc<Peer>> {
        self.table.load().get(&id).cloned()
    }

    /// As [`Self::peer`], for the duration of a call and without touching the reference count.
    pub(crate) fn with_peer<T>(&self, id: NodeId, call: impl FnOnce(&Arc<Peer>) -> T) -> Option<T> {
        self.table.load().get(&id).map(call)
    }

    pub(crate) fn peers(&self) -> Vec<Arc<Peer>> {
        self.table.load().values().cloned().collect()
    }

    /// The peer, entered into the table if it is new. `None` if the table is full.
    pub(crate) fn enter(&self, id: NodeId) -> Option<Arc<Peer>> {
        let _change = self.table_change.lock();
        if let Some(peer) = self.peer(id) {
            return Some(peer);
        }
        let mut table = BTreeMap::clone(&self.table.load());
        if table.len() >= PEERS_MAX {
            return None;
        }
        let peer = Arc::new(Peer::new(id));
        table.insert(id, peer.clone());
        self.table.store(Arc::new(table));
        Some(peer)
    }

    /// Drops a peer that is neither known nor connected. The caller holds its slot.
    pub(crate) fn remove_if_unknown(&self, peer: &Peer) {
        let _change = self.table_change.lock();
        if !peer.known.load(SeqCst) {
            let mut table = BTreeMap::clone(&self.table.load());
            table.remove(&peer.id);
            self.table.store(Arc::new(table));
        }
    }

    /// Connects to a peer for which something is queued, unless that is under way.
    pub(crate) fn reach_if_queued(self: &Arc<Self>, peer: &Arc<Peer>) {
        if !peer.connected.load(SeqCst) && peer.has_queued() {
            self.reach(peer);
        }
    }

    /// Connects to a peer, unless that is under way.
    pub(crate) fn reach(self: &Arc<Self>, peer: &Arc<Peer>) {
        if !self.is_closed() && !peer.reaching.swap(true, SeqCst) {
            self.runtime.spawn(reach::reach(self.clone(), peer.clone()));
        }
    }

    /// Fails everything queued for a peer that has no connection. The caller holds its slot.
    pub(crate) fn fail_queued(&self, peer: &Peer, reason: LossReason) {
        let mut unsent = Vec::new();
        peer.drain(&mut unsent);
        self.emit(NetworkEvent::Lost { peer: peer.id, reason, unsent });
    }

    pub(crate) async fn close(&self, connection: ConnectionId) {
        // Fails only if the driver is gone, and all connections with it.
        let _ = self.commands.send(DriverCommand::Close(connection)).await;
    }

    /// Whether an address leads back to this node.
    pub(crate) fn is_own_address(&self, address: SocketAddr) -> bool {
        if address.port() == self.bound.port() {
            let (ip, bound) = (address.ip(), self.bound.ip());
            if ip == bound || (bound.is_unspecified() && is_of_this_machine(ip)) {
                return true;
            }
        }
        self.hello.lock().info.peer_address == address
    }

    /// Counts a stranger that did not get as far as to be refused.
    pub(crate) fn reject_inbound(&self, from: &dyn Display, cause: &dyn Display) {
        self.meter.inbound_rejected.fetch_add(1, Relaxed);
        if self.stranger_log.is_open() {
            tracing::info!(%from, %cause, "an inbound connection was rejected");
        }
    }

    /// Reports a connection that was turned down.
    pub(crate) fn refused(
        &self,
        address: Option<String>,
        connection: &Connection,
        by_us: bool,
        refusal: Refusal,
    ) {
        let Connection { peer, remote, .. } = *connection;
        self.meter.refused(by_us, &refusal);
        let code = refusal.as_str();
        // Who dials has another port each time.
        let whom = address.clone().unwrap_or_else(|| format!("{} {peer}", remote.ip()));
        let unsaid = self.complaints.warn(Instant::now(), whom, code, || self.stranger_log.is_open());
        let (peer_short, shown) = (peer.short(), address.clone().unwrap_or_else(|| remote.to_string()));
        match unsaid {
            Some(unsaid) => tracing::warn!(
                peer = %peer_short, address = shown, by_us, code, %refusal, unsaid, "a connection was refused"
            ),
            None => tracing::debug!(
                peer = %peer_short, address = shown, by_us, code, %refusal, "a connection was refused again"
            ),
        }
        self.emit(NetworkEvent::Refused { address, peer: Some(peer), by_us, refusal });
    }
}

/// Whether an interface of this machine has the address. Only then a socket can be bound to it.
fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}
