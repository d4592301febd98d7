//! What is there after a crash.

use super::{Subject, Told, all, get, put, write};
use crate::{Batch, Change, Table};

pub(super) fn synced_batches_survive_a_crash(subject: &mut dyn Subject) {
    for number in 0u64..20 {
        let changes = vec![put(Table::Head, &number.to_be_bytes(), b"head")];
        write(subject, Batch { changes, sync: number == 19 });
    }
    subject.crash();
    assert_eq!(all(&*subject.disk(), Table::Head).len(), 20, "a sync is for all before it");
    subject.crash();
    assert_eq!(all(&*subject.disk(), Table::Head).len(), 20);
}

/// Numbered batches over two tables, crashes at different moments, and what is left each time.
pub(super) fn a_crash_leaves_a_first_part(subject: &mut dyn Subject) {
    let mut next = 1u64;
    for round in 0..30u64 {
        let disk = subject.disk();
        let told = Told::default();
        let before = next - 1;
        let synced = |number: u64| number % 4 == round % 5;
        for _ in 0..10 {
            let number = next.to_be_bytes();
            let changes = vec![put(Table::Log, &number, b"entry"), put(Table::Group, b"last", &number)];
            told.write(&*disk, next, Batch { changes, sync: synced(next) });
            next += 1;
        }
        if round % 3 == 0 {
            subject.settle();
        }
        drop(disk);
        subject.crash();
        let durable = told.numbers().into_iter().rev().find(|number| synced(*number)).unwrap_or(before);
        let disk = subject.disk();
        let there: Vec<_> = all(&*disk, Table::Log).into_iter().map(|(key, _)| key).collect();
        let count = there.len() as u64;
        let expected: Vec<_> = (1..=count).map(|number| number.to_be_bytes().to_vec()).collect();
        assert_eq!(there, expected, "round {round}: a first part, without gaps");
        assert!(count >= durable, "round {round}: {count} survived, {durable} were synced");
        let last = get(&*disk, Table::Group, b"last");
        assert_eq!(last, there.last().cloned(), "round {round}: batches are whole");
        // What survived is on the disk now, whatever was asked for then.
        next = count + 1;
    }
}

pub(super) fn deletes_survive_a_crash(subject: &mut dyn Subject) {
    let fill = (0u8..9).map(|key| put(Table::Reminder, &[key], b"")).collect();
    write(subject, Batch::synced(fill));
    let changes = vec![
        Change::delete(Table::Reminder, [0]),
        Change::DeleteRange { table: Table::Reminder, from: vec![3], to: vec![7] },
    ];
    write(subject, Batch::synced(changes));
    subject.crash();
    let left: Vec<_> = all(&*subject.disk(), Table::Reminder).into_iter().map(|(key, _)| key[0]).collect();
    assert_eq!(left, [1, 2, 7, 8]);
}
