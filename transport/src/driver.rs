//! The task that owns libp2p's swarm. It makes and closes connections; envelopes never pass through it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use gritmesh_runtime::NodeId;
use libp2p::core::transport::upgrade::Version;
use libp2p::core::{ConnectedPoint, Multiaddr, Transport};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{Config, ConnectionId, DialError, SwarmEvent};
use libp2p::{PeerId, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::encounter::{Encounter, EncounterError};
use crate::entrance::Entrance;
use crate::identity::{Identity, node_id, peer_id};
use crate::lanes::{LaneBehaviour, LaneSwarm};
use crate::options::{CLOSE_TIME_MAX, Options, StartError};
use crate::places::Places;
use crate::reach::{DialOrigin, DialOutcome, DialRequest};
use crate::session::{self, Connection};
use crate::shared::{DriverCommand, Shared};

/// Commands waiting for the driver. Their senders wait when it is full.
pub(crate) const COMMANDS_MAX: usize = 64;

/// Streams of one connection, with room for those being negotiated and refused.
const STREAMS_MAX: usize = 16;

/// Time for the operating system to name the port it has bound.
const BIND_TIME_MAX: Duration = Duration::from_secs(5);

/// Reserves the port. Connections wait in the operating system's queue until the driver runs.
pub(crate) async fn bind(
    identity: &Identity,
    options: &Options,
    process: u64,
) -> Result<(LaneSwarm, SocketAddr), StartError> {
    let listen = options.listen;
    let failed = |source| StartError::from_io(listen, source);
    if listen.port() != 0 {
        // libp2p listens with port reuse, which two processes of one user may do on the same port. A plain
        // attempt tells whether someone is there already.
        drop(TcpListener::bind(listen).map_err(failed)?);
    }
    let other = |error: &dyn std::fmt::Display| std::io::Error::other(error.to_string());
    let keypair = identity.keypair();
    let local = PeerId::from_public_key(&keypair.public());
    let noise = noise::Config::new(&keypair).map_err(|error| failed(other(&error)))?;
    let encounter = Encounter { noise, own: local, process };
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS_MAX);
    let transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(encounter)
        .multiplex(yamux)
        .timeout(options.connect_timeout)
        .boxed();
    let places = Places::new(options.pending_inbound_max() as usize);
    let transport = Entrance::new(transport, places).boxed();
    let config = Config::with_tokio_executor()
        .with_max_negotiating_inbound_streams(STREAMS_MAX)
        .with_idle_connection_timeout(CLOSE_TIME_MAX * 2);
    let mut swarm = LaneSwarm::new(transport, LaneBehaviour::new(options), local, config);
    swarm.listen_on(multiaddr(listen)).map_err(|error| match error {
        libp2p::TransportError::Other(error) => failed(error),
        error => failed(other(&error)),
    })?;
    let port = timeout(BIND_TIME_MAX, bound_port(&mut swarm)).await;
    let port = port.map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
    Ok((swarm, SocketAddr::new(listen.ip(), port)))
}

async fn bound_port(swarm: &mut LaneSwarm) -> Result<u16, std::io::Error> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                if let Some(address) = socket_address(&address) {
                    return Ok(address.port());
                }
            }
            SwarmEvent::ListenerError { error, .. }
            | SwarmEvent::ListenerClosed { reason: Err(error), .. } => return Err(error),
            _ => {}
        }
    }
}

/// Drives the swarm until its last user is gone.
pub(crate) async fn run(shared: Arc<Shared>, swarm: LaneSwarm, mut commands: mpsc::Receiver<DriverCommand>) {
    let mut driver = Driver { shared, swarm, dials: BTreeMap::new(), closing: None };
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(DriverCommand::Dial(request)) => driver.dial(request),
                Some(DriverCommand::Close(connection)) => {
                    driver.swarm.close_connection(connection);
                }
                Some(DriverCommand::CloseAll(done)) => driver.close_all(done),
                None => return,
            },
            event = driver.swarm.select_next_some() => driver.handle(event),
        }
    }
}

struct Driver {
    shared: Arc<Shared>,
    swarm: LaneSwarm,
    /// Who waits for which outbound connection. libp2p limits how many are under way.
    dials: BTreeMap<ConnectionId, DialOrigin>,
    /// Who waits for the last connection to close.
    closing: Option<oneshot::Sender<()>>,
}

