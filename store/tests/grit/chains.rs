//! Chains of steps, and what one step needs beyond the one before.

use std::collections::BTreeSet;

use gritmesh_store::{
    Blob, ChainFault, Content, MemoryObjects, Message, Object, ObjectId, ObjectKind, Objects, SortedMap,
    Step, Value, collect_step, collect_value, verify_chain, walk,
};

use crate::samples::{actor, id, message, small_step, step_object};

/// A chain of steps as `change` makes them of their plain form.
fn chain(length: u64, change: impl Fn(&mut Step)) -> (MemoryObjects, ObjectId) {
    let mut objects = MemoryObjects::new();
    let mut previous = None;
    for number in 1..=length {
        let mut step = Step { previous, number, ..small_step() };
        change(&mut step);
        let object = step_object(&step);
        previous = Some(object.id());
        objects.insert(object);
    }
    (objects, previous.unwrap())
}

fn fault(length: u64, change: impl Fn(&mut Step)) -> (Option<u64>, ChainFault) {
    let (objects, head) = chain(length, change);
    let error = verify_chain(&objects, head, u64::MAX).unwrap_err();
    assert!(error.to_string().contains(&error.id.to_string()));
    (error.after, error.fault)
}

#[test]
fn a_whole_chain_is_proven() {
    let (objects, head) = chain(50, |step| step.epoch = step.number / 10);
    let proof = verify_chain(&objects, head, u64::MAX).unwrap();
    assert_eq!((proof.steps, proof.oldest_number), (50, 1));
    assert_eq!(verify_chain(&objects, head, 20).unwrap().oldest_number, 31);
    let numbers: Vec<u64> = walk(&objects, head).map(|step| step.unwrap().1.number).collect();
    assert!(numbers.into_iter().eq((1..=50).rev()));
}

#[test]
fn a_break_is_named() {
    let gap = fault(9, |step| step.number += u64::from(step.number > 5));
    assert_eq!(gap, (Some(7), ChainFault::Number { expected: 6, found: 5 }));
    let other = fault(9, |step| {
        if step.number < 3 {
            step.actor = actor("account/bob");
        }
    });
    assert_eq!(other, (Some(3), ChainFault::Actor));
    let epochs = fault(9, |step| step.epoch = if step.number == 4 { 8 } else { 2 });
    assert_eq!(epochs, (Some(5), ChainFault::Epoch { found: 8, after: 2 }));
    let (mut objects, head) = chain(9, |_| {});
    let third = walk(&objects, head).nth(6).unwrap().unwrap().0;
    objects.remove(&third);
    let missing = verify_chain(&objects, head, u64::MAX).unwrap_err();
    assert_eq!((missing.id, missing.after, missing.fault.as_str()), (third, Some(4), "object_missing"));
    let (blob, head) = (Object::new(ObjectKind::Blob, Blob::of_data(Vec::new()).encode()), id(3));
    let mut objects = MemoryObjects::new();
    objects.insert(blob.clone());
    assert_eq!(verify_chain(&objects, blob.id(), 9).unwrap_err().fault.as_str(), "object_wrong_kind");
    assert_eq!(verify_chain(&objects, head, 9).unwrap_err().fault.as_str(), "object_missing");
}

/// Two steps with nested trees, a big value, a journal and messages; returns what the second one brought.
struct History {
    objects: MemoryObjects,
    first: ObjectId,
    second: ObjectId,
    brought: BTreeSet<ObjectId>,
}

