//! What a node shows of itself and of the cluster, as JSON by HTTP and as tables by the command line.

mod actor;

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
    /// How far it is with handing over what it serves; absent if it was not told to, or does not say.
    #[serde(default)]
    pub drain: Option<DrainState>,
    /// The actor types it hosts; absent if not known yet.
    pub types: Option<Vec<String>>,
    /// Whether this is the node that answers.
    pub this_node: bool,
}

/// How far a node is with handing over what it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainState {
    /// It has shards left.
    Draining,
    /// It has none, and can be stopped.
    Drained,
}

/// What a node says of itself, first hand.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct NodeReport {
    /// Its key.
    pub node_id: String,
    /// Its name.
    pub name: String,
    /// Whether it is ready, and if not, why.
    pub readiness: Readiness,
    /// Whether it was told to hand over what it serves.
    pub draining: bool,
    /// Whether it has, and keeps no shard any more.
    pub drained: bool,
    /// How many other nodes could take over from it.
    pub heirs: u32,
    /// How many shards it leads.
    pub shards_led: u32,
    /// How many shards it has a replica of.
    pub replicas: u32,
    /// How many actors it has in memory.
    pub actors: u64,
}

impl NodeStatus {
    /// Whether it is to be asked if it drains.
    pub(crate) fn may_drain(&self) -> bool {
        self.state == "alive" && self.weight == 0 && !self.this_node
    }
}

impl NodeReport {
    /// How far it is with a drain.
    pub const fn drain(&self) -> Option<DrainState> {
        match (self.draining, self.drained) {
            (false, _) => None,
            (true, false) => Some(DrainState::Draining),
            (true, true) => Some(DrainState::Drained),
        }
    }
}

/// Whether a node may be sent work.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
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
    /// The election that its leader won.
    pub term: u64,
    /// The names of the nodes that have a replica which votes.
    pub replicas: Vec<String>,
    /// What its leader is doing to bring it where it should be; known only to that node.
    pub moving: Option<String>,
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
    /// It is about to run the shard's actors, or finishes what runs and then hands the shard over.
    Changing,
    /// Another node leads it.
    Remote,
    /// Nobody is known to lead it.
    Leaderless,
    /// Its replica here is damaged, and waits for the shard's leader to replace it.
    Damaged,
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
    /// Whether the actor is in memory; absent if the node that hosts it does not say.
    pub active: Option<bool>,
}

/// An actor in memory.
#[derive(
    Clone, Debug, PartialEq, Eq, Serialize, Deserialize, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
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

/// A step of a durable actor, as a line of its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Its id.
    pub id: String,
    /// The id of the one before.
    pub previous: Option<String>,
    /// Its number, from 1.
    pub number: u64,
    /// When it was made.
    pub time_unix_ms: u64,
    /// The method that ran.
    pub method: String,
    /// The shard's epoch.
    pub epoch: u64,
    /// Bytes of its objects.
    pub bytes: usize,
    /// How many objects it wrote.
    pub objects: usize,
    /// How many messages it sent.
    pub sent: usize,
    /// From whom the message came that it read, if it came from a durable actor.
    pub from: Option<String>,
    /// That message's number.
    pub sequence: Option<u64>,
}

/// The state of a durable actor after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateStatus {
    /// The step.
    pub id: String,
    /// Its number.
    pub number: u64,
    /// The plain fields; null before there were any.
    pub state: serde_json::Value,
    /// Its collections by name, with how many entries they have.
    pub collections: std::collections::BTreeMap<String, u64>,
    /// How many actors it has read messages of.
    pub senders: u64,
    /// How many actors it has sent messages to.
    pub receivers: u64,
}

/// What was proven of a durable actor's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// The newest step.
    pub head: String,
    /// Its number.
    pub number: u64,
    /// How many steps were checked.
    pub steps: u64,
    /// The oldest of them.
    pub oldest: String,
    /// Bytes of their objects.
    pub bytes: u64,
    /// Whether that is the whole history.
    pub whole: bool,
}

/// A message that its receiver could not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterStatus {
    /// Who sent it.
    pub sender: String,
    /// Its number among those from there.
    pub sequence: u64,
    /// Its id.
    pub id: String,
    /// When it was found out.
    pub time_unix_ms: u64,
    /// The method that it asked for.
    pub method: String,
    /// Why it cannot be read.
    pub code: String,
    /// The particulars.
    pub detail: String,
}

/// A message that came to nothing, and for whose outcome nobody waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterStatus {
    /// When that was found out.
    pub time_unix_ms: u64,
    /// Whom it was for.
    pub actor: String,
    /// The method that it asked for.
    pub method: String,
    /// What became of it.
    pub code: String,
    /// The particulars.
    pub detail: String,
    /// The arguments, in MessagePack, if they are short and the handler has not had them.
    pub arguments: Option<Vec<u8>>,
}

/// A message between durable actors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageStatus {
    /// Who reads it.
    pub receiver: String,
    /// Its number among those to there.
    pub sequence: u64,
    /// Its id.
    pub id: String,
    /// The method that it asks for.
    pub method: String,
    /// That method's arguments, in MessagePack.
    pub arguments: Vec<u8>,
}

/// Why an actor does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedStatus {
    /// Since when.
    pub since_unix_ms: u64,
    /// Why.
    pub reason: String,
}
