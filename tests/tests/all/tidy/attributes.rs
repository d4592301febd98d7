//! A lint is switched off by `expect` with a reason: `allow` outlives its cause, and a cause unsaid is forgotten.

use super::source::{self, Source};
use super::{Finding, settle};

#[test]
fn lints_are_expected_with_a_reason() {
    settle("attributes", &source::all().iter().flat_map(silent_attributes).collect::<Vec<_>>());
}

fn silent_attributes(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (hash, _) in source.code.match_indices('#') {
        let after = &source.code[hash + 1..];
        let open = hash + 1 + usize::from(after.starts_with('!'));
        if !source.code[open..].starts_with('[') {
            continue;
        }
        let attribute = Source::new(&source.path, &source.text[source.bracketed(open)]);
        let line = source.line_of(hash);
        if attribute.words("allow").any(|at| attribute.code[at + 5..].starts_with('(')) {
            found.push(Finding::new(&source.path, line, "`allow`: write `expect(.., reason = \"..\")`"));
        }
        let expects = attribute.words("expect").any(|at| attribute.code[at + 6..].starts_with('('));
        if expects && attribute.words("reason").next().is_none() {
            found.push(Finding::new(&source.path, line, "`expect` without a `reason`"));
        }
    }
    found
}

#[test]
fn silent_attributes_are_found() {
    let sample = "#![allow(dead_code)]\n#[allow(a, reason = \"b\")]\n#[cfg_attr(test, allow(c))]\n#[expect(d)]\nfn e() {}";
    let lines: Vec<_> =
        silent_attributes(&Source::new("a.rs", sample)).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [1, 2, 3, 4]);
}

#[test]
fn reasons_and_ordinary_calls_pass() {
    let sample = "#![expect(a, reason = \"b\")]\n#[expect(\n    c,\n    reason = \"d\"\n)]\nfn e() { f.expect(\"g\"); allow(h); }";
    assert_eq!(silent_attributes(&Source::new("a.rs", sample)), []);
}