impl Driver {
    fn dial(&mut self, request: DialRequest) {
        let DialRequest { target, expected, origin } = request;
        let address = multiaddr(target);
        // A connection of its own port: sharing the listener's would let two nodes that dial each other at the
        // same time collide.
        let options = match expected.map(peer_id) {
            Some(Some(peer)) => DialOpts::peer_id(peer)
                .addresses(vec![address])
                .condition(PeerCondition::Always)
                .allocate_new_port()
                .build(),
            Some(None) => return answer(origin, DialOutcome::Failed("the node id is not a key".into())),
            None => DialOpts::unknown_peer_id().address(address).allocate_new_port().build(),
        };
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => drop(self.dials.insert(connection, origin)),
            Err(error) => answer(origin, failure(&error)),
        }
    }

    fn handle(&mut self, event: SwarmEvent<std::convert::Infallible>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { .. } => self.note_closed(),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(origin) = self.dials.remove(&connection_id) {
                    answer(origin, failure(&error));
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                self.shared.reject_inbound(&send_back_addr, &error);
            }
            SwarmEvent::ListenerError { error, .. } if self.shared.stranger_log.is_open() => {
                tracing::warn!(%error, "accepting a connection failed");
            }
            SwarmEvent::ListenerClosed { reason, .. } => {
                let reason = reason.err().map(|error| error.to_string());
                tracing::error!(reason, "no longer listening for peers");
            }
            _ => {}
        }
    }

    fn established(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let origin = self.dials.remove(&id);
        let lanes = self.swarm.behaviour_mut().take(id);
        let remote = socket_address(endpoint.get_remote_address());
        let (Some(lanes), Some(peer), Some(remote)) = (lanes, node_id(&peer), remote) else {
            self.shared.reject_inbound(endpoint.get_remote_address(), &"the key is not ed25519");
            self.swarm.close_connection(id);
            return;
        };
        let place = origin.is_none().then(|| self.shared.admissions.enter(remote.ip()));
        let connection = Connection { id, peer, remote, lanes, origin, place };
        tokio::spawn(session::run(self.shared.clone(), connection));
    }

    /// Closes all connections, in good order: what is on its way is written first.
    fn close_all(&mut self, done: oneshot::Sender<()>) {
        self.closing = Some(done);
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        self.note_closed();
    }

    fn note_closed(&mut self) {
        if self.swarm.network_info().connection_counters().num_established() == 0
            && let Some(done) = self.closing.take()
        {
            let _ = done.send(());
        }
    }
}

fn answer(origin: DialOrigin, outcome: DialOutcome) {
    // Nobody may be waiting any more.
    let _ = origin.outcome.send(outcome);
}

fn failure(error: &DialError) -> DialOutcome {
    match error {
        DialError::LocalPeerId { .. } => DialOutcome::OwnIdentity,
        // One was given, so libp2p has dropped it as one of its listeners'.
        DialError::NoAddresses => DialOutcome::OwnAddress,
        DialError::WrongPeerId { obtained, .. } => {
            let other =
                node_id(obtained).map_or_else(|| "another program".into(), |node: NodeId| node.short());
            DialOutcome::Failed(format!("{other} answers there"))
        }
        DialError::Transport(causes) if causes.iter().any(|(_, cause)| is_itself(cause)) => {
            DialOutcome::Itself
        }
        DialError::Transport(causes) => {
            let cause = causes.first().map_or_else(|| "no cause".into(), |(_, cause)| describe(cause));
            DialOutcome::Failed(cause)
        }
        error => DialOutcome::Failed(error.to_string()),
    }
}

/// Whether a connection ended because its other end is this process.
fn is_itself(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| matches!(cause.downcast_ref(), Some(EncounterError::Itself)))
}

/// The innermost cause: the outer ones only say that there is one.
fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let innermost = std::iter::successors(Some(error), |error| error.source()).last();
    innermost.unwrap_or(error).to_string()
}

pub(crate) fn multiaddr(address: SocketAddr) -> Multiaddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    Multiaddr::empty().with(ip).with(Protocol::Tcp(address.port()))
}

pub(crate) fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_convert_both_ways() {
        for text in ["127.0.0.1:7946", "[::1]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(socket_address(&multiaddr(address)), Some(address));
        }
        assert_eq!(socket_address(&"/dns4/a/tcp/1".parse().unwrap()), None);
    }
}
