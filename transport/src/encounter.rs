//! The encryption of a connection, and how a node that meets its own key tells itself from a copy.
//!
//! **Problem.** A dial may lead back to where it came from: by a balancer, a proxy, a router. Or a copy of the data
//! directory runs elsewhere. Both show as a peer with this node's own key, and libp2p ends such a connection before
//! a word is said on it.
//!
//! **Design.** Two ends with one key tell each other the random number of their process, encrypted already, before
//! libp2p hears of the connection. Ends with different keys, which is all others, exchange nothing more.

use std::io;

use futures::future::BoxFuture;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::{PeerId, noise};

/// The noise protocol, with that addition.
#[derive(Clone)]
pub(crate) struct Encounter {
    pub(crate) noise: noise::Config,
    pub(crate) own: PeerId,
    /// The random number of this process.
    pub(crate) process: u64,
}

/// Why a connection was not encrypted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncounterError {
    #[error(transparent)]
    Noise(#[from] noise::Error),
    #[error("a peer with this node's key does not name its process: {0}")]
    Silent(#[from] io::Error),
    #[error("this process itself answers")]
    Itself,
}

impl Encounter {
    /// Lets everyone pass but this process itself.
    async fn look<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        (peer, mut stream): (PeerId, S),
    ) -> Result<(PeerId, S), EncounterError> {
        if peer == self.own {
            stream.write_all(&self.process.to_le_bytes()).await?;
            stream.flush().await?;
            let mut other = [0; size_of::<u64>()];
            stream.read_exact(&mut other).await?;
            if u64::from_le_bytes(other) == self.process {
                return Err(EncounterError::Itself);
            }
        }
        Ok((peer, stream))
    }
}

impl UpgradeInfo for Encounter {
    type Info = <noise::Config as UpgradeInfo>::Info;
    type InfoIter = <noise::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.noise.protocol_info()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<S> for Encounter {
    type Output = (PeerId, noise::Output<S>);
    type Error = EncounterError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, socket: S, info: Self::Info) -> Self::Future {
        Box::pin(async move {
            let encrypted = self.noise.clone().upgrade_inbound(socket, info).await?;
            self.look(encrypted).await
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<S> for Encounter {
    type Output = (PeerId, noise::Output<S>);
    type Error = EncounterError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, socket: S, info: Self::Info) -> Self::Future {
        Box::pin(async move {
            let encrypted = self.noise.clone().upgrade_outbound(socket, info).await?;
            self.look(encrypted).await
        })
    }
}
