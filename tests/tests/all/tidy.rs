//! Rules about the source that no compiler holds: which package may use which, how long a function may be,
//! which names mislead, whether a link in a document leads anywhere.
//!
//! A check is a plain function from texts to [`Finding`]s, so that each is also run against a sample that breaks
//! its rule: a check that cannot fail checks nothing. What the repository is allowed to break stands in
//! [`exceptions::EXCEPTIONS`] with a reason, and an exception that nothing needs any more is a finding itself.
//!
//! The source is read as text with comments and literals blanked out ([`source`]), not parsed: these rules are
//! about shape, and a rule that needs types belongs into a lint.

mod arrows;
mod attributes;
mod exceptions;
mod leftovers;
mod lengths;
mod log_lines;
mod markdown;
mod modules;
mod names;
mod packages;
mod places;
mod source;
mod statics;

use exceptions::{EXCEPTIONS, Exception};

/// One place that breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// Path from the root, or the name of a package.
    place: String,
    /// Counted from 1; 0 when the finding is about the whole file.
    line: usize,
    what: String,
}

impl Finding {
    fn new(place: &str, line: usize, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line, what: what.into() }
    }
}

/// Fails with every finding that no exception covers, and with every exception of this check that covers none.
fn settle(check: &str, findings: &[Finding]) {
    let report = unsettled(check, findings, EXCEPTIONS);
    assert!(report.is_empty(), "{} finding(s) of `{check}`:\n{}", report.len(), report.join("\n"));
}

fn unsettled(check: &str, findings: &[Finding], exceptions: &[Exception]) -> Vec<String> {
    let of_check = || exceptions.iter().filter(|exception| exception.check == check);
    let covered = |finding: &Finding| of_check().any(|exception| exception.place == finding.place);
    let broken = findings
        .iter()
        .filter(|finding| !covered(finding))
        .map(|finding| format!("  {}:{}: {}", finding.place, finding.line, finding.what));
    let unused = of_check()
        .filter(|exception| !findings.iter().any(|finding| finding.place == exception.place))
        .map(|exception| {
            format!("  {}: this exception is not needed any more: {}", exception.place, exception.reason)
        });
    broken.chain(unused).collect()
}

#[test]
fn a_finding_without_an_exception_is_reported() {
    assert_eq!(unsettled("c", &[Finding::new("a.rs", 3, "bad")], &[]), ["  a.rs:3: bad"]);
}

#[test]
fn an_exception_covers_its_own_check_and_place_only() {
    let exceptions = [Exception { check: "c", place: "a.rs", reason: "because" }];
    let findings = [Finding::new("a.rs", 3, "bad"), Finding::new("b.rs", 4, "bad")];
    assert_eq!(unsettled("c", &findings, &exceptions), ["  b.rs:4: bad"]);
    assert_eq!(unsettled("other", &findings[..1], &exceptions), ["  a.rs:3: bad"]);
}

#[test]
fn an_unused_exception_is_reported() {
    let exceptions = [Exception { check: "c", place: "a.rs", reason: "because" }];
    assert_eq!(unsettled("c", &[], &exceptions).len(), 1);
}

#[test]
fn every_exception_names_a_check_and_a_reason() {
    const CHECKS: [&str; 15] = [
        "arrows",
        "trees",
        "file_length",
        "function_length",
        "names",
        "leftovers",
        "log_lines",
        "select",
        "attributes",
        "statics",
        "packages",
        "reachable",
        "titles",
        "links",
        "places",
    ];
    for exception in EXCEPTIONS {
        assert!(CHECKS.contains(&exception.check), "no check is called {}", exception.check);
        assert!(exception.reason.len() > 20, "say why {} may break {}", exception.place, exception.check);
    }
}
