//! How long a file and a function may be. A file is read as a whole or not at all, a function on one screen.

use super::modules::{self, Part};
use super::source::{self, Source};
use super::{Finding, settle};

/// Lines of a file of the product, its inline test modules not counted.
const FILE_LINES_MAX: usize = 400;
/// Lines of a file with everything in it, tests included. No exception reaches above it.
const FILE_LINES_NEVER: usize = 800;
/// Lines from `fn` to the closing brace: one screen.
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_are_short() {
    let sources = source::all();
    let parts = modules::reached(&sources, &modules::crate_roots());
    // Files that hold tests only are read one test at a time.
    let product = sources.iter().filter(|source| parts.get(&source.path) != Some(&Part::Tests));
    settle("file_length", &product.filter_map(long_file).collect::<Vec<_>>());
}

#[test]
fn no_file_is_enormous() {
    let enormous: Vec<_> = source::all().iter().filter_map(enormous_file).collect();
    assert!(enormous.is_empty(), "{enormous:#?}");
}

#[test]
fn functions_fit_on_a_screen() {
    settle("function_length", &source::all().iter().flat_map(long_functions).collect::<Vec<_>>());
}

fn long_file(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count() - test_module_lines(source);
    (lines > FILE_LINES_MAX).then(|| {
        Finding::new(
            &source.path,
            0,
            format!("{lines} lines without its tests, {FILE_LINES_MAX} are allowed"),
        )
    })
}

fn enormous_file(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    (lines > FILE_LINES_NEVER).then(|| {
        Finding::new(&source.path, 0, format!("{lines} lines, {FILE_LINES_NEVER} are never exceeded"))
    })
}

/// Lines of the modules under `#[cfg(test)]` that stand in the file itself.
fn test_module_lines(source: &Source) -> usize {
    let marker = "#[cfg(test)]";
    source
        .code
        .match_indices(marker)
        .filter_map(|(at, _)| {
            let open = source.code[at..].find('{')? + at;
            let head = &source.code[at + marker.len()..open];
            let inline = head.split_whitespace().any(|word| word == "mod") && !head.contains(';');
            inline.then(|| source.code[at..source.bracketed(open).end].matches('\n').count() + 1)
        })
        .sum()
}

fn long_functions(source: &Source) -> Vec<Finding> {
    source
        .words("fn")
        .filter_map(|at| {
            let name = source.name_after(at + 2);
            let body = body_of(source, at).filter(|_| !name.is_empty())?;
            let lines = source.code[at..source.bracketed(body).end].matches('\n').count() + 1;
            (lines > FUNCTION_LINES_MAX).then(|| {
                let what = format!("`{name}` has {lines} lines, {FUNCTION_LINES_MAX} are allowed");
                Finding::new(&source.path, source.line_of(at), what)
            })
        })
        .collect()
}

/// The opening brace of the function at an offset; `None` for a declaration without one.
fn body_of(source: &Source, at: usize) -> Option<usize> {
    let mut depth = 0_isize;
    for (offset, c) in source.code[at..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at + offset),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn a_long_file_is_found_and_its_tests_are_not_counted() {
    let code = "const A: u8 = 1;\n".repeat(FILE_LINES_MAX);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "const B: u8 = 1;\n".repeat(300));
    assert_eq!(long_file(&Source::new("a/src/b.rs", &(code.clone() + &tests))), None);
    assert!(long_file(&Source::new("a/src/b.rs", &(code.clone() + "const C: u8 = 1;\n" + &tests))).is_some());
    assert!(long_file(&Source::new("a/src/b.rs", &format!("#[cfg(test)]\nmod tests;\n{code}"))).is_some());
}

#[test]
fn an_enormous_test_file_is_found() {
    let text = "const A: u8 = 1;\n".repeat(FILE_LINES_NEVER + 1);
    assert!(enormous_file(&Source::new("a/src/b/tests.rs", &text)).is_some());
}

#[test]
fn a_long_function_is_found() {
    let body = "    step();\n".repeat(FUNCTION_LINES_MAX - 1);
    let signature = "fn long(bytes: [u8; 4]) -> [u8; 4]\nwhere\n    u8: Copy,\n{\n";
    let text = format!("fn declared();\n{signature}{body}}}\n\nfn short(f: fn(u8) -> u8) {{}}\n");
    let found = long_functions(&Source::new("a.rs", &text));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].what.contains("`long`")), (2, true));
}
