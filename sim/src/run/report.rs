//! What a run came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{ChosenLimit, LimitChoice};
use crate::check;
use crate::cluster::Sim;
use crate::faults::Plan;
use crate::history::History;
use crate::trace::Line;
use crate::world::{Finding, PANIC, SPIN};

/// What a run came to, and what led to it.
#[derive(Debug)]
pub struct Report {
    /// The seed as it was given.
    pub seed: String,
    /// How many nodes there were.
    pub nodes: u16,
    /// Engines of each node.
    pub engines: usize,
    /// How many shards the cluster had.
    pub shards: u32,
    /// The faults.
    pub plan: Plan,
    /// How the limits of the nodes were chosen.
    pub choice: LimitChoice,
    /// Those that are other than in production.
    pub limits: Vec<ChosenLimit>,
    /// What went wrong, in the order of time.
    pub findings: Vec<Finding>,
    /// The hash over everything that happened.
    pub trace_hash: blake3::Hash,
    /// How many events there were.
    pub events: u64,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// Calls by their end.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// The last events.
    pub last_lines: Vec<Line>,
}

/// The worst thing that a run found, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing.
    Clean,
    /// The cluster did not recover, or did not serve again.
    Liveness,
    /// Something happened that must never happen.
    Safety,
    /// A node panicked, or spun.
    Crash,
}

impl Verdict {
    /// The code that the process ends with.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Liveness => 10,
            Self::Safety => 11,
            Self::Crash => 12,
        }
    }

    /// The verdict in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Liveness => "liveness",
            Self::Safety => "safety",
            Self::Crash => "crash",
        }
    }
}

impl Report {
    pub(super) fn new(
        seed: String,
        (engines, shards): (usize, u32),
        (plan, choice, limits): (Plan, LimitChoice, Vec<ChosenLimit>),
        sim: &Sim,
        history: &History,
    ) -> Self {
        let mut findings = sim.world().findings();
        findings.sort_by_key(|finding| finding.at);
        let mut outcomes = BTreeMap::new();
        for call in &history.calls {
            let outcome = match call.ends.first() {
                _ if call.abandoned => "client died",
                None => "no end needed",
                Some(end) => end.outcome.map_or_else(|code| code.as_str(), |_| "ok"),
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
        Self {
            seed,
            nodes: sim.len(),
            engines,
            shards,
            plan,
            choice,
            limits,
            findings,
            trace_hash: sim.world().trace_hash(),
            events: sim.world().trace_length(),
            virtual_time: sim.now() - gritmesh_runtime::Instant::ZERO,
            outcomes,
            last_lines: sim.world().recent_lines(),
        }
    }

    /// The worst of the findings.
    pub fn verdict(&self) -> Verdict {
        let of = |finding: &Finding| match finding.code {
            PANIC | SPIN => Verdict::Crash,
            code if check::is_liveness(code) => Verdict::Liveness,
            _ => Verdict::Safety,
        };
        self.findings.iter().map(of).max().unwrap_or(Verdict::Clean)
    }

    /// The command that repeats the run.
    pub fn replay_command(&self) -> String {
        let seconds = self.plan.duration_micros / 1_000_000;
        let Self { seed, nodes, engines, shards, .. } = self;
        let limits = match &self.choice {
            LimitChoice::Drawn => String::new(),
            LimitChoice::Chosen(chosen) if chosen.is_empty() => " --production-limits".to_owned(),
            LimitChoice::Chosen(chosen) => chosen.iter().map(|limit| format!(" --limit {limit}")).collect(),
        };
        format!(
            "gritmesh sim replay --seed {seed} --nodes {nodes} --seconds {seconds} --engines {engines} --shards {shards}{limits}"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes: Vec<String> =
            self.outcomes.iter().map(|(end, count)| format!("{end} {count}")).collect();
        let Self { seed, nodes, engines, shards, .. } = self;
        let seconds = self.plan.duration_micros / 1_000_000;
        writeln!(
            f,
            "seed       {seed} ({nodes} nodes, {shards} shards, {engines} engines each, {seconds} s of faults)"
        )?;
        writeln!(f, "verdict    {}", self.verdict().as_str())?;
        writeln!(f, "time       {:?} virtual, {} events", self.virtual_time, self.events)?;
        writeln!(f, "calls      {}", outcomes.join(", "))?;
        if !self.limits.is_empty() {
            let limits: Vec<String> = self.limits.iter().map(ChosenLimit::to_string).collect();
            writeln!(f, "limits     {}", limits.join(" "))?;
        }
        writeln!(f, "trace      {}", self.trace_hash.to_hex())?;
        for finding in &self.findings {
            writeln!(f, "finding    {finding}")?;
        }
        if !self.findings.is_empty() {
            writeln!(f, "replay     {}", self.replay_command())?;
        }
        Ok(())
    }
}
