//! Nodes that run: what they print, how they stop, and what they make of neighbours that do not fit.

use serde_json::Value;

use crate::process::{Running, gritmesh, run, text, up};

#[test]
fn a_node_says_where_it_is_and_stops_when_asked() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Running::start(&up(data.path(), &["--name", "alpha"]));
    assert!(node.says("node ").ends_with("alpha"));
    let http = node.says("http ");
    let address = http.rsplit('/').next().unwrap().to_owned();
    node.says("ready ");
    let answer = run(&["call", "counter/a", "add", "5", "--node", &address]);
    assert_eq!((answer.status.code(), text(&answer.stdout).as_str()), (Some(0), "5\n"));
    node.signal("TERM");
    assert_eq!(node.ends(), Some(0));
    assert_eq!(run(&["cluster", "status", "--node", &address]).status.code(), Some(5));
}

#[test]
fn a_node_speaks_json_to_programs() {
    let data = tempfile::tempdir().unwrap();
    let mut node =
        Running::start(&up(data.path(), &["-o", "json", "--name", "beta", "--log-format", "json"]));
    let started = node.says_json("peer_address");
    assert_eq!((&started["name"], &started["ready"]), (&Value::from("beta"), &Value::from(false)));
    assert!(node.says_json("nodes")["cluster_id"].as_str().is_some_and(|id| id.len() == 32));
    node.signal("INT");
    assert_eq!(node.ends(), Some(0));
    let lines = json_lines(&node);
    let message = |text: &str| lines.iter().any(|line| line["message"].as_str().unwrap().starts_with(text));
    assert!(message("member of a cluster") && message("stopping"), "{lines:?}");
}

/// What a node wrote to standard error, of which every line must be a JSON object with the fields that all have.
fn json_lines(node: &Running) -> Vec<Value> {
    let read = |line: &String| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}"));
    let lines: Vec<Value> = node.complaints().iter().map(read).collect();
    for line in &lines {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "{field} of {line}");
        }
    }
    lines
}

#[test]
fn events_are_one_json_line_each_with_fields_of_their_own() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let json = ["-o", "json", "--log-format", "json", "--name"];
    let first = Running::start(&up(
        data.path(),
        &[&json[..], &["one", "--secret", "the right secret of all"]].concat(),
    ));
    let seed = first.says_json("peer_address")["peer_address"].as_str().unwrap().to_owned();
    let more = |name, secret| [&json[..], &[name, "--secret", secret, "--seeds", &seed]].concat();
    let stranger = Running::start(&up(other.path(), &more("stranger", "the wrong secret of all")));
    let refused: Value = serde_json::from_str(&first.complains("secrets differ")).unwrap();
    assert_eq!((&refused["code"], &refused["by_us"]), (&Value::from("wrong_secret"), &Value::from(true)));
    assert!(refused["peer"].is_string());
    drop(stranger);
    let mut second = Running::start(&up(other.path(), &more("two", "the right secret of all")));
    first.complains("a member is up");
    second.signal("TERM");
    assert_eq!(second.ends(), Some(0));
    first.complains("a member has left");
    let lines = json_lines(&first);
    let of_two: Vec<_> =
        lines.iter().filter(|line| line["name"] == "two").map(|line| &line["state"]).collect();
    assert_eq!(of_two, ["alive", "left"], "{lines:?}");
    let refused = lines.iter().filter(|line| line["code"] == "wrong_secret").count();
    let connections = lines.iter().filter(|line| line["message"] == "a connection was refused").count();
    assert_eq!(refused, connections, "each refusal is one line: {lines:?}");
    json_lines(&second);
}

#[test]
fn an_orchestrators_variables_are_no_settings() {
    let data = tempfile::tempdir().unwrap();
    let mut command = gritmesh(&up(data.path(), &[]));
    command.env("GRITMESH_PORT", "tcp://10.0.0.1:8080").env("GRITMESH_SERVICE_HOST", "10.0.0.1");
    command.env("GRITMESH_PEERS_PORT_7946_TCP_ADDR", "10.0.0.1");
    let mut node = Running::of(command);
    node.says("ready ");
    let noted = node.complains("no settings");
    assert!(
        noted.contains("GRITMESH_PEERS_PORT_7946_TCP_ADDR, GRITMESH_PORT, GRITMESH_SERVICE_HOST"),
        "{noted}"
    );
    assert!(node.goes_on());
}

