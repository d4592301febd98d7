//! What happened to calls, as clients and actors saw it, and what the disks hold of it: the evidence that checkers
//! judge.

mod claims;
mod operation;
mod remains;

use std::collections::BTreeSet;
use std::time::Duration;

use gritmesh_runtime::{FailureCode, Instant};

pub(crate) use claims::Claims;
pub use claims::{Lead, LeaseSpan};
pub use operation::{Action, Fate, Mood, Operation};
pub use remains::{AlarmLeft, Left, Remains, ReplicaRows, Ring, Rows, StepSeen, VaultLeft};

use crate::world::NodeIndex;

/// Everything that was seen in one run.
#[derive(Debug)]
pub struct History {
    /// Calls by number.
    pub calls: Vec<Call>,
    /// Times that a volatile handler ran.
    pub runs: Vec<Run>,
    /// For each node, how long it was stopped so far.
    pub stopped: Vec<Duration>,
    /// Actors that were found in memory on several nodes while all nodes agreed.
    pub doubles: Vec<(Instant, String)>,
    /// When it was given up to wait for the cluster to recover, and why it did not.
    pub not_recovered: Option<(Instant, String)>,
    /// What failed although nothing was wrong any more.
    pub not_served: Vec<(Instant, String)>,
    /// What clients want of durable actors, by number. Each has one call, or several under one idempotency key.
    pub operations: Vec<Operation>,
    /// What outsiders were told by durable actors.
    pub witnessed: Vec<Witnessed>,
    /// Partitions, and what could not be decided on a side of them.
    pub cuts: Vec<Cut>,
    /// Pairs of nodes that were cut off from each other while nothing else was wrong.
    pub pair_cuts: Vec<PairCut>,
    /// When processes held leases, as they believed.
    pub leases: Vec<LeaseSpan>,
    /// In which terms processes led shards, as they believed.
    pub leads: Vec<Lead>,
    /// When nodes left as planned while nothing else was wrong.
    pub departures: Vec<Departure>,
    /// When a node had lied while nothing else was wrong.
    pub lies: Vec<Lies>,
    /// The clusters that nodes said to be members of, each with who said so first.
    pub clusters: Vec<(Instant, NodeIndex, String)>,
    /// Steps of durable actors that were found on disks.
    pub steps: Vec<StepSeen>,
    /// Transfers whose receiver has panicked, which each does once.
    pub seen_before: BTreeSet<u64>,
    /// Whether bits flip on disks in this run, so that not every disk can prove every chain.
    pub bits_flip: bool,
    /// Whether limits of the nodes are smaller than in production, so that calls meet them.
    pub limits_are_small: bool,
    /// Whether wall clocks jump in this run, so that nothing can be said about when a reminder is due.
    pub clocks_jump: bool,
    /// What was left in the end, if the cluster came to rest.
    pub remains: Option<Remains>,
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
    /// The operation that it is an attempt at, if the actor is durable.
    pub operation: Option<u64>,
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
    /// What a durable actor answered, beside that number.
    pub value: u64,
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

/// A durable actor told somebody outside that it had done something.
#[derive(Clone, Debug)]
pub struct Witnessed {
    /// When.
    pub at: Instant,
    /// Who said so.
    pub actor: String,
    /// What it had done.
    pub operation: u64,
}

/// One side of a partition, and the shards of which no majority of replicas is on that side.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Since when.
    pub from: Instant,
    /// Until when; `None` while it lasts.
    pub until: Option<Instant>,
    /// The nodes of this side.
    pub side: Vec<NodeIndex>,
    /// The shards.
    pub shards: Vec<u32>,
}

/// Two nodes that do not reach each other, while every other one reaches both.
#[derive(Clone, Debug)]
pub struct PairCut {
    /// Since when.
    pub from: Instant,
    /// Until when; `None` while it lasts.
    pub until: Option<Instant>,
    /// The two.
    pub nodes: [NodeIndex; 2],
}

/// One node left as planned, and came back, while nothing else was wrong.
#[derive(Clone, Debug)]
pub struct Departure {
    /// Who.
    pub node: NodeIndex,
    /// When it was told to.
    pub from: Instant,
    /// When it was back.
    pub until: Instant,
    /// Whether it could hand over all in the time that it had.
    pub in_time: bool,
}

/// One node lied while nothing else was wrong, and then no more.
#[derive(Clone, Debug)]
pub struct Lies {
    /// Who.
    pub liar: NodeIndex,
    /// When it said the last lie.
    pub ended: Instant,
    /// From when on everything has to be served again.
    pub served_from: Instant,
    /// What was still wrong then.
    pub wrong: Option<String>,
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
            operations: Vec::new(),
            witnessed: Vec::new(),
            cuts: Vec::new(),
            pair_cuts: Vec::new(),
            leases: Vec::new(),
            leads: Vec::new(),
            departures: Vec::new(),
            lies: Vec::new(),
            clusters: Vec::new(),
            steps: Vec::new(),
            seen_before: BTreeSet::new(),
            bits_flip: false,
            limits_are_small: false,
            clocks_jump: false,
            remains: None,
        }
    }

    /// What became of each operation, by number.
    pub fn fates(&self) -> Vec<Fate> {
        let mut attempts: Vec<Vec<&Call>> = vec![Vec::new(); self.operations.len()];
        for call in &self.calls {
            if let Some(number) = call.operation {
                attempts[number as usize].push(call);
            }
        }
        attempts.iter().map(|calls| Fate::of(calls)).collect()
    }

    /// Operations with their numbers and fates.
    pub fn judged(&self) -> impl Iterator<Item = (u64, &Operation, Fate)> {
        let fates = self.fates();
        self.operations
            .iter()
            .zip(fates)
            .enumerate()
            .map(|(number, (operation, fate))| (number as u64, operation, fate))
    }
}
