//! Gritmesh: virtual actors on identical nodes.
//!
//! **Problem.** An application with state for each of its users wants that state in memory, in one place at a time,
//! and reachable from everywhere; and it wants to lose machines without noticing. That usually takes an orchestrator,
//! a database and a broker.
//!
//! **Design.** Start some identical processes. They find each other, share out the actors among them, and route
//! every call to where its actor lives. An actor always exists: it comes into memory with its first message and
//! leaves when it rests. Nobody creates or places it. Its state is kept on the disks of three nodes, as a chain of
//! steps, and nobody sees an answer before the step behind it is on two of them.
//!
//! ```
//! use gritmesh::{Context, Node, actor, handlers};
//!
//! use serde::{Deserialize, Serialize};
//!
//! #[actor]
//! #[derive(Default, Serialize, Deserialize)]
//! struct Cart {
//!     items: Vec<String>,
//! }
//!
//! #[handlers]
//! impl Cart {
//!     fn add(&mut self, item: String) -> usize {
//!         self.items.push(item);
//!         self.items.len()
//!     }
//!
//!     #[query]
//!     fn items(&self) -> Vec<String> {
//!         self.items.clone()
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let data = tempfile::tempdir()?;
//! let node = Node::builder()
//!     .data(data.path())
//!     .listen("127.0.0.1:0") // 0 picks a free port
//!     .http("127.0.0.1:0")
//!     .register::<Cart>()
//!     .start()
//!     .await?;
//! node.ready().await;
//!
//! let cart = node.actor::<Cart>("alice");
//! assert_eq!(cart.add("apple".into()).await?, 1);
//! assert_eq!(cart.add("pear".into()).await?, 2);
//! assert_eq!(cart.items().await?, ["apple", "pear"]);
//!
//! node.shutdown().await;
//! # Ok(()) })
//! # }
//! ```
//!
//! An application usually leaves all of that to [`main`], and so gets the command line of the stock binary with its
//! own actors in it: `cart up`, `cart dev`, `cart call cart/alice add apple`.
//!
//! ```no_run
//! # use gritmesh::{actor, handlers};
//! # #[actor(volatile)] #[derive(Default)] struct Cart;
//! # #[handlers] impl Cart {}
//! fn main() -> std::process::ExitCode {
//!     gritmesh::main(|node| node.register::<Cart>())
//! }
//! ```
//!
//! * [`actor`](macro@actor) and [`handlers`] make an actor from a struct and an `impl` block; the module [`actor`](mod@actor) has the plain
//!   traits behind them.
//! * [`Node`] is a running node, [`NodeBuilder`] one to be. A node is a value: several live in one process.
//! * [`CallError`] says how a call ended, and whether it surely did not run.
//! * [`cli`] is the command line, [`config`] the settings, [`samples`] the actors of the stock binary.
//!
//! An actor that has nothing to keep is `#[actor(volatile)]`: its state is in memory, and begins anew wherever it comes up.
//!
//! **Deliberately absent.** Global state: no static holds a node.

// The macros write `::gritmesh::…` into this crate too.
extern crate self as gritmesh;

mod address;
mod ask;
mod builder;
pub mod cli;
mod confidential;
pub mod config;
mod files;
mod http;
mod memory;
mod node;
pub mod samples;
mod start;

#[doc(inline)]
pub use gritmesh_actor as actor;
pub use gritmesh_actor::{
    ActivationError, Actor, ActorOptions, ActorRef, Call, CallError, Context, Handler, Message, Method,
    NoError, RegistryError, actor, handlers,
};
pub use gritmesh_core::{
    ActorStatus, ClusterEvent, ClusterEvents, ClusterStatus, Location, Member, MemberState, NodeStatus,
    Readiness, View,
};
pub use gritmesh_runtime::{
    ActorAddress, AddressError, ClusterId, DEFAULT_TENANT, FailureCode, Instant, NodeId, NodeInfo, UnixTime,
};

pub use builder::NodeBuilder;
pub use cli::main;
pub use node::Node;
pub use start::StartError;
