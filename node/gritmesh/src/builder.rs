//! A node before it starts.

use std::path::PathBuf;
use std::time::Duration;

use gritmesh_actor::{Actor, Registry, RegistryError};

use crate::config::{MemoryLimit, Settings, Size, secret_lines};
use crate::node::Node;
use crate::start::{self, StartError};

/// What a node is made of: settings, and the actor types that it hosts.
///
/// What is not set has the default that `gritmesh up --dump-config` prints.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct NodeBuilder {
    settings: Settings,
    registry: Registry,
    refused: Option<RegistryError>,
    open_files: Option<u64>,
}

impl NodeBuilder {
    /// A builder with the default settings and no types.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hosts an actor type.
    pub fn register<A: Actor>(mut self) -> Self {
        if let Err(error) = self.registry.register::<A>() {
            self.refused.get_or_insert(error);
        }
        self
    }

    /// Replaces all settings, as read from a file.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The data directory; made if it is missing. One directory, one node.
    pub fn data(mut self, directory: impl Into<PathBuf>) -> Self {
        self.settings.data = directory.into();
        self
    }

    /// Where to listen for peers, `HOST:PORT`; port 0 takes a free one.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.settings.listen = address.into();
        self
    }

    /// Where to serve HTTP, `HOST:PORT`; port 0 takes a free one.
    pub fn http(mut self, address: impl Into<String>) -> Self {
        self.settings.http = address.into();
        self
    }

    /// Serves no HTTP.
    pub fn without_http(self) -> Self {
        self.http(start::NO_HTTP)
    }

    /// Nodes to join through, `HOST:PORT` each. Without any, the node founds a cluster of its own.
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.settings.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// How many nodes stand behind the name that is the first seed when they found a cluster.
    pub const fn expect(mut self, nodes: usize) -> Self {
        self.settings.expect = nodes;
        self
    }

    /// The node's name in tables; by default taken from its key.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// The failure zone.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.settings.zone = zone.into();
        self
    }

    /// The node's share of the ring relative to others. Default 1; 0 takes no shards.
    pub fn weight(mut self, weight: u16) -> Self {
        self.settings.weight = weight;
        self
    }

    /// What the cluster is called. Nodes that call it otherwise, or not at all, refuse each other.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.settings.cluster = name.into();
        self
    }

    /// What all nodes of the cluster must know, 16 letters at least; one on each line, of which the first is proved and
    /// all are accepted. Without it a node listens on loopback only.
    pub fn secret(mut self, secret: impl AsRef<str>) -> Self {
        self.settings.secret = secret_lines(secret.as_ref());
        self
    }

    /// How many engines share the node's shards. Default: one for four cores.
    pub fn engines(mut self, engines: usize) -> Self {
        self.settings.engines = engines;
        self
    }

    /// How long a call may take whose caller sets no deadline. Default 30 s.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts.call = timeout;
        self
    }

    /// Above 80 % of this many bytes, idle actors leave memory early. Default: what the control group or the
    /// machine has.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.settings.limits.memory = MemoryLimit::Bytes(Size(bytes));
        self
    }

    /// How many files this node may have open, connections included. Default: as many as the process may, which is
    /// too many for several nodes in one process.
    pub const fn open_files(mut self, max: u64) -> Self {
        self.open_files = Some(max);
        self
    }

    /// Starts the node. It is up when this returns, but it may not have joined yet: see [`Node::ready`].
    ///
    /// Must be called on a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// The first thing that stands in the way, in one line that says what to do.
    pub async fn start(self) -> Result<Node, StartError> {
        match self.refused {
            Some(error) => Err(error.into()),
            None => start::start(self.settings, self.registry, start::shares(self.open_files)?).await,
        }
    }

    /// The settings so far.
    #[cfg(test)]
    pub(crate) const fn current(&self) -> &Settings {
        &self.settings
    }
}
