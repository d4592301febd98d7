//! Nodes that cannot start: exit code 2, and one line that says what to do.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::process::{Cluster, Finished, Node, Ports, Process, finish, gritmesh, until};

/// What a node says that cannot start.
#[track_caller]
fn refusal<'a>(folder: &Path, flags: impl IntoIterator<Item = &'a str>) -> String {
    let finished = finish(folder, ["up"].into_iter().chain(flags));
    let Finished { code, stdout, stderr } = &finished;
    assert_eq!((*code, stdout.as_str()), (Some(2), ""), "{finished:?}");
    let line = stderr.strip_suffix('\n').expect("a line ends");
    assert!(!line.contains('\n'), "one line is enough: {stderr}");
    line.strip_prefix("error: ").unwrap_or_else(|| panic!("{stderr}")).to_owned()
}

/// Flags under which a node would start.
const ANYWHERE: [&str; 6] = ["--data", "fresh", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];

#[track_caller]
fn assert_says(line: &str, texts: &[&str]) {
    for text in texts {
        assert!(line.contains(text), "{text:?} is missing in {line:?}");
    }
}

#[test]
fn a_taken_port_is_named_with_the_flag_that_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = refusal(folder.path(), ["--data", "a", "--listen", &address, "--http", "127.0.0.1:0"]);
    assert_says(&line, &[&address, "--listen"]);
    let line = refusal(folder.path(), ["--data", "a", "--listen", "127.0.0.1:0", "--http", &address]);
    assert_says(&line, &[&address, "--http"]);
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let cluster = Cluster::start(1);
    let line =
        refusal(cluster.folder.path(), ["--data", "node-1", "--listen", "127.0.0.1:0", "--http", "off"]);
    assert_says(&line, &["node-1", "in use", "--data"]);
    assert!(cluster.nodes[0].web.is_ready());
}

/// Root may write anywhere, but nobody makes a directory below a file.
#[test]
fn a_data_directory_that_cannot_be_used_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for data in ["file", "file/below"] {
        let line = refusal(folder.path(), ["--data", data, "--listen", "127.0.0.1:0", "--http", "off"]);
        assert_says(&line, &[data, "--data"]);
    }
}

#[test]
fn damaged_records_are_refused_and_left_alone() {
    let mut cluster = Cluster::start(1);
    cluster.nodes[0].kill();
    let data = cluster.nodes[0].data.clone();
    // The node's key, and the file by which the database finds all others.
    for (file, damaged, says) in [
        ("identity.key", &b"short"[..], "identity.key"),
        ("database/CURRENT", &b"MANIFEST-999999\n"[..], "node-1"),
    ] {
        let sound = fs::read(data.join(file)).unwrap();
        fs::write(data.join(file), damaged).unwrap();
        let line =
            refusal(cluster.folder.path(), ["--data", "node-1", "--listen", "127.0.0.1:0", "--http", "off"]);
        assert_says(&line, &[says]);
        assert_eq!(fs::read(data.join(file)).unwrap(), damaged, "evidence is not overwritten");
        fs::write(data.join(file), sound).unwrap();
    }
    cluster.nodes[0].start();
    cluster.until_whole();
}

#[test]
fn a_node_that_others_could_reach_needs_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let line = refusal(folder.path(), ["--data", "a", "--listen", "0.0.0.0:0", "--http", "off"]);
    assert_says(&line, &["--secret", "127.0.0.1"]);
    let missing = ["--data", "a", "--listen", "0.0.0.0:0", "--http", "off", "--secret", "@missing"];
    assert_says(&refusal(folder.path(), missing), &["--secret"]);
}

#[test]
fn a_setting_that_does_not_exist_or_does_not_fit_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let with_file = |text: &str| {
        fs::write(folder.path().join("node.toml"), text).unwrap();
        refusal(folder.path(), ["--config", "node.toml"])
    };
    assert_says(&with_file("colour = 1"), &["node.toml", "`colour`"]);
    assert_says(&with_file("[timeouts]\ncal = \"1s\""), &["node.toml", "cal"]);
    assert_says(&with_file("weight = \"heavy\""), &["node.toml", "weight"]);
    assert_says(&with_file("[timeouts]\ncall = 5"), &["node.toml", "call"]);
    assert_says(&with_file("= nonsense"), &["node.toml", "line 1"]);
    assert_says(&refusal(folder.path(), ["--config", "missing.toml"]), &["missing.toml"]);
    for (flag, value) in [
        ("--listen", "nonsense"),
        ("--listen", "127.0.0.1:99999"),
        ("--http", "nonsense"),
        ("--advertise", "no host"),
        ("--seeds", "nonsense"),
        ("--seeds", "127.0.0.1:7946,127.0.0.1:99999"),
        ("--engines", "1000000"),
        ("--weight", "heavy"),
        ("--log", "!!"),
    ] {
        let others = ANYWHERE.chunks(2).filter(|pair| pair[0] != flag).flatten().copied();
        let line = refusal(folder.path(), others.chain([flag, value]));
        assert_says(&line, &[flag.trim_start_matches('-')]);
    }
}