fn history() -> History {
    let mut objects = MemoryObjects::new();
    let entries = |range: std::ops::Range<u32>| {
        range.map(|n| (n.to_be_bytes().to_vec(), Some(Value::Bytes(vec![n as u8; 60])))).collect()
    };
    let sub = SortedMap::tree(&objects, None).edit(entries(0..500)).unwrap();
    objects.extend(sub.new);
    let core = SortedMap::tree(&objects, None).put(b"map", Value::Tree(sub.root.unwrap())).unwrap();
    objects.extend(core.new);
    let first = Step { core: core.root.unwrap(), ..small_step() };
    objects.insert(step_object(&first));
    let before: BTreeSet<ObjectId> = objects.iter().map(Object::id).collect();

    let sub = SortedMap::tree(&objects, sub.root).edit(entries(500..501)).unwrap();
    objects.extend(sub.new);
    let big = Value::Bytes(vec![5; 150_000]);
    let changes = [(b"map".to_vec(), Some(Value::Tree(sub.root.unwrap()))), (b"big".to_vec(), Some(big))];
    let core = SortedMap::tree(&objects, core.root).edit(changes.into()).unwrap();
    objects.extend(core.new);
    let [journal, content] = [&b"journal"[..], b"content"]
        .map(|data| Object::new(ObjectKind::Blob, Blob::of_data(data.to_vec()).encode()));
    let one = Message { sequence: 1, previous: None, content: Content::Blob(content.id()), ..message() };
    let two = Message { sequence: 2, previous: Some(one.id()), ..message() };
    let sent = Value::Message { sequence: 2, id: two.id() };
    let outbox = SortedMap::mailbox(&objects, None).put(b"bob", sent).unwrap();
    // What was read lies with the sender.
    let inbox =
        SortedMap::mailbox(&objects, None).put(b"eve", Value::Message { sequence: 9, id: id(9) }).unwrap();
    let second = Step {
        previous: Some(first.id()),
        number: 2,
        core: core.root.unwrap(),
        inbox: inbox.root,
        outbox: outbox.root,
        journal: Some(journal.id()),
        ..small_step()
    };
    objects.extend(outbox.new.into_iter().chain(inbox.new).chain([journal, content, step_object(&second)]));
    objects.extend([&one, &two].map(|message| Object::new(ObjectKind::Message, message.encode())));
    let brought = objects.iter().map(Object::id).filter(|id| !before.contains(id)).collect();
    History { objects, first: first.id(), second: second.id(), brought }
}

#[test]
fn a_step_is_collected_by_what_it_brought() {
    let History { objects, first, second, brought } = history();
    let collected = collect_step(&objects, second, true).unwrap();
    assert!(collected.iter().map(|(id, _)| id).eq(&brought));
    assert!(collected.iter().all(|(id, kind)| objects.get(id).unwrap().kind() == *kind));
    let mut all: BTreeSet<_> = collect_step(&objects, first, true).unwrap();
    all.extend(collected);
    assert_eq!(all.len(), objects.len());
    let state = collect_step(&objects, second, false).unwrap();
    assert!(state.len() < objects.len() && state.len() > brought.len());
    assert!(state.iter().all(|(id, _)| objects.read(id).is_ok()));
}

#[test]
fn trees_lie_in_each_other_only_so_deep() {
    let mut objects = MemoryObjects::new();
    let mut value = Value::Bytes(Vec::new());
    for _ in 0..40 {
        let edited = SortedMap::tree(&objects, None).put(b"x", value).unwrap();
        objects.extend(edited.new);
        value = Value::Tree(edited.root.unwrap());
    }
    assert_eq!(collect_value(&objects, None, &value).unwrap_err().as_str(), "object_too_deep");
}

#[test]
fn an_outbox_that_lies_about_its_messages_is_refused() {
    let mut objects = MemoryObjects::new();
    let core = SortedMap::tree(&objects, None).put(b"x", Value::Bytes(Vec::new())).unwrap();
    let letter = Object::new(ObjectKind::Message, message().encode());
    let sent = Value::Message { sequence: 7, id: letter.id() };
    let outbox = SortedMap::mailbox(&objects, None).put(b"bob", sent).unwrap();
    let step = Step { core: core.root.unwrap(), outbox: outbox.root, ..small_step() };
    objects.extend(core.new.into_iter().chain(outbox.new).chain([letter, step_object(&step)]));
    assert_eq!(collect_step(&objects, step.id(), true).unwrap_err().as_str(), "object_broken_link");
}
