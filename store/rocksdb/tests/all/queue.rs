//! Who waits for the disk, and who closes it.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use gritmesh_runtime::{Batch, Disk, DiskError, Reads, Table};

use crate::{open, put, write};

#[test]
fn too_many_batches_are_refused_in_their_turn_and_change_nothing() {
    const MORE: usize = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let (entered, is_inside) = sync_channel(1);
    let (go_on, wait) = sync_channel::<()>(1);
    // The writer is held up by a completion, so that what follows has to wait.
    let hold = move |_| {
        entered.send(()).unwrap();
        wait.recv().unwrap();
    };
    disk.write(Arc::default(), Box::new(hold));
    is_inside.recv().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    for number in 0..MORE {
        let told = Arc::clone(&told);
        let batch = Batch::synced(vec![put(Table::Log, &(number as u64).to_be_bytes(), b"")]);
        disk.write(batch.into(), Box::new(move |result| told.lock().unwrap().push((number, result))));
    }
    assert!(told.lock().unwrap().is_empty());
    go_on.send(()).unwrap();
    write(&disk, Batch::default()).ok();
    let told = told.lock().unwrap();
    assert!(told.iter().map(|(number, _)| *number).eq(0..MORE), "in the order of the batches");
    let refused: Vec<_> = told.iter().filter(|(_, result)| result.is_err()).collect();
    // Behind the one that is held up, as many as wait at first may be written already, and as many again wait.
    assert!((MORE - 2048..=MORE - 1024).contains(&refused.len()), "{} were refused", refused.len());
    assert!(
        refused
            .iter()
            .all(|(number, result)| *number >= 1024 && matches!(result, Err(DiskError::Overloaded)))
    );
    let written = disk.scan(Table::Log, &[]..&[0xff; 9], usize::MAX).unwrap().len();
    assert_eq!(written, MORE - refused.len());
}

#[test]
fn a_closed_disk_has_written_everything_and_says_that_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let told = Arc::new(Mutex::new(Vec::new()));
    for number in 0u64..100 {
        let told = Arc::clone(&told);
        let batch = Batch { changes: vec![put(Table::Log, &number.to_be_bytes(), b"")], sync: false };
        disk.write(batch.into(), Box::new(move |result| told.lock().unwrap().push(result)));
    }
    let snapshot = disk.snapshot().unwrap();
    disk.close();
    disk.close();
    assert_eq!(told.lock().unwrap().iter().filter(|result| result.is_ok()).count(), 100);
    assert!(matches!(write(&disk, Batch::default()), Err(DiskError::Closed)));
    assert!(matches!(disk.get(Table::Log, b""), Err(DiskError::Closed)));
    assert!(matches!(disk.scan(Table::Log, &[]..&[1], 1), Err(DiskError::Closed)));
    assert!(matches!(disk.snapshot(), Err(DiskError::Closed)));
    snapshot.get(Table::Node, b"format").unwrap().expect("a snapshot outlives the disk");
    drop(snapshot);
    assert_eq!(open(folder.path()).scan(Table::Log, &[]..&[0xff; 9], usize::MAX).unwrap().len(), 100);
}

#[test]
fn the_last_holder_may_be_a_completion() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(open(folder.path()));
    let (done, wait) = sync_channel(1);
    let held = Arc::clone(&disk);
    disk.write(
        Arc::default(),
        Box::new(move |_| {
            // By now the test has let go of it, or will; whoever is last closes the disk.
            drop(held);
            done.send(()).unwrap();
        }),
    );
    drop(disk);
    wait.recv().unwrap();
}

#[tokio::test]
async fn whoever_waits_is_called_on_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let (done, wait) = tokio::sync::oneshot::channel();
    let told = Box::new(move |_| done.send(tokio::runtime::Handle::try_current().is_ok()).unwrap());
    disk.write(Arc::default(), told);
    assert!(wait.await.unwrap());
}

#[test]
fn what_is_written_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let before = disk.written_bytes();
    for number in 0u32..64 {
        write(&disk, Batch::synced(vec![put(Table::Object, &number.to_be_bytes(), &[1; 32 << 10])])).unwrap();
    }
    let after = disk.written_bytes();
    assert!(after.log - before.log >= 64 * (32 << 10), "{after:?}");
    assert!(after.total() >= after.log);
}
