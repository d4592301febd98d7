//! What happened to calls, as clients and actors saw it: the evidence that checkers judge.

use std::time::Duration;

use gritmesh_runtime::{FailureCode, Instant};

use crate::world::NodeIndex;

/// Everything that was seen in one run.
#[derive(Debug)]
pub struct History {
    /// Calls by number.
    pub calls: Vec<Call>,
    /// Times that a handler ran.
    pub runs: Vec<Run>,
    /// For each node, how long it was stopped so far.
    pub stopped: Vec<Duration>,
    /// Actors that were found in memory on several nodes while all nodes agreed.
    pub doubles: Vec<(Instant, String)>,
    /// When it was given up to wait for the cluster to recover, and why it did not.
    pub not_recovered: Option<(Instant, String)>,
    /// What failed although nothing was wrong any more.
    pub not_served: Vec<(Instant, String)>,
}

/// One call of a client.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it was made, by the world's clock, as all instants here.
    pub at: Instant,
    /// The node that it was made through.
    pub through: NodeIndex,
    /// The actor.
    pub actor: String,
    /// How long the client wanted to wait.
    pub timeout: Duration,
    /// Whether nobody waits for the answer.
    pub one_way: bool,
    /// Whether the client's node died first.
    pub abandoned: bool,
    /// How long the node was stopped before the call was made.
    pub stopped_before: Duration,
    /// How it ended: more than once is a bug.
    pub ends: Vec<End>,
}

/// One end of a call.
#[derive(Clone, Debug)]
pub struct End {
    /// When.
    pub at: Instant,
    /// Time since the call was made, by the clock of its node.
    pub after: Duration,
    /// How long the node was stopped meanwhile.
    pub stopped: Duration,
    /// The number that the answer carries, or the failure.
    pub outcome: Result<u64, FailureCode>,
}

/// One time that a handler ran.
#[derive(Clone, Debug)]
pub struct Run {
    /// When.
    pub at: Instant,
    /// The number of the call.
    pub call: u64,
    /// Where.
    pub node: NodeIndex,
}

impl History {
    /// An empty history of a cluster.
    pub fn new(nodes: u16) -> Self {
        Self {
            calls: Vec::new(),
            runs: Vec::new(),
            stopped: vec![Duration::ZERO; usize::from(nodes)],
            doubles: Vec::new(),
            not_recovered: None,
            not_served: Vec::new(),
        }
    }
}
