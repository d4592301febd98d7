//! Reading what was written.

use super::{END, Subject, Told, all, get, put, scan, write};
use crate::{Batch, Change, Table};

pub(super) fn a_fresh_disk_is_empty(subject: &mut dyn Subject) {
    let disk = subject.disk();
    // A real disk keeps a record about itself in the table of the node.
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Node) {
        assert_eq!(get(&*disk, table, b"key"), None);
        assert_eq!(all(&*disk, table), []);
    }
}

pub(super) fn what_completed_can_be_read(subject: &mut dyn Subject) {
    write(subject, Batch::synced(vec![put(Table::Head, b"a", b"1"), put(Table::Head, b"b", b"2")]));
    assert_eq!(get(&*subject.disk(), Table::Head, b"a"), Some(b"1".to_vec()));
    let changes = vec![put(Table::Head, b"a", b"3"), Change::delete(Table::Head, *b"b")];
    write(subject, Batch { changes, sync: false });
    let disk = subject.disk();
    assert_eq!(get(&*disk, Table::Head, b"a"), Some(b"3".to_vec()));
    assert_eq!(get(&*disk, Table::Head, b"b"), None);
    write(subject, Batch::synced(vec![Change::delete(Table::Head, *b"never there")]));
}

pub(super) fn tables_are_apart(subject: &mut dyn Subject) {
    let changes = Table::ALL.map(|table| put(table, b"same key", table.as_str().as_bytes()));
    write(subject, Batch::synced(changes.to_vec()));
    write(subject, Batch::synced(vec![Change::delete(Table::Log, *b"same key")]));
    let disk = subject.disk();
    for table in Table::ALL {
        let expected = (table != Table::Log).then(|| table.as_str().as_bytes().to_vec());
        assert_eq!(get(&*disk, table, b"same key"), expected, "{table:?}");
    }
}

pub(super) fn scans_keep_to_their_range_and_limit(subject: &mut dyn Subject) {
    // Neighbours that a comparison of signed or of terminated bytes would confuse.
    let keys: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"ab", &[0x7f, 0xff], &[0x80]];
    let changes = keys.iter().rev().map(|key| put(Table::Log, key, key)).collect();
    write(subject, Batch::synced(changes));
    write(subject, Batch::synced(vec![put(Table::Group, b"a", b"of another table")]));
    let disk = subject.disk();
    let found = |from: &[u8], to: &[u8], limit| -> Vec<Vec<u8>> {
        let records = scan(&*disk, Table::Log, from..to, limit);
        assert!(records.iter().all(|(key, value)| key == value));
        records.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(found(b"", END, usize::MAX), keys);
    assert_eq!(found(b"", END, 3), keys[..3]);
    assert_eq!(found(b"", END, 0), Vec::<Vec<u8>>::new());
    assert_eq!(found(b"a", b"ab", 10), keys[3..5], "the first is in, the last is not");
    assert_eq!(found(b"a\0", &[0x80], 10), keys[4..7]);
    assert_eq!(found(b"b", b"c", 10), Vec::<Vec<u8>>::new());
    assert_eq!(found(b"a", b"a", 10), Vec::<Vec<u8>>::new());
    assert_eq!(found(b"b", b"a", 10), Vec::<Vec<u8>>::new(), "a range that ends before it begins is empty");
}

pub(super) fn values_may_be_empty_or_big(subject: &mut dyn Subject) {
    let big = vec![7; 1 << 20];
    write(subject, Batch::synced(vec![put(Table::Object, b"big", &big), put(Table::Object, b"empty", b"")]));
    let disk = subject.disk();
    assert!(get(&*disk, Table::Object, b"big") == Some(big), "a mebibyte comes back as it was");
    assert_eq!(get(&*disk, Table::Object, b"empty"), Some(Vec::new()));
}

pub(super) fn snapshots_stand_still(subject: &mut dyn Subject) {
    let disk = subject.disk();
    let number = |number: u64| put(Table::Head, b"key", &number.to_be_bytes());
    write(subject, Batch::synced(vec![number(1), put(Table::Head, b"other", b"x")]));
    let first = disk.snapshot().expect("the disk is open");
    let range = Change::DeleteRange { table: Table::Head, from: b"o".to_vec(), to: b"p".to_vec() };
    write(subject, Batch::synced(vec![number(2), range]));
    let second = disk.snapshot().expect("the disk is open");
    let told = Told::default();
    let changes = vec![Change::delete(Table::Head, *b"key"), put(Table::Head, b"new", b"")];
    told.write(&*disk, 3, Batch::synced(changes));
    subject.settle();
    assert_eq!(told.numbers(), [3]);
    let other = (b"other".to_vec(), b"x".to_vec());
    assert_eq!(all(&*first, Table::Head), [(b"key".to_vec(), 1u64.to_be_bytes().to_vec()), other]);
    assert_eq!(get(&*first, Table::Head, b"other"), Some(b"x".to_vec()));
    assert_eq!(all(&*second, Table::Head), [(b"key".to_vec(), 2u64.to_be_bytes().to_vec())]);
    assert_eq!(get(&*second, Table::Head, b"new"), None);
    assert_eq!(all(&*disk, Table::Head), [(b"new".to_vec(), Vec::new())]);
}
