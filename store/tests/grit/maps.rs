//! Maps against a model, and what an edit costs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use gritmesh_store::{
    Changes, GritError, MapKind, MemoryObjects, NODE_BYTES_LIMIT, Object, ObjectError, ObjectId, ObjectKind,
    Objects, Overlay, ReadError, SortedMap, Value, compare, diff,
};
use proptest::prelude::*;

use crate::samples::id;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn bytes(value: &[u8]) -> Option<Value> {
    Some(Value::Bytes(value.to_vec()))
}

/// Edits a map and keeps its objects.
fn edit(objects: &mut MemoryObjects, root: Option<ObjectId>, changes: Changes) -> Option<ObjectId> {
    let edited = SortedMap::tree(objects, root).edit(changes).unwrap();
    objects.extend(edited.new);
    edited.root
}

fn build(objects: &mut MemoryObjects, model: &Model) -> Option<ObjectId> {
    edit(objects, None, model.iter().map(|(key, value)| (key.clone(), bytes(value))).collect())
}

fn numbered(count: u32) -> Model {
    (0..count).map(|n| (format!("key-{n:07}").into_bytes(), n.to_be_bytes().repeat(4))).collect()
}

/// Counts what is read.
struct Counted<'a> {
    below: &'a dyn Objects,
    reads: Cell<usize>,
}

impl Objects for Counted<'_> {
    fn read(&self, id: &ObjectId) -> Result<Arc<[u8]>, ReadError> {
        self.reads.set(self.reads.get() + 1);
        self.below.read(id)
    }
}

#[test]
fn one_change_of_a_million_writes_a_handful() {
    const ENTRIES: u32 = 1_000_000;
    let mut objects = MemoryObjects::new();
    let root = build(&mut objects, &numbered(ENTRIES));
    let map = SortedMap::tree(&objects, root);
    assert_eq!(map.len(), Ok(u64::from(ENTRIES)));
    let (mut most, mut sum) = (0, 0);
    let places = (0..200_u32).map(|n| n.wrapping_mul(2_654_435_761) % ENTRIES);
    for (turn, place) in places.enumerate() {
        let key = format!("key-{place:07}");
        let edited = match turn % 3 {
            0 => map.put(key.as_bytes(), Value::Bytes(b"another value".to_vec())),
            1 => map.remove(key.as_bytes()),
            _ => map.put(format!("{key}-new").as_bytes(), Value::Bytes(vec![7; 40])),
        };
        let new = edited.unwrap().new;
        most = most.max(new.len());
        sum += new.len();
    }
    assert!(most <= 10, "an edit wrote {most} objects");
    assert!(sum < 200 * 5, "200 edits wrote {sum} objects");
    let counted = Counted { below: &objects, reads: Cell::new(0) };
    let edited = SortedMap::tree(&counted, root).put(b"key-0500000", Value::Bytes(vec![1])).unwrap();
    assert!(counted.reads.get() <= 6, "an edit read {} objects", counted.reads.get());
    objects.extend(edited.new);
    let counted = Counted { below: &objects, reads: Cell::new(0) };
    let differences =
        diff(&SortedMap::tree(&counted, root), &SortedMap::tree(&counted, edited.root)).unwrap();
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].key, b"key-0500000");
    assert!(counted.reads.get() <= 12, "a comparison read {} objects", counted.reads.get());
}

#[test]
fn nodes_have_about_four_kilobytes() {
    for (value, count) in [(0, 40_000), (16, 20_000), (200, 5_000), (1000, 2_000)] {
        let mut objects = MemoryObjects::new();
        let model: Model =
            (0..count).map(|n: u32| (format!("{n:08}").into_bytes(), vec![1; value])).collect();
        let root = build(&mut objects, &model);
        let leaves: Vec<usize> = objects.iter().map(|object| object.bytes().len()).collect();
        let mean = leaves.iter().sum::<usize>() / leaves.len();
        assert!((2_500..6_500).contains(&mean), "values of {value} bytes: nodes of {mean}");
        assert!(leaves.iter().all(|bytes| *bytes < NODE_BYTES_LIMIT + 2_200));
        for object in objects.iter() {
            Object::check(object.kind(), object.bytes().clone()).unwrap();
        }
        SortedMap::tree(&objects, root).verify().unwrap();
    }
}

#[test]
fn small_maps_end() {
    for count in [1, 2, 50, 150, 400] {
        let mut objects = MemoryObjects::new();
        let model = numbered(count);
        let root = build(&mut objects, &model);
        let map = SortedMap::tree(&objects, root);
        let read = map.iter().take(model.len() + 1).map(|entry| entry.unwrap().0);
        assert!(read.eq(model.keys().cloned()), "{count} entries");
        map.verify().unwrap();
        assert_eq!(map.range(b"z", None, 10), Ok(Vec::new()));
        assert_eq!(map.range(b"", None, usize::MAX).unwrap().len(), model.len());
    }
}

