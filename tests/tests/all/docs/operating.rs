//! `docs/operating.md` lists every setting and every metric, and none that is not there.

use std::collections::BTreeSet;

use crate::process::{Cluster, Node, Ports, finish};
use crate::tree;

fn operating() -> String {
    std::fs::read_to_string(tree::root().join("docs/operating.md")).unwrap()
}

/// The first cells, in backticks, of the rows of all tables below a heading.
fn first_cells(text: &str, heading: &str) -> BTreeSet<String> {
    let below =
        text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let section = below.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect()
}

fn assert_same(documented: &BTreeSet<String>, real: &BTreeSet<String>) {
    let missing: Vec<_> = real.difference(documented).collect();
    let gone: Vec<_> = documented.difference(real).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not documented: {missing:?}; documented, but not there: {gone:?}"
    );
}

#[test]
fn every_setting_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    let dumped = finish(folder.path(), ["up", "--dump-config"]).succeeded();
    let (mut section, mut keys) = (String::new(), BTreeSet::new());
    for line in dumped.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(format!("{section}{key}"));
        }
    }
    assert_same(&first_cells(&operating(), "## Settings"), &keys);
}

#[test]
fn every_metric_is_documented() {
    let mut cluster = Cluster::new(1, &["--secret", "the right secret of all"]);
    cluster.nodes[0].start();
    cluster.until_whole();
    cluster.add_one(0, "counter/alice");
    // What is counted by reason is there once there is a reason.
    let seeds = ["--secret", "the wrong secret of all", "--seeds", &cluster.nodes[0].peers.clone()];
    let mut stranger = Node::new(cluster.folder.path(), "stranger", &mut Ports::new(), &seeds);
    stranger.start();
    cluster.nodes[0].process().logs("secrets differ");
    let text = cluster.nodes[0].web.get("/metrics").unwrap().text;
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if (words.next(), words.next()) == (Some("#"), Some("TYPE")) {
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            names.insert(match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            });
        }
    }
    assert!(names.len() > 20, "{text}");
    for sampled in ["gritmesh_step_seconds", "gritmesh_sync_seconds", "gritmesh_http_request_seconds"] {
        assert!(cluster.nodes[0].web.metric(&format!("{sampled}_count")) > 0.0, "{sampled} in {text}");
    }
    for known in ["process_resident_memory_bytes", "process_start_time_seconds", "gritmesh_disk_used_bytes"] {
        assert!(cluster.nodes[0].web.metric(known) > 0.0, "{known} in {text}");
    }
    assert_same(&first_cells(&operating(), "## Metrics"), &names);
}

#[test]
fn first_cells_are_those_of_the_section() {
    let text = "a\n## One\n| `x` | b |\n|---|\ntext\n| `y` and more | `z` |\n## Two\n| `w` |\n";
    assert_eq!(first_cells(text, "## One"), ["x", "y"].map(str::to_owned).into());
}
