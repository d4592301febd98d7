//! What stands under a key.

use crate::error::{ObjectError, at_most};
use crate::id::{ObjectId, ObjectKind};

/// Longest key. Peers' addresses have up to 767 bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest value that lies in the node itself. A longer one is a blob that the node names, since every edit of a
/// neighbour would write it again.
pub const INLINE_VALUE_BYTES_MAX: usize = 1024;

/// What a map is for, which decides what its values may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapKind {
    /// Names: values are bytes, blobs and trees.
    Tree,
    /// Peers: values are messages.
    Mailbox,
}

impl MapKind {
    /// The kind of the map's nodes.
    pub const fn object_kind(self) -> ObjectKind {
        match self {
            Self::Tree => ObjectKind::Tree,
            Self::Mailbox => ObjectKind::Mailbox,
        }
    }
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes. Those longer than [`INLINE_VALUE_BYTES_MAX`] are put into a blob when they are written, and come
    /// back as [`Value::Blob`].
    Bytes(Vec<u8>),
    /// A blob.
    Blob(ObjectId),
    /// The root of another tree.
    Tree(ObjectId),
    /// The last message of a peer.
    Message {
        /// Its number.
        sequence: u64,
        /// The message.
        id: ObjectId,
    },
}

/// How a value lies in a node. The numbers are part of the byte form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Form {
    Bytes = 0,
    Blob = 1,
    Tree = 2,
    Message = 3,
    /// A node of the level below: its id and how many entries lie under it.
    Child = 4,
}

impl Form {
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Bytes),
            1 => Some(Self::Blob),
            2 => Some(Self::Tree),
            3 => Some(Self::Message),
            4 => Some(Self::Child),
            _ => None,
        }
    }

    /// Whether a value of this form may stand in a node of this kind and level.
    pub(super) fn fits(self, kind: MapKind, level: u8) -> bool {
        match self {
            Self::Child => level > 0,
            Self::Message => level == 0 && kind == MapKind::Mailbox,
            Self::Bytes | Self::Blob | Self::Tree => level == 0 && kind == MapKind::Tree,
        }
    }

    /// Whether a value of this form may have this many bytes.
    pub(super) fn has_length(self, bytes: usize) -> bool {
        match self {
            Self::Bytes => bytes <= INLINE_VALUE_BYTES_MAX,
            Self::Blob | Self::Tree => bytes == 32,
            Self::Message | Self::Child => bytes == NUMBERED_BYTES,
        }
    }
}

/// A number, little-endian, and an id.
pub(super) const NUMBERED_BYTES: usize = 8 + 32;

pub(super) fn numbered(number: u64, id: &ObjectId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(NUMBERED_BYTES);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(id.as_bytes());
    bytes
}

/// The number and the id of a value whose length was checked.
pub(super) fn read_numbered(bytes: &[u8]) -> (u64, ObjectId) {
    let (number, id) = bytes.split_first_chunk().expect("the node's check compared the length");
    (u64::from_le_bytes(*number), read_id(id))
}

/// The id of a value whose length was checked.
pub(super) fn read_id(bytes: &[u8]) -> ObjectId {
    ObjectId::from_bytes(bytes.try_into().expect("the node's check compared the length"))
}

impl Value {
    /// The value in a node. Longer bytes were moved into a blob before.
    pub(super) fn into_parts(self) -> (Form, Vec<u8>) {
        match self {
            Self::Bytes(bytes) => (Form::Bytes, bytes),
            Self::Blob(id) => (Form::Blob, id.as_bytes().to_vec()),
            Self::Tree(id) => (Form::Tree, id.as_bytes().to_vec()),
            Self::Message { sequence, id } => (Form::Message, numbered(sequence, &id)),
        }
    }

    /// The value of a leaf.
    pub(super) fn from_parts(form: Form, bytes: &[u8]) -> Self {
        match form {
            Form::Bytes => Self::Bytes(bytes.to_vec()),
            Form::Blob => Self::Blob(read_id(bytes)),
            Form::Tree => Self::Tree(read_id(bytes)),
            Form::Message | Form::Child => {
                let (sequence, id) = read_numbered(bytes);
                Self::Message { sequence, id }
            }
        }
    }
}

pub(super) fn check_key(key: &[u8]) -> Result<(), ObjectError> {
    at_most("a key", key.len() as u64, KEY_BYTES_MAX as u64)
}
