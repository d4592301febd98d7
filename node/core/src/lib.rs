//! The machines wired together, and the driver that runs them.
//!
//! **Problem.** The node that is measured, the node that is shipped and the node that is tortured in the
//! simulator must be the same node.
//!
//! **Design.** A [`Node`] is a value made from an [`Environment`](gritmesh_runtime::Environment). Inside, two kinds
//! of machines take every decision: one Control, which knows the cluster, and a few engines, which find
//! the way of every call that the fast path cannot serve. A driver runs each of them on whichever thread brings
//! an event, and carries out what they want.
//!
//! ```text
//!    call ─► Directory ─► idle? run here            (fast path: no machine involved)
//!      └────► Engine ─► Deliver │ Send │ Answer
//!                ▲  ▲
//!    network ────┘  └── Routes, Serve, Release ── Control ◄── network, timers
//! ```
//!
//! **Deliberately absent.** Sockets, files, tokio, libp2p: those are in the environment. Statics: fifty nodes live
//! in one process.

pub mod admin;
mod codec;
mod control;
mod driver;
mod engine;
mod events;
mod inbound;
mod latch;
mod leases;
mod lies;
mod limits;
mod machine;
mod metrics;
mod node;
mod options;
mod outages;
mod passivation;
mod records;
mod refusals;
mod requests;
mod status;
mod steady;
mod watcher;
mod wire;

pub use events::ClusterEvents;
pub use gritmesh_membership::{ClusterEvent, Member, MemberState, View};
pub use gritmesh_sharding::SHARDS_MAX;
#[doc(hidden)]
pub use lies::lie_instead_of;
#[doc(hidden)]
pub use limits::NodeLimits;
pub use node::{DynamicCall, Node};
#[doc(hidden)]
pub use options::Sabotage;
pub use options::{ANSWERS_KEPT_MIN, ENGINES_MAX, NodeOptions, StartError, engines_for};
pub use records::{RecordError, Remembered, incarnation, owner, remembered};
pub use requests::{NodeAnswer, NodeRefusal, NodeRequest, NodeRequestError};
pub use status::{
    ActorStatus, ClusterStatus, DeadLetterStatus, DrainState, HistoryStatus, LetterStatus, Location,
    MessageStatus, NodeReport, NodeStatus, PausedStatus, Readiness, ShardState, ShardStatus, StateStatus,
    StepStatus,
};
#[doc(hidden)]
pub use watcher::Watcher;
