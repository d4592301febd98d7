//! Money is neither made nor lost while nodes are killed and come back.

use std::process::Command;

use crate::process::{Cluster, Process, example, until, until_within};

/// How often a node is killed in the suite. `BANK_CYCLES` sets another number; `docs/contributing.md` tells how.
const CYCLES: usize = 6;

/// How many nodes; two may be away at a time, and one is.
const NODES: usize = 5;

/// How long the bank may take to its end after the last kill.
const END_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(180);

/// The bank against all nodes of a cluster, for `seconds`.
fn bank(cluster: &Cluster, seconds: usize) -> Process {
    let nodes: Vec<&str> = cluster.nodes.iter().map(|node| node.web.address()).collect();
    let mut command = Command::new(example("bank"));
    command.args(["run", "--nodes", &nodes.join(","), "--seconds", &seconds.to_string()]);
    command.args(["--accounts", "40", "--clients", "8", "--patience", "90"]);
    Process::start(&mut command, cluster.folder.path(), "bank")
}

/// Waits for the bank's end and checks what it says.
#[track_caller]
fn balanced(bank: &mut Process) {
    until_within(END_TIME_MAX, "the bank comes to its end", || (!bank.is_running()).then_some(()));
    let said = bank.stdout();
    assert_eq!(bank.ended().code(), Some(0), "{said}{}", bank.stderr());
    assert!(said.contains(", 0 given up") && said.ends_with("\nbalanced\n"), "{said}");
    let transfers = said.split_whitespace().nth(1).and_then(|count| count.parse::<u64>().ok());
    assert!(transfers.is_some_and(|count| count > 0), "{said}");
}

#[test]
fn the_books_balance_after_nodes_were_killed() {
    let cycles = std::env::var("BANK_CYCLES").ok().and_then(|cycles| cycles.parse().ok()).unwrap_or(CYCLES);
    let mut cluster = Cluster::start(NODES);
    // About as long as nodes are killed. What was begun meanwhile is brought to its end after that.
    let mut bank = bank(&cluster, cycles * 4);
    until("the bank is open", || bank.stderr().contains("clients transfer").then_some(()));
    for cycle in 0..cycles {
        // Never the same one twice in a row, and all of them over time.
        let victim = (cycle * 2 + cycle / NODES) % NODES;
        cluster.nodes[victim].kill();
        let name = cluster.nodes[victim].name.clone();
        until("the others know", || {
            let mut others = cluster.nodes.iter().enumerate().filter(|(index, _)| *index != victim);
            let known = |(_, node): (usize, &crate::process::Node)| node.states()[&name] == "down";
            others.all(known).then_some(())
        });
        cluster.nodes[victim].start();
        cluster.until_whole();
    }
    balanced(&mut bank);
}

#[test]
fn the_books_balance_after_all_nodes_were_killed_at_once() {
    let mut cluster = Cluster::start(3);
    let mut bank = bank(&cluster, 10);
    until("the bank is open", || bank.stderr().contains("clients transfer").then_some(()));
    until("money moves", || {
        let committed = cluster.nodes[0].web.metric("gritmesh_committed_commands_total");
        (committed > 500.0).then_some(())
    });
    cluster.nodes.iter_mut().for_each(|node| node.kill());
    for index in [1, 2, 0] {
        cluster.nodes[index].start();
    }
    cluster.until_whole();
    balanced(&mut bank);
}
