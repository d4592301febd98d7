//! Changing a map, level by level from the leaves up.
//!
//! In each level only the nodes in which something changes are cut anew, and those behind them until an end falls
//! where one was. What that makes of the level's nodes are the changes of the level above.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;

use crate::chunks;
use crate::error::{GritError, ObjectError};
use crate::id::ObjectId;
use crate::object::Object;

use super::boundary::Growing;
use super::node::{self, Node};
use super::read::SortedMap;
use super::value::{Form, INLINE_VALUE_BYTES_MAX, MapKind, Value, check_key, numbered, read_numbered};

/// What shall stand under keys; none where nothing shall.
pub type Changes = BTreeMap<Vec<u8>, Option<Value>>;

/// What an edit made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The root of the changed map; none if it is empty.
    pub root: Option<ObjectId>,
    /// Objects that the changed map needs and the one before had not: nodes, and blobs of long values.
    pub new: Vec<Object>,
}

impl SortedMap<'_> {
    /// Puts one value.
    ///
    /// # Errors
    /// As [`Self::edit`].
    pub fn put(&self, key: &[u8], value: Value) -> Result<Edited, GritError> {
        self.edit(Changes::from([(key.to_vec(), Some(value))]))
    }

    /// Takes one key away, if it is there.
    ///
    /// # Errors
    /// As [`Self::edit`].
    pub fn remove(&self, key: &[u8]) -> Result<Edited, GritError> {
        self.edit(Changes::from([(key.to_vec(), None)]))
    }

    /// Makes many changes at once, which costs much less than one after the other. This map stays what it was.
    ///
    /// # Errors
    /// If a node cannot be had, a key or a value is too long, or a value may not stand in a map of this kind.
    pub fn edit(&self, changes: Changes) -> Result<Edited, GritError> {
        let mut new = New::default();
        let mut level_changes = Vec::with_capacity(changes.len());
        for (key, value) in changes {
            check_key(&key).map_err(GritError::Argument)?;
            let entry = match value {
                Some(value) => Some(new.parts(self.kind(), value)?),
                None => None,
            };
            level_changes.push(Change { key, entry });
        }
        let root = self.rebuild(level_changes, &mut new)?;
        Ok(Edited { root, new: new.into_objects(self.kind()) })
    }

    /// Carries changes from the leaves to the root.
    fn rebuild(&self, mut changes: Vec<Change>, new: &mut New) -> Result<Option<ObjectId>, GritError> {
        let old_root = self.root_node()?;
        for level in 0..=node::LEVELS_MAX {
            if changes.is_empty() {
                return Ok(self.root());
            }
            let recut = self.recut(level, changes, new)?;
            if old_root.as_ref().is_some_and(|root| level < root.level()) {
                changes = recut.into_changes();
                continue;
            }
            match &recut.added[..] {
                [] => return Ok(None),
                [only] => return self.lowest_root(only.id, new).map(Some),
                _ => changes = recut.added.into_iter().map(Change::put_child).collect(),
            }
        }
        unreachable!(
            "each level has at most half the nodes of the one below, and fewer than 2^64 leaves exist"
        )
    }

    /// Cuts one level anew where something changes.
    fn recut(&self, level: u8, changes: Vec<Change>, new: &mut New) -> Result<Recut, GritError> {
        let last_key = self.root_node()?.map(|root| root.last_key().to_vec());
        let mut changes = changes.into_iter().peekable();
        let mut recut = Recut::default();
        while let Some(first) = changes.peek() {
            let mut cutter = Cutter::new(self.kind(), level, &mut recut.added, new);
            let mut old = self.node_at(level, &first.key)?;
            while let Some(node) = old {
                let is_last = last_key.as_deref() == Some(node.last_key());
                cutter.merge(&node, &mut changes, is_last);
                recut.removed.push(Cut::of(&node));
                old = match cutter.is_between_nodes() || is_last {
                    true => None,
                    false => self.node_behind(level, node.last_key())?,
                };
            }
            if self.has_no_level(level)? {
                changes.by_ref().for_each(|change| cutter.apply(change));
            }
            cutter.end_node();
        }
        recut.removed.iter().for_each(|cut| new.forget(cut, &recut.added));
        Ok(recut)
    }

    fn has_no_level(&self, level: u8) -> Result<bool, GritError> {
        Ok(self.root_node()?.is_none_or(|root| root.level() < level))
    }

    /// Goes down while there is only one node: the root is the lowest node under which everything lies.
    fn lowest_root(&self, mut id: ObjectId, new: &mut New) -> Result<ObjectId, GritError> {
        loop {
            let old;
            let node = match new.node(self.kind(), &id) {
                Some(node) => node,
                None => {
                    old = self.nodes.open(&id)?;
                    (*old).clone()
                }
            };
            if node.level() == 0 || node.len() > 1 {
                return Ok(id);
            }
            new.nodes.remove(&id);
            (_, id) = node.child(0);
        }
    }
}

