//! The examples, as the comments at their top tell to use them: two nodes, and calls through both.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A program with two nodes.
struct Cluster {
    program: &'static str,
    child: Child,
    nodes: Vec<String>,
}

impl Cluster {
    fn start(program: &'static str) -> Self {
        let mut command = Command::new(program);
        command.args(["dev", "--nodes", "2", "--http-base", "0", "-o", "json"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        let url = |node: &Value| node["http_url"].as_str().unwrap().to_owned();
        Self { program, child, nodes: started["nodes"].as_array().unwrap().iter().map(url).collect() }
    }

    /// Calls through one of the nodes. `Err` is the error's code.
    fn call(&self, node: usize, words: &[&str]) -> Result<Value, String> {
        let mut command = Command::new(self.program);
        command.arg("call").args(words).args(["-o", "json", "--node", &self.nodes[node]]);
        let output = command.output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        match output.status.success() {
            true => Ok(value),
            false => Err(value["code"].as_str().unwrap().to_owned()),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Politely, so that it removes its data; it has ended when it says so.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

#[test]
fn a_chat() {
    let chat = Cluster::start(env!("CARGO_BIN_EXE_chat_room"));
    assert_eq!(chat.call(0, &["room/lobby", "join", "ann"]), Ok(json!(["ann"])));
    assert_eq!(chat.call(1, &["room/lobby", "join", "bob"]), Ok(json!(["ann", "bob"])));
    assert_eq!(chat.call(0, &["room/lobby", "say", "ann", "hello, bob"]), Ok(json!(1)));
    assert_eq!(chat.call(0, &["room/lobby", "say", "eve", "hello"]), Err("actor_error".into()));
    let history = chat.call(1, &["room/lobby", "history"]).unwrap();
    assert_eq!((&history[0]["from"], &history[0]["text"]), (&json!("ann"), &json!("hello, bob")));
    // A message takes its own time.
    let mut inbox = json!([]);
    for _ in 0..200 {
        inbox = chat.call(1, &["member/bob", "inbox"]).unwrap();
        if inbox != json!([]) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(inbox[0]["text"], json!("hello, bob"));
    assert_eq!(chat.call(0, &["room/lobby", "leave", "bob"]), Ok(Value::Null));
    assert_eq!(chat.call(1, &["room/lobby", "join", "ann"]), Ok(json!(["ann"])));
}

#[test]
fn a_tournament() {
    let board = Cluster::start(env!("CARGO_BIN_EXE_leaderboard"));
    let place = |rank, player, score| json!({"rank": rank, "player": player, "score": score});
    let submit = |node, player, score| board.call(node, &["leaderboard/tetris", "submit", player, score]);
    assert_eq!(submit(0, "ann", "1200"), Ok(place(1, "ann", 1200)));
    assert_eq!(submit(1, "bob", "900"), Ok(place(2, "bob", 900)));
    assert_eq!(submit(1, "bob", "800"), Ok(place(2, "bob", 900)));
    assert_eq!(submit(0, "bob", "1300"), Ok(place(1, "bob", 1300)));
    let top = board.call(1, &["leaderboard/tetris", "top", "10"]);
    assert_eq!(top, Ok(json!([place(1, "bob", 1300), place(2, "ann", 1200)])));
    assert_eq!(board.call(0, &["leaderboard/tetris", "rank", "ann"]), Ok(place(2, "ann", 1200)));
    assert_eq!(board.call(0, &["leaderboard/tetris", "rank", "eve"]), Err("actor_error".into()));
}
