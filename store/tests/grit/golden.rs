//! Byte forms that are on disks already.

use std::sync::Arc;

use gritmesh_store::{
    Blob, BlobBody, Content, LEAF_BYTES, MemoryObjects, Message, Object, ObjectKind, Pack, SortedMap, Value,
};

use crate::samples::{blob, full_step, id, message, small_step, step_object, tree};

/// Every sample with what its file is called.
fn samples() -> Vec<(&'static str, ObjectKind, Arc<[u8]>)> {
    let mut objects = MemoryObjects::new();
    let entries = [
        ("bytes", Value::Bytes(b"inline".to_vec())),
        ("empty", Value::Bytes(Vec::new())),
        ("state", Value::Blob(id(1))),
        ("sub", Value::Tree(id(2))),
    ];
    let root = tree(&mut objects, &entries).unwrap();
    let leaf = objects.get(&root).unwrap().bytes().clone();
    let peer = Value::Message { sequence: 3, id: id(5) };
    let mailbox = SortedMap::mailbox(&objects, None).put(b"default\0account\0bob", peer).unwrap();
    let index = BlobBody::Index { level: 1, length: LEAF_BYTES as u64 + 1, pieces: vec![id(1), id(2)] };
    let letter = Message { content: Content::Blob(id(8)), headers: Vec::new(), ..message() };
    vec![
        ("blob-1", ObjectKind::Blob, blob().encode()),
        ("blob-index-1", ObjectKind::Blob, Blob { headers: Vec::new(), body: index }.encode()),
        ("tree-1", ObjectKind::Tree, leaf),
        ("tree-upper-1", ObjectKind::Tree, upper_node()),
        ("mailbox-1", ObjectKind::Mailbox, mailbox.new[0].bytes().clone()),
        ("message-1", ObjectKind::Message, message().encode()),
        ("message-blob-1", ObjectKind::Message, letter.encode()),
        ("step-small-1", ObjectKind::Step, small_step().encode()),
        ("step-full-1", ObjectKind::Step, full_step().encode()),
    ]
}

/// The root of a map of two levels: pins where nodes end, too.
fn upper_node() -> Arc<[u8]> {
    let objects = MemoryObjects::new();
    let changes = (0..600_u32).map(|n| (format!("key-{n:04}").into_bytes(), Some(Value::Bytes(vec![0; 8]))));
    let edited = SortedMap::tree(&objects, None).edit(changes.collect()).unwrap();
    let root = edited.root.unwrap();
    edited.new.iter().find(|object| object.id() == root).unwrap().bytes().clone()
}

fn golden(name: &str) -> String {
    let path = format!("{}/tests/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The id, then the bytes, 32 to a line.
fn written(id: &str, bytes: &[u8]) -> String {
    let lines =
        bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    format!("{id}\n{}\n", lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn objects_keep_their_bytes_and_ids() {
    for (name, kind, bytes) in samples() {
        let object = Object::check(kind, bytes).unwrap();
        assert_eq!(written(&object.id().to_string(), object.bytes()), golden(name), "{name}");
    }
}

#[test]
fn packs_keep_their_bytes() {
    let [first, second] = [Blob::of_data(b"first".to_vec()), Blob::of_data(b"second".to_vec())]
        .map(|blob| Object::new(ObjectKind::Blob, blob.encode()));
    let step = step_object(&small_step());
    let pack = Pack::encode([&first, &second, &step]).unwrap();
    assert_eq!(written(&pack.step_id().to_string(), pack.bytes()), golden("pack-1"));
}
