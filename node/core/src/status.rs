//! What a node shows of itself and of the cluster, as JSON by HTTP and as tables by the command line.

use serde::{Deserialize, Serialize};

/// The cluster as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster's id; absent before the node has joined.
    pub cluster_id: Option<String>,
    /// The node that answers.
    pub node_id: String,
    /// Its name.
    pub name: String,
    /// Whether that node is ready, and if not, why.
    pub readiness: Readiness,
    /// All members that it knows of, itself included.
    pub members: Vec<NodeStatus>,
    /// How many shards there are.
    pub shards: usize,
    /// How many of them have a living leader.
    pub shards_led: usize,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its key.
    pub node_id: String,
    /// Its name.
    pub name: String,
    /// `alive`, `unreachable`, `down` or `left`.
    pub state: String,
    /// How often it was started.
    pub incarnation: u64,
    /// Where it listens for peers.
    pub peer_address: String,
    /// Where it serves HTTP.
    pub http_address: Option<String>,
    /// Its failure zone.
    pub zone: String,
    /// Its share of the ring; 0 while it drains.
    pub weight: u16,
    /// How many shards it leads.
    pub shards: usize,
    /// The actor types it hosts; absent if not known yet.
    pub types: Option<Vec<String>>,
    /// Whether this is the node that answers.
    pub this_node: bool,
}

/// Whether a node may be sent work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether it may.
    pub ready: bool,
    /// What it waits for.
    pub waits_for: Vec<String>,
    /// What is worth knowing although it is ready.
    pub notes: Vec<String>,
}

/// One shard, as one node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// Its number.
    pub shard: u32,
    /// First token, in hexadecimal.
    pub start: String,
    /// Last token, in hexadecimal.
    pub end: String,
    /// Counts the changes of its replicas.
    pub epoch: u64,
    /// The name of the node that leads it.
    pub leader: Option<String>,
    /// The key of the node that leads it.
    pub leader_id: Option<String>,
    /// What the answering node does with it.
    pub state: ShardState,
}

/// What a node does with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardState {
    /// It runs the shard's actors.
    Serving,
    /// It finishes what runs, then hands the shard over.
    Releasing,
    /// Another node leads it.
    Remote,
    /// Nobody is known to lead it.
    Leaderless,
}

/// Where an actor is, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The name of the node.
    pub name: String,
    /// Its key.
    pub node_id: String,
    /// Where it serves HTTP.
    pub http_address: Option<String>,
    /// The shard.
    pub shard: u32,
    /// The shard's epoch.
    pub epoch: u64,
    /// The actor's place on the ring, in hexadecimal.
    pub token: String,
    /// Whether the actor is in memory; known only if the answering node hosts it.
    pub active: Option<bool>,
}

/// An actor in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorStatus {
    /// Its address.
    pub address: String,
    /// `idle`, `busy` or `closing`.
    pub phase: String,
    /// How many messages wait.
    pub queued: usize,
    /// Seconds since its last message.
    pub idle_s: u32,
    /// The name of the node that it lives on.
    pub node: String,
}
