//! What this machine's disk, its loopback and its cores give at best: nothing durable can be faster.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::Result;
use gritmesh_runtime::{Batch, Change, Disk, Table};
use gritmesh_store::{ObjectId, ObjectKind};
use gritmesh_store_rocksdb::{Options, RocksDisk};

use crate::figures::{Figures, percentile_us};
use crate::role::Role;

/// How long each of them is measured.
const LASTS: Duration = Duration::from_secs(2);
const BLOCK_BYTES: usize = 4096;
const VALUE_BYTES: usize = 256;
/// Entries of the big batch.
const ENTRIES: usize = 1024;
const MESSAGE_BYTES: usize = 100;
const ROUND_TRIPS: usize = 20_000;

pub(crate) fn measure(runs: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    for _ in 0..runs {
        synced_appends(&mut figures)?;
        synced_batches(&mut figures)?;
        round_trips(&mut figures)?;
        hashing(&mut figures);
    }
    Ok(figures)
}

fn synced_appends(figures: &mut Figures) -> Result<()> {
    let mut file = tempfile::tempfile()?;
    let block = vec![7; BLOCK_BYTES];
    let append = |file: &mut File| -> Result<()> {
        file.write_all(&block)?;
        Ok(file.sync_data()?)
    };
    let mut latencies = repeated(|| append(&mut file))?;
    figures.add("fdatasync_append_4k", "syncs/s", latencies.len() as f64 / LASTS.as_secs_f64());
    figures.add("fdatasync_append_4k_p50", "us", percentile_us(&mut latencies, 50));
    figures.add("fdatasync_append_4k_p99", "us", percentile_us(&mut latencies, 99));
    Ok(())
}

/// Through the disk that a node uses, one batch after the other.
fn synced_batches(figures: &mut Figures) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let disk = RocksDisk::open(directory.path(), Options::default())?;
    let mut next = 0u64;
    for entries in [1, ENTRIES] {
        let mut latencies = repeated(|| {
            let changes = (0..entries).map(|_| {
                next += 1;
                Change::put(Table::Log, next.to_be_bytes(), vec![7; VALUE_BYTES])
            });
            let (written, wait) = sync_channel(1);
            let done = Box::new(move |result| drop(written.send(result)));
            disk.write(Batch::synced(changes.collect()).into(), done);
            Ok(wait.recv()??)
        })?;
        let batches = latencies.len() as f64 / LASTS.as_secs_f64();
        figures.add(format!("disk_synced_batches_of_{entries}"), "batches/s", batches);
        figures.add(format!("disk_entries_in_batches_of_{entries}"), "entries/s", batches * entries as f64);
        let p50 = percentile_us(&mut latencies, 50);
        figures.add(format!("disk_synced_batches_of_{entries}_p50"), "us", p50);
    }
    disk.close();
    Ok(())
}

/// Does something over and over; how long each time took, in nanoseconds.
fn repeated(mut once: impl FnMut() -> Result<()>) -> Result<Vec<u64>> {
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed() < LASTS {
        let begun = Instant::now();
        once()?;
        latencies.push(u64::try_from(begun.elapsed().as_nanos())?);
    }
    Ok(latencies)
}

/// Two processes, one connection, no protocol.
fn round_trips(figures: &mut Figures) -> Result<()> {
    let role = Role::start("echo", &[])?;
    let mut stream = TcpStream::connect(&*role.line)?;
    stream.set_nodelay(true)?;
    let mut message = [7; MESSAGE_BYTES];
    let mut latencies = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        latencies.push(u64::try_from(begun.elapsed().as_nanos())?);
    }
    figures.add("loopback_round_trip_p50", "us", percentile_us(&mut latencies, 50));
    figures.add("loopback_round_trip_p99", "us", percentile_us(&mut latencies, 99));
    Ok(())
}

/// The child process: sends back what it gets.
pub(crate) fn echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut message = [0; MESSAGE_BYTES];
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message)?;
    }
    Ok(())
}

/// What it costs to name objects: by BLAKE3, on one core.
fn hashing(figures: &mut Figures) {
    for (name, bytes) in [("hash_256_b", 256), ("hash_64_kib", 64 * 1024)] {
        let mut object = vec![7; bytes];
        let (started, mut hashed) = (Instant::now(), 0);
        while hashed < 256 << 20 {
            let id = ObjectId::of(ObjectKind::Blob, &object);
            // The next one depends on this one, so that none is left out.
            object[0] = id.as_bytes()[0];
            hashed += bytes;
        }
        figures.add(name, "MB/s", hashed as f64 / 1e6 / started.elapsed().as_secs_f64());
    }
}
