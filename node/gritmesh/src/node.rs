//! A running node, as an application holds it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::Actor;
use gritmesh_core::{ClusterEvents, ClusterStatus, Location, Readiness, View};
use gritmesh_runtime::{ActorAddress, AddressError, NodeInfo};
use gritmesh_store_rocksdb::RocksDisk;
use gritmesh_transport::Peers;
use tokio::sync::Mutex;
use tokio::time::{Instant, interval, timeout_at};

use crate::builder::NodeBuilder;
use crate::confidential::{needs_secret, read_secrets, read_token, stretched};
use crate::config::{Settings, Timeouts};
use crate::http::{self, Token};
use crate::start::StartError;

/// How often a waiting caller looks whether the node is ready. Readiness has several causes and no event of its own.
const READY_CHECK_PERIOD: Duration = Duration::from_millis(20);

/// A node of a cluster. Cheap to clone; all clones are the same node.
///
/// Stop it with [`Node::shutdown`]: its shards are handed over and no call fails. When the last clone is dropped
/// without that, the node is gone as if its process had died.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<gritmesh_core::Node>,
    peers: Arc<Peers>,
    web: Option<http::Server>,
    bound: SocketAddr,
    timeouts: Timeouts,
    /// Whether the node has been shut down.
    stopped: Mutex<bool>,
    disk: Arc<RocksDisk>,
    token: Token,
}

/// Tasks that end later may still hold the disk. The data directory is free as soon as the node is gone.
impl Drop for Inner {
    fn drop(&mut self) {
        self.disk.close();
    }
}

/// What [`crate::start`] has made.
pub(crate) struct Parts {
    pub(crate) core: Arc<gritmesh_core::Node>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) web: Option<http::Server>,
    pub(crate) bound: SocketAddr,
    pub(crate) timeouts: Timeouts,
    pub(crate) disk: Arc<RocksDisk>,
    pub(crate) token: Token,
}

impl Node {
    /// A node to be: settings and actor types.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::new()
    }

    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { core, peers, web, bound, timeouts, disk, token } = parts;
        let stopped = Mutex::new(false);
        Self { inner: Arc::new(Inner { core, peers, web, bound, timeouts, stopped, disk, token }) }
    }

    /// A reference to an actor in the default tenant, wherever it lives.
    ///
    /// # Panics
    /// If `id` is not a valid id; use [`Self::try_actor`] for ids that come from outside.
    pub fn actor<A: Actor>(&self, id: &str) -> A::Ref {
        self.inner.core.actor::<A>(id)
    }

    /// A reference to an actor in a tenant.
    ///
    /// # Errors
    /// If the tenant or the id is not a valid name.
    pub fn try_actor<A: Actor>(&self, tenant: &str, id: &str) -> Result<A::Ref, AddressError> {
        self.inner.core.try_actor::<A>(tenant, id)
    }

    /// Waits until this node has joined or founded a cluster and every shard has a leader.
    pub async fn ready(&self) {
        let mut check = interval(READY_CHECK_PERIOD);
        while !self.readiness().ready {
            check.tick().await;
        }
    }

    /// Whether this node may be sent work, and what it waits for otherwise.
    pub fn readiness(&self) -> Readiness {
        self.inner.core.readiness()
    }

    /// Where an actor is, or would be, as far as this node knows; `None` if its shard has no leader for now.
    pub fn locate(&self, address: &ActorAddress) -> Option<Location> {
        self.inner.core.locate(address)
    }

    /// The cluster as this node sees it.
    pub fn status(&self) -> ClusterStatus {
        self.inner.core.cluster_status()
    }

    /// The members, as this node sees them now.
    pub fn view(&self) -> Arc<View> {
        self.inner.core.view()
    }

    /// What happens to the members of the cluster from now on.
    pub fn events(&self) -> ClusterEvents {
        self.inner.core.subscribe()
    }

    /// What this node says of itself.
    pub fn info(&self) -> &NodeInfo {
        self.inner.core.info()
    }

    /// Where this node listens for peers, with the port that was picked.
    pub fn peer_address(&self) -> SocketAddr {
        self.inner.bound
    }

    /// Where this node serves HTTP, with the port that was picked; `None` if it does not.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.inner.web.as_ref().map(http::Server::address)
    }

    /// Waits until this node finds that it must stop, and tells why. That happens when another process runs with
    /// the same data, and it is final.
    pub async fn fatal(&self) -> String {
        self.inner.core.fatal().await
    }

    /// Takes what can change in a running node from settings: the token and the secrets, read anew from their files.
    /// Requests and connections that come from now on need them; connections that stand go on. Tells how many secrets
    /// there are.
    ///
    /// # Errors
    /// If a file cannot be read, or a secret cannot be used. Then nothing has changed.
    pub async fn reload(&self, settings: &Settings) -> Result<usize, StartError> {
        let token = read_token(settings)?;
        let secrets = read_secrets(settings)?;
        needs_secret(self.inner.bound, !secrets.is_empty())?;
        let count = secrets.len();
        self.inner.peers.set_secrets(stretched(secrets).await);
        self.inner.token.replace(token);
        Ok(count)
    }

    /// Hands over all shards, and waits until that is done; the node keeps routing calls. Has no end if no other
    /// node can take over.
    pub async fn drain(&self) {
        self.inner.core.drain().await;
    }

    /// Stops the node in good order: says to whoever sends it requests that it stops, and goes on serving them for a
    /// while (`timeouts.lame_duck`); finishes what HTTP has accepted, hands over its shards, announces that it leaves,
    /// closes its connections. Takes at most the time set by `timeouts.shutdown` (60 s); what is not done by then is
    /// cut.
    pub async fn shutdown(&self) {
        let mut stopped = self.inner.stopped.lock().await;
        if *stopped {
            return;
        }
        *stopped = true;
        let started = Instant::now();
        let end = started + self.inner.timeouts.shutdown;
        self.inner.core.announce_stop();
        // HTTP first: what it has accepted still needs the shards that are here, and the other nodes.
        if let Some(web) = &self.inner.web {
            let heard = (started + self.inner.timeouts.lame_duck).min(end);
            // Either way nobody is expected to send anything more.
            let _ = timeout_at(heard, web.left_alone()).await;
            web.close(end).await;
        }
        let drained = (Instant::now() + self.inner.timeouts.drain).min(end);
        let hands_over = !self.inner.timeouts.drain.is_zero() && self.has_company();
        if hands_over && timeout_at(drained, self.drain()).await.is_err() {
            tracing::warn!(
                "not all shards were handed over in time; others take them over as if this node had died"
            );
        }
        if timeout_at(end, self.inner.core.leave()).await.is_err() {
            tracing::warn!("the others were not told that this node leaves");
        }
        if timeout_at(end, self.inner.peers.shutdown()).await.is_err() {
            tracing::warn!("connections to peers were cut");
        }
        self.inner.core.stop();
        self.inner.disk.close();
    }

    /// The node's own metrics.
    #[cfg(test)]
    pub(crate) fn inner_metrics(&self) -> String {
        self.inner.core.metrics_text()
    }

    /// Whether there is anyone to hand shards over to.
    fn has_company(&self) -> bool {
        self.view().active().count() > 1
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut node = f.debug_struct("Node");
        node.field("name", &self.info().name).field("peer_address", &self.peer_address());
        node.field("http_address", &self.http_address()).finish_non_exhaustive()
    }
}
