//! Processes that lead durable actors are killed under load: how long until such an actor takes its next step, and
//! whether a step that was acknowledged is ever missing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::figures::{Figures, percentile_us};
use crate::load;
use crate::member::{Member, Plan, RecordRef, text};
use crate::process::Process;

const NODES: usize = 3;
/// Actors, each with a caller that has one call outstanding.
const ACTORS: usize = 16;
const TEXT_BYTES: usize = 100;
/// What a caller waits after a call that failed.
const RETRY: Duration = Duration::from_millis(5);
/// Load between two kills.
const BETWEEN: Duration = Duration::from_millis(500);
/// Kills after which one is told how far it has come.
const TOLD_EVERY: usize = 10;
const POLL: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn measure(kills: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    load::runtime()?.block_on(run(&mut figures, kills))?;
    Ok(figures)
}

async fn run(figures: &mut Figures, kills: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data = |name: &str| directory.path().join(name);
    let first = Process::start(Plan::new(&data("0"), &[]))?;
    let seeds = [first.address()];
    // The caller is a node too, which holds no shards, so that it survives them all.
    let caller = Member::start(Plan { weight: 0, ..Plan::new(&data("caller"), &seeds) }).await?;
    let mut nodes = vec![first];
    for node in 1..NODES {
        nodes.push(Process::start(Plan::new(&data(&node.to_string()), &seeds))?);
    }
    caller.settled(NODES).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let shared: Vec<Arc<Caller>> = (0..ACTORS).map(|_| Arc::default()).collect();
    let tasks: Vec<_> = (0..ACTORS)
        .map(|number| {
            let record = caller.record(&format!("r{number}"));
            tokio::spawn(call(record, Arc::clone(&shared[number]), Arc::clone(&stop)))
        })
        .collect();
    let mut latencies = Vec::new();
    for kill in 0..kills {
        tokio::time::sleep(BETWEEN).await;
        let node = nodes.remove(kill % NODES);
        let led = |number: &usize| caller.leader_of(&format!("r{number}")).as_ref() == Some(&node.node_id);
        let victims: Vec<usize> = (0..ACTORS).filter(led).collect();
        let killed = Instant::now();
        let plan = node.kill();
        // A call that begins from here on cannot reach it any more.
        let dead = Instant::now();
        victims.iter().for_each(|victim| shared[*victim].watch(dead));
        for victim in victims {
            let answered = shared[victim].next_step().await?;
            latencies.push(u64::try_from((answered - killed).as_nanos())?);
        }
        let seeds = vec![caller.address.to_string()];
        let mut back = Process::start(Plan { seeds, ..plan })?;
        back.ready()?;
        nodes.insert(kill % NODES, back);
        caller.settled(NODES).await?;
        if (kill + 1).is_multiple_of(TOLD_EVERY) {
            eprintln!("{} of {kills} kills", kill + 1);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut counted = Counted::default();
    for task in tasks {
        let Counted { acknowledged, unknown } = task.await??;
        counted.acknowledged += acknowledged;
        counted.unknown += unknown;
    }
    report(figures, kills, latencies, counted);
    Ok(())
}

fn report(figures: &mut Figures, kills: usize, mut latencies: Vec<u64>, counted: Counted) {
    for latency in &latencies {
        figures.add("failover", "ms", *latency as f64 / 1e6);
    }
    figures.add("failover_p99", "ms", percentile_us(&mut latencies, 99) / 1e3);
    figures.add("failover_max", "ms", percentile_us(&mut latencies, 100) / 1e3);
    figures.add("failover_kills", "kills", kills as f64);
    figures.add("failover_steps_acknowledged", "steps", counted.acknowledged as f64);
    figures.add("failover_steps_of_unknown_outcome", "steps", counted.unknown as f64);
    // The first one that is missing ends the measurement with an error.
    figures.add("failover_acknowledged_steps_lost", "steps", 0.0);
}

/// What a caller looks out for.
#[derive(Debug, Default)]
struct Caller {
    watch: Mutex<Option<Watch>>,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    since: Instant,
    /// When the first call was answered that began after that.
    answered: Option<Instant>,
}

impl Caller {
    fn watch(&self, since: Instant) {
        *self.watch.lock().expect("no holder panics") = Some(Watch { since, answered: None });
    }

    fn answered(&self, begun: Instant) {
        if let Some(watch) = &mut *self.watch.lock().expect("no holder panics")
            && begun > watch.since
        {
            watch.answered.get_or_insert_with(Instant::now);
        }
    }

    async fn next_step(&self) -> Result<Instant> {
        let started = Instant::now();
        loop {
            let watch = *self.watch.lock().expect("no holder panics");
            if let Some(answered) = watch.and_then(|watch| watch.answered) {
                return Ok(answered);
            }
            ensure!(started.elapsed() < PATIENCE, "an actor took no step after its leader was killed");
            tokio::time::sleep(POLL).await;
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    acknowledged: u64,
    /// Calls of which is not known whether they took effect.
    unknown: u64,
}

/// Calls one actor over and over, and checks that it counts every step that was acknowledged and no other.
async fn call(record: RecordRef, caller: Arc<Caller>, stop: Arc<AtomicBool>) -> Result<Counted> {
    let (mut counted, mut last) = (Counted::default(), 0);
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match record.put(text(TEXT_BYTES, last as usize)).await {
            Ok(writes) => {
                counted.acknowledged += 1;
                ensure!(writes > last, "step {last} was acknowledged, and then step {writes}");
                let most = counted.acknowledged + counted.unknown;
                ensure!(writes <= most, "{writes} steps were taken, and {most} were asked for");
                last = writes;
                caller.answered(begun);
            }
            Err(error) => {
                counted.unknown += u64::from(!error.surely_not_run());
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    Ok(counted)
}
