//! What an operator may set.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_membership as membership;
use gritmesh_sharding as sharding;

use crate::limits::NodeLimits;
use crate::watcher::Watcher;

/// Engines of one node. More than cores are of no use, and the number travels in one byte.
pub const ENGINES_MAX: usize = 64;

/// Answers under an idempotency key are not kept shorter than this: a caller who repeats a call after its deadline
/// would find them gone.
pub const ANSWERS_KEPT_MIN: Duration = Duration::from_secs(60);

/// How many cores share an engine. What an engine does for a step is a small part of all that the step costs, and two of
/// them fill two batches for the disk by halves.
const CORES_PER_ENGINE: usize = 4;

/// How many engines a machine with so many cores wants.
pub fn engines_for(cores: usize) -> usize {
    cores.div_ceil(CORES_PER_ENGINE).clamp(1, ENGINES_MAX)
}

/// The settings of a node that are not part of what it says of itself.
#[derive(Clone)]
pub struct NodeOptions {
    /// Addresses (`host:port`) of nodes to join through.
    pub seeds: Vec<String>,
    /// Texts under which this node's own address may stand among the seeds.
    pub own_addresses: Vec<String>,
    /// How many engines share the node's shards, see [`engines_for`].
    pub engines: usize,
    /// How many shards a cluster has that this node founds.
    pub shards: u32,
    /// How long a call may take whose caller sets no deadline. Default 30 s.
    pub call_timeout: Duration,
    /// How long answers under an idempotency key are kept, at least [`ANSWERS_KEPT_MIN`]. Default 24 h.
    pub answers_kept: Duration,
    /// How long what the logs make of the tables may wait in memory before it is written. Default 500 ms.
    pub tables_pause: Duration,
    /// How long the wall clock has to show another time before a jump is believed. Default 10 min.
    pub clock_believed_after: Duration,
    /// Above 80 % of this, idle actors leave memory early; `None` switches that off.
    pub memory_limit_bytes: Option<u64>,
    /// How much memory the process uses now, in bytes.
    pub memory_used: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Times of membership.
    pub membership: membership::Options,
    /// Times of shard moves.
    pub sharding: sharding::Options,
    /// Times and limits of the shards' logs.
    pub replicas: sharding::ReplicaOptions,
    /// How much of anything there may be.
    #[doc(hidden)]
    pub limits: NodeLimits,
    /// Hears what the node claims.
    #[doc(hidden)]
    pub watcher: Option<Arc<dyn Watcher>>,
    /// A bug to have on purpose, for tests of the checkers.
    #[doc(hidden)]
    pub sabotage: Sabotage,
}

/// Bugs that a node can be given, to show that the simulator's checkers find them. Never anything else than
/// [`Sabotage::None`] outside of such a test.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// No bug.
    #[default]
    None,
    /// Calls that arrive twice run twice.
    RunRepeated,
    /// Calls that were sent when the connection broke are said not to have been delivered.
    DenySent,
    /// Deadlines are forgotten.
    ForgetDeadlines,
    /// A shard is handed over while its actors stay in memory.
    KeepActors,
    /// A node that was started again says nothing to the other members.
    MuteAfterRestart,
    /// A node that was started again does not serve the shards that it leads.
    ServeNothingAfterRestart,
    /// Answers to calls of an earlier start are taken for answers to calls of this one.
    BelieveOldAnswers,
    /// What is not on the disk yet counts as if it were.
    AcknowledgeBeforeSync,
    /// A step takes effect whatever the head is, and actors are loaded before their last step is where they are read.
    SkipCompareAndSet,
    /// Answers and messages of a step leave before it is committed.
    ReleaseBeforeCommit,
    /// What was read of other actors' messages is not remembered.
    ForgetCursor,
    /// A replica that says that its records are damaged stays a member.
    KeepLostReplicas,
    /// Calls to a node that does not answer this one are not sent over others.
    NeverRelay,
    /// Whoever leads a shard lets others say what they like about it.
    NeverContradict,
    /// A name that stands for this node among others is taken for its own.
    TakeNameForOwn,
    /// A lease is taken to last twice as long as the promises that it rests on.
    LeaseTooLong,
    /// A node leaves with what it serves.
    LeaveAtOnce,
}

impl NodeOptions {
    /// Those of sharding, with the bug that they may have on purpose.
    pub(crate) fn sharding_options(&self) -> sharding::Options {
        let never_contradicts = self.sabotage == Sabotage::NeverContradict;
        sharding::Options { never_contradicts, ..self.sharding.clone() }
    }
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            seeds: Vec::new(),
            own_addresses: Vec::new(),
            engines: 1,
            shards: sharding::SHARDS_DEFAULT,
            call_timeout: Duration::from_secs(30),
            answers_kept: Duration::from_secs(24 * 60 * 60),
            tables_pause: Duration::from_millis(500),
            clock_believed_after: Duration::from_secs(10 * 60),
            memory_limit_bytes: None,
            memory_used: Arc::new(|| 0),
            membership: membership::Options::default(),
            sharding: sharding::Options::default(),
            replicas: sharding::ReplicaOptions::default(),
            limits: NodeLimits::default(),
            watcher: None,
            sabotage: Sabotage::None,
        }
    }
}

impl fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeOptions")
            .field("seeds", &self.seeds)
            .field("engines", &self.engines)
            .finish_non_exhaustive()
    }
}

/// Why a node cannot start with these settings.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// No engine, or more than [`ENGINES_MAX`].
    #[error("a node has 1 to {ENGINES_MAX} engines, not {engines}")]
    Engines {
        /// How many were asked for.
        engines: usize,
    },
    /// The number of shards is out of range.
    #[error("a cluster has 1 to {} shards, not {shards}", sharding::SHARDS_MAX)]
    Shards {
        /// How many were asked for.
        shards: u32,
    },
    /// Answers are kept too short a time.
    #[error("answers under an idempotency key are kept for {ANSWERS_KEPT_MIN:?} at least, not {kept:?}")]
    AnswersKept {
        /// How long they should be kept.
        kept: Duration,
    },
    /// A setting of membership is out of range.
    #[error(transparent)]
    Membership(#[from] membership::StartError),
}
