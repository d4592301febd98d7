//! Texts from elsewhere, as a terminal may be given them: a name, a reason or an error must not move the cursor, change
//! colours or turn the direction of the line.

use std::fmt::Write;

/// A text of several lines.
pub(super) fn printable(text: &str) -> String {
    escaped(text, |c| is_control(c) && c != '\n')
}

/// A text that stands on one line, or in one cell.
pub(super) fn one_row(text: &str) -> String {
    escaped(text, is_control)
}

/// JSON. It has escaped the first 32 characters itself; what is left of them is between the values.
pub(super) fn printable_json(json: &str) -> String {
    let mut printed = String::with_capacity(json.len());
    for c in json.chars() {
        match is_control(c) && c != '\n' {
            // All of them fit into four digits.
            true => write!(printed, "\\u{:04x}", u32::from(c)).expect("writing to a string does not fail"),
            false => printed.push(c),
        }
    }
    printed
}

fn escaped(text: &str, is_bad: impl Fn(char) -> bool) -> String {
    let mut printed = String::with_capacity(text.len());
    for c in text.chars() {
        match is_bad(c) {
            true => printed.extend(c.escape_default()),
            false => printed.push(c),
        }
    }
    printed
}

/// Control characters, and those that order how the others are laid out.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_orders_the_terminal_about() {
        let bad = "a\u{1b}[31m\nb\u{9b}2J\u{202e}c\u{7f}é\t";
        assert_eq!(printable(bad), "a\\u{1b}[31m\nb\\u{9b}2J\\u{202e}c\\u{7f}é\\t");
        assert_eq!(one_row(bad), "a\\u{1b}[31m\\nb\\u{9b}2J\\u{202e}c\\u{7f}é\\t");
        let json = format!("{:#}", serde_json::json!({ "a": bad }));
        let printed = printable_json(&json);
        assert!(!printed.chars().any(|c| is_control(c) && c != '\n'), "{printed:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap()["a"], bad);
    }
}
