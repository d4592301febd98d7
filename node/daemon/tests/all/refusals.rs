//! What keeps a node from starting: exit code 2, and one line that says what to do.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::process::{Running, gritmesh, run, text, up};

/// Runs something that cannot start, and returns the one line it says.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert_eq!(text(&output.stdout), "");
    assert!(complaint.starts_with("error: "), "{complaint}");
    complaint
}

#[test]
fn a_directory_that_another_node_uses() {
    let data = tempfile::tempdir().unwrap();
    let mut first = Running::start(&up(data.path(), &[]));
    first.says("ready");
    let said = refused(&up(data.path(), &[]));
    assert!(said.contains(data.path().to_str().unwrap()) && said.contains("`--data`"), "{said}");
    assert!(first.goes_on());
    first.signal("TERM");
    assert_eq!(first.ends(), Some(0));
    let again = Running::start(&up(data.path(), &[]));
    again.says("ready");
}

#[test]
fn a_directory_that_cannot_be_used() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    for data in [file.join("below"), file, "/proc/nowhere".into()] {
        let said = refused(&up(&data, &[]));
        assert!(said.contains("cannot use the data directory") && said.contains("`--data`"), "{said}");
    }
}

#[test]
fn a_directory_whose_records_are_damaged() {
    let data = tempfile::tempdir().unwrap();
    let private = |name: &str, text: &str| {
        let path = data.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    };
    private("incarnation", "short");
    assert!(refused(&up(data.path(), &[])).contains("incarnation is damaged"));
    std::fs::remove_file(data.path().join("incarnation")).unwrap();
    private("identity.key", "no key");
    refused(&up(data.path(), &[]));
}

#[test]
fn ports_that_are_taken() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = data.path().to_str().unwrap();
    let said = refused(&["up", "--data", directory, "--http", "off", "--listen", &address]);
    assert!(said.contains(&address) && said.contains("`--listen`"), "{said}");
    let said = refused(&["up", "--data", directory, "--listen", "127.0.0.1:0", "--http", &address]);
    assert!(said.contains(&address) && said.contains("`--http`"), "{said}");
}

#[test]
fn settings_that_do_not_fit() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().to_str().unwrap();
    for (arguments, hint) in [
        (vec!["--weight", "heavy"], "flag --weight"),
        (vec!["--engines", "1000"], "0 to 64 are allowed"),
        (vec!["--advertise", "host name"], "`--advertise`"),
        (vec!["--advertise", "host:7946"], "`--advertise`"),
        (vec!["--seeds", "nonsense"], "HOST:PORT"),
        (vec!["--seeds", "127.0.0.1:7946,127.0.0.1:99999"], "`127.0.0.1:99999` is no seed"),
        (vec!["--secret", "@no/such/file"], "`--secret`"),
        (vec!["--secret", "hunter2"], "16 letters"),
        (vec!["--secret", "@/dev/zero"], "no ordinary file"),
        (vec!["--token", "two words"], "`--token`"),
        (vec!["--log", "a=b=c"], "log level"),
        (vec!["--log", "warning"], "off, error, warn, info, debug, trace"),
        (vec!["--config", "no/such.toml"], "no/such.toml"),
    ] {
        let said = refused(&up(data.path(), &arguments));
        assert!(said.contains(hint), "{said}");
    }
    for (listen, hint) in
        [("nonsense", "HOST:PORT"), ("127.0.0.1:99999", "HOST:PORT"), ("0.0.0.0:0", "`--secret`")]
    {
        let said = refused(&["up", "--data", directory, "--http", "off", "--listen", listen]);
        assert!(said.contains(hint), "{said}");
    }
    let output = gritmesh(&up(data.path(), &[])).env("GRITMESH_LIMITS__MEMROY", "1GiB").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("GRITMESH_LIMITS__MEMROY: `limits.memroy`: no such setting"), "{said}");
}

#[test]
fn a_level_that_does_not_exist_is_refused_wherever_it_stands() {
    let data = tempfile::tempdir().unwrap();
    let output = gritmesh(&up(data.path(), &[])).env("GRITMESH_LOG", "INFOO").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("GRITMESH_LOG") && said.contains("off, error, warn, info, debug, trace"), "{said}");
    let output = run(&["dev", "--log", "warning"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("off, error, warn, info, debug, trace"));
}

#[test]
fn what_cannot_start_says_so_in_json_where_log_lines_are_json() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("node.toml");
    std::fs::write(&file, "log_format = 'json'\nweight = 'heavy'\n").unwrap();
    let json = ["--log-format", "json"];
    for (arguments, variable, words) in [
        ([&json[..], &["--weight", "heavy"]].concat(), "", "`weight`"),
        ([&json[..], &["--advertise", "host name"]].concat(), "", "`--advertise`"),
        ([&json[..], &["--no-such-flag"]].concat(), "", "--no-such-flag"),
        (vec!["--no-such-flag"], "json", "--no-such-flag"),
        (vec!["--weight", "heavy"], "json", "`weight`"),
        (vec!["--config", file.to_str().unwrap()], "", "`weight`"),
    ] {
        let mut command = gritmesh(&up(data.path(), &arguments));
        if !variable.is_empty() {
            command.env("GRITMESH_LOG_FORMAT", variable);
        }
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        let line: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(line["level"], "ERROR");
        assert!(line["message"].as_str().is_some_and(|text| text.contains(words)), "{said}");
    }
}
