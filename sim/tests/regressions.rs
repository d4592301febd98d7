//! Runs that once found a bug must be clean. See `sim/regressions/README.md`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gritmesh_sim::{RunOptions, Verdict, run};
use serde::Deserialize;

/// A file of the folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Regression {
    seed: String,
    nodes: u16,
    seconds: u64,
    engines: usize,
    shards: u32,
    found: String,
    cause: String,
}

/// Nodes of a run that was not asked for others.
const USUAL_NODES: u16 = 5;

impl Regression {
    /// How its file is called.
    fn name(&self) -> String {
        let Self { found, seed, nodes, shards, .. } = self;
        match *nodes {
            USUAL_NODES => format!("{found}-{seed}"),
            _ => format!("{found}-{seed}-{nodes}x{shards}"),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions")
}

/// All files of the folder, in the order of their names.
fn all() -> Vec<(String, Regression)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path
                .file_stem()
                .expect("it has an extension, so it has a stem")
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            let regression = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            found.push((name, regression));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

#[test]
fn regressions_stay_fixed() {
    let mut failed = Vec::new();
    for (name, regression) in all() {
        let report = run(RunOptions {
            nodes: regression.nodes,
            duration: Duration::from_secs(regression.seconds),
            engines: regression.engines,
            shards: regression.shards,
            ..RunOptions::of_seed(regression.seed)
        });
        if report.verdict() != Verdict::Clean {
            failed.push(format!("{name} is back:\n{}\n{report}", report.plan));
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn every_file_is_named_after_what_it_holds() {
    let files = all();
    assert!(!files.is_empty());
    for (name, regression) in files {
        assert_eq!(name, regression.name());
        assert!(regression.cause.ends_with('.'), "{name} tells its cause in sentences");
    }
}
