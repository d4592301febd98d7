//! What every [`Disk`] has to do, as tests that take a disk: the real one and the simulated one run the same.
//!
//! **Problem.** The whole node is tested on a simulated disk. What that shows is worth as much as the two disks are
//! alike.
//!
//! **Design.** A [`Subject`] is a disk that can be made to finish what is under way, and to crash. Each function
//! takes a fresh one and panics if it breaks a promise. [`CASES`] lists all of them.

mod crashes;
mod reading;
mod writing;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Batch, Change, Disk, DiskError, KeyValue, Reads, Table};

/// A disk under test.
pub trait Subject {
    /// The disk as the process that runs now has it.
    fn disk(&self) -> Arc<dyn Disk>;

    /// Waits until every batch that was given so far has completed.
    fn settle(&mut self);

    /// Ends the process wherever it is, and starts it again on what survived.
    fn crash(&mut self);
}

/// One promise and its name.
pub type Case = (&'static str, fn(&mut dyn Subject));

/// All promises, each to be tried on a fresh disk.
pub const CASES: &[Case] = &[
    ("a_fresh_disk_is_empty", reading::a_fresh_disk_is_empty),
    ("what_completed_can_be_read", reading::what_completed_can_be_read),
    ("tables_are_apart", reading::tables_are_apart),
    ("scans_keep_to_their_range_and_limit", reading::scans_keep_to_their_range_and_limit),
    ("values_may_be_empty_or_big", reading::values_may_be_empty_or_big),
    ("snapshots_stand_still", reading::snapshots_stand_still),
    ("completions_come_in_order", writing::completions_come_in_order),
    ("changes_happen_in_order", writing::changes_happen_in_order),
    ("ranges_are_deleted", writing::ranges_are_deleted),
    ("empty_batches_complete", writing::empty_batches_complete),
    ("it_does_what_a_sorted_map_does", writing::it_does_what_a_sorted_map_does),
    ("synced_batches_survive_a_crash", crashes::synced_batches_survive_a_crash),
    ("a_crash_leaves_a_first_part", crashes::a_crash_leaves_a_first_part),
    ("deletes_survive_a_crash", crashes::deletes_survive_a_crash),
];

/// Above every key of these tests.
const END: &[u8] = &[0xff; 16];

/// How a batch ended, by its number.
type Outcome = (u64, Result<(), DiskError>);

/// How a number of batches ended so far, in the order in which they were told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Outcome>>>);

impl Told {
    fn list(&self) -> Vec<Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The numbers, none of which may have failed.
    #[track_caller]
    fn numbers(&self) -> Vec<u64> {
        let number = |(number, result): Outcome| {
            result.expect("a healthy disk writes everything");
            number
        };
        self.list().into_iter().map(number).collect()
    }

    fn write(&self, disk: &dyn Disk, number: u64, batch: Batch) {
        let told = self.clone();
        let done = move |result| {
            told.0.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        };
        disk.write(batch.into(), Box::new(done));
    }
}

/// Writes one batch and waits for it.
#[track_caller]
fn write(subject: &mut dyn Subject, batch: Batch) {
    let told = Told::default();
    told.write(&*subject.disk(), 0, batch);
    subject.settle();
    assert_eq!(told.numbers(), [0], "the batch completes once");
}

fn put(table: Table, key: &[u8], value: &[u8]) -> Change {
    Change::put(table, key, value)
}

#[track_caller]
fn get(reads: &dyn Reads, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    reads.get(table, key).expect("a healthy disk can be read")
}

#[track_caller]
fn scan(reads: &dyn Reads, table: Table, range: Range<&[u8]>, limit: usize) -> Vec<KeyValue> {
    reads.scan(table, range, limit).expect("a healthy disk can be read")
}

/// Keys and values of a table in order.
#[track_caller]
fn all(reads: &dyn Reads, table: Table) -> Vec<KeyValue> {
    scan(reads, table, &[]..END, usize::MAX)
}
