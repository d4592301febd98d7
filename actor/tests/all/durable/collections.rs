//! Collections against what they should be: the standard ones.

use std::collections::BTreeMap;
use std::ops::Bound;

use gritmesh_actor::{Blob, List, Map, StateError, Value};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Change {
    Insert(i16, u8),
    Remove(i16),
    Clear,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        8 => (-5i16..5, any::<u8>()).prop_map(|(key, value)| Change::Insert(key, value)),
        4 => (-5i16..5).prop_map(Change::Remove),
        1 => Just(Change::Clear),
    ];
    prop::collection::vec(change, 0..40)
}

proptest! {
    #[test]
    fn a_map_is_a_sorted_map(changes in changes(), from in -6i16..6, to in -6i16..6, limit in 0usize..6) {
        let (mut map, mut model) = (Map::<i16, u8>::default(), BTreeMap::new());
        for change in changes {
            match change {
                Change::Insert(key, value) => {
                    map.insert(&key, &value).unwrap();
                    model.insert(key, value);
                }
                Change::Remove(key) => {
                    map.remove(&key).unwrap();
                    model.remove(&key);
                }
                Change::Clear => {
                    map.clear().unwrap();
                    model.clear();
                }
            }
        }
        prop_assert_eq!(map.len(), model.len() as u64);
        prop_assert_eq!(map.get(&from).unwrap(), model.get(&from).copied());
        prop_assert_eq!(map.contains(&to).unwrap(), model.contains_key(&to));
        let all: Vec<(i16, u8)> = model.iter().map(|(key, value)| (*key, *value)).collect();
        let ranges = [
            (Bound::Included(from), Bound::Excluded(to)),
            (Bound::Excluded(from), Bound::Included(to)),
            (Bound::Unbounded, Bound::Included(to)),
            (Bound::Excluded(from), Bound::Unbounded),
        ];
        for range in ranges {
            let inside = |key: &i16| std::ops::RangeBounds::contains(&range, key);
            let expected: Vec<_> = all.iter().copied().filter(|(key, _)| inside(key)).take(limit).collect();
            prop_assert_eq!(map.range(range, limit).unwrap(), expected);
        }
        let behind: Vec<_> = all.iter().copied().filter(|(key, _)| *key > from).take(limit).collect();
        prop_assert_eq!(map.page(Some(&from), limit).unwrap(), behind);
    }

    #[test]
    fn a_blob_is_its_bytes(
        parts in prop::collection::vec((any::<u8>(), 0usize..150_000), 0..4),
        from in 0u64..300_000,
        length in 0u64..100_000,
        replaced in prop::option::of((any::<u8>(), 0usize..150_000)),
    ) {
        let (mut blob, mut model) = (Blob::default(), Vec::new());
        for (byte, length) in parts {
            let part = vec![byte; length];
            blob.append(&part).unwrap();
            model.extend(part);
        }
        if let Some((byte, length)) = replaced {
            model = vec![byte; length];
            blob.replace(&model).unwrap();
        }
        prop_assert_eq!(blob.len().unwrap(), model.len() as u64);
        prop_assert_eq!(blob.is_empty(), model.is_empty());
        let within = |at: u64| usize::try_from(at).unwrap().min(model.len());
        let expected = &model[within(from)..within(from + length)];
        prop_assert_eq!(blob.read(from..from + length).unwrap(), expected);
        let (from, to) = (from + 1, from);
        prop_assert!(blob.read(from..to).unwrap().is_empty());
    }
}

#[test]
fn a_list_knows_its_ends() {
    let mut list: List<u32> = List::default();
    assert_eq!(list.pop().unwrap(), None);
    assert_eq!(list.set(0, &1), Err(StateError::OutOfRange { index: 0, len: 0 }));
    (0..300).for_each(|number| list.push(&number).unwrap());
    assert_eq!(list.page(298, 10).unwrap(), [298, 299]);
    assert_eq!((list.get(255).unwrap(), list.get(300).unwrap()), (Some(255), None));
    list.clear().unwrap();
    assert!(list.is_empty());
}

#[test]
fn a_value_comes_and_goes_whole() {
    let mut value: Value<Vec<u64>> = Value::default();
    for length in [100_000, 3, 0, 50_000] {
        let numbers: Vec<u64> = (0..length).collect();
        value.set(&numbers).unwrap();
        assert_eq!(value.get().unwrap(), Some(numbers));
    }
    value.clear().unwrap();
    assert!(!value.is_set());
    assert_eq!(value.get().unwrap(), None);
}

#[test]
fn other_types_are_told_apart() {
    let mut numbers: Map<u64, u64> = Map::default();
    numbers.insert(&1, &2).unwrap();
    assert_eq!(format!("{numbers:?}"), "Map(1 entries)");
    let unfit: Map<u64, f64> = Map::default();
    assert!(unfit.is_empty());
    let mut wrong: Map<String, f32> = Map::default();
    assert!(matches!(wrong.insert("x".repeat(5_000).as_str(), &1.0), Err(StateError::Unfit { .. })));
}
