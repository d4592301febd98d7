//! Benchmarks: every figure of the documentation, with the command that prints it.
//!
//! Each line is `name=median unit (min-max, n=runs)`. What is compared with a floor or a peer is measured in the
//! same run on the same machine: only ratios from one run count.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod check;
mod cluster;
mod durable;
mod failover;
mod figures;
mod floor;
mod floors;
mod http;
mod load;
mod local;
mod member;
mod memory;
mod page;
mod peers;
mod process;
mod recovery;
mod remote;
mod report;
mod role;
mod simulation;
mod transfer;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use figures::Figures;
use peers::Peers;

const EXAMPLES: &str = "Examples:
  gritmesh-bench all
  gritmesh-bench --runs 9 remote
  gritmesh-bench failover --kills 200
  gritmesh-bench peers --peers target/release/gritmesh-bench-peers
  gritmesh-bench check --peers target/release/gritmesh-bench-peers";

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
        binary: Option<PathBuf>,
    },
    /// Calls by HTTP, over connections that stay open.
    Http,
    /// The peers alone: etcd, kameo and ractor.
    Peers(Peers),
    /// Everything, with the peers in turns, written to the page of figures and to the README's table.
    Report {
        #[command(flatten)]
        peers: Peers,
        /// The page to write.
        #[arg(long, default_value = "docs/figures.md")]
        page: PathBuf,
        /// The document whose table of figures is replaced.
        #[arg(long, default_value = "README.md")]
        readme: PathBuf,
    },
    /// Some minutes: measures the ratios to floors and peers again, and fails when one is below 0.8 of what the page of
    /// figures says.
    Check {
        #[command(flatten)]
        peers: Peers,
        /// The page to compare with.
        #[arg(long, default_value = "docs/figures.md")]
        page: PathBuf,
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
    let Arguments { runs, part } = Arguments::parse();
    match part {
        Part::All => everything(runs).map(drop),
        Part::Floors => print(floors::measure(runs)),
        Part::Durable => print(durable::measure(runs)),
        Part::Failover { kills } => print(failover::measure(kills)),
        Part::Recovery { heads } => print(recovery::measure(runs, heads)),
        Part::Transfer => print(transfer::measure(runs)),
        Part::Local => print(local::measure(runs)),
        Part::Memory => print(memory::measure(runs)),
        Part::Remote => print(remote::measure(runs)),
        Part::Cluster { binary } => print(cluster::measure(runs, binary)),
        Part::Http => print(http::measure(runs)),
        Part::Simulation => print(simulation::measure(runs)),
        Part::Peers(peers) => print(peers.measure(runs)),
        Part::Report { peers, page, readme } => report::write(runs, &peers, &page, &readme),
        Part::Check { peers, page } => check::compare(runs.min(check::RUNS_MAX), &peers, &page),
        Part::Child { role, arguments } => child(&role, &arguments),
    }
}

fn print(figures: Result<Figures>) -> Result<()> {
    figures.map(|figures| figures.print())
}

/// Every part but the peers, each printed as it ends.
fn everything(runs: usize) -> Result<Figures> {
    let mut all = durable::measure(runs)?;
    all.extend(local::measure(runs)?);
    all.print();
    all.extend(everything_else(runs)?);
    Ok(all)
}

/// What has no peer to take turns with.
fn everything_else(runs: usize) -> Result<Figures> {
    let mut all = Figures::default();
    let parts: [&dyn Fn() -> Result<Figures>; 9] = [
        &|| floors::measure(runs),
        &|| failover::measure(KILLS),
        &|| recovery::measure(runs, HEADS),
        &|| transfer::measure(runs),
        &|| memory::measure(runs),
        &|| remote::measure(runs),
        &|| cluster::measure(runs, None),
        &|| http::measure(runs),
        &|| simulation::measure(runs),
    ];
    for part in parts {
        let figures = part()?;
        figures.print();
        all.extend(figures);
    }
    Ok(all)
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
