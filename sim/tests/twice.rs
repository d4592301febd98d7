//! The same seed gives the same bytes with real nodes: twice in one process, and in two processes whose memory lies
//! differently and whose operating system hands out other random numbers.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;

use gritmesh_sim::{Report, RunOptions, TraceOptions, run};

/// Three seeds with different faults; the last is a text, as a commit's hash would be.
const SEEDS: [&str; 3] = ["7", "78", "a3f1c9"];

/// Set for a child process: where it shall write its trace, and of which seed.
const TRACE_PATH: &str = "GRITMESH_SIM_TWICE_PATH";
const TRACE_SEED: &str = "GRITMESH_SIM_TWICE_SEED";

fn run_quietly(seed: &str) -> Report {
    let trace = TraceOptions { lines_kept: 0, ..TraceOptions::default() };
    run(RunOptions { trace, ..RunOptions::of_seed(seed) })
}

#[test]
fn one_process_runs_a_seed_twice() {
    for seed in SEEDS {
        let (first, second) = (run_quietly(seed), run(RunOptions::of_seed(seed)));
        assert_eq!(first.trace_hash, second.trace_hash, "what is kept of the trace changes nothing");
        assert_eq!(first.to_string(), second.to_string());
    }
    assert_ne!(run_quietly(SEEDS[0]).trace_hash, run_quietly(SEEDS[1]).trace_hash);
}

#[test]
fn two_processes_run_a_seed_alike() {
    let directory = std::env::temp_dir().join(format!("gritmesh-twice-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for seed in SEEDS {
        let [one, two] = ["one", "two"].map(|name| run_in_child(seed, &directory.join(name)));
        assert!(one.0.len() > 1_000_000, "the trace of seed {seed} has {} bytes only", one.0.len());
        // Not `assert_eq`, which would print both.
        assert!(one.0 == two.0, "the traces of seed {seed} differ");
        assert_eq!(one.1, two.1, "the hashes of seed {seed} differ");
        assert_eq!(one.1, run_quietly(seed).trace_hash.to_string(), "writing the trace changes nothing");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// The trace of a run in a process of its own, and its hash.
fn run_in_child(seed: &str, path: &Path) -> (Vec<u8>, String) {
    let child = Command::new(std::env::current_exe().expect("a running test has a path"))
        .args(["--exact", "child_process", "--nocapture"])
        .env(TRACE_PATH, path)
        .env(TRACE_SEED, seed)
        .output()
        .expect("the test can be started again");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let printed = String::from_utf8_lossy(&child.stdout).into_owned();
    let hash =
        printed.lines().find_map(|line| line.strip_prefix("hash ")).expect("the child prints the hash");
    (std::fs::read(path).expect("the child wrote its trace"), hash.to_owned())
}

/// Does nothing unless it is started by the test above.
#[test]
fn child_process() {
    let (Some(path), Ok(seed)) = (std::env::var_os(TRACE_PATH), std::env::var(TRACE_SEED)) else { return };
    let sink = BufWriter::new(File::create(path).unwrap());
    let trace = TraceOptions { lines_kept: 0, sink: Some(Box::new(sink)), ..TraceOptions::default() };
    // In a line of its own: the test harness has begun one.
    println!("\nhash {}", run(RunOptions { trace, ..RunOptions::of_seed(seed) }).trace_hash);
}
