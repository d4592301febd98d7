//! Directories that cannot be used: a typed error, one line that says what to do, and nothing changed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use gritmesh_runtime::{Batch, Change, Disk, Reads, Table};
use gritmesh_store_rocksdb::{OpenError, Options, RocksDisk};

use crate::{SMALL, child, open, put, write};

#[track_caller]
fn refusal(directory: &Path) -> OpenError {
    let error = RocksDisk::open(directory, SMALL).expect_err("the directory is of no use");
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(&*directory.file_name().unwrap().to_string_lossy()), "{text}");
    error
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_no_directory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(refusal(&file), OpenError::Directory { .. }));
    assert!(matches!(refusal(&file.join("below")), OpenError::Directory { .. }));
}

#[test]
fn somebody_elses_directory_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("photo.jpg"), "").unwrap();
    let error = refusal(folder.path());
    assert!(matches!(&error, OpenError::Foreign { found, .. } if found == "photo.jpg"), "{error:?}");
    assert_eq!(names(folder.path()), ["photo.jpg"]);
}

#[test]
fn a_fresh_file_system_and_an_interrupted_first_start_are_no_reason_to_refuse() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    fs::create_dir(folder.path().join("database")).unwrap();
    fs::write(folder.path().join("database/LOCK"), "").unwrap();
    drop(open(folder.path()));
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    drop(open(folder.path()));
}

#[test]
fn somebody_elses_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("database");
    let other = rocksdb::DB::open_default(&database).unwrap();
    other.put(b"key", b"value").unwrap();
    drop(other);
    assert!(matches!(refusal(folder.path()), OpenError::Foreign { .. }));
    assert_eq!(rocksdb::DB::list_cf(&rocksdb::Options::default(), &database).unwrap(), ["default"]);
    let mut options = rocksdb::Options::default();
    options.create_missing_column_families(true);
    drop(rocksdb::DB::open_cf(&options, &database, ["photos"]).unwrap());
    let error = refusal(folder.path());
    assert!(matches!(&error, OpenError::Foreign { found, .. } if found == "photos"), "{error:?}");
}

#[test]
fn a_directory_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    assert_eq!(disk.get(Table::Node, b"format").unwrap(), Some(vec![1, 0, 0, 0]));
    write(&disk, Batch::synced(vec![put(Table::Node, b"format", &2u32.to_le_bytes())])).unwrap();
    drop(disk);
    assert!(matches!(refusal(folder.path()), OpenError::Newer { format: 2, .. }));
    // One that has tables that nobody has heard of.
    let mut options = rocksdb::Options::default();
    options.create_missing_column_families(true);
    let tables = Table::ALL.map(Table::as_str).into_iter().chain(["telepathy"]);
    drop(rocksdb::DB::open_cf(&options, folder.path().join("database"), tables).unwrap());
    assert!(matches!(refusal(folder.path()), OpenError::Newer { format: 2, .. }));
}

#[test]
fn a_damaged_format_is_no_new_directory() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    write(&disk, Batch::synced(vec![put(Table::Node, b"format", b"x")])).unwrap();
    drop(disk);
    assert!(matches!(refusal(folder.path()), OpenError::Corrupt { .. }));
    let mut options = rocksdb::Options::default();
    options.create_if_missing(false);
    let database =
        rocksdb::DB::open_cf(&options, folder.path().join("database"), Table::ALL.map(Table::as_str));
    let database = database.unwrap();
    database.delete_cf(database.cf_handle("node").unwrap(), b"format").unwrap();
    database.put_cf(database.cf_handle("head").unwrap(), b"key", b"value").unwrap();
    drop(database);
    assert!(matches!(refusal(folder.path()), OpenError::Foreign { .. }));
}

#[test]
fn a_database_that_lost_its_first_file_is_damaged_not_new() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    fs::remove_file(folder.path().join("database/CURRENT")).unwrap();
    assert!(matches!(refusal(folder.path()), OpenError::Corrupt { .. }));
}

const HOLDS: &str = "refusals::holds_the_directory";

#[test]
fn holds_the_directory() {
    let Some(directory) = child::role(HOLDS) else { return };
    let _disk = open(&directory);
    println!("\nopened");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_directory_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    assert!(matches!(refusal(folder.path()), OpenError::InUse { .. }));
    drop(disk);
    let mut holder = child::command(HOLDS, folder.path()).spawn().unwrap();
    let output = BufReader::new(holder.stdout.take().unwrap());
    let opened = output.lines().map_while(Result::ok).any(|line| line == "opened");
    let error = RocksDisk::open(folder.path(), SMALL);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(opened && matches!(error, Err(OpenError::InUse { .. })), "{error:?}");
    drop(open(folder.path()));
}

const TRIES: &str = "refusals::tries_to_open";

#[test]
fn tries_to_open() {
    let Some(directory) = child::role(TRIES) else { return };
    println!("\nanswer {:?}", RocksDisk::open(&directory, Options::default()).map(drop));
}

/// By a process of another user if this one is root, who may everything.
#[test]
fn a_directory_of_somebody_else_needs_permission() {
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let answer = |data: &Path| {
        let mut command = child::command(TRIES, data);
        if fs::metadata(folder.path()).unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output =
            command.output().inspect_err(|error| eprintln!("SKIPPED: no process of another user: {error}"));
        output.ok().map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let full = folder.path().join("full");
    drop(open(&full));
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for path in [&empty, &full, &full.join("database")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    }
    for data in [&empty, &full, &folder.path().join("empty/fresh")] {
        let Some(answer) = answer(data) else { return };
        assert!(answer.contains("answer Err(Permission"), "{data:?}: {answer}");
    }
    fs::set_permissions(full.join("database"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn files_of_the_previous_version_become_records() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cluster"), [7; 16]).unwrap();
    fs::write(folder.path().join("incarnation"), 41u64.to_le_bytes()).unwrap();
    fs::write(folder.path().join("identity.key"), "").unwrap();
    fs::write(folder.path().join("lock"), "").unwrap();
    let disk = open(folder.path());
    assert_eq!(disk.get(Table::Node, b"cluster").unwrap(), Some(vec![7; 16]));
    assert_eq!(disk.get(Table::Node, b"incarnation").unwrap(), Some(41u64.to_le_bytes().to_vec()));
    assert_eq!(names(folder.path()), ["database", "identity.key", "lock"]);
    write(&disk, Batch::synced(vec![Change::put(Table::Node, *b"incarnation", 42u64.to_le_bytes())]))
        .unwrap();
    disk.close();
    // As if the start that made records of them had been cut short.
    fs::write(folder.path().join("incarnation"), 41u64.to_le_bytes()).unwrap();
    let disk = open(folder.path());
    assert_eq!(disk.get(Table::Node, b"incarnation").unwrap(), Some(42u64.to_le_bytes().to_vec()));
    assert_eq!(names(folder.path()), ["database", "identity.key", "lock"]);
    assert!(disk.snapshot().is_ok());
}

#[test]
fn damaged_files_of_the_previous_version_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cluster"), [7; 16]).unwrap();
    fs::write(folder.path().join("incarnation"), b"x").unwrap();
    let error = RocksDisk::open(folder.path(), SMALL).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { path } if path.ends_with("incarnation")), "{error:?}");
    assert_eq!(fs::read(folder.path().join("incarnation")).unwrap(), b"x");
    fs::write(folder.path().join("incarnation"), 3u64.to_le_bytes()).unwrap();
    assert_eq!(open(folder.path()).get(Table::Node, b"cluster").unwrap(), Some(vec![7; 16]));
}
