//! Names that say nothing, or that four dependencies already use for something else.

use super::source::{self, Source};
use super::{Finding, settle};

/// Words that name no thing. A type that ends in one has two jobs or none.
const EMPTY_WORDS: [&str; 7] = ["Manager", "Helper", "Helpers", "Util", "Utils", "Utilities", "Common"];
/// Names that foca, tokio, wasmer or libp2p own.
const TAKEN_TYPES: [&str; 4] = ["Runtime", "Store", "Transport", "Instance"];
/// Modules in which everything gathers that had no place.
const DRAWERS: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers"];

#[test]
fn names_say_something() {
    settle("names", &source::all().iter().flat_map(misleading_names).collect::<Vec<_>>());
}

fn misleading_names(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for keyword in ["struct", "enum", "union", "trait", "type"] {
        for at in source.words(keyword) {
            let name = source.name_after(at + keyword.len());
            if TAKEN_TYPES.contains(&name) || EMPTY_WORDS.iter().any(|word| name.ends_with(word)) {
                let what = format!("{keyword} `{name}`: name the thing it is");
                found.push(Finding::new(&source.path, source.line_of(at), what));
            }
        }
    }
    for at in source.words("mod") {
        let name = source.name_after(at + 3);
        if DRAWERS.contains(&name) {
            let what = format!("module `{name}`: put each part beside what uses it");
            found.push(Finding::new(&source.path, source.line_of(at), what));
        }
    }
    found
}

#[test]
fn misleading_names_are_found() {
    let sample = "pub struct ShardManager; enum Runtime {} type Store = u8; pub(crate) trait SortUtil {} mod utils; mod common {}";
    assert_eq!(misleading_names(&Source::new("a.rs", sample)).len(), 6);
}

#[test]
fn names_that_only_contain_a_word_pass() {
    let sample = "struct ObjectStore; struct Environment; mod store; mod commonplace; // struct ShardManager\nlet r: Runtime = x;";
    assert_eq!(misleading_names(&Source::new("a.rs", sample)), []);
}
