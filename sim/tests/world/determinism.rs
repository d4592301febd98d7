//! The same seed gives the same bytes, in this process and in another.

use std::fs::File;
use std::io::BufWriter;
use std::process::Command;
use std::time::Duration;

use gritmesh_runtime::Seed;
use gritmesh_sim::{Classes, Plan, TraceOptions};

use crate::toy::Run;

const NODES: u16 = 5;
const DURATION: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(50);

/// Set for a child process: where it shall write its trace.
const TRACE_PATH: &str = "GRITMESH_SIM_TRACE_PATH";

fn hash(seed: u64, classes: Option<Classes>, trace: TraceOptions) -> String {
    let seed = Seed::from_number(seed);
    let plan = match classes {
        Some(classes) => Plan::of_classes(&seed, classes, NODES, DURATION),
        None => Plan::from_seed(&seed, NODES, DURATION),
    };
    let mut run = Run::new(&seed, NODES, &plan, trace, PERIOD);
    run.through(&plan);
    let before = run.pongs();
    run.world.advance(Duration::from_secs(30));
    assert_eq!(run.world.findings(), []);
    let recovered = before.iter().zip(run.pongs()).all(|(before, after)| after > before + 50);
    assert!(recovered, "after the faults ended: {before:?} {:?}", run.pongs());
    run.world.finish_trace().expect("the trace can be written");
    format!("{} {:?}", run.world.trace_hash(), run.pongs())
}

#[test]
fn two_runs_of_a_seed_are_equal_and_two_seeds_are_not() {
    for seed in 0..20 {
        let classes = (seed % 2 == 0).then_some(Classes::ALL);
        let first = hash(seed, classes, TraceOptions::default());
        let second = hash(seed, classes, TraceOptions { lines_kept: 0, ..TraceOptions::default() });
        assert_eq!(first, second, "what is kept of the trace changes nothing");
        assert_ne!(first, hash(seed + 100, classes, TraceOptions::default()));
    }
}

#[test]
fn two_processes_write_the_same_trace() {
    let directory = std::env::temp_dir().join(format!("gritmesh-sim-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let traces = ["one", "two"].map(|name| {
        let path = directory.join(name);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "determinism::child_process", "--nocapture"])
            .env(TRACE_PATH, &path)
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        std::fs::read(path).unwrap()
    });
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(traces[0].len() > 100_000);
    assert!(traces[0] == traces[1], "the traces differ");
}

/// Does nothing unless it is started by the test above.
#[test]
fn child_process() {
    let Some(path) = std::env::var_os(TRACE_PATH) else { return };
    let sink = BufWriter::new(File::create(path).unwrap());
    hash(
        7,
        Some(Classes::ALL),
        TraceOptions { lines_kept: 0, sink: Some(Box::new(sink)), ..TraceOptions::default() },
    );
}
