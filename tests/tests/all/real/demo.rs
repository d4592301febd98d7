//! What `./run demo` does, step by step, by the same commands: the script relies on their flags and their output.

use crate::process::{Cluster, Finished, finish, until};

#[test]
fn the_demo_reaches_its_end() {
    let mut cluster = Cluster::start(3);
    let folder = cluster.folder.path().to_owned();
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.web.address().to_owned()).collect();
    let type_in = |index: usize, words: &[&str]| -> Finished {
        finish(&folder, words.iter().copied().chain(["--node", addresses[index].as_str()]))
    };
    for index in 0..3 {
        let total = type_in(index, &["call", "counter/alice", "add", "1"]).succeeded();
        assert_eq!(total, format!("{}\n", index + 1));
    }
    // The script finds the host's name by a pattern: there must be one name in the answer.
    let place = type_in(0, &["shard", "where", "counter/alice", "-o", "json"]).succeeded();
    let names: Vec<&str> = place.split("\"name\":").skip(1).collect();
    assert_eq!(names.len(), 1, "{place}");
    let name = names[0].trim_start().trim_start_matches('"').split('"').next().expect("a name follows");
    let host = cluster.nodes.iter().position(|node| node.name == name).expect("one of the three");
    cluster.nodes[host].kill();
    let survivor = (host + 1) % 3;
    let total = until("a survivor answers", || {
        let answer = type_in(survivor, &["call", "counter/alice", "add", "1"]);
        (answer.code == Some(0)).then_some(answer.stdout)
    });
    assert_eq!(total, "4\n", "it goes on where it was");
    let log = type_in(survivor, &["actor", "log", "counter/alice"]).succeeded();
    assert!(log.lines().count() >= 4, "{log}");
    let status = type_in(survivor, &["cluster", "status"]).succeeded();
    assert!(status.contains("members  2 of 3 up"), "{status}");
    cluster.nodes[host].start();
    cluster.until_whole();
    let status = type_in(survivor, &["cluster", "status"]).succeeded();
    assert!(status.contains("members  3 of 3 up"), "{status}");
    for node in &mut cluster.nodes {
        node.process().signal("TERM");
        assert_eq!(node.process().ended().code(), Some(0));
    }
}
