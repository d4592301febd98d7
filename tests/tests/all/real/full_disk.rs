//! A file system that gets full by what the node writes. It has to be a small one, which only root may mount.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::process::{Cluster, Finished, finish, until};

const MIB: u64 = 1 << 20;

/// A small file system in memory.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(mib: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            other => {
                eprintln!("SKIPPED: a small file system cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Takes room away until so much is left.
    fn leave(&self, mib: u64) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        while free_mib(self.0.path()) > mib {
            ballast.write_all(&vec![1; MIB as usize]).unwrap();
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open must not keep it mounted for ever.
        drop(Command::new("umount").arg("-l").arg(self.0.path()).output());
    }
}

fn free_mib(path: &Path) -> u64 {
    let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    numbers[0] * numbers[1] / MIB
}

#[test]
fn a_disk_that_the_node_fills_refuses_changes_at_once_and_nothing_hangs() {
    let Some(mount) = Mount::new(300) else { return };
    let mut cluster = Cluster::new(1, &[]);
    cluster.nodes[0].data = mount.0.path().join("node");
    cluster.nodes[0].start();
    cluster.until_whole();
    cluster.add_one(0, "counter/a");
    mount.leave(130);
    let web = cluster.nodes[0].web.clone();
    let (mut sum, started) = (1, Instant::now());
    loop {
        let asked = Instant::now();
        let key = format!("{sum}-{}", "k".repeat(1_000));
        let answer = web.keyed("counter/a", "add", &json!([1]), &key);
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?} {answer:?}", asked.elapsed());
        match answer {
            Ok(_) => sum += 1,
            Err(code) => {
                assert_eq!(code, "disk_full");
                break;
            }
        }
        // The database takes room for its log in advance, so that this may take long.
        if started.elapsed() > Duration::from_secs(5) {
            mount.leave(126);
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{sum} changes");
    }
    assert_eq!(web.call("counter/a", "get", &json!([])), Ok(json!(sum)), "what was acknowledged is there");
    assert_eq!(web.get("/v1/actors/counter/a/show").map(|answer| answer.status), Some(200));
    let readiness = web.get("/readyz?verbose").unwrap();
    assert!(readiness.status == 200 && readiness.text.contains("the disk is full"), "{readiness:?}");
    assert_eq!(web.metric("gritmesh_disk_full") as u64, 1);
    cluster.nodes[0].process().logs("the disk is full: changes are refused until there is room");
    fs::remove_file(mount.ballast()).unwrap();
    assert_eq!(web.call("counter/a", "add", &json!([1])), Ok(json!(sum + 1)), "at once");
    until("the node says so", || (web.metric("gritmesh_disk_full") as u64 == 0).then_some(()));
    cluster.nodes[0].process().logs("the disk has room again");
    cluster.nodes[0].kill();
}

#[test]
fn a_node_without_room_to_start_says_how_much_it_needs() {
    let Some(mount) = Mount::new(110) else { return };
    let data = mount.0.path().join("node");
    let folder = tempfile::tempdir().unwrap();
    let flags = ["up", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0", "--http", "off"];
    let Finished { code, stderr, .. } = finish(folder.path(), flags);
    assert_eq!(code, Some(2), "{stderr}");
    for text in ["no space left", "110 MiB free", "128 MiB are needed", "make room"] {
        assert!(stderr.contains(text), "{text:?} is missing in {stderr:?}");
    }
}
