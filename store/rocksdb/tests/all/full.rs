//! A file system without room. It has to be a small one, which only root may mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gritmesh_runtime::{Batch, Change, DiskError, Reads, Table};
use gritmesh_store_rocksdb::{Options, RocksDisk};

use crate::{SMALL, open, put, write};

/// Size of the file system, and of a file on it that is removed to make room.
const SYSTEM_MIB: usize = 160;
const BALLAST_MIB: usize = 64;

/// How long RocksDB may take to find that there is room again: it looks every 5 s.
const RECOVERY: Duration = Duration::from_secs(30);

/// A small file system in memory.
struct Mount {
    folder: tempfile::TempDir,
}

impl Mount {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={SYSTEM_MIB}m"), "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            other => {
                eprintln!("SKIPPED: a small file system cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    fn load(&self) {
        fs::write(self.ballast(), vec![1; BALLAST_MIB << 20]).unwrap();
    }

    fn unload(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open must not keep it mounted for ever.
        drop(Command::new("umount").arg("-l").arg(self.folder.path()).output());
    }
}

/// Bytes that do not compress.
fn object(number: u32) -> Vec<u8> {
    let mut word = u64::from(number) + 1;
    let step = |_| {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word.to_be_bytes()
    };
    (0..1 << 15).flat_map(step).collect()
}

fn write_object(disk: &RocksDisk, number: u32) -> Result<(), DiskError> {
    let changes = vec![
        put(Table::Object, &number.to_be_bytes(), &object(number)),
        put(Table::Head, b"last", &number.to_be_bytes()),
    ];
    write(disk, Batch::synced(changes))
}

/// Writes until the disk refuses, and gives the number that it refused.
fn fill(disk: &RocksDisk, from: u32) -> u32 {
    for number in from..from + 2 * (SYSTEM_MIB as u32) * 4 {
        match write_object(disk, number) {
            Ok(()) => {}
            Err(DiskError::Full) => return number,
            Err(error) => panic!("number {number}: {error:?}"),
        }
    }
    panic!("the disk has more room than its file system");
}

fn assert_holds_up_to(disk: &dyn Reads, refused: u32) {
    for number in 0..refused {
        let found = disk.get(Table::Object, &number.to_be_bytes()).unwrap();
        assert!(found == Some(object(number)), "number {number} is whole");
    }
    assert_eq!(disk.get(Table::Object, &refused.to_be_bytes()).unwrap(), None, "a refusal changes nothing");
    assert_eq!(disk.get(Table::Head, b"last").unwrap(), Some((refused - 1).to_be_bytes().to_vec()));
}

fn open_with_reserve(directory: &Path, reserve_bytes: u64) -> RocksDisk {
    RocksDisk::open(directory, Options { reserve_bytes, memtable_bytes: 8 << 20, ..SMALL }).unwrap()
}

#[test]
fn a_full_disk_refuses_reads_on_and_goes_on_when_there_is_room() {
    let Some(mount) = Mount::new() else { return };
    mount.load();
    let disk = open_with_reserve(&mount.data(), 32 << 20);
    let refused = fill(&disk, 0);
    assert!(refused > 40, "{refused} objects of 256 KiB fit");
    assert_holds_up_to(&disk, refused);
    write(&disk, Batch::synced(vec![Change::delete(Table::Object, 0u32.to_be_bytes())])).unwrap();
    assert_eq!(disk.get(Table::Object, &0u32.to_be_bytes()).unwrap(), None, "removals go on");
    write(&disk, Batch::synced(Vec::new())).unwrap();
    mount.unload();
    write_object(&disk, refused).expect("there is room, at once");
    drop(disk);
    let disk = open_with_reserve(&mount.data(), 32 << 20);
    assert_eq!(disk.get(Table::Head, b"last").unwrap(), Some(refused.to_be_bytes().to_vec()));
}

/// Somebody else uses up the reserve, and the database itself runs against the end.
#[test]
fn a_disk_that_others_fill_recovers_by_itself() {
    let Some(mount) = Mount::new() else { return };
    mount.load();
    let disk = open_with_reserve(&mount.data(), 0);
    let refused = fill(&disk, 0);
    assert_holds_up_to(&disk, refused);
    mount.unload();
    let since = Instant::now();
    while let Err(error) = write_object(&disk, refused) {
        assert!(matches!(error, DiskError::Full), "{error:?}");
        assert!(since.elapsed() < RECOVERY, "still full, although there is room");
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("recovered after {:?}", since.elapsed());
    assert_holds_up_to(&disk, refused + 1);
    drop(disk);
    assert_holds_up_to(&open(&mount.data()), refused + 1);
}