/// Whether a token opens an administrative request.
fn opens(address: &str, token: &str) -> bool {
    let request = format!(
        "POST /v1/actors/counter/a/resume HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Length: 0\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    !answer.starts_with("HTTP/1.1 401")
}

#[test]
fn a_hangup_reads_the_level_the_token_and_the_secrets_again() {
    let data = tempfile::tempdir().unwrap();
    let (file, token) = (data.path().join("node.toml"), data.path().join("token"));
    let write = |log: &str, more: &str| {
        std::fs::write(&file, format!("log = '{log}'\ntoken = '@{}'\n{more}", token.display())).unwrap();
    };
    std::fs::write(&token, "first").unwrap();
    write("info", "secret = 'the first of two secrets'\n");
    let folder = data.path().join("data");
    let arguments = ["--config", file.to_str().unwrap(), "-o", "json"];
    let mut node = Running::start(&up(&folder, &arguments));
    let address = node.says_json("peer_address")["http_url"].as_str().unwrap().replace("http://", "");
    node.says_json("nodes");
    assert!(opens(&address, "first") && !opens(&address, "second"));

    std::fs::write(&token, "second").unwrap();
    write("warning", "");
    node.signal("HUP");
    assert!(node.complains("cannot be read again").contains("ERROR"));
    assert!(opens(&address, "first") && !opens(&address, "second"), "a bad file changes nothing");

    write("info,gritmesh=debug", "weight = 7\nsecret = 'the second of two secrets'\n");
    node.signal("HUP");
    node.complains("log=\"info,gritmesh=debug\"");
    assert!(node.complains("only a restart applies").contains("keys=\"weight\""));
    assert!(opens(&address, "second") && !opens(&address, "first"));

    std::fs::remove_file(&token).unwrap();
    node.signal("HUP");
    node.complains("`--token`");
    assert!(opens(&address, "second"), "a file that is gone changes nothing");
    node.signal("TERM");
    assert_eq!(node.ends(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Running::start(&up(data.path(), &["-o", "json"]));
    let address = node.says_json("peer_address")["http_url"].as_str().unwrap().replace("http://", "");
    node.says_json("nodes");
    // A request that does not end keeps the first signal from being enough.
    let mut client = std::net::TcpStream::connect(&address).unwrap();
    let head = "POST /v1/call/echo/x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";
    std::io::Write::write_all(&mut client, head.as_bytes()).unwrap();
    let probe = run(&["call", "echo/x", "echo", "1", "--node", &address]);
    assert!(probe.status.success(), "the other connection was taken before this one");
    node.signal("TERM");
    node.complains("signal again");
    node.signal("TERM");
    assert_eq!(node.ends(), Some(130));
}

#[test]
fn a_development_cluster_starts_whole_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().to_str().unwrap();
    let mut command = gritmesh(&["dev", "--http-base", "0", "-o", "json"]);
    command.env("TMPDIR", path);
    let mut cluster = Running::of(command);
    let nodes = cluster.says_json("nodes")["nodes"].as_array().unwrap().clone();
    assert_eq!(nodes.len(), 3);
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 1);
    let address = |index: usize| nodes[index]["http_url"].as_str().unwrap().replace("http://", "");
    let status = run(&["cluster", "status", "-o", "json", "--node", &address(1)]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["members"].as_array().unwrap().len(), 3);
    let place = run(&["shard", "where", "counter/alice", "-o", "json", "--node", &address(2)]);
    let place: Value = serde_json::from_slice(&place.stdout).unwrap();
    assert!(place["name"].as_str().unwrap().starts_with("node-"), "{place}");
    let drained = run(&["node", "drain", "node-2", "--wait", "--node", &address(0)]);
    assert!(drained.status.success(), "{drained:?}");
    cluster.signal("INT");
    assert_eq!(cluster.ends(), Some(0));
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
}

#[test]
fn a_seed_that_does_not_resolve_is_a_warning() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Running::start(&up(data.path(), &["--seeds", "nowhere.invalid:7946", "-o", "json"]));
    let address = node.says_json("peer_address")["http_url"].as_str().unwrap().replace("http://", "");
    assert!(node.complains("nowhere.invalid").contains("WARN"));
    let status = run(&["cluster", "status", "--node", &address]);
    assert!(text(&status.stdout).contains("not ready"), "{status:?}");
    assert!(node.goes_on());
}

