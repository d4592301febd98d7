//! Every command that a document tells the reader to type is typed here, or the table says why not.

use std::path::Path;

use clap::{Args, Command};
use gritmesh::cli::{App, Extra};
use gritmesh_sim::cli::SimArgs;

use super::commands::{self, Documented};
use super::shell::{Shell, substituted, words};
use crate::process::{Process, Web, gritmesh, until};

/// How a documented command is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Typed as it stands, with a cluster of three nodes at the usual address. It must succeed.
    Typed,
    /// Typed with `--dump-config` behind it: the settings must load. The addresses are not this machine's.
    Settings,
    /// Typed with free ports until it has announced its nodes, then interrupted.
    Interrupted,
    /// Not typed, for this reason. A line of the stock binary is still parsed.
    Parsed(&'static str),
}

/// By the first words of the command; the longest row counts.
const WAYS: &[(&str, Way)] = &[
    (
        "./run",
        Way::Parsed("it builds and tests all of this; the verbs are checked, and `real::demo` does the demo"),
    ),
    ("cargo", Way::Parsed("it builds what this test is a part of")),
    ("curl", Way::Typed),
    ("kill", Way::Parsed("the process is the reader's; `real::leaving` sends the signal")),
    ("gritmesh up", Way::Settings),
    ("gritmesh up --dump-config", Way::Typed),
    ("gritmesh secret", Way::Typed),
    ("gritmesh dev", Way::Interrupted),
    ("gritmesh call", Way::Typed),
    ("gritmesh send", Way::Typed),
    ("gritmesh cluster", Way::Typed),
    ("gritmesh node", Way::Typed),
    (
        "gritmesh node ls --node https://mesh.example.org",
        Way::Parsed("the proxy is the reader's; `real::command_line` speaks https with one"),
    ),
    ("gritmesh config check", Way::Typed),
    ("gritmesh node forget", Way::Parsed("the node is there; `real::draining` forgets one that is not")),
    ("gritmesh shard", Way::Typed),
    ("gritmesh actor", Way::Typed),
    (
        "gritmesh actor letters replay",
        Way::Parsed("there is no letter; `http::tests::actors` makes some and replays them"),
    ),
    (
        "gritmesh actor letters drop",
        Way::Parsed("there is no letter; `http::tests::actors` makes some and drops them"),
    ),
    ("gritmesh completions", Way::Typed),
    ("gritmesh sim run", Way::Typed),
    ("gritmesh sim replay", Way::Typed),
    ("gritmesh sim sweep", Way::Parsed("a sweep takes minutes; it is a part of `./run verify`")),
];

/// A command in a command, and what stands for its output: a source archive has no history.
const COMMIT: (&str, &str) = ("$(git rev-parse HEAD)", "3f2c1a9be5d04786");

/// Where documents say that nodes serve HTTP.
const USUAL: [&str; 3] = ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082"];

fn way(command: &Documented) -> Option<Way> {
    let typed = command.words().collect::<Vec<_>>().join(" ");
    let fits = |row: &&(&str, Way)| typed == row.0 || typed.starts_with(&format!("{} ", row.0));
    WAYS.iter().filter(fits).max_by_key(|(start, _)| start.len()).map(|(_, way)| *way)
}

fn place(command: &Documented) -> String {
    format!("{}:{}: {}", command.path, command.line, command.text)
}

#[test]
fn every_command_has_a_way_to_be_tried() {
    let unmapped: Vec<String> =
        commands::all().iter().filter(|command| way(command).is_none()).map(place).collect();
    assert!(unmapped.is_empty(), "add a row to the table for\n{}", unmapped.join("\n"));
}