/// A service that gives names to new machines may take a while. Whoever does not want to wait may stop the node.
#[test]
fn a_name_to_advertise_that_is_not_known_yet_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--advertise", "no.such.host.invalid"];
    let mut node = Node::new(folder.path(), "early", &mut Ports::new(), &flags);
    node.start();
    let line = node.process().logs("no.such.host.invalid");
    assert!(line.contains("WARN") && line.contains("advertise"), "{line}");
    assert!(node.process().is_running());
    node.process().signal("TERM");
    assert_eq!(node.process().ended().code(), Some(0));
}

/// Nobody else has the replicas of a cluster of one node.
#[test]
fn a_lost_key_is_named_with_the_remedy() {
    let mut cluster = Cluster::start(1);
    let node = &mut cluster.nodes[0];
    let id = node.status()["node_id"].as_str().unwrap()[..8].to_owned();
    node.kill();
    let key = node.data.join("identity.key");
    fs::rename(&key, node.data.join("kept")).unwrap();
    // It is said by every start, not only by the one that makes the new key.
    for _ in 0..2 {
        node.start();
        let line = node.process().logs("identity.key");
        assert!(line.contains("ERROR") && line.contains(&id) && line.contains("backup"), "{line}");
        let answer = until("it waits for its key", || {
            let answer = node.web.get("/readyz")?;
            answer.text.contains("identity.key").then_some(answer)
        });
        assert!(answer.status == 503 && answer.text.contains(&id), "{}", answer.text);
        node.kill();
    }
    fs::rename(node.data.join("kept"), key).unwrap();
    node.start();
    node.until_ready();
    assert!(!node.process().stderr().contains("identity.key"));
}

#[test]
fn a_variable_that_is_no_setting_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // Not by `Process`, which takes such variables away.
    let output =
        Command::new(gritmesh()).current_dir(folder.path()).arg("up").env("GRITMESH_COLOUR", "1").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8(output.stderr).unwrap();
    assert_says(&line, &["GRITMESH_COLOUR"]);
    assert_eq!(line.lines().count(), 1);
}

/// The command line's own errors also show the usage, as its users expect; the first line says what is wrong.
#[test]
fn wrong_arguments_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, wrong) in [
        (&["upp"][..], "'upp'"),
        (&["up", "--dat", "x"], "'--dat'"),
        (&["up", "--listen"], "'--listen"),
        (&["up", "extra"], "'extra'"),
        (&["dev", "--nodes", "0"], "'--nodes"),
        (&["dev", "--nodes", "x"], "'--nodes"),
        (&["call", "nonsense", "add"], "type/id"),
        (&["call", "counter/x"], "METHOD"),
        (&["call", "counter/x", "add", "--timeout", "soon"], "'--timeout"),
        (&["node", "drain"], "TARGET"),
        (&["completions", "tcsh"], "tcsh"),
        (&["sim", "run", "--seed", "1", "--nodes", "0"], "'--nodes"),
    ] {
        let finished = finish(folder.path(), arguments.iter().copied());
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{arguments:?} {finished:?}");
        assert!(finished.stderr.starts_with("error: "), "{arguments:?} {finished:?}");
        assert_says(&finished.stderr, &[wrong]);
    }
}

/// A node that was stopped a moment ago leaves nothing behind that keeps it from starting.
#[test]
fn a_killed_node_starts_again_at_once() {
    let mut cluster = Cluster::new(1, &[]);
    for _ in 0..5 {
        cluster.nodes[0].start();
        cluster.until_whole();
        cluster.nodes[0].kill();
    }
    // Killed in the middle of a start, too.
    for _ in 0..5 {
        cluster.nodes[0].start();
        cluster.nodes[0].kill();
    }
    cluster.nodes[0].start();
    cluster.until_whole();
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    let mut help = Command::new(gritmesh());
    let mut process = Process::start(help.arg("--help"), folder.path(), "help");
    assert_eq!(process.ended().code(), Some(0));
    assert!(process.stdout().contains("gritmesh call counter/alice add 5"));
    assert!(finish(folder.path(), ["--version"]).succeeded().starts_with("gritmesh "));
}
