//! A node of a map: entries of one level, in the order of their keys.

use std::ops::Range;
use std::sync::Arc;

use crate::archive;
use crate::error::{ObjectError, at_most};
use crate::id::ObjectId;

use super::boundary::{Growing, NODE_BYTES_LIMIT, SLOT_BYTES, ends_by_hash, entry_bytes};
use super::value::{Form, MapKind, Value, check_key, read_numbered};

use record::{ArchivedNodeRecord, NodeRecord, SlotRecord};

/// Levels of a map. Each has at most half the nodes of the one below.
pub(super) const LEVELS_MAX: u8 = 64;

/// Most entries of a node: as many of the smallest as fit.
const ENTRIES_MAX: usize = NODE_BYTES_LIMIT / SLOT_BYTES + 1;

/// A node that was checked when it was opened. Its keys and values stay where they lie.
#[derive(Clone, Debug)]
pub(super) struct Node {
    id: ObjectId,
    level: u8,
    slots: Vec<Slot>,
    bytes: Arc<[u8]>,
    /// Where keys and values begin.
    data: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    key_end: u16,
    value_end: u16,
    form: Form,
}

impl Node {
    /// Opens a node whose hash was compared.
    pub(super) fn open(kind: MapKind, id: ObjectId, bytes: Arc<[u8]>) -> Result<Self, ObjectError> {
        let malformed = ObjectError::Malformed { kind: kind.object_kind() };
        let archived: &ArchivedNodeRecord<'static> = archive::access(kind.object_kind(), &bytes)?;
        let level = archived.level;
        if level > LEVELS_MAX {
            return Err(ObjectError::TooDeep { what: "a map", limit: usize::from(LEVELS_MAX) });
        }
        at_most("a node", archived.slots.len() as u64, ENTRIES_MAX as u64)?;
        let mut slots = Vec::with_capacity(archived.slots.len());
        let mut end = 0;
        for slot in &*archived.slots {
            let (key_end, value_end) = (slot.key_end.to_native(), slot.value_end.to_native());
            let form = Form::from_number(slot.form).ok_or(malformed)?;
            if key_end < end || value_end < key_end {
                return Err(malformed);
            }
            end = value_end;
            slots.push(Slot { key_end, value_end, form });
        }
        if slots.is_empty() || usize::from(end) != archived.bytes.len() {
            return Err(malformed);
        }
        let data = archived.bytes.as_ptr() as usize - bytes.as_ptr() as usize;
        let node = Self { id, level, slots, data, bytes };
        node.check_entries(kind)?;
        Ok(node)
    }

    fn check_entries(&self, kind: MapKind) -> Result<(), ObjectError> {
        for at in 0..self.len() {
            let form = self.form(at);
            check_key(self.key(at))?;
            if !form.fits(kind, self.level) || !form.has_length(self.value(at).len()) {
                return Err(ObjectError::Invalid { what: "a value" });
            }
            if at > 0 && self.key(at - 1) >= self.key(at) {
                return Err(match self.key(at - 1) == self.key(at) {
                    true => ObjectError::Duplicate { what: "a map" },
                    false => ObjectError::Unsorted { what: "a map" },
                });
            }
        }
        Ok(())
    }

