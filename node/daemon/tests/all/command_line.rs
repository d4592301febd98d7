//! Commands that need no node, or find none.

use serde_json::Value;

use crate::process::{gritmesh, run, text};

#[test]
fn settings_are_printed_and_read_back() {
    let printed = run(&["up", "--dump-config", "--secret", "hunter2 and its friends", "--name", "a"]);
    let toml = text(&printed.stdout);
    assert!(printed.status.success() && toml.contains("name = \"a\"") && !toml.contains("hunter2"), "{toml}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &toml).unwrap();
    let again = run(&["up", "--dump-config", "--config", file.path().to_str().unwrap()]);
    assert_eq!(text(&again.stdout), toml);
    let by_variable =
        gritmesh(&["up", "--dump-config"]).env("GRITMESH_CONFIG", file.path()).output().unwrap();
    assert_eq!(text(&by_variable.stdout), toml);
}

#[test]
fn a_new_secret_is_another_one_each_time() {
    let made = || text(&run(&["secret", "new"]).stdout).trim().to_owned();
    let (one, other) = (made(), made());
    assert!(one.len() == 64 && one.bytes().all(|digit| digit.is_ascii_hexdigit()), "{one}");
    assert_ne!(one, other);
    let document: Value = serde_json::from_slice(&run(&["secret", "new", "-o", "json"]).stdout).unwrap();
    assert_eq!(document["secret"].as_str().map(str::len), Some(64));
}

#[test]
fn nobody_there_is_an_error_that_says_what_to_do() {
    let failed = run(&["call", "counter/a", "add", "1", "--node", "127.0.0.1:1"]);
    let said = text(&failed.stderr);
    assert_eq!((failed.status.code(), text(&failed.stdout).as_str()), (Some(5), ""));
    assert!(said.starts_with("error[unreachable]: ") && said.contains("\nhint: "), "{said}");
    let failed = run(&["cluster", "status", "-o", "json", "--node", "127.0.0.1:1"]);
    let document: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((failed.status.code(), &document["code"]), (Some(5), &Value::from("unreachable")));
    let by_variable = gritmesh(&["node", "ls"]).env("GRITMESH_NODE", "127.0.0.1:2").output().unwrap();
    assert!(text(&by_variable.stderr).contains("127.0.0.1:2"));
}

#[test]
fn a_wrong_command_line_ends_with_two() {
    for arguments in [vec!["upp"], vec!["call", "counter"], vec!["call", "a/b", "c", "--nod", "x"], vec![]] {
        assert_eq!(run(&arguments).status.code(), Some(2), "{arguments:?}");
    }
    for arguments in [["--help"], ["--version"]] {
        assert_eq!(run(&arguments).status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn each_shell_has_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(&["completions", shell]).stdout);
        assert!(script.contains("gritmesh") && script.contains("drain"), "{shell}");
    }
}

#[test]
fn the_simulator_is_part_of_the_binary() {
    let simulated = run(&["sim", "run", "--seed", "1", "--nodes", "3", "--seconds", "5"]);
    assert_eq!(simulated.status.code(), Some(0), "{}", text(&simulated.stdout));
}