#[test]
fn a_cluster_changes_its_secret_node_by_node() {
    let data = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let files = data.each_ref().map(|folder| folder.path().join("secret"));
    let (old, new) = ("the old secret of all", "the new secret of all");
    let write = |at: usize, secrets: &[&str]| std::fs::write(&files[at], secrets.join("\n")).unwrap();
    write(0, &[old]);
    write(1, &[new]);
    let start = |at: usize, more: &[&str]| {
        let secret = format!("@{}", files[at].display());
        let mut arguments = vec!["-o", "json", "--secret", &secret];
        arguments.extend(more);
        Running::start(&up(&data[at].path().join("data"), &arguments))
    };
    let mut first = start(0, &[]);
    let seed = first.says_json("peer_address")["peer_address"].as_str().unwrap().to_owned();
    let second = start(1, &["--seeds", &seed]);
    first.complains("secrets differ");
    second.complains("secrets differ");

    write(0, &[old, new]);
    first.signal("HUP");
    first.complains("the secrets again");
    assert_eq!(second.says_json("nodes")["nodes"], 2);

    write(0, &["too short"]);
    first.signal("HUP");
    assert!(first.complains("cannot be read again").contains("16 letters"));
    assert!(first.goes_on());
}

#[test]
fn clusters_of_different_names_refuse_each_other() {
    let data = [0, 1, 2].map(|_| tempfile::tempdir().unwrap());
    let first = Running::start(&up(data[0].path(), &["--cluster", "shop", "-o", "json"]));
    let seed = first.says_json("peer_address")["peer_address"].as_str().unwrap().to_owned();
    let stranger = Running::start(&up(data[1].path(), &["--seeds", &seed]));
    for node in [&first, &stranger] {
        let said = node.complains("other_cluster_name");
        assert!(said.contains("WARN") && said.contains("`--cluster`") && said.contains("shop"), "{said}");
    }
    let third = Running::start(&up(data[2].path(), &["--cluster", "shop", "--seeds", &seed, "-o", "json"]));
    assert_eq!(third.says_json("nodes")["nodes"], 2);
}

#[test]
fn a_wrong_secret_is_a_warning_on_both_sides_and_the_joiner_tries_on() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Running::start(&up(data.path(), &["--secret", "the right secret of all", "-o", "json"]));
    let seed = first.says_json("peer_address")["peer_address"].as_str().unwrap().to_owned();
    let mut joiner = Running::start(&up(
        other.path(),
        &["--secret", "the wrong secret of all", "--seeds", &seed, "-o", "json"],
    ));
    assert!(joiner.complains("secrets differ").contains("WARN"));
    assert!(first.complains("secrets differ").contains("`--secret`"));
    assert!(joiner.goes_on());
    let http = joiner.says_json("peer_address")["http_url"].as_str().unwrap().replace("http://", "");
    let status = text(&run(&["cluster", "status", "--node", &http]).stdout);
    let note = format!("note: no connection with {seed}, ");
    assert!(status.contains(&note) && status.contains("s ago: the cluster secrets differ"), "{status}");
    drop(joiner);
    let joiner = Running::start(&up(
        other.path(),
        &["--secret", "the right secret of all", "--seeds", &seed, "-o", "json"],
    ));
    assert_eq!(joiner.says_json("nodes")["ready"], Value::from(true));
}
