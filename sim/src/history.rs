//! What happened to calls, as clients and actors saw it: the evidence that checkers judge.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::FailureCode;

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
    pub doubles: Vec<String>,
    /// Why the cluster did not recover.
    pub not_recovered: Option<String>,
    /// What failed although nothing was wrong any more.
    pub not_served: Vec<String>,
}

/// One call of a client.
#[derive(Clone, Debug)]
pub struct Call {
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

    /// How often each call ran.
    pub fn runs_by_call(&self) -> BTreeMap<u64, u32> {
        let mut counts = BTreeMap::new();
        for run in &self.runs {
            *counts.entry(run.call).or_default() += 1;
        }
        counts
    }
}
