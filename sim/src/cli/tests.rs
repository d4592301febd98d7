use std::cell::Cell;

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    sim: SimArgs,
}

/// Runs a command line. Returns the exit code, the output and the notes.
fn sim(words: &str) -> (u8, String, String) {
    let program = Program::try_parse_from(["sim"].into_iter().chain(words.split_whitespace())).unwrap();
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let seconds = Cell::new(0);
    let elapsed = || {
        seconds.set(seconds.get() + 1);
        Duration::from_secs(seconds.get())
    };
    let code = program.sim.run(&mut Surroundings { out: &mut out, notes: &mut notes, elapsed: &elapsed });
    (code.unwrap(), String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap())
}

#[test]
fn a_run_tells_its_verdict_and_the_speed_apart_from_it() {
    let (code, out, notes) = sim("run --seed 9 --nodes 2 --seconds 1");
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("verdict    clean"), "{out}");
    assert!(notes.contains(" times real time"), "{notes}");
    assert_eq!(out, sim("run --seed 9 --nodes 2 --seconds 1").1);
    assert_ne!(out, sim("run --seed 3b18e512dba79e4c8300dd08aeb37f8e728b8dad --nodes 2 --seconds 1").1);
}

#[test]
fn a_replay_prints_the_plan_and_writes_the_trace() {
    let path = std::env::temp_dir().join(format!("gritmesh-replay-{}", std::process::id()));
    let (code, out, notes) =
        sim(&format!("replay --seed 9 --nodes 2 --seconds 1 --trace {}", path.display()));
    let trace = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("duration   1s\n"), "{out}");
    assert!(notes.starts_with(&format!("{} events are in ", trace.lines().count())), "{notes}");
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error_of_usage() {
    let (code, out, notes) = sim("replay --seed 9 --trace /nowhere/at/all");
    assert_eq!((code, out.as_str()), (USAGE, ""));
    assert!(notes.starts_with("error: the trace cannot be written to /nowhere/at/all: "), "{notes}");
}

#[test]
fn a_sweep_counts_and_ends_with_the_worst_verdict() {
    let (code, out, notes) = sim("sweep --seeds 100 --from 18446744073709551 --nodes 1 --seconds 1");
    assert_eq!((code, out.as_str()), (0, "seeds      100 run, failed: none\n"));
    // On a terminal there is a bar instead.
    assert!(notes.starts_with("100 of 100 seeds, 0 failed\n") || io::IsTerminal::is_terminal(&io::stderr()));
}

#[test]
fn a_sweep_reports_the_same_however_many_runs_go_on_at_a_time() {
    let sweep = |jobs: u16| sim(&format!("sweep --seeds 24 --nodes 2 --seconds 1 --jobs {jobs}"));
    let (one, many) = (sweep(1), sweep(6));
    assert_eq!((one.0, &one.1), (many.0, &many.1));
}

#[test]
fn what_is_not_given_is_drawn_by_the_seed() {
    let sizes: std::collections::BTreeSet<_> = (0..100)
        .map(|seed: u32| {
            let RunOptions { nodes, shards, engines, .. } = RunOptions::drawn(seed.to_string());
            (nodes, shards, engines)
        })
        .collect();
    assert!(sizes.len() > 20, "{sizes:?}");
    let (code, out, _) = sim("run --seed 9 --nodes 2 --seconds 1 --shards 3 --engines 1");
    assert!(
        out.starts_with("seed       9 (2 nodes, 3 shards, 1 engines each, 1 s of faults)"),
        "{code}: {out}"
    );
}

#[test]
fn limits_are_set_by_name_and_a_wrong_one_is_refused() {
    let run = "run --seed 9 --nodes 2 --seconds 1";
    let (code, out, _) = sim(&format!("{run} --limit delivery.window=1 --limit backoff.min=5ms"));
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("limits     delivery.window=1 backoff.min=5ms"), "{out}");
    assert!(!sim(&format!("{run} --production-limits")).1.contains("limits "));
    for (limit, said) in [
        ("delivery.window", "NAME=VALUE"),
        ("delivery.windows=1", "no limit with the name delivery.windows"),
        ("delivery.window=1s", "which is 50 in production"),
    ] {
        let words = format!("sim {run} --limit {limit}");
        let refused = Program::try_parse_from(words.split_whitespace()).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn bad_arguments_are_refused_with_their_name() {
    for (words, name) in [
        ("run", "--seed"),
        ("run --seed=", "--seed"),
        ("run --seed 1 --nodes 0", "--nodes"),
        ("run --seed 1 --nodes 65", "--nodes"),
        ("run --seed 1 --seconds 0", "--seconds"),
        ("run --seed 1 --engines 0", "--engines"),
        ("run --seed 1 --engines x", "--engines"),
        ("run --seed 1 --shards 0", "--shards"),
        ("run --seed 1 --shards 4097", "--shards"),
        ("sweep --seeds 0", "--seeds"),
        ("sweep --jobs 0", "--jobs"),
        ("sweep --from 18446744073709551615", "--from"),
        ("sweep --seed 1", "--seed"),
        ("walk", "walk"),
    ] {
        let refused =
            Program::try_parse_from(["sim"].into_iter().chain(words.split_whitespace())).unwrap_err();
        assert_eq!(refused.exit_code(), i32::from(USAGE), "{words}");
        assert!(refused.to_string().contains(name), "{words}: {refused}");
    }
}
