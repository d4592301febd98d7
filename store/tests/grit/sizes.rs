//! How much room the objects of a small step take: the bytes on the disk per acknowledged step depend on it.

use gritmesh_store::{Blob, MemoryObjects, Object, ObjectKind, Pack, Value};

use crate::samples::{full_step, id, small_step, step_object, tree};

#[test]
fn small_objects_stay_small() {
    assert_eq!(small_step().encode().len(), 122);
    let mut next = small_step();
    (next.number, next.previous) = (2, Some(id(1)));
    assert_eq!(next.encode().len(), 154);
    assert!(next.encode().len() < 250);
    assert_eq!(full_step().encode().len(), 122 + 5 * 32 + "transfer_everything".len() - "add".len());
    assert_eq!(Blob::of_data(vec![1; 100]).encode().len(), 118);
}

#[test]
fn a_tree_of_one_entry_is_hardly_more_than_the_entry() {
    let mut objects = MemoryObjects::new();
    let root = tree(&mut objects, &[("state", Value::Blob(id(1)))]).unwrap();
    assert_eq!(objects.get(&root).unwrap().bytes().len(), 60);
}

#[test]
fn a_step_of_a_hundred_bytes_fits_its_budget() {
    // Log and table, three replicas, under 3 KiB: half a kilobyte each, keys included.
    let mut objects = MemoryObjects::new();
    let state = Object::new(ObjectKind::Blob, Blob::of_data(vec![1; 100]).encode());
    let mut step = small_step();
    step.core = tree(&mut objects, &[("state", Value::Blob(state.id()))]).unwrap();
    (step.number, step.previous, step.inbox) = (2, Some(id(1)), Some(id(2)));
    objects.insert(state);
    objects.insert(step_object(&step));
    let pack = Pack::encode(objects.iter()).unwrap();
    assert_eq!(pack.bytes().len(), 377);
    assert!(pack.bytes().len() < 450);
}
