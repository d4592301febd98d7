//! The first exchange on a connection: who is there, does it know the secret, and does this connection stay.
//!
//! ```text
//!   either side                     other side
//!   Greeting ─────────────────────► ◄───────────────────── Greeting      at once, both ways
//!   dialler: Proof ───────────────────────────────────────► listener     over both nonces
//!   dialler ◄─────────────────────────────────────── listener: Proof     only after a valid one, by the same secret
//!   higher id: Verdict::Ready ────────────────────────────► lower id
//!   higher id ◄──────────────────── lower id: Verdict::Admitted, Redundant
//! ```
//!
//! A proof can be tested against guesses at leisure, so a listener gives none to a stranger.
//!
//! Either side may answer `Verdict::Refused` at any point. If both nodes dial each other at once, exactly one
//! connection must stay, and both must mean the same one. Counting connections on both sides races; so the node
//! with the lower id decides alone, one connection after the other.
//!
//! A newcomer does not push out a connection that still answers. If it is the same process, it is redundant. If
//! it is another process with the same key, its data directory was copied, and it is refused.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use gritmesh_runtime::NetworkEvent;
use gritmesh_runtime::admission::{Hello, Refusal, Secret, admit};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::control::{ControlError, ControlMessage, ControlStream, Greeting, Verdict};
use crate::options::{ADMISSION_TIME_MAX, CLOSE_TIME_MAX};
use crate::outbox::Order;
use crate::peer::{Peer, SessionOrder, Slot, Standing};
use crate::session::Connection;
use crate::shared::Shared;

/// Orders waiting for a session: one check per claimant, of which libp2p lets through few.
const ORDERS_MAX: usize = 8;

/// How an admission ended.
pub(crate) enum Admission {
    /// The connection now stands, and the handler knows.
    Admitted(Admitted),
    /// The two are connected already.
    Redundant,
    /// Turned down.
    Refused { by_us: bool, refusal: Refusal },
    /// It did not come to a verdict.
    Failed(String),
}

/// A standing connection that has yet to be looked after.
pub(crate) struct Admitted {
    pub(crate) peer: Arc<Peer>,
    pub(crate) orders: mpsc::Receiver<SessionOrder>,
    /// What the other side waits for.
    pub(crate) verdict: Option<Verdict>,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Dialler,
    Listener,
}

/// Settles whether a connection stays. The control stream is left open in any case.
pub(crate) async fn settle(
    shared: &Shared,
    connection: &Connection,
    control: &mut ControlStream,
    side: Side,
) -> Admission {
    let ours = shared.hello.lock().clone();
    let version = ours.info.wire_version;
    let exchange = exchange(shared, connection, control, ours, side);
    let ending = match timeout(ADMISSION_TIME_MAX, exchange).await {
        Ok(Ok(admitted)) => return Admission::Admitted(admitted),
        Ok(Err(ending)) => ending,
        Err(_) => return Admission::Failed("admission took too long".into()),
    };
    let answer = match &ending {
        Ending::Redundant { decided_by_us: true } => Verdict::Redundant,
        Ending::Refused { by_us: true, refusal } => Verdict::Refused(refusal.clone()),
        _ => return ending.into(),
    };
    // Closing at once could overtake the verdict, so the other side is given time to close first.
    let farewell = async {
        if control.send(version, &ControlMessage::Verdict(answer)).await.is_ok() {
            control.closed().await;
        }
    };
    let _ = timeout(CLOSE_TIME_MAX, farewell).await;
    ending.into()
}

/// The ways not to be admitted.
enum Ending {
    Redundant { decided_by_us: bool },
    Refused { by_us: bool, refusal: Refusal },
    Failed(String),
}

impl From<Ending> for Admission {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Redundant { .. } => Self::Redundant,
            Ending::Refused { by_us, refusal } => Self::Refused { by_us, refusal },
            Ending::Failed(detail) => Self::Failed(detail),
        }
    }
}

