//! Bringing a node up, in the order that leaves nothing behind when a step fails.
//!
//! ```text
//! settings make sense ─► the disk, which nobody else has ─► identity ─► records ─► incarnation durable
//!                     ─► listen for HTTP and peers ─► the node ─► its network runs ─► HTTP is served
//! ```
//!
//! What is wrong with an address or a secret is found before anything is made on the disk.
//!
//! The incarnation is durable before anyone hears of this start: a node that comes back with an old one would be
//! taken for its own past.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use futures::channel::oneshot;
use gritmesh_actor::{Registry, RegistryError};
use gritmesh_core::{NodeOptions, RecordError, Remembered, remembered};
use gritmesh_runtime::admission::Hello;
use gritmesh_runtime::tokio::{SystemClock, TokioSpawn};
use gritmesh_runtime::{
    Batch, Disk, DiskError, Environment, NetworkEvent, NetworkHandler, NodeId, NodeInfo, Seed, TypesDigest,
    WIRE_VERSION,
};
use gritmesh_store_rocksdb::{OpenError, Options, RocksDisk};
use gritmesh_transport::{self as transport, Identity, IdentityError, Peers};
use tokio::net::TcpListener;

use crate::address::{advertised, check_addresses, own_addresses};
use crate::confidential::{needs_secret, read_secrets, read_token, stretched};
use crate::config::{RangeError, Settings};
use crate::files::{self, Files};
use crate::http::{self, Token};
use crate::memory;
use crate::node::{Node, Parts};

/// The setting of `http` that switches it off.
pub(crate) const NO_HTTP: &str = "off";

