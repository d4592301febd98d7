//! What was meant for later or for a moment: it is done, or it is an issue, but it does not stay in the source.

use super::source::{self, Source};
use super::{Finding, settle};
use crate::tree;

/// Macros and calls that do not stay. The attribute that switches a test off is among them.
const CODE: [&str; 5] = ["todo!", "unimplemented!", "dbg!", "#[ignore", "unbounded_channel"];
/// Words of a note to oneself. They stand in comments, so the text is searched; written in two parts here, so
/// that this file does not find itself.
const NOTES: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

#[test]
fn nothing_is_left_for_later() {
    let mut findings: Vec<_> = source::all().iter().flat_map(code_leftovers).collect();
    let texts = tree::files(|name| {
        [".rs", ".toml", ".sh", ".yml"].iter().any(|end| name.ends_with(end)) || name == "run"
    });
    findings.extend(texts.iter().flat_map(|file| note_leftovers(&file.path, &file.text)));
    settle("leftovers", &findings);
}

#[test]
fn every_select_is_biased() {
    settle("select", &source::all().iter().flat_map(unbiased_selects).collect::<Vec<_>>());
}

fn code_leftovers(source: &Source) -> Vec<Finding> {
    let found = |word: &'static str| {
        source.words(word).map(move |at| Finding::new(&source.path, source.line_of(at), format!("`{word}`")))
    };
    CODE.into_iter().flat_map(found).collect()
}

fn note_leftovers(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in line.split(|c: char| !c.is_alphanumeric()).filter(|word| NOTES.contains(word)) {
            found.push(Finding::new(path, index + 1, format!("`{word}`: do it, or open an issue")));
        }
    }
    found
}

/// Without `biased` the branches are polled in random order, and a run cannot be repeated.
fn unbiased_selects(source: &Source) -> Vec<Finding> {
    let unbiased = |at: &usize| {
        let rest = source.code[at + "select!".len()..].trim_start();
        !rest.trim_start_matches(['{', '(']).trim_start().starts_with("biased")
    };
    let finding =
        |at| Finding::new(&source.path, source.line_of(at), "`select!` does not begin with `biased;`");
    source.words("select!").filter(unbiased).map(finding).collect()
}

#[test]
fn leftovers_are_found() {
    let sample = "#[ignore = \"slow\"]\nfn a() { todo!(); dbg!(1); unimplemented!(); tokio::sync::mpsc::unbounded_channel(); }";
    assert_eq!(code_leftovers(&Source::new("a.rs", sample)).len(), 5);
    assert_eq!(code_leftovers(&Source::new("a.rs", "// todo!\nlet ignore = \"dbg!\";")), []);
}

#[test]
fn notes_are_found_in_comments() {
    assert_eq!(note_leftovers("a.rs", concat!("// a\n// TO", "DO: b\n# FIX", "ME\n")).len(), 2);
    assert_eq!(note_leftovers("a.rs", concat!("// TO", "DOS and HA", "CKING\n")), []);
}

#[test]
fn an_unbiased_select_is_found() {
    let sample = "tokio::select! { biased; a = b => {} }\nselect! {\n a = b => {}\n}";
    let found = unbiased_selects(&Source::new("a.rs", sample));
    assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
}
