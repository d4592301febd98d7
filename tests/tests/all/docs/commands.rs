//! Commands in documents: the lines of fenced `console` blocks that begin with `$ ` (what follows is what they
//! print), and every line of fenced `sh` blocks.

use crate::tree::{self, TextFile};

/// One command that a reader is told to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Documented {
    /// The document, as a path from the root.
    pub(crate) path: String,
    /// Where the command begins, counted from 1.
    pub(crate) line: usize,
    /// The command on one line, its continuations joined.
    pub(crate) text: String,
}

impl Documented {
    /// The words of the command, without the variables set before it.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let is_variable = |word: &&str| {
            word.split_once('=')
                .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        };
        self.text.split_whitespace().skip_while(is_variable)
    }
}

/// Every command of the documents at the root and in `docs/`.
pub(crate) fn all() -> Vec<Documented> {
    documents().iter().flat_map(|file| of(&file.path, &file.text)).collect()
}

fn documents() -> Vec<TextFile> {
    let mut documents = tree::files(|name| name.ends_with(".md"));
    documents.retain(|file| !file.path.contains('/') || file.path.starts_with("docs/"));
    documents
}

/// Every fenced block of one language, with the path of its document.
pub(crate) fn blocks(language: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for document in documents() {
        let mut block: Option<(bool, String)> = None;
        for line in document.text.lines() {
            match (line.trim_start().strip_prefix("```"), &mut block) {
                (Some(name), None) => block = Some((name.trim() == language, String::new())),
                (Some(_), Some((is_wanted, text))) => {
                    if *is_wanted {
                        found.push((document.path.clone(), std::mem::take(text)));
                    }
                    block = None;
                }
                (None, Some((_, text))) => *text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
    }
    found
}

/// Every command of one document.
pub(crate) fn of(path: &str, text: &str) -> Vec<Documented> {
    let mut found: Vec<Documented> = Vec::new();
    let mut language: Option<&str> = None;
    let mut continues = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line.trim_start().strip_prefix("```") {
            language = if language.is_some() { None } else { Some(name.trim()) };
            continues = false;
            continue;
        }
        let typed = match language {
            Some("console") if !continues => line.trim_start().strip_prefix("$ "),
            Some("console" | "sh") => {
                Some(line.trim()).filter(|line| !line.is_empty() && !line.starts_with('#'))
            }
            _ => None,
        };
        let Some(typed) = typed else { continue };
        let joined = typed.strip_suffix('\\').unwrap_or(typed).trim();
        match found.last_mut().filter(|_| continues) {
            Some(command) => command.text = format!("{} {joined}", command.text),
            None => {
                found.push(Documented { path: path.to_owned(), line: index + 1, text: joined.to_owned() })
            }
        }
        continues = typed.ends_with('\\');
    }
    found
}

#[test]
fn commands_are_told_from_what_they_print() {
    let text = "```console\n$ a b \\\n    c\nprinted\n$ d\n```\n```sh\n# why\ne f\n\ng\n```\n```toml\nh = 1\n```\n$ i\n";
    let found: Vec<_> = of("a.md", text).into_iter().map(|command| (command.line, command.text)).collect();
    let expected = [(2, "a b c"), (5, "d"), (9, "e f"), (11, "g")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn variables_before_a_command_are_not_its_words() {
    let command =
        Documented { path: "a.md".to_owned(), line: 1, text: "CI=true A_B=c ./run test x=y".to_owned() };
    assert_eq!(command.words().collect::<Vec<_>>(), ["./run", "test", "x=y"]);
}
