//! The simulator: how fast virtual time passes, what gossip costs, and whether stalls kill anybody.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gritmesh_sim::Sim;

use crate::figures::Figures;
use crate::local::Counter;

/// Virtual seconds of one measurement of speed.
const SECONDS: u64 = 300;

pub(crate) fn measure(runs: usize) -> Result<()> {
    let mut figures = Figures::default();
    for run in 0..runs {
        figures.add("simulated_seconds_5_nodes", "s/s", speed(run as u64)?);
    }
    figures.print();
    Ok(())
}

/// Five nodes, a call every 100 ms through one of them: virtual seconds for each second of this machine.
fn speed(seed: u64) -> Result<f64> {
    let mut sim = Sim::new(seed).nodes(5).register::<Counter>().start();
    let started = Instant::now();
    for call in 0..SECONDS * 10 {
        let node = sim.node((call % 5) as u16).context("no node was crashed")?;
        let actor = node.actor::<Counter>(&format!("a{}", call % 50));
        sim.block_on(async { actor.add(1).await })??;
        sim.advance(Duration::from_millis(100));
    }
    Ok(SECONDS as f64 / started.elapsed().as_secs_f64())
}
