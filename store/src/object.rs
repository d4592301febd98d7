//! An object of any kind: its bytes, and what they are called.

use std::sync::Arc;

use crate::blob::Blob;
use crate::error::{ObjectError, at_most};
use crate::id::{ObjectId, ObjectKind};
use crate::map::{self, MapKind};
use crate::message::Message;
use crate::step::Step;

/// Largest object. What is bigger is cut: blobs into leaves, trees and mailboxes into nodes. Holds a whole leaf of
/// [`LEAF_BYTES`](crate::LEAF_BYTES) with the largest headers.
pub const OBJECT_BYTES_MAX: usize = 72 * 1024;

/// An object with its id, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    id: ObjectId,
    kind: ObjectKind,
    bytes: Arc<[u8]>,
}

impl Object {
    /// An object of bytes that were made here.
    pub fn new(kind: ObjectKind, bytes: Arc<[u8]>) -> Self {
        Self { id: ObjectId::of(kind, &bytes), kind, bytes }
    }

    /// An object of bytes that came from outside, after everything about it was checked that can be checked
    /// without looking at others.
    ///
    /// # Errors
    /// If the bytes are no object of this kind in its canonical form.
    pub fn check(kind: ObjectKind, bytes: Arc<[u8]>) -> Result<Self, ObjectError> {
        check(kind, &bytes)?;
        Ok(Self::new(kind, bytes))
    }

    /// What it is called.
    pub const fn id(&self) -> ObjectId {
        self.id
    }

    /// What it is.
    pub const fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// Its canonical bytes.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

/// Checks that bytes are an object of this kind in its canonical form.
pub(crate) fn check(kind: ObjectKind, bytes: &[u8]) -> Result<(), ObjectError> {
    at_most("an object", bytes.len() as u64, OBJECT_BYTES_MAX as u64)?;
    match kind {
        ObjectKind::Blob => Blob::decode(bytes).map(drop),
        ObjectKind::Tree => map::check_node(MapKind::Tree, bytes),
        ObjectKind::Mailbox => map::check_node(MapKind::Mailbox, bytes),
        ObjectKind::Message => Message::decode(bytes).map(drop),
        ObjectKind::Step => Step::decode(bytes).map(drop),
    }
}

/// Checks that bytes have an id, as this kind.
pub(crate) fn check_id(kind: ObjectKind, id: &ObjectId, bytes: &[u8]) -> Result<(), ObjectError> {
    let found = ObjectId::of(kind, bytes);
    if found == *id {
        return Ok(());
    }
    // Told apart because it means something else: not a bad copy, but a wrong reference.
    match ObjectKind::ALL.into_iter().find(|other| ObjectId::of(*other, bytes) == *id) {
        Some(other) => Err(ObjectError::WrongKind { expected: kind, found: other }),
        None => Err(ObjectError::WrongHash { expected: *id, found }),
    }
}
