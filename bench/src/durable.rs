//! Steps of durable actors on three processes, each with a replica of every shard.
//!
//! What they are held against is etcd with three members, which `report` and `check` measure in turns with them. The
//! floors of this machine's own disk are measured by `floors`.

use std::sync::Arc;

use anyhow::{Context, Result};
use gritmesh_store_rocksdb::Written;

use crate::figures::Figures;
use crate::load::{self, Loaded};
use crate::member::{Member, Plan, RecordRef, text};
use crate::process::Process;

const TEXT_BYTES: usize = 100;
/// Distinct actors, spread over all shards. Each load divides their number, so that no two callers share one.
const ACTORS: usize = 1024;
/// Callers, and calls for each measurement with so many.
const LOADS: [(usize, usize); 3] = [(1, 4_000), (64, 80_000), (256, 120_000)];
const HOT_CALLERS: usize = 64;
const HOT_CALLS: usize = 40_000;
const NODES: usize = 3;
/// The unit in which Linux tells the processor time of a process.
const US_PER_TICK: f64 = 10_000.0;

pub(crate) fn measure(runs: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    for _ in 0..runs {
        load::runtime()?.block_on(run(&mut figures))?;
    }
    Ok(figures)
}

async fn run(figures: &mut Figures) -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let records: Vec<_> = (0..ACTORS).map(|number| cluster.here.record(&format!("r{number}"))).collect();
    let records = Arc::new(records);
    // Brings all of them into memory.
    put(64, ACTORS, &records).await?;
    let (device, before) = (cluster.device_bytes()?, cluster.written()?);
    let mut steps = 0;
    for (callers, calls) in LOADS {
        let (log, cpu) = (cluster.written()?.log, cluster.cpu_ticks()?);
        let loaded = put(callers, calls, &records).await?;
        let (log, cpu) = (cluster.written()?.log - log, cluster.cpu_ticks()? - cpu);
        report(figures, &format!("durable_{callers}"), loaded);
        figures.add(format!("durable_{callers}_log_bytes_per_step"), "bytes", log as f64 / calls as f64);
        let cpu_us = cpu as f64 * US_PER_TICK;
        figures.add(format!("durable_{callers}_cpu_per_step"), "us", cpu_us / calls as f64);
        steps += calls;
    }
    let hot = (0..ACTORS).find(|number| cluster.here.leads(&format!("r{number}")) == Some(false));
    let hot = Arc::new(vec![cluster.here.record(&format!("r{}", hot.context("others lead some actors")?))]);
    report(figures, &format!("durable_hot_{HOT_CALLERS}"), put(HOT_CALLERS, HOT_CALLS, &hot).await?);
    steps += HOT_CALLS;
    let (device, after) = (cluster.device_bytes()? - device, cluster.written()?);
    let per_step = |bytes: u64| bytes as f64 / steps as f64;
    figures.add("durable_bytes_per_step", "bytes", per_step(after.total() - before.total()));
    figures.add("durable_bytes_per_step_log", "bytes", per_step(after.log - before.log));
    figures.add("durable_bytes_per_step_flush", "bytes", per_step(after.flush - before.flush));
    figures.add("durable_bytes_per_step_compaction", "bytes", per_step(after.compaction - before.compaction));
    figures.add("durable_bytes_per_step_to_device", "bytes", per_step(device));
    Ok(())
}

async fn put(callers: usize, calls: usize, records: &Arc<Vec<RecordRef>>) -> Result<Loaded> {
    let records = Arc::clone(records);
    let put = move |_, number: usize| {
        let records = Arc::clone(&records);
        async move {
            let record = &records[number % records.len()];
            Ok(record.put(text(TEXT_BYTES, number)).await.map(drop)?)
        }
    };
    load::run(callers, calls, put).await
}

fn report(figures: &mut Figures, name: &str, loaded: Loaded) {
    figures.add(name, "steps/s", loaded.per_second);
    figures.add(format!("{name}_p50"), "us", loaded.p50_us);
    figures.add(format!("{name}_p99"), "us", loaded.p99_us);
}

/// Three nodes, of which one is this process, that calls.
struct Cluster {
    here: Member,
    others: Vec<Process>,
    _directory: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let data = |node: usize| directory.path().join(node.to_string());
        let here = Member::start(Plan::new(&data(0), &[])).await?;
        let seeds = [here.address.to_string()];
        let others: Result<Vec<_>> =
            (1..NODES).map(|node| Process::start(Plan::new(&data(node), &seeds))).collect();
        let cluster = Self { here, others: others?, _directory: directory };
        cluster.here.settled(NODES).await?;
        Ok(cluster)
    }

    /// What the databases of all replicas have written.
    fn written(&mut self) -> Result<Written> {
        let mut all = self.here.written();
        for process in &mut self.others {
            let Written { log, flush, compaction } = process.written()?;
            all.log += log;
            all.flush += flush;
            all.compaction += compaction;
        }
        Ok(all)
    }

    /// What the operating system has sent to the disk for all processes, in whole pages.
    fn device_bytes(&self) -> Result<u64> {
        let processes = self.others.iter().map(Process::id).chain([std::process::id()]);
        processes.map(device_bytes).sum()
    }

    /// Processor time of all three, callers included.
    fn cpu_ticks(&self) -> Result<u64> {
        let processes = self.others.iter().map(Process::id).chain([std::process::id()]);
        processes.map(crate::process::cpu_ticks).sum()
    }
}

fn device_bytes(process: u32) -> Result<u64> {
    let counters = std::fs::read_to_string(format!("/proc/{process}/io"))?;
    let line = counters.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.context("the system counts what is written")?.parse()?)
}