    pub(super) const fn id(&self) -> ObjectId {
        self.id
    }

    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    /// Entries. Never none.
    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.slots[at - 1].value_end };
        self.slice(start..self.slots[at].key_end)
    }

    pub(super) fn value(&self, at: usize) -> &[u8] {
        self.slice(self.slots[at].key_end..self.slots[at].value_end)
    }

    pub(super) fn form(&self, at: usize) -> Form {
        self.slots[at].form
    }

    /// Key and value of a leaf's entry.
    pub(super) fn entry(&self, at: usize) -> (Vec<u8>, Value) {
        (self.key(at).to_vec(), Value::from_parts(self.form(at), self.value(at)))
    }

    pub(super) fn last_key(&self) -> &[u8] {
        self.key(self.len() - 1)
    }

    /// The first entry whose key is not below this one; `len` if there is none.
    pub(super) fn find(&self, key: &[u8]) -> usize {
        self.find_by(|own| own < key)
    }

    /// The first entry whose key is above this one; `len` if there is none.
    pub(super) fn find_behind(&self, key: &[u8]) -> usize {
        self.find_by(|own| own <= key)
    }

    fn find_by(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(self.key(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// A node below: how many entries lie under it, and its id.
    pub(super) fn child(&self, at: usize) -> (u64, ObjectId) {
        read_numbered(self.value(at))
    }

    /// Entries of the map that lie under this node.
    pub(super) fn count(&self) -> u64 {
        match self.level {
            0 => self.len() as u64,
            // A lying node must not overflow the sum.
            _ => (0..self.len()).fold(0, |sum, at| sum.saturating_add(self.child(at).0)),
        }
    }

    fn slice(&self, range: Range<u16>) -> &[u8] {
        &self.bytes[self.data + usize::from(range.start)..self.data + usize::from(range.end)]
    }

    /// Fails if the node is cut where it must not be, or not where it must.
    fn check_ends(&self) -> Result<(), ObjectError> {
        let mut size = 0;
        for at in 0..self.len() {
            let entry = entry_bytes(self.key(at), self.value(at));
            size += entry;
            let is_inner = at > 0 && at + 1 < self.len();
            if is_inner && (size >= NODE_BYTES_LIMIT || ends_by_hash(self.level, self.key(at), entry)) {
                return Err(ObjectError::Invalid { what: "a node's end" });
            }
        }
        Ok(())
    }
}

/// The bytes of a node.
pub(super) fn encode(level: u8, growing: &Growing) -> Arc<[u8]> {
    let slots: Vec<SlotRecord> = growing
        .slots
        .iter()
        .map(|(key_end, value_end, form)| slot_record(*key_end, *value_end, *form))
        .collect();
    encode_record(level, &slots, &growing.bytes)
}

fn slot_record(key_end: u16, value_end: u16, form: Form) -> SlotRecord {
    SlotRecord { key_end, value_end, form: form as u8 }
}

fn encode_record(level: u8, slots: &[SlotRecord], bytes: &[u8]) -> Arc<[u8]> {
    let size = size_of::<ArchivedNodeRecord<'_>>() + slots.len() * SLOT_BYTES + bytes.len();
    archive::encode(&NodeRecord { level, slots, bytes }, size)
}

/// Checks that bytes are a node in its canonical form, as far as one node can show it.
pub(crate) fn check(kind: MapKind, bytes: &[u8]) -> Result<(), ObjectError> {
    let object_kind = kind.object_kind();
    let node = Node::open(kind, ObjectId::from_bytes([0; 32]), bytes.into())?;
    let slots: Vec<SlotRecord> =
        node.slots.iter().map(|slot| slot_record(slot.key_end, slot.value_end, slot.form)).collect();
    let data = &node.bytes[node.data..][..slots.last().map_or(0, |slot| usize::from(slot.value_end))];
    if *encode_record(node.level, &slots, data) != *bytes {
        return Err(ObjectError::NotCanonical { kind: object_kind });
    }
    node.check_ends()
}

mod record {
    use rkyv::with::InlineAsBox;
    use rkyv::{Archive, Serialize};

    #[derive(Debug, Archive, Serialize)]
    pub(super) struct NodeRecord<'a> {
        /// 0 for leaves.
        pub(super) level: u8,
        #[rkyv(with = InlineAsBox)]
        pub(super) slots: &'a [SlotRecord],
        /// Each entry's key, then its value.
        #[rkyv(with = InlineAsBox)]
        pub(super) bytes: &'a [u8],
    }

    #[derive(Clone, Copy, Debug, Archive, Serialize)]
    pub(super) struct SlotRecord {
        pub(super) key_end: u16,
        pub(super) value_end: u16,
        pub(super) form: u8,
    }
}
