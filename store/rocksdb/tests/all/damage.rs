//! Bits that change on the disk.

use std::fs;
use std::path::PathBuf;

use gritmesh_runtime::{Batch, DiskError, Reads, Table};
use gritmesh_store_rocksdb::{OpenError, RocksDisk};

use crate::{SMALL, open, put, write};

/// A directory with enough records that they are in sorted files, and the biggest of those files.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    for round in 0u32..40 {
        let value = |key: u32| {
            [round ^ key, key.wrapping_mul(0x9e37_79b9), key, round].map(u32::to_be_bytes).concat()
        };
        let records = (0..100)
            .map(|key: u32| put(Table::Head, &(round * 100 + key).to_be_bytes(), &value(key).repeat(40)));
        write(&disk, Batch::synced(records.collect())).unwrap();
    }
    drop(disk);
    // What is still in the log reaches sorted files by being recovered.
    drop(open(folder.path()));
    let files = fs::read_dir(folder.path().join("database")).unwrap().map(|entry| entry.unwrap().path());
    let sorted = files.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
    let biggest = sorted.max_by_key(|path| fs::metadata(path).unwrap().len()).expect("records are in a file");
    (folder, biggest)
}

fn flip(path: &PathBuf, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_of_a_record_is_told_when_it_is_read() {
    let (folder, file) = filled();
    flip(&file, |bytes| bytes / 3);
    let disk = open(folder.path());
    let results: Vec<_> = (0u32..4000).map(|key| disk.get(Table::Head, &key.to_be_bytes())).collect();
    let damaged = results.iter().filter(|result| matches!(result, Err(DiskError::Corrupt { .. }))).count();
    let sound = results.iter().filter(|result| matches!(result, Ok(Some(_)))).count();
    assert!(damaged > 0 && sound > 3000 && damaged + sound == 4000, "{damaged} damaged, {sound} sound");
    let all = disk.scan(Table::Head, &[]..&[0xff; 5], usize::MAX);
    assert!(matches!(&all, Err(DiskError::Corrupt { detail }) if detail.contains("database")), "{all:?}");
}

#[test]
fn damage_that_makes_opening_impossible_is_told_at_once() {
    let (folder, _) = filled();
    let files = fs::read_dir(folder.path().join("database")).unwrap().map(|entry| entry.unwrap().path());
    let manifest = files.into_iter().find(|path| path.to_string_lossy().contains("MANIFEST")).unwrap();
    flip(&manifest, |bytes| bytes / 2);
    let error = RocksDisk::open(folder.path(), SMALL).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    assert_eq!(error.to_string().lines().count(), 1);
}
