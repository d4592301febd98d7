//! A whole cluster in one thread, reproducible from a seed.
//!
//! **Problem.** The failures that matter in a distributed system need a crash here, a delay there and a lost packet
//! in between. Real machines produce them once a year and never again.
//!
//! **Design.** [`World`] implements every trait of [`gritmesh_runtime`]: clocks that drift, an executor that picks
//! tasks by lot, a network with links that fail, disks that forget what was not synced. All of it runs on one
//! queue of events in virtual time, and all randomness comes from one [`Seed`]. The nodes
//! are the real ones: they cannot tell where they are.
//!
//! ```text
//!        Plan (faults, from the seed)          Findings, trace hash, last lines
//!                 │                                        ▲
//!                 ▼                                        │
//!   ┌──────────────────────────── World ───────────────────┴───────┐
//!   │  queue ──► next event ──► node code (no lock is held) ──►    │
//!   │    ▲                        │ send, write, sleep, spawn      │
//!   │    └── network · disks · clocks · executor ◄──┘              │
//!   └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! Read [`World`] first, then the network's module, then [`Plan`].
//!
//! **Deliberately absent.** Real threads, sockets and files; time that passes by itself; map order and addresses of
//! memory as sources of chance. Code under test that starts a thread of its own is outside of what this crate
//! can reproduce.

mod check;
pub mod cli;
mod cluster;
mod diagram;
mod faults;
pub mod history;
pub mod measure;
mod network;
mod options;
mod run;
mod trace;
mod workload;
mod world;

pub use cluster::{Sim, SimBuilder};
pub use diagram::Diagram;
pub use faults::{Classes, Intervention, Plan, PlannedIntervention};
pub use network::{CONNECT_TIMEOUT, QUEUE_BYTES_MAX, QUEUE_ENVELOPES_MAX, UNREACHABLE_AFTER};
pub use options::{DiskFaults, NetworkFaults, SchedulingFaults, TraceOptions, WorldOptions};
pub use run::{
    ChosenLimit, LimitChoice, LimitError, Report, RunOptions, Verdict, limits_with, parse_seed, plan, run,
};
pub use trace::{Kind, Line, Record};
pub use world::{BlockError, Finding, NodeIndex, NodeSlot, Notes, PANIC, Partition, SPIN, World};

// What a test needs beside this crate, and an application does not.
pub use gritmesh_actor::Registry;
pub use gritmesh_core::NodeOptions;
pub use gritmesh_runtime::Seed;