#[test]
fn long_values_lie_outside() {
    let mut objects = MemoryObjects::new();
    let values = [vec![1; 1024], vec![2; 1025], vec![3; 64 * 1024], vec![4; 200 * 1024]];
    let model: Model = values.iter().enumerate().map(|(n, value)| (vec![n as u8], value.clone())).collect();
    let root = build(&mut objects, &model);
    let map = SortedMap::tree(&objects, root);
    assert!(matches!(map.get(&[0]), Ok(Some(Value::Bytes(_)))));
    for (key, value) in &model {
        assert_eq!(map.get_bytes(key).unwrap().as_ref(), Some(value));
    }
    for at in 1..4 {
        assert!(matches!(map.get(&[at]), Ok(Some(Value::Blob(_)))));
    }
}

#[test]
fn uncommitted_edits_stack_on_an_overlay() {
    let below = MemoryObjects::new();
    let mut overlay = Overlay::new(&below);
    let mut root = None;
    for n in 0..300_u32 {
        let edited =
            SortedMap::tree(&overlay, root).put(&n.to_be_bytes(), Value::Bytes(vec![0; 100])).unwrap();
        root = edited.root;
        overlay.extend(edited.new);
    }
    assert_eq!(SortedMap::tree(&overlay, root).len(), Ok(300));
    assert!(matches!(
        SortedMap::tree(&below, root).len(),
        Err(GritError::Read(ReadError::Missing(missing))) if Some(missing) == root
    ));
}

#[test]
fn what_does_not_belong_is_refused() {
    let objects = MemoryObjects::new();
    let code = |kind, key: &[u8], value| {
        SortedMap::new(&objects, kind, None).put(key, value).map_or_else(|error| error.as_str(), |_| "ok")
    };
    let peer = Value::Message { sequence: 1, id: id(1) };
    assert_eq!(code(MapKind::Tree, b"", Value::Bytes(Vec::new())), "ok");
    assert_eq!(code(MapKind::Tree, &[0; 1025], Value::Bytes(Vec::new())), "object_too_large");
    assert_eq!(code(MapKind::Tree, b"x", peer.clone()), "object_invalid");
    assert_eq!(code(MapKind::Mailbox, b"x", peer), "ok");
    assert_eq!(code(MapKind::Mailbox, b"x", Value::Bytes(Vec::new())), "object_invalid");
}

/// Answers for every id with the same bytes.
struct Liar(Arc<[u8]>);

impl Objects for Liar {
    fn read(&self, _: &ObjectId) -> Result<Arc<[u8]>, ReadError> {
        Ok(self.0.clone())
    }
}

#[test]
fn lies_are_found() {
    let mut objects = MemoryObjects::new();
    let root = build(&mut objects, &numbered(2_000)).unwrap();
    let mailbox = SortedMap::mailbox(&objects, Some(root)).len().unwrap_err();
    let wrong = ObjectError::WrongKind { expected: ObjectKind::Mailbox, found: ObjectKind::Tree };
    assert_eq!(mailbox, GritError::Object { id: root, error: wrong });
    let liar = Liar(objects.read(&root).unwrap());
    assert_eq!(
        SortedMap::tree(&liar, Some(root)).get(b"key-0000001").unwrap_err().as_str(),
        "object_wrong_hash"
    );
    assert_eq!(SortedMap::tree(&liar, Some(id(1))).len().unwrap_err().as_str(), "object_wrong_hash");
}

#[test]
fn a_node_that_lies_about_those_below_is_found() {
    let mut objects = MemoryObjects::new();
    let root = build(&mut objects, &numbered(300)).unwrap();
    let honest = objects.read(&root).unwrap();
    let child = objects.iter().find(|object| object.id() != root).unwrap();
    let at = honest.windows(32).position(|window| window == child.id().as_bytes()).unwrap();
    // The last key of the child stands before its count, which stands before its id.
    for (place, what) in [(at - 8, "count"), (at - 9, "last key")] {
        let mut forged = honest.to_vec();
        forged[place] += 1;
        let forged = Object::new(ObjectKind::Tree, forged.into());
        let mut all = objects.clone();
        all.insert(forged.clone());
        let map = SortedMap::tree(&all, Some(forged.id()));
        let error = map.verify().unwrap_err();
        assert!(["object_broken_link", "object_not_canonical"].contains(&error.as_str()), "{what}: {error}");
        assert_eq!(map.iter().find_map(Result::err).unwrap().as_str(), "object_broken_link", "{what}");
    }
}

#[test]
fn the_empty_map_has_no_root() {
    let mut objects = MemoryObjects::new();
    let model = numbered(1_000);
    let root = build(&mut objects, &model);
    let nothing = edit(&mut objects, root, model.keys().map(|key| (key.clone(), None)).collect());
    assert_eq!(nothing, None);
    let empty = SortedMap::tree(&objects, None);
    assert_eq!((empty.len(), empty.get(b"x"), empty.iter().count()), (Ok(0), Ok(None), 0));
    assert_eq!(empty.remove(b"x").unwrap().root, None);
    let all = compare(&empty, &SortedMap::tree(&objects, root)).unwrap();
    assert_eq!((all.differences.len(), all.new_nodes.len()), (1_000, objects.len()));
}