/// Why a node did not start. Nothing of it keeps running. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The disk refused.
    #[error("cannot use the data directory: choose another one with `--data`")]
    Disk(#[from] DiskError),
    /// What the directory remembers of earlier starts is of no use.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The node has no usable key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An address cannot be understood.
    #[error("`{text}` is no address to listen on: give `--{setting}` as HOST:PORT")]
    Address {
        /// The setting.
        setting: &'static str,
        /// Its value.
        text: String,
        /// Why.
        source: io::Error,
    },
    /// A seed cannot be dialled by anyone.
    #[error("`{text}` is no seed: give `--seeds` as HOST:PORT,HOST:PORT, with ports from 1 to 65535")]
    Seed {
        /// What was given.
        text: String,
    },
    /// The host that others are to be told has no address.
    #[error(
        "`{text}` is no host that others could reach this node at: give `--advertise` as HOST, without a port"
    )]
    Advertise {
        /// What was given.
        text: String,
        /// Why.
        source: io::Error,
    },
    /// There is no address that others could be told.
    #[error(
        "this machine has no address at which others could reach {listen}: name one with `--advertise`, or listen on \
         127.0.0.1"
    )]
    NoAddress {
        /// Where the node would listen.
        listen: SocketAddr,
    },
    /// The node would be open to everyone.
    #[error("{address} can be reached from other machines: set `--secret`, or listen on 127.0.0.1")]
    NoSecret {
        /// Where it would listen.
        address: SocketAddr,
    },
    /// Peers and HTTP cannot share an address.
    #[error("{address} is both `--listen` and `--http`: give one of them another port")]
    SameAddress {
        /// The address.
        address: SocketAddr,
    },
    /// A confidential text cannot be read from its file.
    #[error("cannot read {place}, the file given by `--{setting}`")]
    Confidential {
        /// The setting.
        setting: &'static str,
        /// The file.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// No request can carry the token.
    #[error(
        "the token holds a character that no token has: give `--token` letters, digits and signs without spaces"
    )]
    Token,
    /// The peer address cannot be listened on.
    #[error(transparent)]
    Peers(#[from] transport::StartError),
    /// The HTTP address cannot be listened on.
    #[error("cannot serve HTTP on {address}: free it, or choose another address with `--http`")]
    Http {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] gritmesh_core::StartError),
    /// A setting is out of range.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// An actor type cannot be registered.
    #[error(transparent)]
    Type(#[from] RegistryError),
    /// So few files may be open that some would be missing soon.
    #[error(
        "a node needs {} open files, and this process may have {limit}: raise its limit (`ulimit -n`, `LimitNOFILE=`)",
        files::OPEN_FILES_MIN
    )]
    Files {
        /// How many it may have.
        limit: u64,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gives no random numbers")]
    Entropy(#[source] io::Error),
}

pub(crate) async fn start(settings: Settings, registry: Registry, files: Files) -> Result<Node, StartError> {
    settings.check()?;
    check_addresses(&settings)?;
    let secrets = read_secrets(&settings)?;
    let token = Token::new(read_token(&settings)?);
    let listen = resolve("listen", &settings.listen).await?;
    needs_secret(listen, !secrets.is_empty())?;
    let advertised = advertised(&settings, listen).await?;
    let http = match settings.http.as_str() {
        NO_HTTP => None,
        text => Some(resolve("http", text).await?),
    };

    let disk = open(settings.data.clone(), files).await?;
    let identity = Identity::load_or_create(&settings.data)?;
    let start = remembered(&*disk)?;
    write_start(&*disk, &start, identity.node_id()).await?;

    let web = match http {
        Some(address) => Some(bind_http(address).await?),
        None => None,
    };
    let mut info = NodeInfo {
        node_id: identity.node_id(),
        incarnation: start.incarnation,
        peer_address: SocketAddr::new(advertised, listen.port()),
        http_address: web.as_ref().map(|(_, bound)| reachable(*bound, advertised)),
        name: settings.name.clone(),
        zone: settings.zone.clone(),
        weight: settings.weight,
        wire_version: WIRE_VERSION,
        types: TypesDigest::of(registry.names()),
    };
    if info.name.is_empty() {
        info.name = format!("node-{}", identity.node_id().short());
    }
    let types = registry.names().map(str::to_owned).collect();
    let (cluster, cluster_name) = (start.cluster, settings.cluster.clone());
    let hello = Hello { cluster, cluster_name, types, ..Hello::new(info.clone()) };
    let secrets = stretched(secrets).await;
    let connections_max = u32::try_from(files.peers).unwrap_or(u32::MAX);
    let options = transport::Options { connections_max, ..transport::Options::new(listen, secrets, hello) };
    let (peers, bound) = transport::bind(&identity, options).await?;
    info.peer_address.set_port(bound.port());

    let volatile = |name: &&str| registry.get(name).is_some_and(|actor_type| !actor_type.info().durable);
    let volatile = registry.names().filter(volatile).map(str::to_owned).collect();
    let core = make_core(&settings, &peers, Arc::clone(&disk) as _, info, start, registry, bound)?;
    peers.run(Arc::new(Reporter(Arc::downgrade(&core))));
    let web = web.map(|(listener, bound)| {
        let hosts = hosts(&settings, bound, advertised);
        let state = http::Setup {
            core: Arc::clone(&core),
            peers: Arc::clone(&peers),
            token: token.clone(),
            limits: settings.limits.clone(),
            hosts,
            keep_alive: settings.timeouts.keep_alive,
            volatile,
            connections_max: files.http as usize,
            data: settings.data.clone(),
        };
        http::serve(listener, bound, state)
    });
    Ok(Node::new(Parts { core, peers, web, bound, timeouts: settings.timeouts, disk, token }))
}

/// Who gets how many files, of so many or of all that the process may have.
pub(crate) fn shares(open_files: Option<u64>) -> Result<Files, StartError> {
    let limit = open_files.unwrap_or_else(files::limit);
    Files::of(limit).ok_or(StartError::Files { limit })
}

fn make_core(
    settings: &Settings,
    peers: &Arc<Peers>,
    disk: Arc<dyn Disk>,
    info: NodeInfo,
    start: Remembered,
    registry: Registry,
    bound: SocketAddr,
) -> Result<Arc<gritmesh_core::Node>, StartError> {
    let clock = SystemClock::start();
    let environment = Environment {
        clock: Arc::new(clock),
        spawn: Arc::new(TokioSpawn::new(tokio::runtime::Handle::current(), clock)),
        network: Arc::clone(peers) as Arc<dyn gritmesh_runtime::Network>,
        disk,
        seed: Seed::new(entropy().map_err(StartError::Entropy)?),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = NodeOptions {
        seeds: settings.seeds.clone(),
        own_addresses: own_addresses(&settings.listen, bound, info.peer_address),
        engines: if settings.engines == 0 { gritmesh_core::engines_for(cores) } else { settings.engines },
        shards: settings.shards,
        call_timeout: settings.timeouts.call,
        answers_kept: settings.timeouts.answers_kept,
        memory_limit_bytes: memory::limit_bytes(settings.limits.memory),
        memory_used: memory::used(),
        ..NodeOptions::default()
    };
    options.membership.found_after = settings.timeouts.found_after;
    options.membership.expect = settings.expect;
    options.membership.cluster_name.clone_from(&settings.cluster);
    Ok(gritmesh_core::Node::start(environment, info, start, registry, options)?)
}

/// Tells the node what its network reports. Holds the node loosely: the node holds the network already.
struct Reporter(Weak<gritmesh_core::Node>);

impl NetworkHandler for Reporter {
    fn handle(&self, event: NetworkEvent<'_>) {
        if let Some(node) = self.0.upgrade() {
            node.handle(event);
        }
    }
}

/// Opens the disk, which takes as long as there is to recover. Nobody else can open it until it is closed.
async fn open(directory: PathBuf, files: Files) -> Result<Arc<RocksDisk>, OpenError> {
    let open_files = i32::try_from(files.tables).unwrap_or(i32::MAX);
    let options = Options { open_files, ..Options::default() };
    let opened = tokio::task::spawn_blocking(move || RocksDisk::open(&directory, options));
    opened.await.expect("opening a disk does not panic, and nobody aborts it").map(Arc::new)
}

async fn write_start(disk: &dyn Disk, start: &Remembered, node: NodeId) -> Result<(), DiskError> {
    let mut records = vec![gritmesh_core::incarnation(start.incarnation)];
    match start.owner {
        None => records.push(gritmesh_core::owner(node)),
        Some(owner) if owner == node => {}
        Some(owner) => tracing::error!(
            owner = %owner.short(),
            node = %node.short(),
            "`identity.key` was lost or replaced, and the replicas in the data directory belong to another node: \
             restore it from a backup, or start with an empty directory"
        ),
    }
    let (written, wait) = oneshot::channel();
    // The receiver is awaited below, so it is still there.
    let done = Box::new(move |result| drop(written.send(result)));
    disk.write(Batch::synced(records).into(), done);
    wait.await.unwrap_or(Err(DiskError::Closed))
}

async fn resolve(setting: &'static str, text: &str) -> Result<SocketAddr, StartError> {
    let failed = |source| StartError::Address { setting, text: text.to_owned(), source };
    let mut found = tokio::net::lookup_host(text).await.map_err(failed)?;
    found.next().ok_or_else(|| failed(io::Error::other("the host has no address")))
}

async fn bind_http(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Http { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    if !transport::listens_on_loopback(bound) {
        tracing::warn!(address = %bound, "HTTP asks nobody who calls actors who they are: let only those reach it who may");
    }
    Ok((listener, bound))
}

const fn reachable(bound: SocketAddr, advertised: IpAddr) -> SocketAddr {
    if bound.ip().is_unspecified() { SocketAddr::new(advertised, bound.port()) } else { bound }
}

/// The hosts under which this node may be asked by HTTP.
fn hosts(settings: &Settings, bound: SocketAddr, advertised: IpAddr) -> http::Hosts {
    let host = |text: &str| text.rsplit_once(':').map(|(host, _)| host.to_owned());
    let mut own = vec![settings.advertise.clone(), advertised.to_string()];
    own.extend([&settings.http, &settings.listen].into_iter().filter_map(|text| host(text)));
    http::Hosts::new(bound, own.iter().map(String::as_str), settings.http_hosts.clone())
}

/// Random bits of the operating system.
pub(crate) fn entropy() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
