//! What survives.

use std::collections::BTreeSet;
use std::sync::Arc;

use gritmesh_runtime::disk_conformance::{CASES, Subject};
use gritmesh_runtime::{Batch, Change, Disk, DiskError, Environment, Table};
use gritmesh_sim::{DiskFaults, NodeIndex, WorldOptions};
use parking_lot::Mutex;

use crate::cluster::Cluster;

type Results = Arc<Mutex<Vec<(u64, Result<(), DiskError>)>>>;

const NODE: NodeIndex = NodeIndex(0);

fn cluster(seed: u64, disk: DiskFaults) -> Cluster {
    Cluster::new(seed, 1, WorldOptions { disk, ..Default::default() })
}

/// Writes `number` under its own key and under `last`.
fn write(environment: &Environment, results: &Results, number: u64, sync: bool) {
    let put = |key: &[u8]| Change::put(Table::Head, key, number.to_be_bytes());
    let changes = vec![put(&number.to_be_bytes()), put(b"last")];
    let results = Arc::clone(results);
    environment
        .disk
        .write(Batch { changes, sync }.into(), Box::new(move |result| results.lock().push((number, result))));
}

fn read(environment: &Environment, key: &[u8]) -> Option<u64> {
    let value = environment.disk.get(Table::Head, key).expect("the disk can be read")?;
    Some(u64::from_be_bytes(value.try_into().expect("values are numbers")))
}

/// A simulated disk under the tests that every disk has to pass.
struct Simulated(Cluster);

impl Subject for Simulated {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.0.nodes[0].environment.disk)
    }

    fn settle(&mut self) {
        while self.0.world.writes_waiting(NODE) > 0 {
            self.0.advance(1);
        }
    }

    fn crash(&mut self) {
        // A moment, so that some of what is under way has completed.
        self.0.advance(1);
        self.0.restart(0);
    }
}

#[test]
fn the_promises_of_every_disk_hold() {
    let slow = DiskFaults { slow: 0.3, slow_micros_max: 20_000, ..Default::default() };
    for (name, case) in CASES {
        for seed in 0..10 {
            println!("{name}, seed {seed}");
            case(&mut Simulated(cluster(seed, if seed % 2 == 0 { DiskFaults::default() } else { slow })));
        }
    }
}

#[test]
fn a_crash_keeps_a_first_part_of_what_was_not_synced() {
    let (mut kept, mut lost_completed) = (BTreeSet::new(), 0);
    for seed in 0..200 {
        let mut cluster =
            cluster(seed, DiskFaults { slow: 0.5, slow_micros_max: 50_000, ..Default::default() });
        let results = Results::default();
        let synced = |number: u64| number == 3;
        (1..=8).for_each(|number| write(&cluster.nodes[0].environment, &results, number, synced(number)));
        cluster.advance(seed % 40);
        let done = results.lock().len() as u64;
        assert!(results.lock().iter().map(|(number, _)| *number).eq(1..=done), "in the order of the batches");
        cluster.restart(0);
        cluster.advance(1_000);
        assert_eq!(results.lock().len() as u64, done, "a dead process hears of nothing");
        let environment = &cluster.nodes[0].environment;
        let there: Vec<u64> =
            (1..=8).filter(|n: &u64| read(environment, &n.to_be_bytes()).is_some()).collect();
        let count = there.len() as u64;
        assert!(there.iter().copied().eq(1..=count), "a first part");
        assert!(done < 3 || count >= 3, "what was synced is there, and all before it");
        assert_eq!(read(environment, b"last"), (count > 0).then_some(count), "batches are whole");
        kept.insert(count);
        lost_completed += u64::from(count < done);
    }
    assert!(kept.len() >= 6, "{kept:?}");
    assert!(lost_completed > 10, "a completed batch is lost if it was not synced: {lost_completed} of 200");
}

#[test]
fn failed_batches_may_be_there_or_not() {
    let mut cluster = cluster(2, DiskFaults { write_error: 1.0, ..Default::default() });
    let results = Results::default();
    (1..=50).for_each(|number| write(&cluster.nodes[0].environment, &results, number, true));
    cluster.advance(1_000);
    assert_eq!(results.lock().len(), 50);
    assert!(results.lock().iter().all(|(_, result)| matches!(result, Err(DiskError::Io { .. }))));
    let environment = &cluster.nodes[0].environment;
    let there = (1..=50).filter(|n: &u64| read(environment, &n.to_be_bytes()).is_some()).count();
    assert!((5..45).contains(&there), "{there}");
}

