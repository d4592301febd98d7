//! Grit: content-addressed objects, the memory of durable actors.
//!
//! **Problem.** The history of an actor must be provable, cheap to share between nodes and impossible to fork in
//! silence.
//!
//! **Design.** Every object is named by the hash of what it is: BLAKE3 over its kind and its canonical bytes. Equal
//! content has one id however it came about, and a copy from anywhere can be checked.
//!
//! **Deliberately absent.** All but the ids. Actors of this version are volatile and write nothing; trees, steps,
//! refs and backends come with durable actors. What an id covers is settled here because it can never change.

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
    }

    const PINNED: &str = "00c8a7a893f8aea44aaa7bca59e188ab37b216f9fc727c8ff4906085d39f0b30";

    #[test]
    fn the_kind_is_part_of_the_id() {
        assert_ne!(ObjectId::of(ObjectKind::Blob, b"x"), ObjectId::of(ObjectKind::Tree, b"x"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "12", &"g".repeat(64), &"é".repeat(32)] {
            assert!(text.parse::<ObjectId>().is_err(), "{text:?}");
        }
    }
}
