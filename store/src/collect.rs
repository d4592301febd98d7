//! What a step needs that the step before it does not.
//!
//! Whoever has the objects of one step gets to the next by these alone. Steps, nodes of trees and mailboxes, blobs
//! with their pieces and messages that were sent are followed; messages in an inbox are their senders', and a
//! build names no object.

use std::collections::BTreeSet;

use crate::chunks;
use crate::error::{GritError, ObjectError, ReadError};
use crate::id::{ObjectId, ObjectKind};
use crate::map::{self, MapKind, SortedMap, Value};
use crate::message::Message;
use crate::objects::{Objects, read_checked};
use crate::step::Step;

/// How deep trees may lie in each other.
pub const TREE_DEPTH_MAX: usize = 32;

/// Most objects that one collection names: what a million entries have that all changed at once.
pub const COLLECT_OBJECTS_MAX: usize = 1 << 20;

/// The ids of all objects that can be reached from a step, itself included, but not from the one before it; or, if
/// the one before is not known, as after the history was cut off, all objects of the step's state.
///
/// # Errors
/// If an object cannot be had, trees lie too deep, or there are more than [`COLLECT_OBJECTS_MAX`].
pub fn collect_step(
    objects: &dyn Objects,
    step: ObjectId,
    previous_is_known: bool,
) -> Result<BTreeSet<(ObjectId, ObjectKind)>, GritError> {
    let mut collection = Collection { objects, found: BTreeSet::new() };
    let after = collection.step(&step)?;
    let before = match after.previous.filter(|_| previous_is_known) {
        Some(previous) => Some(collection.step(&previous)?),
        None => None,
    };
    let before = before.as_ref();
    collection.add(step, ObjectKind::Step)?;
    collection.tree(before.map(|step| step.core), Some(after.core), TREE_DEPTH_MAX)?;
    collection.mailbox(before.and_then(|step| step.inbox), after.inbox)?;
    let sent = collection.mailbox(before.and_then(|step| step.outbox), after.outbox)?;
    for difference in sent {
        collection.messages(difference.before, difference.after)?;
    }
    if let Some(journal) = after.journal {
        collection.blob(&journal)?;
    }
    Ok(collection.found)
}

/// The ids of all objects under a value of a tree, as far as they are not under the value before.
///
/// # Errors
/// As [`collect_step`].
pub fn collect_value(
    objects: &dyn Objects,
    before: Option<&Value>,
    after: &Value,
) -> Result<BTreeSet<(ObjectId, ObjectKind)>, GritError> {
    let mut collection = Collection { objects, found: BTreeSet::new() };
    collection.value(before, after, TREE_DEPTH_MAX)?;
    Ok(collection.found)
}

struct Collection<'a> {
    objects: &'a dyn Objects,
    found: BTreeSet<(ObjectId, ObjectKind)>,
}

impl Collection<'_> {
    /// Adds an object and says whether it was not there yet.
    fn add(&mut self, id: ObjectId, kind: ObjectKind) -> Result<bool, GritError> {
        let is_new = self.found.insert((id, kind));
        if self.found.len() > COLLECT_OBJECTS_MAX {
            let (size, limit) = (self.found.len() as u64, COLLECT_OBJECTS_MAX as u64);
            return Err(GritError::Argument(ObjectError::TooLarge { what: "a collection", size, limit }));
        }
        Ok(is_new)
    }

    fn step(&self, id: &ObjectId) -> Result<Step, GritError> {
        let bytes = read_checked(self.objects, ObjectKind::Step, id)?;
        Step::decode(&bytes).map_err(|error| GritError::Object { id: *id, error })
    }

    fn tree(
        &mut self,
        before: Option<ObjectId>,
        after: Option<ObjectId>,
        depth: usize,
    ) -> Result<(), GritError> {
        if before == after {
            return Ok(());
        }
        for difference in self.map(MapKind::Tree, before, after)? {
            if let Some(after) = difference.after {
                self.value(difference.before.as_ref(), &after, depth)?;
            }
        }
        Ok(())
    }

    fn mailbox(
        &mut self,
        before: Option<ObjectId>,
        after: Option<ObjectId>,
    ) -> Result<Vec<map::Difference>, GritError> {
        self.map(MapKind::Mailbox, before, after)
    }

    fn map(
        &mut self,
        kind: MapKind,
        before: Option<ObjectId>,
        after: Option<ObjectId>,
    ) -> Result<Vec<map::Difference>, GritError> {
        let before = SortedMap::new(self.objects, kind, before);
        let after = SortedMap::new(self.objects, kind, after);
        let compared = map::compare(&before, &after)?;
        for id in compared.new_nodes {
            self.add(id, kind.object_kind())?;
        }
        Ok(compared.differences)
    }

    fn value(&mut self, before: Option<&Value>, after: &Value, depth: usize) -> Result<(), GritError> {
        match (before, after) {
            (Some(before), after) if before == after => Ok(()),
            (_, Value::Bytes(_) | Value::Message { .. }) => Ok(()),
            (_, Value::Blob(id)) => self.blob(id),
            (before, Value::Tree(id)) => {
                let error = ObjectError::TooDeep { what: "a tree", limit: TREE_DEPTH_MAX };
                let depth = depth.checked_sub(1).ok_or(GritError::Object { id: *id, error })?;
                let before = match before {
                    Some(Value::Tree(before)) => Some(*before),
                    _ => None,
                };
                self.tree(before, Some(*id), depth)
            }
        }
    }

    /// A blob with its pieces.
    fn blob(&mut self, id: &ObjectId) -> Result<(), GritError> {
        let mut waiting = vec![*id];
        while let Some(id) = waiting.pop() {
            // A piece that occurs twice is followed once.
            if self.add(id, ObjectKind::Blob)? {
                self.pieces(&id, &mut waiting)?;
            }
        }
        Ok(())
    }

    /// Leaves are named and not read: they are most of the bytes.
    fn pieces(&mut self, id: &ObjectId, waiting: &mut Vec<ObjectId>) -> Result<(), GritError> {
        let (level, pieces) = chunks::pieces(self.objects, id)?;
        for piece in pieces {
            match level {
                1 => {
                    self.add(piece, ObjectKind::Blob)?;
                }
                _ => waiting.push(piece),
            }
        }
        Ok(())
    }

    /// Messages to one peer that came since the last known one.
    fn messages(&mut self, before: Option<Value>, after: Option<Value>) -> Result<(), GritError> {
        let known = match before {
            Some(Value::Message { sequence, .. }) => sequence,
            _ => 0,
        };
        let Some(Value::Message { sequence, id }) = after else { return Ok(()) };
        let (mut expected, mut next) = (sequence, Some(id));
        while let Some(id) = next.filter(|_| expected > known) {
            let bytes = match read_checked(self.objects, ObjectKind::Message, &id) {
                Ok(bytes) => bytes,
                // An outbox forgets a peer that has read everything, and with it the messages.
                Err(GritError::Read(ReadError::Missing(_))) if known == 0 && expected < sequence => break,
                Err(error) => return Err(error),
            };
            let message = Message::view(&bytes).map_err(|error| GritError::Object { id, error })?;
            // Sequences fall, so there is no circle.
            if message.sequence() != expected {
                let error = ObjectError::BrokenLink { what: "an outbox" };
                return Err(GritError::Object { id, error });
            }
            self.add(id, ObjectKind::Message)?;
            if let Some(content) = message.content_blob() {
                self.blob(&content)?;
            }
            (expected, next) = (expected - 1, message.previous());
        }
        Ok(())
    }
}
