//! `gritmesh dev`: a cluster in one process, gone without a trace when it is interrupted.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{Process, Web, gritmesh, until};

/// Starts `dev` on free ports with its temporary data below `folder`, and waits until it has announced its nodes.
fn dev(folder: &Path, nodes: usize) -> (Process, Vec<Web>) {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).unwrap();
    let mut command = Command::new(gritmesh());
    command.args(["dev", "--http-base", "0", "-o", "json", "--nodes", &nodes.to_string()]);
    command.env("TMPDIR", &temporary);
    let process = Process::start(&mut command, folder, "dev");
    let announced: Value = until("dev is ready", || serde_json::from_str(&process.stdout()).ok());
    let nodes = announced["nodes"].as_array().expect("it lists its nodes");
    let web = |node: &Value| Web::new(node["http_url"].as_str().unwrap().strip_prefix("http://").unwrap());
    (process, nodes.iter().map(web).collect())
}

#[test]
fn dev_answers_through_every_node_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    let entries = || std::fs::read_dir(&temporary).unwrap().count();
    for signal in ["INT", "TERM"] {
        let (mut process, webs) = dev(folder.path(), 3);
        assert_eq!(webs.len(), 3);
        assert_eq!(entries(), 1);
        for (web, total) in webs.iter().zip(1..) {
            assert_eq!(web.call("counter/alice", "add", &json!([1])), Ok(json!(total)));
            assert!(web.is_ready());
        }
        process.signal(signal);
        assert_eq!(process.ended().code(), Some(0));
        assert_eq!(entries(), 0, "its temporary directory is still there");
    }
}

/// Fifty nodes are fifty values in one process.
#[test]
fn dev_runs_many_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, webs) = dev(folder.path(), 12);
    assert_eq!(webs[11].call("counter/alice", "add", &json!([1])), Ok(json!(1)));
    assert_eq!(webs[0].call("counter/alice", "add", &json!([1])), Ok(json!(2)));
    process.signal("INT");
    assert_eq!(process.ended().code(), Some(0));
}
