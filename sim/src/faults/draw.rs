//! The options of a world, drawn by the classes of faults that are on.

use gritmesh_runtime::Rng;

use super::Classes;
use crate::options::{DiskFaults, NetworkFaults, SchedulingFaults};

pub(super) fn scheduling(classes: Classes, rng: &mut Rng) -> SchedulingFaults {
    // All are drawn, so that switching one class off leaves the others as they are.
    let (late, late_micros, timers_micros) = (rng.below(20), rng.below(2_000), rng.below(5_000));
    SchedulingFaults {
        yields: classes.yields,
        late: if classes.late_tasks { late as f64 / 100.0 } else { 0.0 },
        late_micros_max: if classes.late_tasks { late_micros as u32 } else { 0 },
        timers_late_micros_max: if classes.late_timers { timers_micros as u32 } else { 0 },
    }
}

pub(super) fn network(classes: Classes, rng: &mut Rng) -> NetworkFaults {
    let healthy = NetworkFaults::default();
    let (near, far) = (1_000 + rng.below(20_000) as u32, 1_000 + rng.below(60_000) as u32);
    let jitter = 100 + rng.below(3_000) as u32;
    let mut percent = |on: bool, most: u64| {
        let drawn = (1 + rng.below(most * 10)) as f64 / 1000.0;
        if on { drawn } else { 0.0 }
    };
    NetworkFaults {
        latency_micros_min: if classes.wide_area { near } else { healthy.latency_micros_min },
        latency_micros_max: if classes.wide_area { near + far } else { healthy.latency_micros_max },
        jitter_micros: if classes.jitter { jitter } else { healthy.jitter_micros },
        retransmit: percent(classes.retransmit, 5),
        vanish: percent(classes.vanish, 5),
        duplicate: percent(classes.duplicate, 10),
        overtake: percent(classes.overtake, 10),
    }
}

pub(super) fn disk(classes: Classes, rng: &mut Rng) -> DiskFaults {
    let (slow, slow_micros, errors) = (1 + rng.below(20), 1_000 + rng.below(500_000), 1 + rng.below(20));
    DiskFaults {
        slow: if classes.slow_disks { slow as f64 / 100.0 } else { 0.0 },
        slow_micros_max: if classes.slow_disks { slow_micros as u32 } else { 0 },
        write_error: if classes.disk_errors { errors as f64 / 100.0 } else { 0.0 },
        ..DiskFaults::default()
    }
}
