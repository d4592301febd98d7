//! The data directory is its user's alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::process::Cluster;

/// A directory and all that is in it, with what others may do.
fn exposed(path: &Path) -> Vec<(PathBuf, u32)> {
    let mode = fs::symlink_metadata(path).unwrap().permissions().mode() & 0o077;
    let mut found: Vec<_> = (mode != 0).then(|| (path.to_owned(), mode)).into_iter().collect();
    if path.is_dir() {
        found.extend(fs::read_dir(path).unwrap().flat_map(|entry| exposed(&entry.unwrap().path())));
    }
    found
}

/// As an archive may be unpacked, and as earlier versions wrote.
fn expose(path: &Path) {
    let (mode, below) = match path.is_dir() {
        true => (0o755, fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()),
        false => (0o644, Vec::new()),
    };
    below.iter().for_each(|path| expose(path));
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn other_users_see_nothing_of_a_node() {
    let mut cluster = Cluster::start(1);
    cluster.add_one(0, "counter/a");
    let data = cluster.nodes[0].data.clone();
    assert_eq!(exposed(&data), []);
    cluster.nodes[0].kill();
    expose(&data);
    assert!(exposed(&data).len() > 5, "the key, the database and its files");
    cluster.nodes[0].start();
    cluster.until_whole();
    assert_eq!(cluster.add_one(0, "counter/a"), 2);
    assert_eq!(exposed(&data), []);
    cluster.nodes[0].process().logs("other users could read the data directory");
}
