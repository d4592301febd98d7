//! The seam between Gritmesh and the outside world.
//!
//! **Problem.** A distributed protocol that reads a clock, draws a random number or opens a socket by itself
//! can be run once, but never again in the same way. A failure seen at night is then gone in the morning.
//!
//! **Design.** Everything that differs between two runs enters through the few types of this crate: time
//! ([`Instant`], [`Clock`]), randomness ([`Seed`], [`Rng`]), peers ([`Network`]), storage ([`Disk`]) and the
//! execution of handlers ([`Spawn`]). They are bundled in one value, [`Environment`], that a node is given at
//! birth. The simulator hands over its own; [`tokio`] hands over the real ones.
//!
//! ```text
//!            Environment                          Environment
//!   tokio: clock, timers, tasks          sim: virtual time, seeded executor
//!   transport: libp2p streams            sim: lossy links, partitions
//!            │                                    │
//!            └──────────► the same node ◄─────────┘
//! ```
//!
//! **Deliberately absent.** No protocol, no global state, no default environment: a node that forgot to be
//! given a clock does not compile. This crate depends on nothing else of Gritmesh.

pub mod admission;
pub mod frame;
pub mod tokio;

mod address;
mod disk;
mod environment;
mod identity;
mod letters;
mod limits;
mod network;
mod outcome;
mod seed;
mod time;
mod timers;

pub use address::{ActorAddress, AddressError, DEFAULT_TENANT, NAME_BYTES_MAX, ShardId, Token};
#[doc(hidden)]
pub use disk::conformance as disk_conformance;
pub use disk::{Batch, Change, Disk, DiskError, DiskSpace, KeyValue, Persisted, Reads, Snapshot, Table};
pub use environment::{BoxFuture, Clock, Environment, Spawn};
pub use identity::{
    ClusterId, Epoch, Incarnation, NodeId, NodeInfo, ParseIdError, TypesDigest, WIRE_VERSION,
    WIRE_VERSION_MIN,
};
pub use letters::is_unprintable;
pub use limits::{Limit, Limits, NamedLimit};
pub use network::{
    DialError, LossReason, Network, NetworkEvent, NetworkHandler, SendError, Tag, TrafficClass,
};
pub use outcome::{Failure, FailureCode};
pub use seed::{Rng, Seed};
pub use time::{Instant, UnixTime};
pub use timers::{TimerKey, Timers};
