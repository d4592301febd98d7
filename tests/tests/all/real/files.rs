//! A process may have so many files open, and connections are files.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Cluster;

/// A request whose body does not come.
const BEGUN: &[u8] =
    b"POST /v1/call/counter/a/get HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                       Content-Length: 3\r\n\r\n";

/// One node whose process may have so many files open, and may raise that to so many.
fn node_with(soft: u32, hard: u32) -> Cluster {
    let mut cluster = Cluster::new(1, &[]);
    cluster.nodes[0].started_by(&["prlimit", &format!("--nofile={soft}:{hard}")]);
    cluster.nodes[0].start();
    cluster
}

#[test]
fn a_node_raises_its_limit_of_open_files() {
    let mut cluster = node_with(300, 3000);
    cluster.until_whole();
    let limits = fs::read_to_string(format!("/proc/{}/limits", cluster.nodes[0].process().id())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().next(), Some("3000"), "{limits}");
}

#[test]
fn a_node_that_may_have_too_few_files_says_how_many_it_needs() {
    let mut cluster = node_with(200, 200);
    assert_eq!(cluster.nodes[0].process().ended().code(), Some(2));
    let said = cluster.nodes[0].process().stderr();
    assert!(said.contains("256 open files") && said.contains("ulimit"), "{said}");
}

/// They give way to one another.
#[test]
fn idle_connections_lock_nobody_out() {
    let mut cluster = node_with(300, 300);
    cluster.until_whole();
    let address = cluster.nodes[0].web.address().to_owned();
    let idle: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let fresh = crate::process::Web::new(&address);
    assert_eq!(fresh.get("/livez").map(|answer| answer.status), Some(200));
    for _ in 0..20 {
        cluster.add_one(0, "counter/a");
    }
    assert!(cluster.nodes[0].web.metric("gritmesh_http_connections_crowded_out_total") >= 200.0);
    cluster.nodes[0].process().logs("HTTP connections that rest give way");
    drop(idle);
}

/// Nor do requests whose bodies do not come, and the disk goes on.
#[test]
fn connections_do_not_take_the_files_of_the_disk() {
    let mut cluster = node_with(300, 300);
    cluster.until_whole();
    let address = cluster.nodes[0].web.address().to_owned();
    let begin = |_| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // One that has given way already takes no more.
        let _ = stream.write_all(BEGUN);
        stream
    };
    let mut begun: Vec<TcpStream> = (0..300).map(begin).collect();
    // One that had not said what it wants when it gave way is cut.
    let gave_way = begun.drain(..100).filter_map(|mut stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).ok().filter(|read| *read > 0).map(|_| text)
    });
    let gave_way: Vec<String> = gave_way.collect();
    let in_words = |text: &&String| text.starts_with("HTTP/1.1 408") && text.contains("\"request_timeout\"");
    assert_eq!(gave_way.iter().find(|text| !in_words(text)), None);
    assert!(!gave_way.is_empty(), "none had its place taken");
    for _ in 0..20 {
        cluster.add_one(0, "counter/a");
    }
    assert!(crate::process::Web::new(&address).is_ready());
    drop(begun);
    assert_eq!(cluster.add_one(0, "counter/a"), 21);
}
