//! What the documents say can be typed.

pub(crate) mod commands;
mod operating;
mod running;
pub(crate) mod shell;

use std::process::Command;

use commands::Documented;

use crate::tree;

#[test]
fn every_documented_verb_exists() {
    let verbs = verbs();
    for verb in ["demo", "test", "verify"] {
        assert!(verbs.iter().any(|known| known == verb), "`./run help` lists {verbs:?}");
    }
    let unknown = unknown_verbs(&commands::all(), &verbs);
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn an_unknown_verb_is_found() {
    let text = "# A\n```console\n$ ./run demo\n$ CI=true ./run tset --all\n./run output\n```\n";
    let unknown = unknown_verbs(&commands::of("a.md", text), &["demo".to_owned(), "test".to_owned()]);
    assert_eq!(unknown, ["a.md:4: `./run` has no verb `tset`"]);
}

/// What `./run help` lists: the first word of each line that is indented by two.
fn verbs() -> Vec<String> {
    let output = Command::new("bash").current_dir(tree::root()).args(["run", "help"]).output();
    let output = output.expect("bash can be started");
    assert!(output.status.success(), "`./run help` fails: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let indented = text.lines().filter_map(|line| line.strip_prefix("  "));
    indented
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| !word.starts_with('.'))
        .map(str::to_owned)
        .collect()
}

fn unknown_verbs(documented: &[Documented], verbs: &[String]) -> Vec<String> {
    let mut unknown = Vec::new();
    for command in documented {
        let mut words = command.words();
        if words.next() != Some("./run") {
            continue;
        }
        let verb = words.next().unwrap_or("help");
        if !verbs.iter().any(|known| known == verb) {
            unknown.push(format!("{}:{}: `./run` has no verb `{verb}`", command.path, command.line));
        }
    }
    unknown
}
