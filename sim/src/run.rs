//! One run: a cluster under load and faults, then under load without faults, and what was wrong with it.
//!
//! *Safety phase*: the plan of faults takes its course, while clients call actors through every node. Nothing
//! wrong may happen, but calls may fail. *Partial partition*, in some runs: one pair of nodes is cut and nothing else is
//! wrong; calls must not fail. *Lies*, in some runs: one node lies, and then no more; soon calls must not fail. *Liveness
//! phase*: all faults end; the nodes must find each other again, and every call must succeed.

mod cuts;
mod departures;
mod describe;
mod disks;
mod lies;
mod limits;
mod load;
mod partial;
mod phases;
mod report;
mod rest;

use std::sync::Arc;
use std::time::Duration;

use gritmesh_core::{NodeOptions, Sabotage, Watcher};
use gritmesh_runtime::Seed;
use parking_lot::Mutex;

pub use limits::{ChosenLimit, LimitChoice, LimitError, limits_with};
pub use report::{Report, Verdict};

use crate::check;
use crate::cluster::Sim;
use crate::faults::{Plan, SEED_NAME};
use crate::history::{Claims, History};
use crate::options::TraceOptions;
use crate::workload;

/// Shards of a run. Enough that every node leads some, and few enough that a run is quick.
pub(crate) const SHARDS: u32 = 8;

/// What to run.
#[derive(Debug)]
pub struct RunOptions {
    /// How the seed was given; all that is random follows from it.
    pub seed: String,
    /// How many nodes.
    pub nodes: u16,
    /// How long the safety phase lasts, in virtual time.
    pub duration: Duration,
    /// Engines of each node.
    pub engines: usize,
    /// How many shards the cluster has.
    pub shards: u32,
    /// Which limits of the nodes are other than in production.
    pub limits: LimitChoice,
    /// What is kept of the trace.
    pub trace: TraceOptions,
    /// A bug to have on purpose.
    #[doc(hidden)]
    pub sabotage: Sabotage,
}

impl RunOptions {
    /// A run whose size the seed draws too: a number, or any other text, as a git hash. Three and five nodes are drawn
    /// most often, as they are run most often.
    pub fn drawn(seed: impl Into<String>) -> Self {
        const NODES: [u16; 10] = [1, 2, 3, 3, 3, 4, 5, 5, 5, 7];
        const SHARDS: [u32; 4] = [1, 2, 8, 8];
        const ENGINES: [usize; 3] = [1, 2, 2];
        const SECONDS: [u64; 4] = [10, 20, 20, 30];
        let seed = seed.into();
        let mut rng = parse_seed(&seed).child("shape").rng();
        let mut one_of = |count: usize| rng.below(count as u64) as usize;
        Self {
            nodes: NODES[one_of(NODES.len())],
            shards: SHARDS[one_of(SHARDS.len())],
            engines: ENGINES[one_of(ENGINES.len())],
            duration: Duration::from_secs(SECONDS[one_of(SECONDS.len())]),
            ..Self::of_seed(seed)
        }
    }

    /// A run of 5 nodes, 8 shards and 20 s from a seed: a number, or any other text, as a git hash.
    pub fn of_seed(seed: impl Into<String>) -> Self {
        Self {
            seed: seed.into(),
            nodes: 5,
            duration: Duration::from_secs(20),
            engines: 2,
            shards: SHARDS,
            limits: LimitChoice::Drawn,
            trace: TraceOptions::default(),
            sabotage: Sabotage::None,
        }
    }
}

/// The seed that a text stands for: a number, or the hash of anything else.
pub fn parse_seed(text: &str) -> Seed {
    match text.parse() {
        Ok(number) => Seed::from_number(number),
        Err(_) => Seed::new(*blake3::hash(text.as_bytes()).as_bytes()),
    }
}

/// The plan of faults of a run, before it runs.
pub fn plan(options: &RunOptions) -> Plan {
    Plan::from_seed(&parse_seed(&options.seed).child("plan"), options.nodes, options.duration)
}

/// How long tables wait in memory: as in production, or so short that every entry can be seen on the disks.
fn tables_pause(seed: &Seed) -> Duration {
    const MILLIS: [u64; 4] = [0, 0, 20, 500];
    let drawn = seed.child("tables").rng().below(MILLIS.len() as u64);
    Duration::from_millis(MILLIS[drawn as usize])
}

/// How long nodes wait before they believe a jump of their wall clock: as in production, or so short that they do.
fn clock_believed_after(seed: &Seed) -> Duration {
    const SECONDS: [u64; 3] = [0, 3, 600];
    let drawn = seed.child("clock believed after").rng().below(SECONDS.len() as u64);
    Duration::from_secs(SECONDS[drawn as usize])
}

/// Runs a cluster through both phases and checks every invariant.
///
/// # Panics
/// If [limits](RunOptions::limits) were chosen that [`limits_with`] refuses.
pub fn run(options: RunOptions) -> Report {
    let plan = plan(&options);
    let small = options.limits.small(&parse_seed(&options.seed));
    let limits = limits_with(&small).unwrap_or_else(|error| panic!("{error}"));
    let history = History {
        clocks_jump: plan.classes.clock_jumps || plan.classes.great_clock_jumps,
        bits_flip: plan.classes.flipped_bits,
        limits_are_small: !small.is_empty(),
        ..History::new(options.nodes)
    };
    let history = Arc::new(Mutex::new(history));
    let of_node = {
        let history = Arc::clone(&history);
        move |node, notes| workload::registry(&history, node, notes)
    };
    let watcher = {
        let history = Arc::clone(&history);
        move |node, notes| Arc::new(Claims::new(&history, node, notes)) as Arc<dyn Watcher>
    };
    let (engines, shards, sabotage) = (options.engines, options.shards, options.sabotage);
    let tables_pause = tables_pause(&parse_seed(&options.seed));
    let clock_believed_after = clock_believed_after(&parse_seed(&options.seed));
    let node_options = NodeOptions {
        limits,
        engines,
        shards,
        tables_pause,
        clock_believed_after,
        sabotage,
        ..NodeOptions::default()
    };
    let named = plan.classes.names.then_some(SEED_NAME);
    let mut sim = Sim::from_seed(parse_seed(&options.seed).child("world"))
        .named(named)
        .nodes(options.nodes)
        .world(plan.options(options.trace))
        .node_options(node_options)
        .registry(of_node)
        .watched(watcher)
        .launch();
    let mut phases = phases::Phases::new(&mut sim, &history, parse_seed(&options.seed).child("load"));
    phases.safety(&plan);
    let recovered = phases.recovery();
    if recovered {
        phases.partial_partition(&plan, &parse_seed(&options.seed).child("cut pair"));
        phases.lies(&plan, &parse_seed(&options.seed).child("liar"));
        phases.departure(&plan, &parse_seed(&options.seed).child("departure"));
        phases.liveness();
    }
    check::all(&history.lock(), &mut |code, at, detail| {
        sim.world_mut().report_past_finding(at, code, detail);
    });
    if let Err(error) = sim.world_mut().finish_trace() {
        sim.world_mut().report_finding(None, "trace", format!("the trace cannot be written: {error}"));
    }
    Report::new(options.seed, (engines, shards), (plan, options.limits, small), &sim, &history.lock())
}
