//! Benchmarks: every figure of the documentation, with the command that prints it.
//!
//! Each line is `name=median unit (min-max, n=runs)`. What is compared with a floor or a peer is measured in the
//! same run on the same machine: only ratios from one run count.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod cluster;
mod figures;
mod floor;
mod load;
mod local;
mod memory;
mod remote;
mod simulation;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures Gritmesh on this machine.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  gritmesh-bench all\n  gritmesh-bench --runs 9 remote")]
struct Arguments {
    /// How often each figure is measured; the median is printed.
    #[arg(long, default_value_t = 5, global = true)]
    runs: usize,
    #[command(subcommand)]
    part: Part,
}

#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Everything, in a few minutes.
    All,
    /// Calls within one process, beside plain tokio channels.
    Local,
    /// What an idle actor costs, and a million of them.
    Memory,
    /// Calls between two processes, beside a bare libp2p stream.
    Remote,
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
            local::measure(arguments.runs)?;
            memory::measure(arguments.runs)?;
            remote::measure(arguments.runs)?;
            cluster::measure(arguments.runs, None)?;
            simulation::measure(arguments.runs)
        }
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
        "node" => remote::serve(arguments),
        other => anyhow::bail!("no such role: {other}"),
    }
}
