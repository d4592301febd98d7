//! `docs/errors.md` and the code say the same.

use gritmesh_runtime::FailureCode;

use crate::http::problem::{HttpCode, is_retryable, status_of};

const DOCUMENT: &str = include_str!("../../../../../docs/errors.md");

/// The first three columns of every row whose first is a code.
fn documented() -> Vec<(String, String, String)> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()));
    let row = |mut cells: Vec<String>| {
        cells.truncate(3);
        let [code, status, again] = cells.try_into().ok()?;
        Some((code, status, again))
    };
    cells.filter_map(|cells| row(cells.collect())).collect()
}

#[test]
fn every_code_is_documented_as_it_is() {
    let again = |retryable| if retryable { "yes" } else { "no" }.to_owned();
    let failures = FailureCode::ALL.iter().map(|code| {
        let (status, _) = status_of(*code);
        (code.as_str().to_owned(), status.as_u16().to_string(), again(is_retryable(*code)))
    });
    let refusals = HttpCode::ALL.iter().map(|code| {
        let (name, status, _) = code.row();
        (name.to_owned(), status.as_u16().to_string(), again(code.retryable()))
    });
    let mut expected: Vec<_> = failures.chain(refusals).collect();
    let mut documented = documented();
    expected.sort();
    documented.sort();
    assert_eq!(documented, expected);
}

#[test]
fn a_failure_that_may_have_changed_something_is_never_called_retryable() {
    for code in FailureCode::ALL {
        assert!(code.surely_changed_nothing() || !is_retryable(code), "{code:?}");
    }
}