impl From<ControlError> for Ending {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Refused(refusal) => refused(refusal),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Ending {
    fn from(error: std::io::Error) -> Self {
        ControlError::from(error).into()
    }
}

const fn refused(refusal: Refusal) -> Ending {
    Ending::Refused { by_us: true, refusal }
}

async fn exchange(
    shared: &Shared,
    connection: &Connection,
    control: &mut ControlStream,
    ours: Hello,
    side: Side,
) -> Result<Admitted, Ending> {
    let version = ours.info.wire_version;
    let (we, they) = (shared.node, connection.peer);
    let greeting = Greeting { hello: ours.clone(), nonce: shared.random(), process: shared.process };
    let our_nonce = greeting.nonce;
    control.send(version, &ControlMessage::Greeting(Box::new(greeting))).await?;
    let ControlMessage::Greeting(theirs) = expect(control).await? else {
        return Err(out_of_turn());
    };
    let mut theirs = *theirs;
    if theirs.hello.info.node_id != they {
        let detail = "the greeting names another node than the key does".into();
        return Err(refused(Refusal::Malformed { detail }));
    }
    if ours.common_wire_version(&theirs.hello).is_none() {
        // Nothing after the greeting can be relied on.
        admit(&ours, &theirs.hello, false).map_err(refused)?;
    }
    let our_proof = |secret: &Secret| ControlMessage::Proof(secret.proof(we, they, our_nonce, theirs.nonce));
    let their_proof = |secret: &Secret| secret.proof(they, we, theirs.nonce, our_nonce);
    let secrets = shared.secrets.load_full();
    match side {
        Side::Dialler => {
            control.send(version, &our_proof(secrets.first())).await?;
            let ControlMessage::Proof(proof) = expect(control).await? else { return Err(out_of_turn()) };
            let holds = secrets.first().verify(their_proof(secrets.first()), proof);
            admit(&ours, &theirs.hello, holds).map_err(refused)?;
        }
        Side::Listener => {
            let ControlMessage::Proof(proof) = expect(control).await? else { return Err(out_of_turn()) };
            let matching = secrets.matching(proof, their_proof);
            admit(&ours, &theirs.hello, matching.is_some()).map_err(refused)?;
            let matching = matching.expect("without a valid proof nobody is admitted");
            control.send(version, &our_proof(matching)).await?;
        }
    }
    if theirs.hello.info.peer_address.ip().is_unspecified() {
        theirs.hello.info.peer_address.set_ip(connection.remote.ip());
    }
    if we < they { decide(shared, control, theirs).await } else { follow(shared, control, theirs).await }
}

/// The next message, unless it is a refusal.
async fn expect(control: &mut ControlStream) -> Result<ControlMessage, Ending> {
    match control.receive().await? {
        ControlMessage::Verdict(Verdict::Refused(refusal)) => Err(Ending::Refused { by_us: false, refusal }),
        message => Ok(message),
    }
}

fn out_of_turn() -> Ending {
    refused(Refusal::Malformed { detail: "a message out of turn".into() })
}

/// As the node with the lower id: hears the other side's opinion, then decides.
async fn decide(shared: &Shared, control: &mut ControlStream, theirs: Greeting) -> Result<Admitted, Ending> {
    let ControlMessage::Verdict(Verdict::Ready) = expect(control).await? else {
        return Err(out_of_turn());
    };
    loop {
        let peer = enter(shared, &theirs)?;
        let mut slot = peer.slot.lock().await;
        let Some(standing) = slot.standing().cloned() else {
            if !is_current(shared, &peer) {
                continue;
            }
            let ordinal = shared.decisions.fetch_add(1, Relaxed) + 1;
            let orders = install(shared, &peer, &mut slot, theirs, ordinal);
            let verdict = Some(Verdict::Admitted(ordinal));
            drop(slot);
            return Ok(Admitted { peer, orders, verdict });
        };
        drop(slot);
        if standing.answers().await {
            return Err(if standing.process == theirs.process {
                Ending::Redundant { decided_by_us: true }
            } else {
                refused(Refusal::DuplicateIdentity)
            });
        }
        standing.end(SessionOrder::Replace).await;
    }
}

/// As the node with the higher id: objects to a copied identity, else does as the other side decides.
async fn follow(shared: &Shared, control: &mut ControlStream, theirs: Greeting) -> Result<Admitted, Ending> {
    let standing = match shared.peer(theirs.hello.info.node_id) {
        Some(peer) => peer.slot.lock().await.standing().cloned(),
        None => None,
    };
    if let Some(standing) = standing
        && standing.process != theirs.process
        && standing.answers().await
    {
        return Err(refused(Refusal::DuplicateIdentity));
    }
    let version = shared.hello.lock().info.wire_version;
    control.send(version, &ControlMessage::Verdict(Verdict::Ready)).await?;
    let ordinal = match expect(control).await? {
        ControlMessage::Verdict(Verdict::Admitted(ordinal)) => ordinal,
        ControlMessage::Verdict(Verdict::Redundant) => {
            return Err(Ending::Redundant { decided_by_us: false });
        }
        _ => return Err(out_of_turn()),
    };
    loop {
        let peer = enter(shared, &theirs)?;
        let mut slot = peer.slot.lock().await;
        let Some(standing) = slot.standing().cloned() else {
            if !is_current(shared, &peer) {
                continue;
            }
            let orders = install(shared, &peer, &mut slot, theirs, ordinal);
            drop(slot);
            return Ok(Admitted { peer, orders, verdict: None });
        };
        drop(slot);
        if standing.process == theirs.process && standing.ordinal > ordinal {
            // A later decision has overtaken this one.
            return Err(Ending::Redundant { decided_by_us: false });
        }
        standing.end(SessionOrder::Replace).await;
    }
}

fn enter(shared: &Shared, theirs: &Greeting) -> Result<Arc<Peer>, Ending> {
    shared.enter(theirs.hello.info.node_id).ok_or_else(|| Ending::Failed("the table of peers is full".into()))
}

/// Whether the peer is still in the table; it may have been forgotten while its slot was awaited.
fn is_current(shared: &Shared, peer: &Arc<Peer>) -> bool {
    shared.with_peer(peer.id, |current| Arc::ptr_eq(current, peer)).unwrap_or(false)
}

/// Makes a connection the standing one and reports it. Does not wait, so it happens wholly or not at all.
fn install(
    shared: &Shared,
    peer: &Peer,
    slot: &mut Slot,
    theirs: Greeting,
    ordinal: u64,
) -> mpsc::Receiver<SessionOrder> {
    let (sender, orders) = mpsc::channel(ORDERS_MAX);
    slot.standing = Some(Standing { process: theirs.process, ordinal, orders: sender });
    peer.learn(theirs.hello.info.peer_address);
    peer.outboxes().iter().for_each(|outbox| outbox.set_order(Order::Run));
    peer.connected.store(true, SeqCst);
    peer.connected_changed.notify_waiters();
    shared.meter.connections.fetch_add(1, Relaxed);
    shared.meter.admitted.fetch_add(1, Relaxed);
    tracing::info!(peer = %peer.id.short(), address = %theirs.hello.info.peer_address, "connected");
    shared.emit(NetworkEvent::Connected { hello: theirs.hello });
    orders
}
