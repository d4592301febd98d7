//! Making connections: to a given address, and on demand to a known peer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use gritmesh_runtime::{DialError, LossReason, NetworkEvent, NodeId};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::options::{ADDRESSES_PER_HOST_MAX, DIALS_MAX, LIVENESS_TIME_MAX};
use crate::peer::Peer;
use crate::shared::{DriverCommand, Shared};

/// A connection to be made.
#[derive(Debug)]
pub(crate) struct DialRequest {
    pub(crate) target: SocketAddr,
    /// Who has to answer there, if that is known.
    pub(crate) expected: Option<NodeId>,
    pub(crate) origin: DialOrigin,
}

/// Who waits for an outbound connection.
#[derive(Debug)]
pub(crate) struct DialOrigin {
    /// The address as it was given.
    pub(crate) address: String,
    pub(crate) outcome: oneshot::Sender<DialOutcome>,
}

/// What came of a connection.
#[derive(Debug)]
pub(crate) enum DialOutcome {
    /// The peer is connected by it.
    Admitted,
    /// The peer is connected already, or just being connected from the other side.
    Redundant,
    /// One side refused. The handler knows.
    Refused,
    /// The address is one that this node listens on.
    OwnAddress,
    /// This very process answers there.
    Itself,
    /// Another process answers with this node's own key.
    OwnIdentity,
    /// It was not made.
    Failed(String),
}

/// Dials whoever listens at an address, for the caller.
pub(crate) fn start_dial(shared: &Arc<Shared>, address: &str) {
    let mut dialling = shared.dialling.lock();
    if dialling.contains(address) {
        return;
    }
    if dialling.len() >= DIALS_MAX {
        shared.meter.dials_dropped.fetch_add(1, Relaxed);
        tracing::warn!(address, limit = DIALS_MAX, "too many dials at once; this one is dropped");
        return;
    }
    dialling.insert(address.to_owned());
    drop(dialling);
    let (shared, address) = (shared.clone(), address.to_owned());
    shared.runtime.clone().spawn(async move {
        shared.running.wait().await;
        let result = dial(&shared, &address).await;
        // Before the event, so that the handler may dial again at once.
        shared.dialling.lock().remove(&address);
        if let Err(error) = result
            && !shared.is_closed()
        {
            shared.meter.dials_failed.fetch_add(1, Relaxed);
            tracing::debug!(address, %error, "dialling failed");
            shared.emit(NetworkEvent::DialFailed { address, error });
        }
    });
}

async fn dial(shared: &Shared, address: &str) -> Result<(), DialError> {
    let mut failure = DialError::Resolve { address: address.to_owned(), detail: "no address".into() };
    let targets = resolve(shared, address).await?;
    if address.parse::<SocketAddr>().is_err() && !targets.is_empty() {
        // One name may stand for many nodes, this one among them: whom to dial is for those to say who know that.
        shared.emit(NetworkEvent::Resolved { name: address.to_owned(), addresses: targets });
        return Ok(());
    }
    for target in targets {
        match connect(shared, target, None, address.to_owned()).await {
            DialOutcome::Admitted | DialOutcome::Redundant | DialOutcome::Refused => return Ok(()),
            DialOutcome::OwnAddress => return Err(DialError::Own { address: target }),
            DialOutcome::Itself if shared.is_own_address(target) => {
                return Err(DialError::Own { address: target });
            }
            DialOutcome::Itself => failure = DialError::Itself { address: target },
            DialOutcome::OwnIdentity => return Err(DialError::DuplicateIdentity { address: target }),
            DialOutcome::Failed(detail) => failure = DialError::Connect { address: target, detail },
        }
    }
    Err(failure)
}

async fn resolve(shared: &Shared, address: &str) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |detail: String| DialError::Resolve { address: address.to_owned(), detail };
    match timeout(shared.options.connect_timeout, tokio::net::lookup_host(address)).await {
        Ok(Ok(found)) => Ok(found.take(ADDRESSES_PER_HOST_MAX).collect()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("the resolver does not answer".into())),
    }
}

async fn connect(
    shared: &Shared,
    target: SocketAddr,
    expected: Option<NodeId>,
    address: String,
) -> DialOutcome {
    let (outcome, result) = oneshot::channel();
    let request = DialRequest { target, expected, origin: DialOrigin { address, outcome } };
    if shared.commands.send(DriverCommand::Dial(request)).await.is_err() {
        return DialOutcome::Failed("the network is shutting down".into());
    }
    result.await.unwrap_or_else(|_| DialOutcome::Failed("the connection was closed".into()))
}

/// Connects to a known peer once, after the pause that earlier failures have earned it. If that fails, what is
/// queued for it fails too.
pub(crate) async fn reach(shared: Arc<Shared>, peer: Arc<Peer>) {
    shared.running.wait().await;
    sleep(peer.pause()).await;
    let is_wanted = || peer.known.load(SeqCst) && !peer.connected.load(SeqCst) && !shared.is_closed();
    if is_wanted() {
        let attempt = attempt(&shared, &peer).await;
        let slot = peer.slot.lock().await;
        if let Err(detail) = attempt
            && slot.standing().is_none()
            && is_wanted()
        {
            shared.meter.dials_failed.fetch_add(1, Relaxed);
            tracing::debug!(peer = %peer.id.short(), detail, "a peer could not be reached");
            peer.failed(shared.jitter());
            shared.fail_queued(&peer, LossReason::Unreachable);
        }
    }
    peer.reaching.store(false, SeqCst);
    if peer.known.load(SeqCst) {
        shared.reach_if_queued(&peer);
    }
}

async fn attempt(shared: &Shared, peer: &Peer) -> Result<(), String> {
    let Some(target) = peer.address() else { return Err("no address is known".into()) };
    match connect(shared, target, Some(peer.id), target.to_string()).await {
        DialOutcome::Admitted => Ok(()),
        // Both sides dialled; the other connection may still be on its last steps.
        DialOutcome::Redundant => timeout(LIVENESS_TIME_MAX, peer.until_connected())
            .await
            .map_err(|_| "the connection from the other side did not come".into()),
        DialOutcome::Refused => Err("refused".into()),
        DialOutcome::OwnAddress | DialOutcome::Itself | DialOutcome::OwnIdentity => {
            Err("this node itself listens there".into())
        }
        DialOutcome::Failed(detail) => Err(detail),
    }
}