#[test]
fn every_line_of_the_stock_binary_parses() {
    let cli = stock();
    let mut wrong = Vec::new();
    for command in commands::all() {
        let typed = words(&command.text.replace(COMMIT.0, COMMIT.1));
        let start = typed.iter().position(|word| !word.contains('=')).unwrap_or_default();
        if typed.get(start).is_some_and(|word| word == "gritmesh")
            && let Err(error) = cli.clone().try_get_matches_from(before_pipe(&typed[start..]))
        {
            wrong.push(format!("{}\n{error}", place(&command)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn before_pipe(words: &[String]) -> &[String] {
    let is_operator = |word: &String| ["|", ">", ">>", "&", "&&"].contains(&word.as_str());
    &words[..words.iter().position(is_operator).unwrap_or(words.len())]
}

/// The command line of the stock binary, put together as in `node/daemon`.
fn stock() -> Command {
    let sim = SimArgs::augment_args(Command::new("sim"));
    let sim = Extra { command: sim, run: |_| std::process::ExitCode::SUCCESS };
    App::new(gritmesh::samples::register).with(sim).command("gritmesh")
}

/// A shell with a cluster at hand, as a reader has after `gritmesh dev`.
fn shell_with_cluster() -> (Shell, Process, Vec<(String, String)>) {
    let starter = Shell::new(&[gritmesh()], "");
    let dev = starter.start("gritmesh dev --nodes 3 --http-base 0 -o json", "dev");
    let announced: serde_json::Value = until("dev is ready", || serde_json::from_str(&dev.stdout()).ok());
    let nodes = announced["nodes"].as_array().expect("it lists its nodes").iter();
    let address = |node: &serde_json::Value| node["http_url"].as_str().unwrap().replace("http://", "");
    let addresses: Vec<String> = nodes.map(address).collect();
    let shell = Shell::new(&[gritmesh()], &addresses[0]);
    let usual = USUAL.iter().map(|usual| (*usual).to_owned()).zip(addresses);
    let replaced = usual.chain([(COMMIT.0.to_owned(), COMMIT.1.to_owned())]).collect();
    (shell, dev, replaced)
}

#[test]
fn every_command_does_what_it_is_told() {
    let (shell, _dev, replaced) = shell_with_cluster();
    for (name, text) in examples_of_files() {
        std::fs::write(shell.folder().join(name), text).unwrap();
    }
    for command in commands::all() {
        let typed = substituted(&command.text, &replaced);
        match way(&command) {
            Some(Way::Typed) => succeeds(&shell, &typed, &command),
            Some(Way::Settings) => {
                let without_comment = typed.split(" #").next().unwrap_or(&typed).trim_end();
                let dumped = format!("{} --dump-config", without_comment.replace(" --dump-config", ""));
                succeeds(&shell, &dumped, &command);
            }
            Some(Way::Interrupted) => interrupted(&shell, &typed, &command),
            Some(Way::Parsed(_)) | None => {}
        }
    }
}

/// Files that documents speak of, as far as a command needs them to be there.
fn examples_of_files() -> Vec<(&'static str, String)> {
    let secret = "a secret of the documentation\n".to_owned();
    let node = commands::blocks("toml").into_iter().find(|(path, _)| path == "docs/operating.md");
    let node = node.map(|(_, text)| text).expect("docs/operating.md shows a file of settings");
    vec![("cluster.secret", secret), ("node.toml", node)]
}

fn succeeds(shell: &Shell, typed: &str, command: &Documented) {
    let finished = shell.run(typed);
    assert_eq!(finished.code, Some(0), "{}\n{typed}\n{finished:?}", place(command));
}

fn interrupted(shell: &Shell, typed: &str, command: &Documented) {
    let without_comment = typed.split(" #").next().unwrap_or(typed);
    let mut words: Vec<&str> = without_comment.split_whitespace().collect();
    if let Some(at) = words.iter().position(|word| *word == "--http-base") {
        words.drain(at..at + 2);
    }
    let mut dev = shell.start(&format!("{} --http-base 0", words.join(" ")), "documented-dev");
    let announced = until(&place(command), || {
        let text = dev.stdout();
        text.contains("Press ctrl-C").then_some(text)
    });
    let url = announced.split_whitespace().find_map(|word| word.strip_prefix("http://"));
    assert!(Web::new(url.expect("it names its nodes")).is_ready());
    dev.signal("INT");
    assert_eq!(dev.ended().code(), Some(0), "{}", place(command));
}

/// Every file of settings in a document loads.
#[test]
fn every_file_of_settings_loads() {
    let shell = Shell::new(&[gritmesh()], "");
    let blocks = commands::blocks("toml");
    let of_nodes = blocks.iter().filter(|(path, _)| Path::new(path).ends_with("operating.md"));
    let mut count = 0;
    for (path, text) in of_nodes {
        std::fs::write(shell.folder().join("node.toml"), text).unwrap();
        let finished = shell.run("gritmesh up --config node.toml --dump-config");
        assert_eq!(finished.code, Some(0), "{path}: {finished:?}\n{text}");
        count += 1;
    }
    assert!(count > 0, "docs/operating.md shows a file of settings");
}
