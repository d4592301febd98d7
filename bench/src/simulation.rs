//! The simulator: how fast virtual time passes, what gossip costs, and whether stalls kill anybody.

use std::time::{Duration, Instant};

use anyhow::Result;
use gritmesh_sim::measure;

use crate::figures::Figures;

/// Virtual time of one measurement of speed.
const SPEED_OVER: Duration = Duration::from_secs(300);

/// Members of the clusters whose gossip is compared, and for how long each is watched. A thousand whole nodes take
/// longer than a benchmark may; membership's own scenarios compare up to there.
const SIZES: [(u16, Duration); 2] = [(10, Duration::from_secs(60)), (100, Duration::from_secs(30))];

/// An hour of stalls, as the issue of false deaths is judged by.
const STALLS_OVER: Duration = Duration::from_secs(3600);

pub(crate) fn measure(runs: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    for run in 0..runs {
        let started = Instant::now();
        let passed = measure::light_load(run as u64, SPEED_OVER);
        let rate = passed.as_secs_f64() / started.elapsed().as_secs_f64();
        figures.add("simulated_seconds_5_nodes", "s/s", rate);
    }
    // What follows is the same in every run of a seed: virtual time has no spread.
    for (nodes, duration) in SIZES {
        let gossip = measure::gossip(nodes, duration);
        figures.add(format!("gossip_{nodes}_nodes"), "bytes/node/s", gossip.bytes_per_node_second);
        figures.add(format!("gossip_{nodes}_nodes_formed"), "s", gossip.formed_after.as_secs_f64());
    }
    let growth = figures.median("gossip_100_nodes") / figures.median("gossip_10_nodes");
    figures.add("gossip_growth_10_to_100", "times", growth);
    let deaths = measure::false_deaths(1, STALLS_OVER);
    figures.add("hour_of_2s_stalls", "stalls", deaths.stalls as f64);
    figures.add("hour_of_2s_stalls_healthy_declared_dead", "deaths", deaths.healthy as f64);
    Ok(figures)
}
