//! What every package has: the workspace's lints, a page that explains it, no file that nothing declares, and no
//! relaxed `clippy.toml` unless it is known to be impure.

use std::collections::BTreeSet;

use super::source::{self, Source};
use super::{Finding, modules, settle};
use crate::tree;

/// The packages that touch the operating system. A nearer `clippy.toml` replaces the root's, it is not merged
/// with it: so this list is the list of impure packages.
const RELAXED: [&str; 6] = ["bench", "examples", "node/daemon", "node/gritmesh", "tests", "transport"];

#[test]
fn packages_follow_the_workspace() {
    let manifests = tree::files(|name| name == "Cargo.toml");
    let mut findings: Vec<_> =
        manifests.iter().filter_map(|file| own_lints(&file.path, &file.text)).collect();
    let clippy = tree::files(|name| name == "clippy.toml" || name == ".clippy.toml");
    findings.extend(clippy.iter().filter_map(|file| unknown_relaxation(&file.path)));
    let roots = modules::crate_roots();
    findings
        .extend(source::all().iter().filter(|file| roots.contains(&file.path)).filter_map(unexplained_crate));
    settle("packages", &findings);
}

#[test]
fn every_file_is_part_of_a_crate() {
    let errors = tree::paths(|name| name.ends_with(".stderr"));
    let mut sources = source::all();
    sources.retain(|source| !is_misuse(&source.path, &errors));
    settle("reachable", &unreachable_files(&sources, &modules::crate_roots()));
}

fn own_lints(path: &str, manifest: &str) -> Option<Finding> {
    let is_package = manifest.lines().any(|line| line.trim() == "[package]");
    let lines: Vec<_> = manifest.lines().map(|line| line.replace(' ', "")).collect();
    let inherits = lines.windows(2).any(|pair| pair == ["[lints]", "workspace=true"])
        || lines.iter().any(|line| line == "lints.workspace=true");
    (is_package && !inherits).then(|| Finding::new(path, 0, "does not say `lints.workspace = true`"))
}

fn unknown_relaxation(path: &str) -> Option<Finding> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let known = folder.is_empty() || RELAXED.contains(&folder);
    (!known).then(|| {
        Finding::new(path, 0, "replaces the bans of the root: name the folder in RELAXED, with a reason")
    })
}

fn unexplained_crate(source: &Source) -> Option<Finding> {
    let explained = source.text.starts_with("//! ");
    (!explained)
        .then(|| Finding::new(&source.path, 1, "a crate opens with `//!`: problem, design, what is absent"))
}

/// A program that must not compile is compiled by a test of its own, and what the compiler says stands beside it.
fn is_misuse(path: &str, errors: &[String]) -> bool {
    path.strip_suffix(".rs").is_some_and(|stem| errors.contains(&format!("{stem}.stderr")))
}

/// Files that no `mod` leads to from the root of a crate: they look alive and are never compiled.
fn unreachable_files(sources: &[Source], roots: &BTreeSet<String>) -> Vec<Finding> {
    let reached = modules::reached(sources, roots);
    let lost = sources.iter().filter(|source| !reached.contains_key(&source.path));
    lost.map(|source| Finding::new(&source.path, 0, "no `mod` declares this file")).collect()
}

#[test]
fn a_manifest_without_the_lints_is_found() {
    assert!(own_lints("a/Cargo.toml", "[package]\nname = \"a\"\n").is_some());
    assert!(
        own_lints("a/Cargo.toml", "[package]\nname = \"a\"\n[lints.clippy]\nworkspace = true\n").is_some()
    );
    assert_eq!(own_lints("a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"), None);
    assert_eq!(own_lints("Cargo.toml", "[workspace]\nmembers = []\n"), None);
}

#[test]
fn an_unknown_relaxation_is_found() {
    assert!(unknown_relaxation("sharding/clippy.toml").is_some());
    assert_eq!(unknown_relaxation("clippy.toml"), None);
    assert_eq!(unknown_relaxation("node/daemon/clippy.toml"), None);
}

#[test]
fn a_crate_without_its_page_is_found() {
    assert!(unexplained_crate(&Source::new("a/src/lib.rs", "use b;\n//! late\n")).is_some());
    assert_eq!(unexplained_crate(&Source::new("a/src/lib.rs", "//! A.\n")), None);
}

#[test]
fn a_misuse_is_known_by_what_the_compiler_says() {
    let errors = ["a/misuse/b.stderr".to_owned()];
    assert!(is_misuse("a/misuse/b.rs", &errors));
    assert!(!is_misuse("a/misuse/c.rs", &errors));
}

#[test]
fn a_file_that_nothing_declares_is_found() {
    let sources = [
        Source::new("a/src/lib.rs", "mod b;\nmod inline { }\n#[path = \"odd.rs\"]\nmod c;\n// mod lost;\n"),
        Source::new("a/src/b.rs", "mod d;"),
        Source::new("a/src/b/d.rs", ""),
        Source::new("a/src/odd.rs", ""),
        Source::new("a/src/lost.rs", ""),
        Source::new("a/src/d.rs", ""),
    ];
    let roots = BTreeSet::from(["a/src/lib.rs".to_owned()]);
    let lost: Vec<_> = unreachable_files(&sources, &roots).into_iter().map(|finding| finding.place).collect();
    assert_eq!(lost, ["a/src/lost.rs", "a/src/d.rs"]);
}
