//! Which package may use which. Arrows point down only, and siblings never see one another: what crosses
//! between them is bytes or a type of `gritmesh-runtime`, and `gritmesh-core` translates.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use super::{Finding, settle};
use crate::tree;

/// One package, and what it stands on.
struct Floor {
    package: &'static str,
    /// The packages right below it. It may use these and whatever they stand on.
    stands_on: &'static [&'static str],
    /// Further packages that its tests may use.
    tests_use: &'static [&'static str],
}

const fn floor(package: &'static str, stands_on: &'static [&'static str]) -> Floor {
    Floor { package, stands_on, tests_use: &[] }
}

/// The house, from the ground up. A package that is missing here may use nothing and be used by nobody.
const FLOORS: &[Floor] = &[
    floor("gritmesh-runtime", &[]),
    floor("gritmesh-membership", &["gritmesh-runtime"]),
    floor("gritmesh-sharding", &["gritmesh-runtime"]),
    floor("gritmesh-store", &["gritmesh-runtime"]),
    floor("gritmesh-store-rocksdb", &["gritmesh-store"]),
    floor("gritmesh-actor-macros", &[]),
    floor("gritmesh-actor", &["gritmesh-runtime", "gritmesh-actor-macros"]),
    floor("gritmesh-transport", &["gritmesh-runtime"]),
    floor("gritmesh-shard", &["gritmesh-store", "gritmesh-actor"]),
    floor("gritmesh-core", &["gritmesh-membership", "gritmesh-sharding", "gritmesh-shard"]),
    floor("gritmesh", &["gritmesh-core", "gritmesh-transport", "gritmesh-store-rocksdb"]),
    floor("gritmesh-sim", &["gritmesh-core"]),
    floor("gritmesh-daemon", &["gritmesh", "gritmesh-sim"]),
    // An application uses one package, and the simulator for its tests.
    Floor { package: "gritmesh-examples", stands_on: &["gritmesh"], tests_use: &["gritmesh-sim"] },
    floor("gritmesh-bench", &["gritmesh", "gritmesh-sim"]),
    floor("gritmesh-tests", &["gritmesh", "gritmesh-sim"]),
];

/// Packages that may be used only by those named beside them, whatever stands below whom.
const USED_ONLY_BY: &[(&str, &[&str])] = &[
    ("gritmesh-actor-macros", &["gritmesh-actor"]),
    ("gritmesh-store-rocksdb", &["gritmesh", "gritmesh-bench", "gritmesh-tests"]),
    ("gritmesh-shard", &["gritmesh-core", "gritmesh-sim"]),
    ("gritmesh-sim", &["gritmesh-daemon", "gritmesh-bench", "gritmesh-tests", "gritmesh-examples"]),
];

/// Packages that are used alone, although others stand below the one they use.
const USES_ONLY: &[(&str, &[&str])] = &[("gritmesh-examples", &["gritmesh", "gritmesh-sim"])];

/// Outside packages that a package may not name among its ordinary dependencies: the machines have no clock, no
/// socket and no disk of their own. Their tests may run on tokio.
const PURE: &[&str] = &[
    "gritmesh-membership",
    "gritmesh-sharding",
    "gritmesh-store",
    "gritmesh-actor",
    "gritmesh-shard",
    "gritmesh-core",
    "gritmesh-sim",
];
const IMPURE_LIBRARIES: &[&str] =
    &["tokio", "tokio-util", "libp2p", "libp2p-stream", "rocksdb", "axum", "ureq", "mio", "socket2"];

/// Outside packages that only one package may name: the rest sees what it makes of them.
const NAMED_ONLY_BY: &[(&str, &[&str])] = &[
    ("raft", &["gritmesh-sharding"]),
    ("raft-proto", &["gritmesh-sharding"]),
    ("slog", &["gritmesh-sharding"]),
    ("rocksdb", &["gritmesh-store-rocksdb"]),
];

/// What must not be found anywhere below a package when it is built alone, without its tests.
const ABSENT_FROM_TREE: &[(&str, &[&str])] = &[
    ("gritmesh", &["gritmesh-sim"]),
    ("gritmesh-sim", &["libp2p", "rocksdb", "axum", "gritmesh-transport"]),
    ("gritmesh-core", &["libp2p", "rocksdb", "axum", "gritmesh-store-rocksdb"]),
];

/// One package naming another in its manifest.
#[derive(Clone, Debug)]
struct Arrow {
    from: String,
    to: String,
    for_tests: bool,
}

#[test]
fn arrows_point_down() {
    settle("arrows", &forbidden_arrows(&arrows_of_workspace()));
}

#[test]
fn trees_hold_nothing_they_should_not() {
    let mut findings = Vec::new();
    for (package, absent) in ABSENT_FROM_TREE {
        findings.extend(present_in_tree(package, absent, &tree_of(package)));
    }
    settle("trees", &findings);
}

#[test]
fn every_package_has_its_floor() {
    let metadata = metadata();
    let packages: BTreeSet<_> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let floors: BTreeSet<_> = FLOORS.iter().map(|floor| floor.package.to_owned()).collect();
    assert_eq!(packages, floors, "say in FLOORS what each package stands on");
}

fn metadata() -> Metadata {
    let manifest = tree::root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo can read the workspace")
}

fn arrows_of_workspace() -> Vec<Arrow> {
    let metadata = metadata();
    let of_package = |package: &cargo_metadata::Package| {
        let arrow = |dependency: &cargo_metadata::Dependency| Arrow {
            from: package.name.to_string(),
            to: dependency.name.clone(),
            for_tests: dependency.kind == DependencyKind::Development,
        };
        package.dependencies.iter().map(arrow).collect::<Vec<_>>()
    };
    metadata.workspace_packages().into_iter().flat_map(of_package).collect()
}

fn forbidden_arrows(arrows: &[Arrow]) -> Vec<Finding> {
    let mut found = Vec::new();
    for arrow in arrows {
        let Arrow { from, to, for_tests } = arrow;
        if is_ours(to) && !may_use(from, to, *for_tests) {
            found.push(Finding::new(from, 0, format!("may not use {to}")));
        }
        let only = NAMED_ONLY_BY.iter().find(|(library, _)| library == to);
        if only.is_some_and(|(_, packages)| !packages.contains(&from.as_str())) {
            found.push(Finding::new(from, 0, format!("may not name {to}: another package hides it")));
        }
        if !for_tests && PURE.contains(&from.as_str()) && IMPURE_LIBRARIES.contains(&to.as_str()) {
            found.push(Finding::new(
                from,
                0,
                format!("may not name {to}: it reaches the outside through gritmesh-runtime"),
            ));
        }
    }
    found
}

fn is_ours(package: &str) -> bool {
    package.starts_with("gritmesh")
}

fn may_use(from: &str, to: &str, for_tests: bool) -> bool {
    let reserved = |table: &[(&str, &[&str])], key: &str, other: &str| {
        table.iter().any(|(package, others)| *package == key && !others.contains(&other))
    };
    if reserved(USED_ONLY_BY, to, from) || reserved(USES_ONLY, from, to) {
        return false;
    }
    let for_its_tests = FLOORS.iter().any(|floor| floor.package == from && floor.tests_use.contains(&to));
    below(from).contains(to) || (for_tests && for_its_tests)
}

/// Everything a package stands on, directly or not.
fn below(package: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for floor in FLOORS.iter().filter(|floor| floor.package == package) {
        for lower in floor.stands_on {
            found.insert(*lower);
            found.extend(below(lower));
        }
    }
    found
}

/// The names of all packages in the build of one package alone. Asked of `cargo tree`, because the features of a
/// build of the whole workspace are the union of all packages' wishes.
fn tree_of(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(tree::root())
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn present_in_tree(package: &str, absent: &[&str], tree: &BTreeSet<String>) -> Vec<Finding> {
    let present = absent.iter().filter(|name| tree.contains(**name));
    present.map(|name| Finding::new(package, 0, format!("its tree holds {name}"))).collect()
}

#[test]
fn forbidden_arrows_are_found() {
    let forbidden = [
        ("gritmesh-runtime", "gritmesh-actor", false),
        ("gritmesh-membership", "gritmesh-sharding", false),
        ("gritmesh-sharding", "gritmesh-actor", true),
        ("gritmesh-core", "gritmesh-transport", false),
        ("gritmesh-core", "gritmesh-actor-macros", false),
        ("gritmesh-core", "tokio", false),
        ("gritmesh-core", "gritmesh-store-rocksdb", true),
        ("gritmesh-core", "raft", true),
        ("gritmesh-shard", "gritmesh-sharding", false),
        ("gritmesh-store-rocksdb", "gritmesh-actor", false),
        ("gritmesh-daemon", "gritmesh-store-rocksdb", false),
        ("gritmesh-examples", "rocksdb", false),
        ("gritmesh", "gritmesh-sim", true),
        ("gritmesh-sim", "gritmesh", false),
        ("gritmesh-examples", "gritmesh-actor", false),
        ("gritmesh-examples", "gritmesh-sim", false),
        ("gritmesh-unheard-of", "gritmesh-runtime", false),
    ];
    for (from, to, for_tests) in forbidden {
        let arrow = Arrow { from: from.to_owned(), to: to.to_owned(), for_tests };
        assert_eq!(forbidden_arrows(&[arrow]).len(), 1, "{from} -> {to}");
    }
}

#[test]
fn arrows_of_the_design_pass() {
    let allowed = [
        ("gritmesh-actor", "gritmesh-actor-macros", false),
        ("gritmesh-sim", "gritmesh-runtime", false),
        ("gritmesh-core", "gritmesh-sharding", false),
        ("gritmesh-core", "tokio", true),
        ("gritmesh-core", "gritmesh-shard", false),
        ("gritmesh-sharding", "raft", false),
        ("gritmesh-store-rocksdb", "gritmesh-runtime", false),
        ("gritmesh", "gritmesh-transport", false),
        ("gritmesh", "gritmesh-store-rocksdb", false),
        ("gritmesh-bench", "gritmesh-store-rocksdb", false),
        ("gritmesh-daemon", "gritmesh-sim", false),
        ("gritmesh-examples", "gritmesh-sim", true),
    ];
    for (from, to, for_tests) in allowed {
        let arrow = Arrow { from: from.to_owned(), to: to.to_owned(), for_tests };
        assert_eq!(forbidden_arrows(&[arrow]), [], "{from} -> {to}");
    }
}

#[test]
fn an_unwanted_package_in_a_tree_is_found() {
    let tree = BTreeSet::from(["axum".to_owned(), "serde".to_owned()]);
    assert_eq!(present_in_tree("gritmesh-sim", &["axum", "libp2p"], &tree).len(), 1);
    assert!(
        tree_of("gritmesh-sim").contains("gritmesh-runtime"),
        "the tree of a package names what is in it"
    );
}
