//! Batches, one after another.

use std::collections::BTreeMap;

use super::{END, Subject, Told, all, get, put, scan, write};
use crate::{Batch, Change, Rng, Seed, Table};

/// Batches under way at once: more than become one write, fewer than may wait.
const MANY: u64 = 500;

/// Tables of the comparison with a sorted map.
const TABLES: [Table; 3] = [Table::Node, Table::Log, Table::Object];

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

pub(super) fn completions_come_in_order(subject: &mut dyn Subject) {
    let disk = subject.disk();
    let told = Told::default();
    for number in 0..MANY {
        let key = number.to_be_bytes();
        let changes = vec![put(Table::Log, &key, b"entry"), put(Table::Group, b"last", &key)];
        told.write(&*disk, number, Batch { changes, sync: number % 3 == 0 });
    }
    subject.settle();
    assert_eq!(told.numbers(), (0..MANY).collect::<Vec<_>>());
    assert_eq!(all(&*disk, Table::Log).len() as u64, MANY);
    assert_eq!(get(&*disk, Table::Group, b"last"), Some((MANY - 1).to_be_bytes().to_vec()));
}

pub(super) fn changes_happen_in_order(subject: &mut dyn Subject) {
    let range = Change::DeleteRange { table: Table::Log, from: b"k".to_vec(), to: b"l".to_vec() };
    let changes = vec![
        put(Table::Log, b"k1", b"before"),
        put(Table::Log, b"k2", b"before"),
        range,
        put(Table::Log, b"k2", b"after"),
        put(Table::Log, b"k3", b"first"),
        Change::delete(Table::Log, *b"k3"),
        put(Table::Log, b"k3", b"second"),
        put(Table::Log, b"k4", b"gone"),
        Change::delete(Table::Log, *b"k4"),
    ];
    write(subject, Batch::synced(changes));
    let expected = [(b"k2".to_vec(), b"after".to_vec()), (b"k3".to_vec(), b"second".to_vec())];
    assert_eq!(all(&*subject.disk(), Table::Log), expected);
}

pub(super) fn ranges_are_deleted(subject: &mut dyn Subject) {
    let keys: [&[u8]; 6] = [b"a", b"b", b"b\0", b"c", b"d", b"e"];
    let fill = |table| keys.map(|key| put(table, key, b"")).to_vec();
    write(subject, Batch::synced([fill(Table::Log), fill(Table::Outbox)].concat()));
    let mut delete = |from: &[u8], to: &[u8]| -> Vec<Vec<u8>> {
        let change = Change::DeleteRange { table: Table::Log, from: from.to_vec(), to: to.to_vec() };
        write(subject, Batch::synced(vec![change]));
        scan(&*subject.disk(), Table::Log, &[]..END, 10).into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(delete(b"x", b"y"), keys);
    assert_eq!(delete(b"c", b"c"), keys, "an empty range deletes nothing");
    assert_eq!(delete(b"e", b"a"), keys, "a range that ends before it begins is empty");
    let rest: [&[u8]; 4] = [b"a", b"c", b"d", b"e"];
    assert_eq!(delete(b"b", b"c"), rest, "the first is deleted, the last is not");
    assert_eq!(delete(b"", END), Vec::<Vec<u8>>::new());
    assert_eq!(all(&*subject.disk(), Table::Outbox).len(), keys.len());
}

pub(super) fn empty_batches_complete(subject: &mut dyn Subject) {
    write(subject, Batch::default());
    write(subject, Batch::synced(Vec::new()));
}

pub(super) fn it_does_what_a_sorted_map_does(subject: &mut dyn Subject) {
    let disk = subject.disk();
    let mut rng = Seed::from_number(1).rng();
    let mut model = Model::new();
    for table in TABLES {
        model.extend(all(&*disk, table).into_iter().map(|(key, value)| ((table, key), value)));
    }
    for round in 0..60 {
        let told = Told::default();
        for number in 0..8 {
            let changes: Vec<Change> = (0..rng.below(12)).map(|_| draw(&mut rng)).collect();
            changes.iter().for_each(|change| apply(&mut model, change));
            told.write(&*disk, number, Batch { changes, sync: rng.chance(0.3) });
        }
        subject.settle();
        assert_eq!(told.numbers(), (0..8).collect::<Vec<_>>());
        for table in TABLES {
            let expected: Vec<_> = model
                .range((table, Vec::new())..=(table, END.to_vec()))
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect();
            assert_eq!(all(&*disk, table), expected, "{table:?} in round {round}");
        }
    }
}

fn draw(rng: &mut Rng) -> Change {
    let table = TABLES[rng.below(3) as usize];
    let mut key = || {
        let mut key = vec![0; rng.below(3) as usize + 1];
        key.iter_mut().for_each(|byte| *byte = rng.below(6) as u8);
        key
    };
    let (key, other) = (key(), key());
    match rng.below(8) {
        0 => Change::DeleteRange { table, from: key, to: other },
        1 | 2 => Change::delete(table, key),
        _ => Change::put(table, key, rng.next_u64().to_be_bytes().as_slice()),
    }
}

fn apply(model: &mut Model, change: &Change) {
    match change {
        Change::Put { table, key, value } => drop(model.insert((*table, key.clone()), value.to_vec())),
        Change::Delete { table, key } => drop(model.remove(&(*table, key.clone()))),
        Change::DeleteRange { table, from, to } => {
            model.retain(|(of, key), _| of != table || key < from || key >= to);
        }
    }
}
