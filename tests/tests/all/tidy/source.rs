//! Rust source with comments and the contents of literals blanked out, so that a search finds code only.
//!
//! Every blanked byte becomes a space and line ends stay, so that an offset in the code is the same offset and
//! the same line in the text.

use std::ops::Range;

use crate::tree::{self, TextFile};

/// One Rust file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// `text` with comments and literals blanked.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    /// The line of an offset, counted from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Offsets at which `word` stands in the code and is not part of a longer identifier.
    pub(super) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let in_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.code.match_indices(word).map(|(offset, _)| offset).filter(move |offset| {
            let begins_inside =
                in_name(word.chars().next()) && in_name(self.code[..*offset].chars().next_back());
            let end = offset + word.len();
            let ends_inside = in_name(word.chars().next_back()) && in_name(self.code[end..].chars().next());
            !begins_inside && !ends_inside
        })
    }

    /// The identifier that follows an offset, after spaces.
    pub(super) fn name_after(&self, offset: usize) -> &str {
        let rest = self.code[offset..].trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    }

    /// From the bracket at `open` to the one that closes it, both included.
    pub(super) fn bracketed(&self, open: usize) -> Range<usize> {
        let mut depth = 0_usize;
        for (offset, c) in self.code[open..].char_indices() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return open..open + offset + 1;
            }
        }
        open..self.code.len()
    }
}

/// All Rust files of the repository.
pub(super) fn all() -> Vec<Source> {
    tree::files(|name| name.ends_with(".rs"))
        .iter()
        .map(|TextFile { path, text }| Source::new(path, text))
        .collect()
}

fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let Some(end) = literal_or_comment(text, at) else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(code).expect("whole characters were replaced")
}

/// The end of the comment or literal that starts at an offset, if one does.
fn literal_or_comment(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let in_name = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let rest = &bytes[at..];
    match rest[0] {
        b'/' if rest.starts_with(b"//") => Some(text[at..].find('\n').map_or(text.len(), |end| at + end)),
        b'/' if rest.starts_with(b"/*") => Some(block_comment_end(bytes, at)),
        b'"' => Some(quoted_end(bytes, at + 1)),
        b'b' | b'c' | b'r' if !in_name => raw_string_end(text, at),
        b'\'' => character_end(text, at),
        _ => None,
    }
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The end of a string whose opening quote stands just before `at`.
fn quoted_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of `r"…"`, `r#"…"#`, `br#"…"#` and `cr#"…"#`. The others (`b"…"`, `r#name`) are no raw strings.
fn raw_string_end(text: &str, at: usize) -> Option<usize> {
    let after_prefix = text[at..].trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let hashes = after_prefix.len() - after_prefix.trim_start_matches('#').len();
    let body = after_prefix[hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let body_at = text.len() - body.len();
    Some(body.find(&closing).map_or(text.len(), |end| body_at + end + closing.len()))
}

/// The end of a character literal; `None` for a lifetime.
fn character_end(text: &str, at: usize) -> Option<usize> {
    let body = &text[at + 1..];
    if body.starts_with('\\') {
        let end = body.char_indices().skip(2).find(|(_, c)| *c == '\'')?.0;
        return Some(at + 1 + end + 1);
    }
    let length = body.chars().next()?.len_utf8();
    body[length..].starts_with('\'').then_some(at + 1 + length + 1)
}

#[test]
fn comments_and_literals_are_blanked_and_lines_stay() {
    let text = "let a = \"x\\\"{\"; // {\n/* { /* { */ */ let b = r#\"{\"#; let c = '{'; let d: &'static str = b\"{\";\n";
    let source = Source::new("a.rs", text);
    assert!(!source.code.contains('{'), "{}", source.code);
    assert!(source.code.contains("&'static str"), "{}", source.code);
    assert_eq!(source.code.len(), text.len());
    assert_eq!(source.code.matches('\n').count(), 2);
    assert!(Source::new("a.rs", "let q = '\\''; let x = {").code.contains('{'));
    assert!(!Source::new("a.rs", "let u = '\\u{7f}'; let b = b'{'; let é = 'é';").code.contains('{'));
}

#[test]
fn words_are_whole_identifiers() {
    let source = Source::new("a.rs", "mod a; submod b; mode c;");
    assert_eq!(source.words("mod").collect::<Vec<_>>(), [0]);
    assert_eq!(source.name_after(3), "a");
}

#[test]
fn brackets_are_matched_over_nested_ones() {
    let source = Source::new("a.rs", "f(a[1], { b }) + c");
    assert_eq!(&source.code[source.bracketed(1)], "(a[1], { b })");
}