/// The root that entries in order have.
pub(super) fn root_of(
    kind: MapKind,
    entries: impl Iterator<Item = Result<(Vec<u8>, Value), GritError>>,
) -> Result<Option<ObjectId>, GritError> {
    let mut cuts = Vec::new();
    let mut new = New::default();
    let mut cutter = Cutter::new(kind, 0, &mut cuts, &mut new);
    for entry in entries {
        let (key, value) = entry?;
        let (form, value) = value.into_parts();
        cutter.push(&key, form, &value, false);
        cutter.new.nodes.clear();
    }
    cutter.end_node();
    let mut level = 0;
    while cuts.len() > 1 {
        level += 1;
        let below = std::mem::take(&mut cuts);
        let mut cutter = Cutter::new(kind, level, &mut cuts, &mut new);
        below.into_iter().for_each(|cut| cutter.apply(Change::put_child(cut)));
        cutter.end_node();
    }
    Ok(cuts.first().map(|cut| cut.id))
}

/// What shall stand under a key in one level.
#[derive(Debug)]
struct Change {
    key: Vec<u8>,
    entry: Option<(Form, Vec<u8>)>,
}

impl Change {
    fn put_child(cut: Cut) -> Self {
        Self { entry: Some((Form::Child, numbered(cut.count, &cut.id))), key: cut.last_key }
    }
}

/// A node, as the level above names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cut {
    last_key: Vec<u8>,
    id: ObjectId,
    count: u64,
}

impl Cut {
    fn of(node: &Node) -> Self {
        Self { last_key: node.last_key().to_vec(), id: node.id(), count: node.count() }
    }
}

/// Nodes of one level that went and came, both in order.
#[derive(Debug, Default)]
struct Recut {
    removed: Vec<Cut>,
    added: Vec<Cut>,
}

impl Recut {
    /// What the level above has to change. Nodes that came as they went change nothing.
    fn into_changes(self) -> Vec<Change> {
        let mut changes: BTreeMap<Vec<u8>, Change> = BTreeMap::new();
        for cut in &self.removed {
            changes.insert(cut.last_key.clone(), Change { key: cut.last_key.clone(), entry: None });
        }
        for cut in self.added {
            if contains(&self.removed, &cut) {
                changes.remove(&cut.last_key);
            } else {
                changes.insert(cut.last_key.clone(), Change::put_child(cut));
            }
        }
        changes.into_values().collect()
    }
}

/// Whether a node is among others that are in order.
fn contains(cuts: &[Cut], cut: &Cut) -> bool {
    cuts.binary_search_by(|other| other.last_key.cmp(&cut.last_key)).is_ok_and(|at| cuts[at] == *cut)
}

/// Objects that did not exist before the edit.
#[derive(Debug, Default)]
struct New {
    nodes: BTreeMap<ObjectId, Arc<[u8]>>,
    blobs: BTreeMap<ObjectId, Object>,
}