/// Keys that collide often and values of every size class.
fn changes(most: usize) -> impl Strategy<Value = Vec<(u16, Option<usize>)>> {
    let value = prop::option::weighted(0.7, prop_oneof![0_usize..40, 200_usize..1200]);
    prop::collection::vec((0_u16..600, value), 1..most)
}

fn key(number: u16) -> Vec<u8> {
    format!("{number}-{}", "k".repeat(usize::from(number % 50))).into_bytes()
}

fn apply(model: &mut Model, changes: &[(u16, Option<usize>)]) -> Changes {
    let mut made = Changes::new();
    for (number, size) in changes {
        let value = size.map(|size| vec![*number as u8; size]);
        made.insert(key(*number), value.as_deref().and_then(bytes));
        match value {
            Some(value) => model.insert(key(*number), value),
            None => model.remove(&key(*number)),
        };
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equal_content_has_one_id_however_it_came_about(batches in prop::collection::vec(changes(300), 1..8)) {
        let (mut objects, mut model, mut root) = (MemoryObjects::new(), Model::new(), None);
        for batch in &batches {
            let before = root;
            let edited = SortedMap::tree(&objects, root).edit(apply(&mut model, batch)).unwrap();
            objects.extend(edited.new);
            root = edited.root;
            let (old, new) = (SortedMap::tree(&objects, before), SortedMap::tree(&objects, root));
            let compared = compare(&old, &new).unwrap();
            prop_assert!(compared.new_nodes.iter().all(|id| objects.get(id).is_some()));
        }
        let mut other = MemoryObjects::new();
        prop_assert_eq!(build(&mut other, &model), root);
        let mut one_by_one = None;
        for (key, value) in model.iter().rev() {
            one_by_one = edit(&mut other, one_by_one, Changes::from([(key.clone(), bytes(value))]));
        }
        prop_assert_eq!(one_by_one, root);
        let map = SortedMap::tree(&objects, root);
        map.verify().unwrap();
        prop_assert_eq!(map.len().unwrap(), model.len() as u64);
        let read: Vec<Vec<u8>> = map.iter().map(|entry| entry.unwrap().0).collect();
        prop_assert!(read.iter().eq(model.keys()));
        for number in 0..600 {
            let read = map.get_bytes(&key(number)).unwrap();
            prop_assert_eq!(read.as_ref(), model.get(&key(number)));
        }
    }

    #[test]
    fn an_edit_returns_exactly_the_nodes_that_are_new(first in changes(400), second in changes(30)) {
        let (mut objects, mut model) = (MemoryObjects::new(), Model::new());
        let root = edit(&mut objects, None, apply(&mut model, &first));
        let edited = SortedMap::tree(&objects, root).edit(apply(&mut model, &second)).unwrap();
        let mut both = objects.clone();
        both.extend(edited.new.iter().cloned());
        let (old, new) = (SortedMap::tree(&both, root), SortedMap::tree(&both, edited.root));
        let mut nodes = compare(&old, &new).unwrap().new_nodes;
        nodes.sort_unstable();
        let mut returned: Vec<ObjectId> = edited.new.iter()
            .filter(|object| object.kind() == ObjectKind::Tree).map(Object::id).collect();
        returned.sort_unstable();
        prop_assert_eq!(nodes, returned);
    }

    #[test]
    fn differences_are_those_of_the_models(first in changes(400), second in changes(60)) {
        let (mut objects, mut model) = (MemoryObjects::new(), Model::new());
        let before = edit(&mut objects, None, apply(&mut model, &first));
        let old_model = model.clone();
        let after = edit(&mut objects, before, apply(&mut model, &second));
        let (old, new) = (SortedMap::tree(&objects, before), SortedMap::tree(&objects, after));
        let keys: Vec<Vec<u8>> = diff(&old, &new).unwrap().into_iter().map(|found| found.key).collect();
        let expected: Vec<Vec<u8>> = (0..600).map(key)
            .filter(|key| old_model.get(key) != model.get(key))
            .collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        prop_assert_eq!(keys, expected);
    }

    #[test]
    fn ranges_are_those_of_the_model(first in changes(300), from in 0_u16..600, to in 0_u16..600, limit in 0_usize..50) {
        let (mut objects, mut model) = (MemoryObjects::new(), Model::new());
        let root = edit(&mut objects, None, apply(&mut model, &first));
        let map = SortedMap::tree(&objects, root);
        let (from, to) = (key(from), key(to));
        let read = map.range(&from, Some(&to), limit).unwrap();
        let expected = model.keys().filter(|key| **key >= from && **key < to).take(limit);
        prop_assert!(read.iter().map(|(key, _)| key).eq(expected));
    }
}
