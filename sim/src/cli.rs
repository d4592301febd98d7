//! `gritmesh sim`: one run, many runs, a run again.

mod progress;
mod show;
mod sweep;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::options::TraceOptions;
use crate::run::{ChosenLimit, LimitChoice, Report, RunOptions, Verdict, plan, run};

/// The code that the process ends with if the command cannot be carried out as it was given.
const USAGE: u8 = 2;

/// Runs whole clusters in virtual time, with faults, from a seed
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 clean, 2 usage, 10 did not recover, 11 an invariant broke, 12 a node panicked"
)]
pub struct SimArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One run
    #[command(
        after_help = "Examples:\n  gritmesh sim run --seed 7\n  gritmesh sim run --seed $(git rev-parse HEAD) --nodes 7"
    )]
    Run(RunArgs),
    /// A run again, with its plan of faults and its trace as text
    #[command(after_help = "Example:\n  gritmesh sim replay --seed 7 --trace trace.txt")]
    Replay(ReplayArgs),
    /// Many runs, one seed after the other
    #[command(
        after_help = "Examples:\n  gritmesh sim sweep --seeds 1000\n  gritmesh sim sweep --seeds 1000 --nodes 3 --jobs 4"
    )]
    Sweep(SweepArgs),
}

#[derive(Clone, Debug, Args)]
struct Shape {
    /// How many nodes; 1 to 7 by the seed, if this is not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: Option<u16>,
    /// How long faults go on, in virtual seconds; 10 to 30 by the seed
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// How many engines each node has; 1 or 2 by the seed
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    engines: Option<u16>,
    /// How many shards the cluster has; 1, 2 or 8 by the seed
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    shards: Option<u32>,
    /// A limit of the nodes that is other than in production, as delivery.window=1; can be repeated. Without it the seed
    /// draws small ones
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<ChosenLimit>,
    /// All limits as in production
    #[arg(long, conflicts_with = "limits")]
    production_limits: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// A number, or any other text, as a git hash
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    seed: String,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Where to write every event as text
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SweepArgs {
    /// How many seeds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    seeds: u64,
    /// How many runs at a time; as many as there are cores, if this is not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// The first seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::MAX / 2))]
    from: u64,
    #[command(flatten)]
    shape: Shape,
}

/// Where a command writes, and what tells it how fast it was.
pub struct Surroundings<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Progress, speed and errors; not part of what a seed determines.
    pub notes: &'a mut dyn Write,
    /// Real time since the process started.
    pub elapsed: &'a dyn Fn() -> Duration,
}

impl Shape {
    fn options(&self, seed: String) -> RunOptions {
        let drawn = RunOptions::drawn(seed);
        RunOptions {
            nodes: self.nodes.unwrap_or(drawn.nodes),
            duration: self.seconds.map_or(drawn.duration, Duration::from_secs),
            engines: self.engines.map_or(drawn.engines, usize::from),
            shards: self.shards.unwrap_or(drawn.shards),
            limits: match self.limits.is_empty() && !self.production_limits {
                true => LimitChoice::Drawn,
                false => LimitChoice::Chosen(self.limits.clone()),
            },
            ..drawn
        }
    }
}

impl RunArgs {
    fn options(&self) -> RunOptions {
        self.shape.options(self.seed.clone())
    }
}

impl SimArgs {
    /// Does what was asked for. Returns the exit code.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn run(self, around: &mut Surroundings<'_>) -> io::Result<u8> {
        match self.command {
            Command::Run(arguments) => run_once(&arguments, around),
            Command::Replay(arguments) => replay(&arguments, around),
            Command::Sweep(arguments) => sweep::sweep(&arguments, around),
        }
    }
}

fn run_once(arguments: &RunArgs, around: &mut Surroundings<'_>) -> io::Result<u8> {
    let (report, took) = timed(arguments.options(), around);
    if report.verdict() != Verdict::Clean {
        write!(around.out, "{}", report.plan)?;
    }
    show::report(&report, &arguments.shape, around.out)?;
    show::speed(report.virtual_time, took, around.notes)?;
    Ok(report.verdict().exit_code())
}

fn replay(arguments: &ReplayArgs, around: &mut Surroundings<'_>) -> io::Result<u8> {
    let mut options = arguments.run.options();
    if let Some(path) = &arguments.trace {
        match File::create(path) {
            Ok(file) => {
                options.trace =
                    TraceOptions { sink: Some(Box::new(BufWriter::new(file))), ..TraceOptions::default() };
            }
            Err(error) => {
                writeln!(around.notes, "error: the trace cannot be written to {}: {error}", path.display())?;
                return Ok(USAGE);
            }
        }
    }
    write!(around.out, "{}", plan(&options))?;
    let (report, took) = timed(options, around);
    show::report(&report, &arguments.run.shape, around.out)?;
    if let Some(path) = &arguments.trace {
        writeln!(around.notes, "{} events are in {}", report.events, path.display())?;
    }
    show::speed(report.virtual_time, took, around.notes)?;
    Ok(report.verdict().exit_code())
}

/// A run, and how long it took in real time.
fn timed(options: RunOptions, around: &Surroundings<'_>) -> (Report, Duration) {
    let begun = (around.elapsed)();
    let report = run(options);
    (report, (around.elapsed)() - begun)
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
