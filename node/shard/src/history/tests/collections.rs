//! Collection fields: equal to a map in memory, and written by difference.

use std::collections::BTreeMap;

use gritmesh_actor::{Collection, Draft, History, Origin};
use gritmesh_runtime::Table;
use proptest::prelude::*;

use super::{ALICE, address};
use crate::scenario::{Shard, gate};

fn flush(history: &mut dyn History, collection: &mut dyn Collection) {
    let flushed = collection.flush().unwrap();
    let collections = vec![("entries", flushed)];
    history.commit(Draft { collections, ..Draft::new("put".into(), Origin::Call) }, gate().0);
}

fn key(number: u32) -> Vec<u8> {
    format!("key {number:08}").into_bytes()
}

#[test]
fn one_changed_entry_of_many_writes_little() {
    let mut shard = Shard::new();
    let mut history = shard.open(ALICE);
    let mut entries = history.collection("entries").unwrap();
    for number in 0..5_000 {
        entries.put(&key(number), vec![1; 50]);
    }
    flush(&mut *history, &mut *entries);
    shard.settle();
    let mut history = shard.open(ALICE);
    let mut entries = history.collection("entries").unwrap();
    assert_eq!(entries.len(), 5_000);
    for round in 0..40 {
        let before = shard.replica.tables.rows_of(Table::Object);
        entries.put(&key(round * 100), vec![2; 50]);
        flush(&mut *history, &mut *entries);
        shard.settle();
        let written = shard.replica.tables.rows_of(Table::Object) - before;
        assert!(written <= 8, "{written} rows for one entry");
    }
    let entries = shard.open(ALICE).collection("entries").unwrap();
    assert_eq!(entries.get(&key(300)).unwrap(), Some(vec![2; 50]));
    assert_eq!(entries.get(&key(301)).unwrap(), Some(vec![1; 50]));
    let shown = crate::show(&*shard.replica.tables, &address(ALICE), None).unwrap();
    assert_eq!(shown.collections, [("entries".to_owned(), 5_000)]);
    let proof = crate::verify_actor(&*shard.replica.tables, &address(ALICE), 1_000).unwrap();
    assert_eq!((proof.steps, proof.is_whole), (41, true));
}

#[derive(Clone, Debug)]
enum Action {
    Put(u8, u16),
    Remove(u8),
    Flush,
    Drop,
    Reopen,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (any::<u8>(), prop_oneof![0..60_u16, 1_000..1_100_u16]).prop_map(|(key, len)| Action::Put(key, len)),
        3 => any::<u8>().prop_map(Action::Remove),
        2 => Just(Action::Flush),
        1 => Just(Action::Drop),
        1 => Just(Action::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_collection_is_a_sorted_map(actions in prop::collection::vec(action(), 1..120)) {
        let mut shard = Shard::new();
        let mut history = shard.open(ALICE);
        let mut entries = history.collection("entries").unwrap();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut written = model.clone();
        for action in actions {
            match action {
                Action::Put(number, length) => {
                    let value = vec![number; usize::from(length)];
                    entries.put(&key(number.into()), value.clone());
                    model.insert(key(number.into()), value);
                }
                Action::Remove(number) => {
                    entries.remove(&key(number.into()));
                    model.remove(&key(number.into()));
                }
                Action::Flush => {
                    flush(&mut *history, &mut *entries);
                    written = model.clone();
                }
                Action::Drop => {
                    entries = history.collection("entries").unwrap();
                    model = written.clone();
                }
                Action::Reopen => {
                    shard.settle();
                    history = shard.open(ALICE);
                    entries = history.collection("entries").unwrap();
                    model = written.clone();
                }
            }
            prop_assert_eq!(entries.len(), model.len() as u64);
        }
        let all: Vec<_> = model.clone().into_iter().collect();
        prop_assert_eq!(&entries.range(&[], None, usize::MAX).unwrap(), &all);
        let (from, to) = (key(50), key(150));
        for limit in [0, 1, 5, 1_000] {
            let expected: Vec<_> = model.range(from.clone()..to.clone()).take(limit)
                .map(|(key, value)| (key.clone(), value.clone())).collect();
            prop_assert_eq!(entries.range(&from, Some(&to), limit).unwrap(), expected);
        }
        for number in 0..=255 {
            prop_assert_eq!(entries.get(&key(number)).unwrap(), model.get(&key(number)).cloned());
        }
    }
}
