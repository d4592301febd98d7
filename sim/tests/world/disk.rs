//! What survives.

use std::collections::BTreeSet;
use std::sync::Arc;

use gritmesh_runtime::{DiskError, Environment, Record};
use gritmesh_sim::{DiskFaults, NodeIndex, WorldOptions};
use parking_lot::Mutex;

use crate::cluster::Cluster;

type Results = Arc<Mutex<Vec<(u64, Result<(), DiskError>)>>>;

const NODE: NodeIndex = NodeIndex(0);

fn cluster(seed: u64, disk: DiskFaults) -> Cluster {
    Cluster::new(seed, 1, WorldOptions { disk, ..Default::default() })
}

/// Writes `number` under its own key and under `last`.
fn write(environment: &Environment, results: &Results, number: u64) {
    let value = || Some(number.to_le_bytes().to_vec());
    let records = vec![
        Record { key: format!("key {number}"), value: value() },
        Record { key: "last".into(), value: value() },
    ];
    let results = Arc::clone(results);
    environment.disk.write(records, Box::new(move |result| results.lock().push((number, result))));
}

fn read(environment: &Environment, key: &str) -> Option<u64> {
    let value = environment.disk.read(key).expect("the disk can be read")?;
    Some(u64::from_le_bytes(value.try_into().expect("values are numbers")))
}

#[test]
fn a_write_is_there_when_it_is_done_and_after_a_restart() {
    let mut cluster = cluster(1, DiskFaults::default());
    let results = Results::default();
    write(&cluster.nodes[0].environment, &results, 1);
    assert_eq!(read(&cluster.nodes[0].environment, "last"), None);
    cluster.advance(10);
    assert!(matches!(results.lock()[..], [(1, Ok(()))]));
    cluster.restart(0);
    assert_eq!(read(&cluster.nodes[0].environment, "last"), Some(1));
    let gone = vec![Record { key: "last".into(), value: None }];
    cluster.nodes[0].environment.disk.write(gone, Box::new(|_| {}));
    cluster.advance(10);
    assert_eq!(read(&cluster.nodes[0].environment, "last"), None);
}

#[test]
fn a_crash_keeps_a_first_part_of_what_was_under_way() {
    let mut kept = BTreeSet::new();
    for seed in 0..100 {
        let mut cluster =
            cluster(seed, DiskFaults { slow: 0.5, slow_micros_max: 50_000, ..Default::default() });
        let results = Results::default();
        (1..=8).for_each(|number| write(&cluster.nodes[0].environment, &results, number));
        cluster.advance(seed % 40);
        let done = results.lock().len() as u64;
        assert!(results.lock().iter().map(|(number, _)| *number).eq(1..=done), "in the order of the writes");
        cluster.restart(0);
        cluster.advance(1_000);
        assert_eq!(results.lock().len() as u64, done, "a dead process hears of nothing");
        let environment = &cluster.nodes[0].environment;
        let there: Vec<u64> = (1..=8).filter(|n| read(environment, &format!("key {n}")).is_some()).collect();
        let count = there.len() as u64;
        assert!(there.iter().copied().eq(1..=count) && count >= done);
        assert_eq!(read(environment, "last"), (count > 0).then_some(count), "writes are whole");
        kept.insert(count);
    }
    assert!(kept.len() >= 5, "{kept:?}");
}

#[test]
fn failed_writes_may_be_there_or_not() {
    let mut cluster = cluster(2, DiskFaults { write_error: 1.0, ..Default::default() });
    let results = Results::default();
    (1..=50).for_each(|number| write(&cluster.nodes[0].environment, &results, number));
    cluster.advance(1_000);
    assert_eq!(results.lock().len(), 50);
    assert!(results.lock().iter().all(|(_, result)| matches!(result, Err(DiskError::Io { .. }))));
    let environment = &cluster.nodes[0].environment;
    let there = (1..=50).filter(|n| read(environment, &format!("key {n}")).is_some()).count();
    assert!((5..45).contains(&there), "{there}");
}

#[test]
fn a_full_disk_refuses_values_but_not_removals() {
    let mut cluster = cluster(3, DiskFaults::default());
    let results = Results::default();
    write(&cluster.nodes[0].environment, &results, 1);
    cluster.advance(10);
    cluster.world.set_disk_faults(NODE, DiskFaults { full: true, ..Default::default() });
    write(&cluster.nodes[0].environment, &results, 2);
    cluster.advance(10);
    assert!(matches!(&results.lock()[1], (2, Err(DiskError::Io { source, .. }))
        if source.kind() == std::io::ErrorKind::StorageFull));
    let environment = cluster.nodes[0].environment.clone();
    environment.disk.write(vec![Record { key: "last".into(), value: None }], Box::new(|r| r.unwrap()));
    cluster.advance(10);
    assert_eq!((read(&environment, "last"), read(&environment, "key 1")), (None, Some(1)));
    assert_eq!(cluster.world.findings(), []);
}

#[test]
fn reads_fail_when_told_to() {
    let cluster = cluster(4, DiskFaults { read_error: 1.0, ..Default::default() });
    assert!(cluster.nodes[0].environment.disk.read("key").is_err());
}

#[test]
fn a_stalled_process_hears_of_its_writes_when_it_goes_on() {
    let mut cluster = cluster(5, DiskFaults::default());
    let results = Results::default();
    write(&cluster.nodes[0].environment, &results, 1);
    cluster.world.stall(NODE);
    cluster.advance(1_000);
    assert!(results.lock().is_empty());
    cluster.world.resume(NODE);
    cluster.advance(1);
    assert_eq!(results.lock().len(), 1);
}

#[test]
fn too_many_writes_are_refused_in_order() {
    let mut cluster = cluster(6, DiskFaults::default());
    let results = Results::default();
    (0..1100).for_each(|number| write(&cluster.nodes[0].environment, &results, number));
    cluster.advance(10_000);
    let refused = results.lock().iter().filter(|(_, r)| matches!(r, Err(DiskError::Closed))).count();
    assert_eq!((results.lock().len(), refused), (1100, 1100 - 1024));
}
