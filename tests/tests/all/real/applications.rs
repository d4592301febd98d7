//! The example applications do what the comments at their top say, by the commands that stand there.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::docs::commands;
use crate::docs::shell::{Shell, substituted};
use crate::process::{Ports, Process, Web, example, until};
use crate::tree;

/// An application as a cluster of as many nodes as its comment starts.
struct Application {
    shell: Shell,
    /// What the comment's ports stand for.
    ports: Vec<(String, String)>,
    /// The commands after those that start nodes.
    rest: Vec<String>,
    nodes: Vec<Process>,
}

impl Application {
    fn start(name: &str) -> Self {
        let sources = [format!("examples/src/bin/{name}.rs"), format!("examples/src/bin/{name}/main.rs")];
        let source = sources.into_iter().find(|source| tree::root().join(source).is_file()).unwrap();
        let text = fs::read_to_string(tree::root().join(&source)).unwrap();
        let comment: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let mut free = Ports::new();
        let mut pick = |port: &str| (format!("127.0.0.1:{port}"), free.address());
        let ports = ["7946", "7947", "8080", "8081"].map(&mut pick).to_vec();
        let program: PathBuf = example(name);
        let shell = Shell::new(&[program], &ports[2].1);
        let cargo_run = format!("cargo run --bin {name} -- ");
        let commands = commands::of(&source, &comment.join("\n")).into_iter();
        let (starts, rest): (Vec<String>, Vec<String>) = commands
            .map(|command| substituted(&command.text.replace(&cargo_run, &format!("{name} ")), &ports))
            .partition(|command| command.contains(&format!("{name} up ")));
        let start = |(number, command): (usize, &String)| shell.start(command, &format!("node-{number}"));
        let nodes: Vec<Process> = starts.iter().enumerate().map(start).collect();
        assert_eq!(nodes.len(), 2, "{starts:?}");
        for (_, address) in &ports[2..] {
            let web = Web::new(address);
            until("both nodes are there", || {
                let status = web.get("/v1/cluster")?.value();
                (web.is_ready() && status["members"].as_array()?.len() == 2).then_some(())
            });
        }
        Self { shell, ports, rest, nodes }
    }

    /// What the remaining commands of the comment print, one value each.
    fn converse(&self) -> Vec<Value> {
        let run = |command: &String| {
            let answer = self.shell.run(command).succeeded();
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{command}: {error}: {answer}"))
        };
        self.rest.iter().map(run).collect()
    }

    fn stop(mut self) {
        for node in &mut self.nodes {
            node.signal("TERM");
            assert_eq!(node.ended().code(), Some(0));
        }
    }
}

#[test]
fn the_chat_room_tells_everyone_what_is_said() {
    let application = Application::start("chat_room");
    let said = application.converse();
    assert_eq!(said[..3], [json!(["ann"]), json!(["ann", "bob"]), json!(1)]);
    // The room does not wait for the member, so neither does the command that asks the member.
    let line = json!([{ "room": "lobby", "from": "ann", "text": "hello, bob" }]);
    let web = Web::new(&application.ports[3].1);
    if said[3] != line {
        assert_eq!(said[3], json!([]));
        until("bob has heard it", || {
            (web.call("member/bob", "inbox", &json!([])) == Ok(line.clone())).then_some(())
        });
    }
    application.stop();
}

#[test]
fn the_bank_balances() {
    let application = Application::start("bank");
    let printed: Vec<String> =
        application.rest.iter().map(|command| application.shell.run(command).succeeded()).collect();
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert!(printed[0].ends_with("\nbalanced\n"), "{}", printed[0]);
    application.stop();
}

#[test]
fn the_leaderboard_ranks() {
    let application = Application::start("leaderboard");
    let answers = application.converse();
    assert_eq!(answers.len(), 4, "{answers:?}");
    let top = answers[2].to_string();
    let (ann, bob) = (top.find("ann").expect("ann is on the board"), top.find("bob").expect("bob is, too"));
    assert!(ann < bob, "{top}");
    assert!(answers[3].to_string().contains('2'), "bob is second: {}", answers[3]);
    application.stop();
}
