//! What can be set, what is fixed, and why.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use gritmesh_runtime::admission::{Hello, Secrets};

/// Time for a fresh connection to be admitted. Admission takes three round trips and at worst one liveness
/// check, so this is ample even across continents.
pub(crate) const ADMISSION_TIME_MAX: Duration = Duration::from_secs(5);

/// Time that an existing connection gets to show that it is alive when a second one claims its place.
pub(crate) const LIVENESS_TIME_MAX: Duration = Duration::from_secs(1);

/// Time to write out queues and end connections in good order. Beyond it they are cut.
pub(crate) const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Largest message on a control stream. A node that hosts a thousand actor types needs about half of it.
pub(crate) const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// Inbound connections whose encryption is not yet settled, but no more than a quarter of all. One more has another
/// give way.
const PENDING_INBOUND_MAX: u32 = 128;

/// Inbound connections that are encrypted but not yet admitted: strangers get no more than this, nor more than a
/// quarter of all. One more has another give way.
const ADMISSIONS_MAX: u32 = 256;

/// Connections of one key: one admitted, one that claims its place, and both again from the other side.
pub(crate) const CONNECTIONS_PER_PEER_MAX: u32 = 4;

/// All connections. Every node of a large cluster fits; a leak does not.
pub(crate) const CONNECTIONS_MAX: u32 = 16_384;

/// Peers whose address is remembered. Beyond it new ones are not learned.
pub(crate) const PEERS_MAX: usize = 16_384;

/// Addresses of [`dial`](gritmesh_runtime::Network::dial) being tried at once. Seeds are few; more are dropped
/// and counted.
pub(crate) const DIALS_MAX: usize = 256;

/// Addresses of one host name that are reported: behind one name may stand all nodes of a cluster.
pub(crate) const ADDRESSES_PER_HOST_MAX: usize = 1024;

/// First pause after a failed connection on demand; doubled by each further failure.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Longest pause between connections on demand.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What a node's network is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The cluster's secrets, until [`Peers::set_secrets`](crate::Peers::set_secrets) changes them.
    pub secrets: Secrets,
    /// What the node says of itself. Its node id is set from the identity; an unspecified address or port in
    /// `info.peer_address` is filled in from what was bound.
    pub hello: Hello,
    /// Most bytes waiting for one peer in one class. One envelope always fits into an empty queue.
    pub queue_bytes_max: usize,
    /// Most envelopes waiting for one peer in one class.
    pub queue_envelopes_max: usize,
    /// Time for a connection to be established and encrypted.
    pub connect_timeout: Duration,
    /// After this long without a sign of life a connection is closed as unreachable. A peer that is silent for
    /// half of it is asked for one.
    pub silence_max: Duration,
    /// Most connections at once, those of strangers included. Each takes a file.
    pub connections_max: u32,
}

impl Options {
    /// Options with the usual limits: 16 MiB and 100,000 envelopes per queue, 3 s to connect, 10 s of silence.
    pub const fn new(listen: SocketAddr, secrets: Secrets, hello: Hello) -> Self {
        Self {
            listen,
            secrets,
            hello,
            queue_bytes_max: 16 * 1024 * 1024,
            queue_envelopes_max: 100_000,
            connect_timeout: Duration::from_secs(3),
            silence_max: Duration::from_secs(10),
            connections_max: CONNECTIONS_MAX,
        }
    }

    pub(crate) fn pending_inbound_max(&self) -> u32 {
        PENDING_INBOUND_MAX.min(self.strangers_max())
    }

    pub(crate) fn admissions_max(&self) -> u32 {
        ADMISSIONS_MAX.min(self.strangers_max())
    }

    /// However few connections there may be, a newcomer has to get in.
    fn strangers_max(&self) -> u32 {
        (self.connections_max / 4).max(1)
    }
}

/// Whether a listener at this address can be reached from this machine only.
pub const fn listens_on_loopback(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Why a node cannot listen for peers.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Someone else listens there.
    #[error("{address} is taken by another process: stop it, or choose another address with `--listen`")]
    PortTaken {
        /// The address.
        address: SocketAddr,
    },
    /// The address is not one of this machine.
    #[error("{address} is not an address of this machine: choose another one with `--listen`")]
    NotLocal {
        /// The address.
        address: SocketAddr,
    },
    /// The port needs privileges.
    #[error("listening on {address} is not permitted: choose a port above 1023 with `--listen`")]
    NotPermitted {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

impl StartError {
    pub(crate) fn from_io(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken { address },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { address },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address },
            _ => Self::Listen { address, source },
        }
    }
}
