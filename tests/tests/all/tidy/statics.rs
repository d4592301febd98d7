//! A node is a value: fifty of them live in one process, so nothing that changes may belong to the process.

use super::source::{self, Source};
use super::{Finding, settle};

/// The binary owns its process and may keep state in it.
const BINARY: &str = "node/daemon/";
/// Types that change behind a shared reference, or are filled in once and then shared by all.
const STATEFUL: [&str; 13] = [
    "Mutex",
    "RwLock",
    "OnceLock",
    "OnceCell",
    "LazyLock",
    "LazyCell",
    "Lazy",
    "RefCell",
    "Cell",
    "UnsafeCell",
    "ArcSwap",
    "Condvar",
    "Atomic",
];

#[test]
fn no_static_holds_state() {
    let sources = source::all();
    let findings =
        sources.iter().filter(|source| !source.path.starts_with(BINARY)).flat_map(stateful_statics);
    settle("statics", &findings.collect::<Vec<_>>());
}

fn stateful_statics(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for at in source.words("static") {
        let lifetime = source.code[..at].ends_with('\'');
        let end = source.code[at..].find([';', '=']).map_or(source.code.len(), |end| at + end);
        let declaration = &source.code[at..end];
        if !lifetime && is_stateful(declaration) {
            let what = format!("`{}`: make it a part of the node", declaration.trim());
            found.push(Finding::new(&source.path, source.line_of(at), what));
        }
    }
    for at in source.words("thread_local!") {
        found.push(Finding::new(
            &source.path,
            source.line_of(at),
            "`thread_local!`: make it a part of the node",
        ));
    }
    found
}

fn is_stateful(declaration: &str) -> bool {
    let mut words = declaration.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word == "mut" || STATEFUL.contains(&word) || word.starts_with("Atomic"))
}

#[test]
fn stateful_statics_are_found() {
    let sample = "static A: Mutex<u8> = x;\npub static B: AtomicU64 = x;\nstatic mut C: u8 = 1;\n\
                  pub(crate) static D: std::sync::OnceLock<Vec<u8>> = x;\nthread_local! { static E: u8 = 1; }\n";
    assert_eq!(stateful_statics(&Source::new("a.rs", sample)).len(), 5);
}

#[test]
fn constant_statics_and_lifetimes_pass() {
    let sample =
        "static A: &str = \"a\"; fn f(m: &'static Mutex<u8>) {} static NAMES: [&'static str; 1] = [\"b\"];";
    assert_eq!(stateful_statics(&Source::new("a.rs", sample)), []);
}
