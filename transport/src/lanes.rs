//! The streams of one connection, by libp2p's rules.
//!
//! Every connection carries five long-lived streams, all opened by the side that dialled: one for control
//! messages and one per traffic class. libp2p's ready-made stream behaviour picks *some* connection to a peer
//! for a new stream and does not say which one an inbound stream came by; here it matters, because two
//! connections to one peer may exist while it is settled which one stays. So this is a behaviour of our own
//! that hands the streams of each connection to the task that looks after it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use gritmesh_runtime::TrafficClass;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    Stream, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, swarm};
use tokio::sync::{mpsc, oneshot};

use crate::options::{ADMISSION_TIME_MAX, CONNECTIONS_PER_PEER_MAX, Options};

/// The purpose of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Control,
    Class(TrafficClass),
}

/// Names of the lanes, in the order of [`Lane::number`].
const PROTOCOLS: [&str; 5] = [
    "/gritmesh/admission/1",
    "/gritmesh/gossip/1",
    "/gritmesh/consensus/1",
    "/gritmesh/calls/1",
    "/gritmesh/bulk/1",
];

impl Lane {
    const fn number(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Class(class) => class as usize + 1,
        }
    }

    fn named(protocol: &str) -> Option<Self> {
        let classes = TrafficClass::ALL.into_iter().map(Self::Class);
        std::iter::once(Self::Control).chain(classes).find(|lane| PROTOCOLS[lane.number()] == protocol)
    }
}

/// What comes of opening a stream.
pub(crate) type Opened = Result<Stream, String>;

#[derive(Debug)]
pub(crate) struct OpenRequest {
    pub(crate) lane: Lane,
    pub(crate) reply: oneshot::Sender<Opened>,
}

/// One connection's streams, from the side of the task that looks after it.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// Opens streams; of use on the dialling side only.
    pub(crate) opens: mpsc::Sender<OpenRequest>,
    /// Streams that the other side opened. Ends with the connection.
    pub(crate) arrivals: mpsc::Receiver<(Lane, Stream)>,
}

/// Pending inbound connections that libp2p takes, in multiples of those that have a [place](crate::places): whoever
/// lost his is gone only when his task has run, and newcomers may not be turned away until then.
const PENDING_INBOUND_SLACK: u32 = 2;

/// Gives every connection its [`Lanes`] and refuses connections beyond the limits.
pub(crate) struct LaneBehaviour {
    fresh: BTreeMap<ConnectionId, Lanes>,
    limits: connection_limits::Behaviour,
}

impl LaneBehaviour {
    pub(crate) fn new(options: &Options) -> Self {
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(options.pending_inbound_max() * PENDING_INBOUND_SLACK))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
            .with_max_established(Some(options.connections_max));
        Self { fresh: BTreeMap::new(), limits: connection_limits::Behaviour::new(limits) }
    }

    /// The streams of a connection that has just been established. They can be taken once.
    pub(crate) fn take(&mut self, connection: ConnectionId) -> Option<Lanes> {
        self.fresh.remove(&connection)
    }

    fn handler(&mut self, connection: ConnectionId, listens: bool) -> LaneHandler {
        let (opens, requests) = mpsc::channel(PROTOCOLS.len());
        let (arrived, arrivals) = mpsc::channel(PROTOCOLS.len());
        self.fresh.insert(connection, Lanes { opens, arrivals });
        let missing = if listens { [true; PROTOCOLS.len()] } else { [false; PROTOCOLS.len()] };
        LaneHandler { requests: Some(requests), arrived, missing }
    }
}

impl NetworkBehaviour for LaneBehaviour {
    type ConnectionHandler = LaneHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.limits.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.limits.handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(self.handler(connection, true))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.limits.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.limits.handle_established_outbound_connection(connection, peer, address, role, port)?;
        Ok(self.handler(connection, false))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionClosed(closed) => drop(self.fresh.remove(&closed.connection_id)),
            FromSwarm::DialFailure(failure) => drop(self.fresh.remove(&failure.connection_id)),
            FromSwarm::ListenFailure(failure) => drop(self.fresh.remove(&failure.connection_id)),
            _ => {}
        }
        self.limits.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// The side of libp2p's connection task.
pub(crate) struct LaneHandler {
    requests: Option<mpsc::Receiver<OpenRequest>>,
    arrived: mpsc::Sender<(Lane, Stream)>,
    /// Lanes that the other side has still to open; each may be opened once. libp2p walks this list whenever
    /// the connection stirs, so it is empty once all are there.
    missing: [bool; PROTOCOLS.len()],
}

impl ConnectionHandler for LaneHandler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Opened>;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer(self.missing), ()).with_timeout(ADMISSION_TIME_MAX)
    }

    /// The connection lives as long as the task that looks after it.
    fn connection_keep_alive(&self) -> bool {
        !self.arrived.is_closed()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Offer, oneshot::Sender<Opened>, Infallible>> {
        let Some(requests) = &mut self.requests else { return Poll::Pending };
        match requests.poll_recv(cx) {
            Poll::Ready(Some(OpenRequest { lane, reply })) => {
                let mut offer = [false; PROTOCOLS.len()];
                offer[lane.number()] = true;
                let protocol = SubstreamProtocol::new(Offer(offer), reply).with_timeout(ADMISSION_TIME_MAX);
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            Poll::Ready(None) => {
                self.requests = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), oneshot::Sender<Opened>>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, name),
                ..
            }) => {
                let Some(lane) = Lane::named(name) else { return };
                // Two streams for one lane may have been under negotiation at once: the later one is dropped,
                // which resets it. The channel has room for every lane.
                if std::mem::take(&mut self.missing[lane.number()]) {
                    let _ = self.arrived.try_send((lane, stream));
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: reply,
            }) => drop(reply.send(Ok(stream))),
            ConnectionEvent::DialUpgradeError(failure) => {
                let _ = failure.info.send(Err(failure.error.to_string()));
            }
            _ => {}
        }
    }
}

/// Lanes on offer when a stream is negotiated.
pub(crate) struct Offer([bool; PROTOCOLS.len()]);

impl UpgradeInfo for Offer {
    type Info = &'static str;
    type InfoIter = std::iter::Flatten<std::array::IntoIter<Option<&'static str>, { PROTOCOLS.len() }>>;

    fn protocol_info(&self) -> Self::InfoIter {
        let mut offered = [None; PROTOCOLS.len()];
        for (number, name) in PROTOCOLS.into_iter().enumerate() {
            offered[number] = self.0[number].then_some(name);
        }
        offered.into_iter().flatten()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, &'static str);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: &'static str) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Stream, &'static str);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: &'static str) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

/// libp2p's driver of all connections, with our behaviour.
pub(crate) type LaneSwarm = swarm::Swarm<LaneBehaviour>;