#[test]
fn a_full_disk_refuses_values_but_not_removals() {
    let mut cluster = cluster(3, DiskFaults::default());
    let results = Results::default();
    write(&cluster.nodes[0].environment, &results, 1, true);
    cluster.advance(10);
    cluster.world.set_disk_faults(NODE, DiskFaults { full: true, ..Default::default() });
    write(&cluster.nodes[0].environment, &results, 2, true);
    cluster.advance(10);
    assert!(matches!(results.lock()[1], (2, Err(DiskError::Full))));
    let environment = cluster.nodes[0].environment.clone();
    let gone = Batch::synced(vec![Change::delete(Table::Head, *b"last")]);
    environment.disk.write(gone.into(), Box::new(|result| result.unwrap()));
    cluster.advance(10);
    assert_eq!(read(&environment, b"last"), None);
    assert_eq!(read(&environment, &1u64.to_be_bytes()), Some(1));
    assert_eq!(read(&environment, &2u64.to_be_bytes()), None, "a refusal changes nothing");
    cluster.world.set_disk_faults(NODE, DiskFaults::default());
    write(&environment, &results, 3, true);
    cluster.advance(10);
    assert!(matches!(results.lock()[2], (3, Ok(()))), "there is room again");
    assert_eq!(cluster.world.findings(), []);
}

#[test]
fn bits_flip_where_they_are_told_to_and_stay_flipped() {
    let mut cluster = cluster(7, DiskFaults { flipped_bits: 0.5, ..Default::default() });
    let value = [0x55; 64];
    let tables = [Table::Object, Table::Log, Table::Head, Table::Group];
    let put = |number: u8| tables.map(|table| Change::put(table, [number], value)).to_vec();
    let changes = (0..100).flat_map(put).collect();
    cluster.nodes[0]
        .environment
        .disk
        .write(Batch::synced(changes).into(), Box::new(|result| result.unwrap()));
    cluster.advance(10);
    cluster.world.set_disk_faults(NODE, DiskFaults::default());
    let count = |cluster: &Cluster| {
        let disk = Arc::clone(&cluster.nodes[0].environment.disk);
        let (mut objects, mut entries) = (0, 0);
        for number in 0..100 {
            let object = disk.get(Table::Object, &[number]).unwrap().unwrap();
            let bits: u32 = object.iter().zip(value).map(|(found, byte)| (found ^ byte).count_ones()).sum();
            assert!(bits <= 1, "one bit of an object flips");
            objects += bits;
            for table in [Table::Log, Table::Group] {
                match disk.get(table, &[number]) {
                    Ok(found) => assert_eq!(found.as_deref(), Some(value.as_slice())),
                    Err(DiskError::Corrupt { detail }) => {
                        assert!(detail.contains(table.as_str()), "{detail}");
                        entries += u32::from(table == Table::Log);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert_eq!(disk.get(Table::Head, &[number]).unwrap().as_deref(), Some(value.as_slice()));
        }
        assert!(matches!(disk.scan(Table::Log, &[]..&[100], 100), Err(DiskError::Corrupt { .. })));
        assert_eq!(disk.scan(Table::Object, &[]..&[100], 1000).unwrap().len(), 100);
        (objects, entries)
    };
    let (objects, entries) = count(&cluster);
    assert!((30..70).contains(&objects) && (30..70).contains(&entries), "{objects} and {entries} of 100");
    cluster.restart(0);
    assert_eq!(count(&cluster), (objects, entries), "what has flipped stays");
}

#[test]
fn reads_fail_when_told_to_from_a_snapshot_as_well() {
    let mut cluster = cluster(4, DiskFaults::default());
    let snapshot = cluster.nodes[0].environment.disk.snapshot().unwrap();
    cluster.world.set_disk_faults(NODE, DiskFaults { read_error: 1.0, ..Default::default() });
    assert!(matches!(cluster.nodes[0].environment.disk.get(Table::Head, b"key"), Err(DiskError::Io { .. })));
    assert!(matches!(snapshot.scan(Table::Head, &[]..&[1], 1), Err(DiskError::Io { .. })));
    cluster.world.set_disk_faults(NODE, DiskFaults::default());
    assert_eq!(snapshot.get(Table::Head, b"key").unwrap(), None);
    cluster.restart(0);
    assert!(matches!(snapshot.get(Table::Head, b"key"), Err(DiskError::Closed)), "it ends with its process");
}

#[test]
fn a_stalled_process_hears_of_its_batches_when_it_goes_on() {
    let mut cluster = cluster(5, DiskFaults::default());
    let results = Results::default();
    write(&cluster.nodes[0].environment, &results, 1, true);
    cluster.world.stall(NODE);
    cluster.advance(1_000);
    assert!(results.lock().is_empty());
    cluster.world.resume(NODE);
    cluster.advance(1);
    assert_eq!(results.lock().len(), 1);
}

#[test]
fn too_many_batches_are_refused_in_order() {
    let mut cluster = cluster(6, DiskFaults::default());
    let results = Results::default();
    (0..1100).for_each(|number| write(&cluster.nodes[0].environment, &results, number, false));
    cluster.advance(10_000);
    let results = results.lock();
    assert!(results.iter().map(|(number, _)| *number).eq(0..1100));
    let refused = results.iter().filter(|(_, result)| matches!(result, Err(DiskError::Overloaded))).count();
    assert_eq!(refused, 1100 - 1024);
}
