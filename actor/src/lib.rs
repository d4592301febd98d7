//! The programming model: what an actor is, how it is called, and how it lives in memory.
//!
//! **Problem.** A million actors must be cheap while they rest and fast while they are called, and a handler
//! must be an ordinary `async fn` that the simulator can run as well as tokio can.
//!
//! **Why the obvious answer fails.** A task and a channel for each actor cost about 2 KiB of memory at rest, and
//! every call then hops between tasks twice.
//!
//! **Design.** An [`Activation`] at rest is plain data: the state and an empty queue. A caller who finds it idle
//! takes the state, runs the handler *on its own thread* and puts the state back; nothing is scheduled. Only a
//! handler that really waits gets a task, and only a caller who finds the actor busy is queued.
//!
//! ```text
//!   caller ── idle? ──► take state ─► poll handler ─► ready? ──► put state back, answer
//!      │                                   └─ waits ─► background task, caller awaits the answer
//!      ├── busy? ──► bounded mailbox, run in order by whoever holds the state
//!      └── not here? ► Submission ──► the node's engine routes it
//! ```
//!
//! A panic costs the one call and the one state that it hits. A call ends by its deadline, whatever becomes of its
//! handler. The attributes [`macro@actor`] and [`macro@handlers`] write the traits [`Actor`], [`Message`] and
//! [`Handler`] for an ordinary `impl` block.
//!
//! **Deliberately absent.** No knowledge of nodes, shards or bytes on the wire: what an activation needs of the
//! node around it is [`Host`]. No global registry.

mod activation;
mod actor;
mod any_activation;
mod call;
mod call_error;
mod chain;
pub mod codec;
pub mod collections;
mod context;
mod directory;
mod durable;
mod ending;
mod host;
mod lifecycle;
mod mailbox;
mod on_stack;
mod reference;
mod registry;
mod sink;
mod stages;
mod submission;
mod turn;

#[doc(hidden)]
pub mod __private;

pub use activation::Activation;
pub use actor::{ActivationError, Actor, ActorOptions, Handler, Message, Method, NoError};
pub use any_activation::{ActivationPhase, ActivationStatus, AnyActivation, ReleaseGuard};
pub use call::{Call, CallFuture, SendFuture};
pub use call_error::CallError;
pub use chain::Chain;
pub use collections::{Blob, List, Map, StateError, Value};
pub use context::Context;
pub use directory::Directory;
pub use durable::keeping::{Fields, Keeping, Kept};
pub use durable::reminder::{Durable, ReminderError, Schedule};
pub use durable::{
    Admission, Collection, Draft, Entries, Flushed, FlushedObject, Gate, History, KEY_BYTES_MAX, Late,
    Origin, Outgoing, REMINDERS_MAX, ReminderChange, ReminderInfo, SENDS_PER_STEP_MAX, STATE_BYTES_MAX,
};
pub use gritmesh_actor_macros::{actor, handlers};
pub use host::{DeadLetter, Host};
pub use reference::ActorRef;
pub use registry::{ActorType, Registry, RegistryError, TypeInfo};
pub use submission::{DynamicPayload, Header, Payload, Submission, WireReply};
pub use turn::WireTurn;
