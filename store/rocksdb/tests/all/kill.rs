//! A process that is killed while it writes.

use std::io::{BufRead, BufReader};
use std::path::Path;

use gritmesh_runtime::{Batch, Disk, Reads, Table};

use crate::{child, open, put};

const ROLE: &str = "kill::writes_until_it_is_killed";

/// Batches between two that are synced.
const SYNC_EVERY: u64 = 7;

/// Batches that the victim has under way at most; fewer than may wait.
const UNDER_WAY: u64 = 200;

/// The victim: numbered batches, and a line for each that is known to be durable.
#[test]
fn writes_until_it_is_killed() {
    let Some(directory) = child::role(ROLE) else { return };
    let disk = open(&directory);
    let written = count(&disk);
    let (tell, told) = std::sync::mpsc::sync_channel(UNDER_WAY as usize);
    for number in written + 1.. {
        let key = number.to_be_bytes();
        let changes = vec![put(Table::Log, &key, &[number as u8; 256]), put(Table::Group, b"last", &key)];
        let (sync, tell) = (number % SYNC_EVERY == 0, tell.clone());
        let done = Box::new(move |result: Result<(), _>| {
            result.expect("a healthy disk writes everything");
            if sync {
                println!("durable {number}");
            }
            tell.send(()).expect("the writer counts");
        });
        disk.write(Batch { changes, sync }.into(), done);
        if number - written > UNDER_WAY {
            told.recv().expect("every batch completes");
        }
    }
}

fn count(disk: &dyn Reads) -> u64 {
    let last = disk.get(Table::Group, b"last").expect("the disk can be read");
    last.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("the record is a number")))
}

/// Runs the victim until it has said so many lines, kills it, and gives the last number that it said.
fn kill_after(directory: &Path, lines: usize) -> u64 {
    let mut victim = child::command(ROLE, directory).spawn().expect("this program can be started");
    let output = BufReader::new(victim.stdout.take().expect("the output is piped"));
    let mut last = None;
    let mut said = 0;
    // To the end: what was said before the death counts, whenever it is read.
    for line in output.lines() {
        let line = line.expect("the output is text");
        // The last line may be torn; the test framework says something of its own first, without ending the line.
        let number = line.rsplit_once("durable ").and_then(|(_, number)| number.parse::<u64>().ok());
        last = number.or(last);
        said += usize::from(number.is_some());
        if said == lines {
            victim.kill().expect("it can be killed");
        }
    }
    victim.wait().expect("it ends");
    last.expect("the victim wrote something before it was killed")
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for lines in [1, 40, 7, 300, 90] {
        let durable = kill_after(folder.path(), lines);
        let disk = open(folder.path());
        let count = count(&disk);
        // The last line may have been cut in the middle of its number; it is then a smaller one.
        assert!(durable > before && count >= durable, "{count} survived, {durable} were durable");
        let found = disk.scan(Table::Log, &[]..&[0xff; 9], usize::MAX).unwrap();
        let keys: Vec<_> = found.iter().map(|(key, _)| key.clone()).collect();
        let expected: Vec<_> = (1..=count).map(|number| number.to_be_bytes().to_vec()).collect();
        assert!(keys == expected, "the survivors are a first part, without gaps");
        assert!(found.iter().all(|(key, value)| value == &[key[7]; 256]));
        before = count;
    }
}
