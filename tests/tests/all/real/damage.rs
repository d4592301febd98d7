//! A disk that has lost bits: the node comes up, what is damaged is replaced by what others have, and it counts again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;

use gritmesh_runtime::{Batch, Change, Disk, Reads, Table};
use gritmesh_store_rocksdb::{Options, RocksDisk};
use serde_json::Value;

use crate::process::{Cluster, Node, until};

const COUNTERS: usize = 12;

/// Shards whose log is damaged: some of those that the node has.
const DAMAGED: usize = 8;

/// Flips a bit in the last record of some shards' logs. Tells which shards these are.
fn damage(data: &Path) -> BTreeSet<u32> {
    let disk = RocksDisk::open(data, Options::default()).unwrap();
    let records = disk.scan(Table::Log, &[0][..]..&[u8::MAX; 16][..], usize::MAX).unwrap();
    let shard = |key: &[u8]| u32::from_be_bytes(key[..4].try_into().unwrap());
    let mut last = std::collections::BTreeMap::new();
    for (key, value) in records {
        last.insert(shard(&key), (key, value));
    }
    let flipped = last.into_values().take(DAMAGED).map(|(key, mut value)| {
        value[0] ^= 0x10;
        (key, value)
    });
    let (mut shards, mut changes) = (BTreeSet::new(), Vec::new());
    for (key, value) in flipped {
        shards.insert(shard(&key));
        changes.push(Change::put(Table::Log, key, value));
    }
    let (told, written) = mpsc::channel();
    disk.write(Batch::synced(changes).into(), Box::new(move |result| told.send(result).unwrap()));
    written.recv().unwrap().unwrap();
    disk.close();
    shards
}

/// A count that a node gives of itself.
fn metric(node: &Node, name: &str) -> u64 {
    let text = node.web.get("/metrics").expect("the node answers").text;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

fn shards(node: &Node) -> Vec<Value> {
    node.web.get("/v1/shards").expect("the node answers").value().as_array().unwrap().clone()
}

#[test]
fn a_node_with_damaged_logs_comes_up_heals_and_votes_again() {
    let mut cluster = Cluster::start(3);
    for number in 0..COUNTERS * 2 {
        cluster.add_one(number % 3, &format!("counter/c{}", number % COUNTERS));
    }
    cluster.nodes[2].kill();
    let damaged = damage(&cluster.nodes[2].data);
    assert_eq!(damaged.len(), DAMAGED);
    cluster.nodes[2].start();
    cluster.until_whole();
    assert!(metric(&cluster.nodes[2], "gritmesh_damaged_records_total") >= DAMAGED as u64);
    // Every shard has three voters again, and none of them is damaged.
    until("all replicas are replaced", || {
        let all = shards(&cluster.nodes[2]);
        let whole = |shard: &Value| shard["replicas"].as_array().is_some_and(|names| names.len() == 3);
        let sound = metric(&cluster.nodes[2], "gritmesh_damaged_replicas") == 0;
        (sound && all.iter().all(whole)).then_some(())
    });
    // One of the others goes: nothing can be changed but with the vote of the node that was damaged.
    cluster.nodes[0].kill();
    for number in 0..COUNTERS {
        let total = cluster.add_one(1 + number % 2, &format!("counter/c{number}"));
        assert_eq!(total, 3, "counter c{number}");
    }
}

/// The only copy is damaged: what is left of it stays, and all other shards are served.
#[test]
fn a_lone_node_with_a_damaged_log_serves_what_is_whole() {
    let mut cluster = Cluster::start(1);
    for number in 0..COUNTERS {
        cluster.add_one(0, &format!("counter/c{number}"));
    }
    cluster.nodes[0].kill();
    let damaged = damage(&cluster.nodes[0].data);
    cluster.nodes[0].start();
    let is_damaged = |shard: &&Value| shard["state"] == "damaged";
    let number = |shard: &Value| shard["shard"].as_u64().unwrap() as u32;
    until("the node says what is damaged", || {
        let found = cluster.nodes[0].web.get("/v1/shards")?.value();
        let found: BTreeSet<u32> = found.as_array()?.iter().filter(is_damaged).map(number).collect();
        (found == damaged).then_some(())
    });
    let served = until("the others are served", || {
        let all = shards(&cluster.nodes[0]);
        let served = all.iter().filter(|shard| shard["state"] == "serving").count();
        (served + damaged.len() == all.len()).then_some(served)
    });
    assert!(served > 0);
    assert!(!cluster.nodes[0].web.is_ready(), "not all it has can be used");
    let status = cluster.nodes[0].status().to_string();
    assert!(status.contains("damaged"), "{status}");
    cluster.nodes[0].kill();
    let log = |data: &Path| {
        let disk = RocksDisk::open(data, Options::default()).unwrap();
        let rows = disk.scan(Table::Log, &[0][..]..&[u8::MAX; 16][..], usize::MAX).unwrap();
        disk.close();
        rows.into_iter()
            .filter(|(key, _)| damaged.contains(&u32::from_be_bytes(key[..4].try_into().unwrap())))
            .count()
    };
    assert!(log(&cluster.nodes[0].data) >= damaged.len(), "what is left stays");
}
