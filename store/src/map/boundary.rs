//! Where one node ends and the next begins.
//!
//! **Problem.** Nodes should have about [`NODE_BYTES_TARGET`] bytes, at places that depend on the content alone.
//!
//! **Design.** An entry ends its node if a hash of its level and its key falls below a threshold. The threshold grows
//! with the size of the entry, so that nodes have the same size whether entries are small or large; values
//! count by their length only. Two rules bound the nodes, and both look at nothing but the node itself from its
//! first entry on, so they keep the shape a function of the content:
//!
//! * A node ends behind the entry with which it reaches [`NODE_BYTES_LIMIT`]. Where this happens, an edit may move
//!   the following ends too, up to the next end by hash: with honest keys one node of 55 is ended so, and the
//!   run has ended after one or two more.
//! * The first entry of a node never ends it. Each level has then at most half the nodes of the one below, and no
//!   choice of keys makes the map deeper than its length's logarithm.

use super::value::Form;

/// The mean size of a node.
const NODE_BYTES_TARGET: u64 = 4 * 1024;

/// At this size a node ends whatever its entries say. Rarely reached, and small enough that a node whose last
/// entry is the largest possible still fits into a pack with many others.
pub const NODE_BYTES_LIMIT: usize = 16 * 1024;

/// What a node needs for an entry beside key and value: where both end, and the form.
pub(super) const SLOT_BYTES: usize = 5;

/// The size of an entry, as it counts for the size of its node.
pub(super) const fn entry_bytes(key: &[u8], value: &[u8]) -> usize {
    SLOT_BYTES + key.len() + value.len()
}

/// Whether an entry ends its node by its hash.
pub(super) fn ends_by_hash(level: u8, key: &[u8], entry_bytes: usize) -> bool {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[level]);
    hasher.update(key);
    let hash = hasher.finalize();
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first) < entry_bytes as u64 * (u64::MAX / NODE_BYTES_TARGET)
}

/// Collects entries of one level in order and says where nodes end.
#[derive(Debug)]
pub(super) struct Growing {
    level: u8,
    /// Where key and value of each entry end, and its form.
    pub(super) slots: Vec<(u16, u16, Form)>,
    pub(super) bytes: Vec<u8>,
}

impl Growing {
    pub(super) const fn new(level: u8) -> Self {
        Self { level, slots: Vec::new(), bytes: Vec::new() }
    }

    /// The values in order.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.slots.iter().map(|(start, end, _)| &self.bytes[usize::from(*start)..usize::from(*end)])
    }

    /// Adds an entry and says whether it ends the node. `inside` says that the entry surely does not by its hash.
    pub(super) fn push(&mut self, key: &[u8], form: Form, value: &[u8], inside: bool) -> bool {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len() as u16;
        self.bytes.extend_from_slice(value);
        self.slots.push((key_end, self.bytes.len() as u16, form));
        if self.slots.len() < 2 {
            return false;
        }
        self.bytes.len() + self.slots.len() * SLOT_BYTES >= NODE_BYTES_LIMIT
            || (!inside && ends_by_hash(self.level, key, entry_bytes(key, value)))
    }
}

const _: () = assert!(
    NODE_BYTES_LIMIT + super::value::KEY_BYTES_MAX + super::value::INLINE_VALUE_BYTES_MAX < u16::MAX as usize,
    "ends of keys and values fit into 16 bits"
);
