//! Plans, carried out.

use std::time::Duration;

use gritmesh_runtime::Seed;
use gritmesh_sim::{Classes, Kind, Plan, TraceOptions};

use crate::toy::Run;

const PERIOD: Duration = Duration::from_millis(50);

#[test]
fn every_class_of_faults_really_happens() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..3 {
        let seed = Seed::from_number(seed);
        let plan = Plan::of_classes(&seed, Classes::ALL, 5, Duration::from_secs(120));
        let trace = TraceOptions { lines_kept: 1_000_000, ..TraceOptions::default() };
        let mut run = Run::new(&seed, 5, &plan, trace, PERIOD);
        run.through(&plan);
        assert_eq!(run.world.findings(), []);
        kinds.extend(run.world.recent_lines().iter().map(|line| line.record.kind.as_str()));
    }
    let expected = [
        Kind::Vanished,
        Kind::Duplicated,
        Kind::Overtaken,
        Kind::Retransmitted,
        Kind::Lost,
        Kind::Killed,
        Kind::Started,
        Kind::Stalled,
        Kind::Resumed,
        Kind::LinkBlocked,
        Kind::LinkSlowed,
        Kind::Healed,
        Kind::WallClockMoved,
        Kind::DiskChanged,
        Kind::WritesAtCrash,
    ];
    let missing: Vec<&str> = expected.map(Kind::as_str).into_iter().filter(|k| !kinds.contains(k)).collect();
    assert_eq!(missing, [] as [&str; 0]);
}

#[test]
fn a_healthy_run_loses_nothing() {
    let seed = Seed::from_number(1);
    let plan = Plan::of_classes(&seed, Classes::NONE, 5, Duration::from_secs(60));
    let mut run = Run::new(&seed, 5, &plan, TraceOptions::default(), PERIOD);
    run.through(&plan);
    // 60 s at 75 ms on average, less the last ping.
    assert!(run.pongs().iter().all(|pongs| (700..900).contains(pongs)), "{:?}", run.pongs());
}

/// The world itself has to be quick, or a thousand seeds take a night. Generous, for shared machines and
/// unoptimised builds; the figure it prints is what counts.
#[test]
fn the_world_costs_little() {
    let seed = Seed::from_number(1);
    let plan = Plan::of_classes(&seed, Classes::NONE, 5, Duration::from_secs(500));
    let mut run = Run::new(&seed, 5, &plan, TraceOptions::default(), PERIOD);
    let started = measure();
    run.through(&plan);
    let took = started.elapsed();
    let events = run.world.trace_length();
    println!("sim_events_per_second={:.0}", events as f64 / took.as_secs_f64());
    println!(
        "sim_seconds_per_second={:.0} at {} events per second",
        500.0 / took.as_secs_f64(),
        events / 500
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[expect(clippy::disallowed_methods, reason = "this measures the simulator, not something in it")]
fn measure() -> std::time::Instant {
    std::time::Instant::now()
}
