//! `gritmesh sim`: one run, many runs, a run again.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::options::TraceOptions;
use crate::run::{Report, RunOptions, Verdict, plan, run};

/// Lines of the trace that are shown after a failure.
const LINES_SHOWN: usize = 30;

/// Failing seeds after which a sweep ends: more tell nothing new.
const FAILURES_MAX: usize = 10;

/// Runs whole clusters in virtual time, with faults, from a seed.
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
}

#[derive(Debug, Args)]
struct RunArgs {
    /// A number, or any text, as a git hash
    #[arg(long)]
    seed: String,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The seed of the run
    #[arg(long)]
    seed: String,
    #[command(flatten)]
    shape: Shape,
    /// Where to write every event as text
    #[arg(long)]
    trace: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SweepArgs {
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    #[command(flatten)]
    shape: Shape,
}

impl Shape {
    fn options(&self, seed: String) -> RunOptions {
        RunOptions {
            nodes: self.nodes,
            duration: Duration::from_secs(self.seconds),
            engines: usize::from(self.engines),
            ..RunOptions::of_seed(seed)
        }
    }
}

impl SimArgs {
    /// Does what was asked for, writing to `out`. Returns the exit code.
    ///
    /// # Errors
    /// If the output or the trace cannot be written.
    pub fn run(self, out: &mut dyn Write) -> std::io::Result<u8> {
        match self.command {
            Command::Run(arguments) => {
                let report = run(arguments.shape.options(arguments.seed));
                show(&report, out)?;
                Ok(report.verdict().exit_code())
            }
            Command::Replay(arguments) => replay(arguments, out),
            Command::Sweep(arguments) => sweep(&arguments, out),
        }
    }
}

fn replay(arguments: ReplayArgs, out: &mut dyn Write) -> std::io::Result<u8> {
    let mut options = arguments.shape.options(arguments.seed);
    if let Some(path) = &arguments.trace {
        let sink = Box::new(BufWriter::new(File::create(path)?));
        options.trace = TraceOptions { sink: Some(sink), ..TraceOptions::default() };
    }
    write!(out, "{}", plan(&options))?;
    let report = run(options);
    show(&report, out)?;
    Ok(report.verdict().exit_code())
}

fn sweep(arguments: &SweepArgs, out: &mut dyn Write) -> std::io::Result<u8> {
    let mut failures = Vec::new();
    let mut virtual_time = Duration::ZERO;
    for (done, seed) in (arguments.from..).take(arguments.seeds as usize).enumerate() {
        let report = run(arguments.shape.options(seed.to_string()));
        virtual_time += report.virtual_time;
        if report.verdict() != Verdict::Clean {
            show(&report, out)?;
            failures.push((seed, report.verdict()));
        }
        if (done + 1) % 100 == 0 {
            writeln!(out, "{} of {} seeds, {} failed", done + 1, arguments.seeds, failures.len())?;
            out.flush()?;
        }
        if failures.len() >= FAILURES_MAX {
            break;
        }
    }
    let worst = failures.iter().map(|(_, verdict)| *verdict).max().unwrap_or(Verdict::Clean);
    let seeds: Vec<String> = failures.iter().map(|(seed, _)| seed.to_string()).collect();
    let list = if seeds.is_empty() { "none".to_owned() } else { seeds.join(", ") };
    writeln!(out, "virtual time {virtual_time:?}, failed seeds: {list}")?;
    Ok(worst.exit_code())
}

fn show(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    if report.verdict() != Verdict::Clean {
        let from = report.last_lines.len().saturating_sub(LINES_SHOWN);
        for line in &report.last_lines[from..] {
            writeln!(out, "{line}")?;
        }
    }
    write!(out, "{report}")
}