impl New {
    /// How a value lies in a leaf, after long bytes were moved into a blob.
    fn parts(&mut self, kind: MapKind, value: Value) -> Result<(Form, Vec<u8>), GritError> {
        let value = match value {
            Value::Bytes(bytes) if bytes.len() > INLINE_VALUE_BYTES_MAX => {
                let (id, objects) = chunks::blob_of(&bytes);
                self.blobs.extend(objects.into_iter().map(|object| (object.id(), object)));
                Value::Blob(id)
            }
            value => value,
        };
        let (form, bytes) = value.into_parts();
        match form.fits(kind, 0) {
            true => Ok((form, bytes)),
            false => Err(GritError::Argument(ObjectError::Invalid { what: "a value" })),
        }
    }

    fn node(&self, kind: MapKind, id: &ObjectId) -> Option<Node> {
        let bytes = self.nodes.get(id)?;
        Some(Node::open(kind, *id, bytes.clone()).expect("a node that was just made can be opened"))
    }

    /// A node that came as it went is not new.
    fn forget(&mut self, removed: &Cut, added: &[Cut]) {
        if contains(added, removed) {
            self.nodes.remove(&removed.id);
        }
    }

    fn into_objects(self, kind: MapKind) -> Vec<Object> {
        let nodes = self.nodes.into_values().map(|bytes| Object::new(kind.object_kind(), bytes));
        self.blobs.into_values().chain(nodes).collect()
    }
}

/// Cuts a run of entries into nodes.
#[derive(Debug)]
struct Cutter<'e> {
    kind: MapKind,
    level: u8,
    growing: Growing,
    added: &'e mut Vec<Cut>,
    new: &'e mut New,
}

impl<'e> Cutter<'e> {
    const fn new(kind: MapKind, level: u8, added: &'e mut Vec<Cut>, new: &'e mut New) -> Self {
        Self { kind, level, growing: Growing::new(level), added, new }
    }

    /// Takes over a node's entries with the changes that fall among them, and with all others if it is the last.
    fn merge(&mut self, node: &Node, changes: &mut Peekable<impl Iterator<Item = Change>>, takes_all: bool) {
        for at in 0..node.len() {
            let key = node.key(at);
            while let Some(change) = changes.next_if(|change| change.key.as_slice() < key) {
                self.apply(change);
            }
            match changes.next_if(|change| change.key == key) {
                Some(change) => self.apply(change),
                // Where the node was not cut it need not be looked for an end again.
                None => self.push(key, node.form(at), node.value(at), at > 0 && at + 1 < node.len()),
            }
        }
        if takes_all {
            changes.for_each(|change| self.apply(change));
        }
    }

    fn apply(&mut self, change: Change) {
        if let Some((form, value)) = change.entry {
            self.push(&change.key, form, &value, false);
        }
    }

    fn push(&mut self, key: &[u8], form: Form, value: &[u8], inside: bool) {
        if self.growing.push(key, form, value, inside) {
            self.end_node();
        }
    }

    fn is_between_nodes(&self) -> bool {
        self.growing.slots.is_empty()
    }

    fn end_node(&mut self) {
        let growing = std::mem::replace(&mut self.growing, Growing::new(self.level));
        let Some((key_end, value_end, _)) = growing.slots.last().copied() else { return };
        let key_start = growing.slots.len().checked_sub(2).map_or(0, |at| growing.slots[at].1);
        let last_key = growing.bytes[usize::from(key_start)..usize::from(key_end)].to_vec();
        debug_assert_eq!(usize::from(value_end), growing.bytes.len(), "the last value ends the bytes");
        let count = match self.level {
            0 => growing.slots.len() as u64,
            _ => growing.values().map(|value| read_numbered(value).0).sum(),
        };
        let bytes = node::encode(self.level, &growing);
        let id = ObjectId::of(self.kind.object_kind(), &bytes);
        self.new.nodes.insert(id, bytes);
        self.added.push(Cut { last_key, id, count });
    }
}
