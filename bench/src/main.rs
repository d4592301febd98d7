//! Benchmarks: every figure of the documentation, with the command that prints it.
//!
//! Each line is `name=median unit (min-max, n=runs)`. What is compared with a floor or a peer is measured in the
//! same run on the same machine: only ratios from one run count.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod cluster;
mod durable;
mod failover;
mod figures;
mod floor;
mod floors;
mod load;
mod local;
mod member;
mod memory;
mod process;
mod recovery;
mod remote;
mod role;
mod simulation;
mod transfer;

use anyhow::Result;
use clap::{Parser, Subcommand};

const EXAMPLES: &str = "Examples:
  gritmesh-bench all
  gritmesh-bench --runs 9 remote
  gritmesh-bench failover --kills 200";

/// That of the stock binary, so that what is measured is what is shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Kills unless more are asked for.
const KILLS: usize = 20;

/// Durable actors of the node that comes back.
const HEADS: usize = 1_000_000;

/// Measures Gritmesh on this machine.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    /// How often each figure is measured; the median is printed.
    #[arg(long, default_value_t = 5, global = true)]
    runs: usize,
    #[command(subcommand)]
    part: Part,
}

#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Everything, in some twenty minutes.
    All,
    /// What the disk, the loopback and the cores of this machine give at best.
    Floors,
    /// Calls within one process, beside plain tokio channels.
    Local,
    /// What an idle actor costs, and a million of them.
    Memory,
    /// Calls between two processes, beside a bare libp2p stream.
    Remote,
    /// Steps of durable actors on three processes: rates, latencies, and bytes written.
    Durable,
    /// Processes that lead durable actors are killed under load, and no acknowledged step may be missing.
    Failover {
        /// How many are killed, one after the other.
        #[arg(long, default_value_t = KILLS)]
        kills: usize,
    },
    /// A node that was killed comes back to its durable actors.
    Recovery {
        /// How many there are.
        #[arg(long, default_value_t = HEADS)]
        heads: usize,
    },
    /// The state of a shard on its way to a new replica, beside a bare libp2p stream.
    Transfer,
    /// Start, detection and failover of real node processes.
    Cluster {
        /// The `gritmesh` binary; by default the one beside this program.
        #[arg(long)]
        binary: Option<std::path::PathBuf>,
    },
    /// Speed of the simulator, and gossip from 10 to 1,000 members.
    Simulation,
    /// The other process of a measurement.
    #[command(hide = true)]
    Child {
        /// Which one.
        role: String,
        /// Whom to talk to.
        arguments: Vec<String>,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Part::All => {
            floors::measure(arguments.runs)?;
            durable::measure(arguments.runs)?;
            failover::measure(KILLS)?;
            recovery::measure(arguments.runs, HEADS)?;
            transfer::measure(arguments.runs)?;
            local::measure(arguments.runs)?;
            memory::measure(arguments.runs)?;
            remote::measure(arguments.runs)?;
            cluster::measure(arguments.runs, None)?;
            simulation::measure(arguments.runs)
        }
        Part::Floors => floors::measure(arguments.runs),
        Part::Durable => durable::measure(arguments.runs),
        Part::Failover { kills } => failover::measure(kills),
        Part::Recovery { heads } => recovery::measure(arguments.runs, heads),
        Part::Transfer => transfer::measure(arguments.runs),
        Part::Local => local::measure(arguments.runs),
        Part::Memory => memory::measure(arguments.runs),
        Part::Remote => remote::measure(arguments.runs),
        Part::Cluster { binary } => cluster::measure(arguments.runs, binary),
        Part::Simulation => simulation::measure(arguments.runs),
        Part::Child { role, arguments } => child(&role, &arguments),
    }
}

fn child(role: &str, arguments: &[String]) -> Result<()> {
    match role {
        "memory" => memory::child(arguments),
        "floor" => floor::serve(),
        "echo" => floors::echo(),
        "member" => process::serve(arguments),
        "node" => remote::serve(arguments),
        other => anyhow::bail!("no such role: {other}"),
    }
}
