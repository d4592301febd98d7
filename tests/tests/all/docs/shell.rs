//! A place where a documented command can be typed: a folder of its own, the programs in the path, a node to ask.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Finished, Process};

/// Like a reader's terminal.
pub(crate) struct Shell {
    folder: TempDir,
    /// What is put before the reader's own path.
    programs: PathBuf,
    /// The node that commands ask which name none.
    node: String,
}

impl Shell {
    pub(crate) fn new(programs: &[PathBuf], node: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for program in programs {
            symlink(program, bin.join(program.file_name().expect("a program has a name"))).unwrap();
        }
        Self { folder, programs: bin, node: node.to_owned() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Types a command and waits for its end.
    pub(crate) fn run(&self, command: &str) -> Finished {
        let mut process = self.start_line(command, "run");
        let code = process.ended().code();
        Finished { code, stdout: process.stdout(), stderr: process.stderr() }
    }

    /// Types a command that goes on until it is signalled.
    pub(crate) fn start(&self, command: &str, name: &str) -> Process {
        self.start_line(&format!("exec {command}"), name)
    }

    fn start_line(&self, line: &str, name: &str) -> Process {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut bash = Command::new("bash");
        bash.args(["-euc", line]).current_dir(self.folder.path());
        bash.env("PATH", format!("{}:{path}", self.programs.display())).env("GRITMESH_NODE", &self.node);
        bash.env("TMPDIR", self.folder.path());
        Process::start(&mut bash, self.folder.path(), name)
    }
}

/// The command with what stands in the document replaced by what is there.
pub(crate) fn substituted(command: &str, replaced: &[(String, String)]) -> String {
    replaced.iter().fold(command.to_owned(), |command, (from, to)| command.replace(from, to))
}

/// The words of a command as a shell splits it, without a comment behind it.
pub(crate) fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), inside) => word.get_or_insert_default().push(inside),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, space) if space.is_whitespace() => words.extend(word.take()),
            (None, other) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[test]
fn words_are_split_as_a_shell_does() {
    assert_eq!(words("a  'b c' d\"e f\"g '' # h"), ["a", "b c", "de fg", ""]);
    assert_eq!(words("a#b"), ["a#b"]);
}
