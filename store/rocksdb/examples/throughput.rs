//! How many synced batches a second the disk takes: one at a time, big ones, and many under way at once.
//!
//! `cargo run -p gritmesh-store-rocksdb --example throughput [DIRECTORY]`

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock and prints"
)]

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use gritmesh_runtime::{Batch, Change, Disk, Table};
use gritmesh_store_rocksdb::{Options, RocksDisk};

const ENTRY_BYTES: usize = 256;
const EACH: Duration = Duration::from_secs(3);

/// Keeps `under_way` batches of `entries` each in the queue. Gives batches a second.
fn measure(disk: &RocksDisk, entries: u64, under_way: usize) -> f64 {
    let (done, wait) = sync_channel(under_way);
    let (begun, mut written) = (Instant::now(), 0u64);
    let mut next = 0u64;
    while begun.elapsed() < EACH || written < next {
        while begun.elapsed() < EACH && (next - written) < under_way as u64 {
            let key = |entry: u64| (next * entries + entry).to_be_bytes();
            let changes = (0..entries).map(|entry| Change::put(Table::Log, key(entry), vec![7; ENTRY_BYTES]));
            let done = done.clone();
            let told = move |result: Result<(), _>| done.send(result).expect("somebody counts");
            disk.write(Batch::synced(changes.collect()).into(), Box::new(told));
            next += 1;
        }
        if written < next {
            wait.recv().expect("every batch completes").expect("the disk works");
            written += 1;
        }
    }
    written as f64 / begun.elapsed().as_secs_f64()
}

fn main() {
    let place = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let folder = tempfile::tempdir_in(Path::new(&place)).expect("the directory can be written to");
    let disk = RocksDisk::open(folder.path(), Options::default()).expect("a fresh directory can be opened");
    for (entries, under_way) in [(1, 1), (1, 8), (1, 64), (1, 256), (16, 1), (256, 1), (1024, 1)] {
        let rate = measure(&disk, entries, under_way);
        println!(
            "rocksdb.synced entries={entries} under_way={under_way}: {rate:.0} batches/s, {:.0} entries/s",
            rate * entries as f64
        );
    }
    println!("{:?}", disk.written_bytes());
}
