//! Bytes that are not what they are taken for.

use std::sync::Arc;

use gritmesh_store::{
    Blob, BlobBody, Content, LEAF_BYTES, MemoryObjects, Message, Object, ObjectError, ObjectKind, SortedMap,
    Step, Value,
};
use proptest::prelude::*;

use crate::samples::{blob, full_step, id, message, small_step, tree};

fn samples() -> Vec<(ObjectKind, Arc<[u8]>)> {
    let mut objects = MemoryObjects::new();
    let entries = [("a", Value::Bytes(vec![1])), ("b", Value::Blob(id(1))), ("c", Value::Tree(id(1)))];
    let root = tree(&mut objects, &entries).unwrap();
    let node = objects.get(&root).unwrap().bytes().clone();
    let peer = Value::Message { sequence: 3, id: id(5) };
    let mailbox = SortedMap::mailbox(&objects, None).put(b"bob", peer).unwrap();
    let index = BlobBody::Index { level: 1, length: LEAF_BYTES as u64 + 1, pieces: vec![id(1), id(2)] };
    vec![
        (ObjectKind::Blob, blob().encode()),
        (ObjectKind::Blob, Blob { headers: Vec::new(), body: index }.encode()),
        (ObjectKind::Tree, node),
        (ObjectKind::Mailbox, mailbox.new[0].bytes().clone()),
        (ObjectKind::Message, message().encode()),
        (ObjectKind::Step, small_step().encode()),
        (ObjectKind::Step, full_step().encode()),
    ]
}

fn code(kind: ObjectKind, bytes: impl Into<Arc<[u8]>>) -> &'static str {
    Object::check(kind, bytes.into()).map_or_else(ObjectError::as_str, |_| "ok")
}

#[test]
fn every_refusal_has_its_code() {
    let step = small_step().encode().to_vec();
    assert_eq!(code(ObjectKind::Step, step.clone()), "ok");
    assert_eq!(code(ObjectKind::Step, []), "object_malformed");
    assert_eq!(code(ObjectKind::Step, [&[2], &step[1..]].concat()), "object_format");
    // A zero byte between the format and the archive changes no field and would give the step a second id.
    assert_eq!(code(ObjectKind::Step, [&[1, 0], &step[1..]].concat()), "object_not_canonical");
    assert_eq!(code(ObjectKind::Step, vec![1; 80 * 1024]), "object_too_large");
    let first_with_previous = Step { previous: Some(id(1)), ..small_step() };
    assert_eq!(code(ObjectKind::Step, first_with_previous.encode()), "object_invalid");
    let headers = |names: [&str; 2]| names.map(|name| (name.to_owned(), String::new())).to_vec();
    let blob = |headers| Blob { headers, ..Blob::of_data(vec![1]) }.encode();
    assert_eq!(code(ObjectKind::Blob, blob(headers(["b", "a"]))), "object_unsorted");
    assert_eq!(code(ObjectKind::Blob, blob(headers(["a", "a"]))), "object_duplicate_key");
    assert_eq!(code(ObjectKind::Blob, blob(headers(["", "a"]))), "object_invalid");
    assert_eq!(code(ObjectKind::Blob, Blob::of_data(vec![1; LEAF_BYTES + 1]).encode()), "object_too_large");
    let long = Content::Bytes(vec![0; 48 * 1024 + 1]);
    assert_eq!(
        code(ObjectKind::Message, Message { content: long, ..message() }.encode()),
        "object_too_large"
    );
    let index = |level, length| BlobBody::Index { level, length, pieces: vec![id(1)] };
    let indexed = |body| code(ObjectKind::Blob, Blob { headers: Vec::new(), body }.encode());
    assert_eq!(indexed(index(0, 1)), "object_invalid");
    assert_eq!(indexed(index(1, 0)), "object_invalid");
    assert_eq!(indexed(index(1, LEAF_BYTES as u64 + 1)), "object_invalid");
    assert_eq!(indexed(index(9, 1)), "object_too_deep");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(kind in 0_usize..5, mut bytes in prop::collection::vec(any::<u8>(), 1..400)) {
        bytes[0] = 1;
        let _ = Object::check(ObjectKind::ALL[kind], bytes.into());
    }

    #[test]
    fn a_flipped_bit_makes_another_object_or_none(
        sample in 0_usize..7,
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let (kind, bytes) = samples().swap_remove(sample);
        let mut flipped = bytes.to_vec();
        let at = at.index(flipped.len());
        flipped[at] ^= 1 << bit;
        let original = Object::check(kind, bytes).unwrap();
        if let Ok(object) = Object::check(kind, flipped.into()) {
            prop_assert_ne!(object.id(), original.id());
        }
    }

    #[test]
    fn cut_and_grown_bytes_are_refused(sample in 0_usize..7, cut: prop::sample::Index, more: u8) {
        let (kind, bytes) = samples().swap_remove(sample);
        prop_assert!(Object::check(kind, bytes[..cut.index(bytes.len())].into()).is_err());
        prop_assert!(Object::check(kind, [&bytes[..], &[more]].concat().into()).is_err());
    }

    #[test]
    fn no_kind_passes_for_another(sample in 0_usize..7, kind in 0_usize..5) {
        let (own, bytes) = samples().swap_remove(sample);
        if ObjectKind::ALL[kind] != own {
            prop_assert!(Object::check(ObjectKind::ALL[kind], bytes).is_err());
        }
    }

    #[test]
    fn messages_round_trip(
        sequence in 2_u64..,
        previous in prop::option::of(any::<u8>()),
        method in "[a-z_]{1,40}",
        headers in prop::collection::btree_map("[a-z]{1,9}", ".{0,30}", 0..5),
        content in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Content::Bytes),
            any::<u8>().prop_map(|number| Content::Blob(id(number))),
        ],
    ) {
        let headers = headers.into_iter().collect();
        let message =
            Message { sequence, previous: previous.map(id), method, headers, content, ..message() };
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn steps_round_trip(
        ids in prop::collection::vec(prop::option::of(any::<u8>().prop_map(id)), 5),
        numbers in prop::collection::vec(any::<u64>(), 5),
        method in "[a-z_]{1,40}",
    ) {
        let step = Step {
            previous: ids[0],
            number: if ids[0].is_some() { numbers[0].max(2) } else { 1 },
            inbox: ids[1],
            outbox: ids[2],
            build: ids[3],
            journal: ids[4],
            epoch: numbers[1],
            snapshot_epoch: numbers[2],
            cost: numbers[3],
            method,
            ..small_step()
        };
        prop_assert_eq!(Step::decode(&step.encode()), Ok(step.clone()));
        prop_assert_eq!(Step::view(&step.encode()).unwrap().to_step(), Ok(step));
    }
}
