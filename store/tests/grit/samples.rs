//! Objects to test with.

use gritmesh_runtime::{ActorAddress, UnixTime};
use gritmesh_store::{
    Blob, BlobBody, Changes, Content, MemoryObjects, Message, Object, ObjectId, ObjectKind, SortedMap, Step,
    Value,
};

/// An id that names nothing.
pub(crate) fn id(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 32])
}

pub(crate) fn actor(text: &str) -> ActorAddress {
    text.parse().unwrap()
}

/// A first step with nothing but a core.
pub(crate) fn small_step() -> Step {
    Step {
        previous: None,
        number: 1,
        actor: actor("account/alice"),
        inbox: None,
        outbox: None,
        core: id(7),
        build: None,
        epoch: 3,
        snapshot_epoch: 0,
        time: UnixTime(1_700_000_000_000),
        method: "add".to_owned(),
        journal: None,
        cost: 12,
    }
}

/// A step with everything.
pub(crate) fn full_step() -> Step {
    Step {
        previous: Some(id(1)),
        number: 2,
        inbox: Some(id(2)),
        outbox: Some(id(3)),
        build: Some(id(4)),
        journal: Some(id(5)),
        snapshot_epoch: 9,
        method: "transfer_everything".to_owned(),
        ..small_step()
    }
}

pub(crate) fn message() -> Message {
    Message {
        sender: actor("account/alice"),
        receiver: actor("acme:account/bob"),
        sequence: 2,
        previous: Some(id(6)),
        method: "deposit".to_owned(),
        snapshot_epoch: 4,
        headers: vec![("a".to_owned(), "1".to_owned()), ("trace".to_owned(), "x-y".to_owned())],
        content: Content::Bytes(b"one hundred".to_vec()),
    }
}

pub(crate) fn blob() -> Blob {
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    Blob { headers, body: BlobBody::Data(b"grit".to_vec()) }
}

pub(crate) fn step_object(step: &Step) -> Object {
    Object::new(ObjectKind::Step, step.encode())
}

/// A tree of these entries, with its objects put where it says.
pub(crate) fn tree(objects: &mut MemoryObjects, entries: &[(&str, Value)]) -> Option<ObjectId> {
    let changes: Changes =
        entries.iter().map(|(key, value)| (key.as_bytes().to_vec(), Some(value.clone()))).collect();
    let edited = SortedMap::tree(objects, None).edit(changes).unwrap();
    objects.extend(edited.new);
    edited.root
}
