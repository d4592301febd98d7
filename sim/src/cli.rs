//! `gritmesh sim`: one run, many runs, a run again.

mod progress;
mod show;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use self::progress::Progress;
use crate::options::TraceOptions;
use crate::run::{ChosenLimit, LimitChoice, Report, RunOptions, SHARDS, Verdict, plan, run};

/// Failing seeds after which a sweep ends: more tell nothing new.
const FAILURES_MAX: usize = 10;

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
    #[command(after_help = "Example:\n  gritmesh sim sweep --seeds 1000")]
    Sweep(SweepArgs),
}

#[derive(Clone, Debug, Args)]
struct Shape {
    /// How many nodes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// How long faults go on, in virtual seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many engines each node has
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    engines: u16,
    /// How many shards the cluster has
    #[arg(long, default_value_t = SHARDS, value_parser = clap::value_parser!(u32).range(1..=4096))]
    shards: u32,
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
        RunOptions {
            nodes: self.nodes,
            duration: Duration::from_secs(self.seconds),
            engines: usize::from(self.engines),
            shards: self.shards,
            limits: match self.limits.is_empty() && !self.production_limits {
                true => LimitChoice::Drawn,
                false => LimitChoice::Chosen(self.limits.clone()),
            },
            ..RunOptions::of_seed(seed)
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
            Command::Sweep(arguments) => sweep(&arguments, around),
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

fn sweep(arguments: &SweepArgs, around: &mut Surroundings<'_>) -> io::Result<u8> {
    let mut failures = Vec::new();
    let (mut virtual_time, begun) = (Duration::ZERO, (around.elapsed)());
    let mut progress = Progress::new(arguments.seeds);
    for seed in arguments.from..arguments.from + arguments.seeds {
        let report = run(arguments.shape.options(seed.to_string()));
        virtual_time += report.virtual_time;
        if report.verdict() != Verdict::Clean {
            failures.push((seed, report.verdict()));
            let out = &mut *around.out;
            progress.suspend(|| show::report(&report, &arguments.shape, out))?;
        }
        progress.advance(failures.len(), around.notes)?;
        if failures.len() >= FAILURES_MAX {
            break;
        }
    }
    progress.finish();
    let seeds: Vec<String> = failures.iter().map(|(seed, _)| seed.to_string()).collect();
    let list = if seeds.is_empty() { "none".to_owned() } else { seeds.join(", ") };
    writeln!(around.out, "seeds      {} run, failed: {list}", progress.done())?;
    show::speed(virtual_time, (around.elapsed)() - begun, around.notes)?;
    let worst = failures.iter().map(|(_, verdict)| *verdict).max().unwrap_or(Verdict::Clean);
    Ok(worst.exit_code())
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
