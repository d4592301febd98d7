//! Where the programs are, and that they are built from the source as it is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::tree;

/// Folders whose change does not change a program.
const NOT_IN_PROGRAMS: [&str; 3] = ["tests/", "bench/", "docs/"];

/// The stock binary.
pub(crate) fn gritmesh() -> PathBuf {
    built("gritmesh-daemon", "gritmesh")
}

/// One of the example applications.
pub(crate) fn example(name: &str) -> PathBuf {
    built("gritmesh-examples", name)
}

/// A program of the profile that this test was built with. Cargo is asked only if a source is newer: its own check
/// takes longer than most tests here.
fn built(package: &str, name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this test has a path");
    let folder = this.parent().and_then(Path::parent).expect("tests lie in `deps` of the profile's folder");
    let program = folder.join(name);
    let built_at = program.metadata().and_then(|program| program.modified());
    if built_at.is_ok_and(|built_at| built_at > newest_source()) {
        return program;
    }
    let target = folder.parent().expect("the profile's folder lies in the target directory");
    let profile = match folder.file_name().and_then(|name| name.to_str()).expect("a profile has a name") {
        "debug" => "dev",
        other => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(tree::root())
        .args(["build", "--quiet", "--profile", profile, "--package", package, "--bin", name, "--target-dir"])
        .arg(target)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "{name} cannot be built");
    program
}

fn newest_source() -> SystemTime {
    let is_source = |name: &str| {
        Path::new(name).extension().is_some_and(|end| end == "rs" || end == "toml" || end == "lock")
    };
    let root = tree::root();
    let paths = tree::paths(is_source);
    let built = paths.iter().filter(|path| !NOT_IN_PROGRAMS.iter().any(|folder| path.starts_with(folder)));
    let changed = built.filter_map(|path| root.join(path).metadata().ok()?.modified().ok());
    changed.max().expect("there are sources")
}
