//! Inbound connections whose encryption is not yet settled.
//!
//! libp2p bounds how many there are by turning newcomers away, and has no call that ends one of them. So the promise of each,
//! which libp2p waits for, is made to fail when its place is lost.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use libp2p::PeerId;
use libp2p::core::Multiaddr;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent};

use crate::driver::socket_address;
use crate::places::{Place, Places};

/// An encrypted connection.
type Encrypted = (PeerId, StreamMuxerBox);

/// A transport that takes newcomers in always.
pub(crate) struct Entrance {
    inner: Boxed<Encrypted>,
    places: Arc<Places>,
}

impl Entrance {
    pub(crate) const fn new(inner: Boxed<Encrypted>, places: Arc<Places>) -> Self {
        Self { inner, places }
    }
}

impl Transport for Entrance {
    type Output = Encrypted;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<Encrypted>>;
    type Dial = <Boxed<Encrypted> as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.inner).poll(cx).map(|event| {
            let from = match &event {
                TransportEvent::Incoming { send_back_addr, .. } => socket_address(send_back_addr),
                _ => None,
            };
            // Sockets always have an address.
            let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.ip());
            event.map_upgrade(|upgrade| -> Self::ListenerUpgrade {
                Box::pin(while_placed(self.places.enter(from), upgrade))
            })
        })
    }
}

async fn while_placed<T>(
    mut place: Place,
    upgrade: impl Future<Output = io::Result<T>> + Unpin,
) -> io::Result<T> {
    // Neither is waited for any more when the other has come.
    tokio::select! {
        biased;
        upgraded = upgrade => upgraded,
        () = place.lost() => Err(io::Error::other("it gave way to newer connections")),
    }
}
