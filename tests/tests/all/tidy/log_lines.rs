//! What stands in a log line is for programs that read it, too.
//!
//! A field in Rust's debug form is a text nobody can take apart, and a field called `message` hides the message itself
//! where lines are JSON.

use super::source::{self, Source};
use super::{Finding, settle};

const MACROS: [&str; 5] =
    ["tracing::error!", "tracing::warn!", "tracing::info!", "tracing::debug!", "tracing::trace!"];

#[test]
fn log_lines_have_fields_that_programs_can_read() {
    settle("log_lines", &source::all().iter().flat_map(unreadable_fields).collect::<Vec<_>>());
}

fn unreadable_fields(source: &Source) -> Vec<Finding> {
    let lines = MACROS.iter().flat_map(|name| source.words(name).map(move |at| at + name.len()));
    let found = lines.filter_map(|open| {
        let arguments = &source.code[source.bracketed(open)];
        let what = fault(arguments)?;
        Some(Finding::new(&source.path, source.line_of(open), what))
    });
    found.collect()
}

fn fault(arguments: &str) -> Option<&'static str> {
    // Around its own brackets and between commas, each field stands for itself.
    for field in arguments.trim_matches(['(', ')']).split(',').map(str::trim) {
        let (name, value) =
            field.split_once('=').map_or((field, field), |(name, value)| (name, value.trim()));
        if value.starts_with('?') {
            return Some("a field in Rust's debug form: give it a text of its own");
        }
        if name.trim().trim_start_matches('%') == "message" {
            return Some("a field called `message`, which is what the line's own text is called");
        }
    }
    None
}

#[test]
fn unreadable_fields_are_found() {
    let sample = "fn a() {\n tracing::warn!(?peer, \"x\");\n tracing::info!(a = %b, c = ?d, \"x\");\n \
                  tracing::error!(message, \"x\");\n tracing::debug!(%message, \"x\");\n}";
    let found = unreadable_fields(&Source::new("a.rs", sample));
    let mut lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
    lines.sort_unstable();
    assert_eq!(lines, [2, 3, 4, 5]);
    let fine = "fn a() { tracing::warn!(a = f(b)?, messages = 1, \"message ?x\"); }";
    assert_eq!(unreadable_fields(&Source::new("a.rs", fine)), []);
}
