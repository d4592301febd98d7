//! Which file declares which, followed from the roots of the crates.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::MetadataCommand;

use super::source::Source;
use crate::tree;

/// Who compiles a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Every build.
    Product,
    /// Builds of tests only: a `#[cfg(test)]` stands above a `mod` that leads here, or a folder of tests.
    Tests,
}

struct Declared {
    path: String,
    under_test: bool,
}

/// The files that the compiler is started on, as paths from the root. A folder may be a workspace of its own, whose
/// dependencies nothing else shall have.
pub(super) fn crate_roots() -> BTreeSet<String> {
    let is_workspace = |text: &str| text.lines().any(|line| line.trim() == "[workspace]");
    let manifests = tree::files(|name| name == "Cargo.toml");
    manifests.iter().filter(|file| is_workspace(&file.text)).flat_map(|file| roots_of(&file.path)).collect()
}

fn roots_of(manifest: &str) -> BTreeSet<String> {
    let root = tree::root();
    let metadata = MetadataCommand::new().manifest_path(root.join(manifest)).no_deps().exec();
    let metadata = metadata.expect("cargo can read the workspace");
    let canonical = root.canonicalize().expect("the root exists");
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    targets
        .map(|target| {
            let path = target.src_path.as_std_path();
            let relative = path.strip_prefix(&root).or_else(|_| path.strip_prefix(&canonical));
            relative.expect("a target lies in the repository").to_string_lossy().replace('\\', "/")
        })
        .collect()
}

/// Every file that a `mod` leads to from a root, and who compiles it.
pub(super) fn reached(sources: &[Source], roots: &BTreeSet<String>) -> BTreeMap<String, Part> {
    let is_test_root = |path: &str| path.starts_with("tests/") || path.contains("/tests/");
    let part_of_root =
        |path: &String| (path.clone(), if is_test_root(path) { Part::Tests } else { Part::Product });
    let mut reached: BTreeMap<String, Part> = roots.iter().map(part_of_root).collect();
    let mut waiting: Vec<String> = roots.iter().cloned().collect();
    while let Some(path) = waiting.pop() {
        let Some(source) = sources.iter().find(|source| source.path == path) else { continue };
        let part = reached[&path];
        for declared in declared_files(source, roots.contains(&path)) {
            let child = if declared.under_test { Part::Tests } else { part };
            let known = reached.get(&declared.path).copied();
            // A file that both reach belongs to the product, and so does what it declares.
            if known.is_none() || (known == Some(Part::Tests) && child == Part::Product) {
                reached.insert(declared.path.clone(), child);
                waiting.push(declared.path);
            }
        }
    }
    reached
}

/// Every path at which a file declared by `mod name;` may lie.
fn declared_files(source: &Source, is_crate_root: bool) -> Vec<Declared> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = file.trim_end_matches(".rs");
    let owns_folder = is_crate_root || stem == "mod";
    let children = if owns_folder { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut files = Vec::new();
    for at in source.words("mod") {
        let name = source.name_after(at + 3);
        let after = source.code[at + 3..].trim_start();
        if name.is_empty() || !after[name.len()..].trim_start().starts_with(';') {
            continue;
        }
        let attributes = attributes_before(source, at);
        let under_test = attributes.contains("#[cfg(test)]");
        let paths = match path_attribute(attributes) {
            Some(path) => vec![format!("{folder}/{path}")],
            None => vec![format!("{children}/{name}.rs"), format!("{children}/{name}/mod.rs")],
        };
        files.extend(paths.into_iter().map(|path| Declared { path, under_test }));
    }
    files
}

/// The text between the end of the item before and this item.
fn attributes_before(source: &Source, item: usize) -> &str {
    let start = source.code[..item].rfind([';', '}']).map_or(0, |at| at + 1);
    &source.text[start..item]
}

/// The value of `#[path = ".."]`.
fn path_attribute(attributes: &str) -> Option<String> {
    let (_, value) = attributes.rsplit_once("#[path = \"")?;
    value.split_once('"').map(|(path, _)| path.to_owned())
}

#[test]
fn files_of_tests_are_told_from_files_of_the_product() {
    let sources = [
        Source::new("a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod t;\nmod both;"),
        Source::new("a/src/b.rs", "#[path = \"far.rs\"]\nmod near;"),
        Source::new("a/src/t/mod.rs", "mod world;\n#[path = \"../both.rs\"]\nmod both;"),
    ];
    let reached = reached(&sources, &BTreeSet::from(["a/src/lib.rs".to_owned()]));
    let part = |path: &str| reached.get(path).copied();
    assert_eq!(part("a/src/lib.rs"), Some(Part::Product));
    assert_eq!(part("a/src/far.rs"), Some(Part::Product));
    assert_eq!(part("a/src/both.rs"), Some(Part::Product));
    assert_eq!(part("a/src/t/mod.rs"), Some(Part::Tests));
    assert_eq!(part("a/src/t/world.rs"), Some(Part::Tests));
    assert_eq!(part("a/src/lost.rs"), None);
}
