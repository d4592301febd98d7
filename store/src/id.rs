//! What an object is called.

use std::fmt;
use std::str::FromStr;

/// What an object is. Part of what its id covers, so that bytes of one kind cannot pass for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// Headers and bytes.
    Blob = 1,
    /// Names of blobs and trees, ordered.
    Tree = 2,
    /// A message between actors.
    Message = 3,
    /// The last message of each peer, ordered.
    Mailbox = 4,
    /// One step of an actor.
    Step = 5,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Blob, Self::Tree, Self::Message, Self::Mailbox, Self::Step];

    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Blob),
            2 => Some(Self::Tree),
            3 => Some(Self::Message),
            4 => Some(Self::Mailbox),
            5 => Some(Self::Step),
            _ => None,
        }
    }

    /// The kind in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Message => "message",
            Self::Mailbox => "mailbox",
            Self::Step => "step",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of an object: BLAKE3 over its kind, one byte, and its canonical bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; 32]);

impl ObjectId {
    /// The id of an object with these canonical bytes.
    pub fn of(kind: ObjectKind, bytes: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind as u8]);
        hasher.update(bytes);
        Self(*hasher.finalize().as_bytes())
    }

    /// The id whose hash is known.
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string()[..12])
    }
}

impl FromStr for ObjectId {
    type Err = ParseObjectIdError;

    fn from_str(text: &str) -> Result<Self, ParseObjectIdError> {
        let hash = blake3::Hash::from_hex(text).map_err(|_| ParseObjectIdError)?;
        Ok(Self(*hash.as_bytes()))
    }
}

/// A text that is no object id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseObjectIdError;

impl fmt::Display for ParseObjectIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object id has 64 hexadecimal digits")
    }
}

impl std::error::Error for ParseObjectIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_pinned() {
        // An id that changes is an object that is lost.
        let id = ObjectId::of(ObjectKind::Blob, b"grit");
        assert_eq!(id.to_string(), PINNED);
        assert_eq!(PINNED.parse(), Ok(id));
        assert_eq!(ObjectId::from_bytes(*id.as_bytes()), id);
    }

    const PINNED: &str = "00c8a7a893f8aea44aaa7bca59e188ab37b216f9fc727c8ff4906085d39f0b30";

    #[test]
    fn the_kind_is_part_of_the_id() {
        assert_ne!(ObjectId::of(ObjectKind::Blob, b"x"), ObjectId::of(ObjectKind::Tree, b"x"));
    }

    #[test]
    fn kinds_keep_their_numbers() {
        for kind in ObjectKind::ALL {
            assert_eq!(ObjectKind::from_number(kind as u8), Some(kind));
        }
        assert_eq!(ObjectKind::from_number(0), None);
        assert_eq!(ObjectKind::from_number(6), None);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "12", &"g".repeat(64), &"é".repeat(32)] {
            assert!(text.parse::<ObjectId>().is_err(), "{text:?}");
        }
    }
}
