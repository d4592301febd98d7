//! Reading a map.

use std::cell::RefCell;
use std::sync::Arc;

use crate::chunks;
use crate::error::{GritError, ObjectError};
use crate::id::ObjectId;
use crate::objects::{Objects, read_checked};

use super::node::Node;
use super::value::{MapKind, Value};

/// A map whose nodes are read when they are needed.
pub struct SortedMap<'a> {
    pub(super) nodes: Nodes<'a>,
    root: Option<ObjectId>,
}

impl<'a> SortedMap<'a> {
    /// The map with this root; none is the empty map. Reads nothing yet.
    pub const fn new(objects: &'a dyn Objects, kind: MapKind, root: Option<ObjectId>) -> Self {
        Self { nodes: Nodes { objects, kind, recent: RefCell::new(Vec::new()) }, root }
    }

    /// A tree.
    pub const fn tree(objects: &'a dyn Objects, root: Option<ObjectId>) -> Self {
        Self::new(objects, MapKind::Tree, root)
    }

    /// A mailbox.
    pub const fn mailbox(objects: &'a dyn Objects, root: Option<ObjectId>) -> Self {
        Self::new(objects, MapKind::Mailbox, root)
    }

    /// What the map is called. Equal maps have equal roots.
    pub const fn root(&self) -> Option<ObjectId> {
        self.root
    }

    /// What the map is for.
    pub const fn kind(&self) -> MapKind {
        self.nodes.kind
    }

    /// How many entries there are. Reads one node.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn len(&self) -> Result<u64, GritError> {
        Ok(self.root_node()?.map_or(0, |root| root.count()))
    }

    /// Whether there is no entry. Reads nothing.
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The value under a key.
    ///
    /// # Errors
    /// If a node on the way cannot be had.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, GritError> {
        let Some(leaf) = self.node_at(0, key)? else { return Ok(None) };
        let at = leaf.find(key);
        if at == leaf.len() || leaf.key(at) != key {
            return Ok(None);
        }
        Ok(Some(Value::from_parts(leaf.form(at), leaf.value(at))))
    }

    /// The bytes under a key, whether they lie in the leaf or in a blob.
    ///
    /// # Errors
    /// If an object on the way cannot be had, the value is not bytes, or the blob is larger than
    /// [`READ_BYTES_MAX`](crate::READ_BYTES_MAX).
    pub fn get_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, GritError> {
        match self.get(key)? {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Value::Blob(id)) => chunks::BlobReader::open(self.nodes.objects, id)?.read_all().map(Some),
            Some(Value::Tree(_) | Value::Message { .. }) => {
                Err(GritError::Argument(ObjectError::Invalid { what: "a value read as bytes" }))
            }
        }
    }

    /// Entries from a key on, up to but without another, at most `limit` of them.
    ///
    /// # Errors
    /// If a node cannot be had.
    pub fn range(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Value)>, GritError> {
        let below = |entry: &Result<(Vec<u8>, Value), GritError>| match (entry, to) {
            (Ok((key, _)), Some(to)) => key.as_slice() < to,
            _ => true,
        };
        self.entries_from(from).take_while(below).take(limit).collect()
    }

    /// All entries in order.
    pub fn iter(&self) -> Entries<'_, 'a> {
        self.entries_from(&[])
    }

    /// Entries from a key on, in order.
    pub fn entries_from(&self, from: &[u8]) -> Entries<'_, 'a> {
        Entries { map: self, place: Place::Before(from.to_vec()) }
    }

    /// Reads the whole map and checks that it has the shape that its content demands.
    ///
    /// # Errors
    /// If a node cannot be had, or the shape is another.
    pub fn verify(&self) -> Result<(), GritError> {
        let Some(root) = self.root else { return Ok(()) };
        let expected = super::edit::root_of(self.kind(), self.iter())?;
        if expected == Some(root) {
            return Ok(());
        }
        let error = ObjectError::NotCanonical { kind: self.kind().object_kind() };
        Err(GritError::Object { id: root, error })
    }

    pub(super) fn root_node(&self) -> Result<Option<Arc<Node>>, GritError> {
        self.root.map(|root| self.nodes.open(&root)).transpose()
    }

    /// The node of a level in which a key lies or would lie; the last one if the key is behind all.
    pub(super) fn node_at(&self, level: u8, key: &[u8]) -> Result<Option<Arc<Node>>, GritError> {
        self.descend(level, |node| Some(node.find(key).min(node.len() - 1)))
    }

    /// The first node of a level that has a key above this one.
    pub(super) fn node_behind(&self, level: u8, key: &[u8]) -> Result<Option<Arc<Node>>, GritError> {
        self.descend(level, |node| Some(node.find_behind(key)).filter(|at| *at < node.len()))
    }

    fn descend(
        &self,
        level: u8,
        choose: impl Fn(&Node) -> Option<usize>,
    ) -> Result<Option<Arc<Node>>, GritError> {
        let Some(mut node) = self.root_node()? else { return Ok(None) };
        if node.level() < level {
            return Ok(None);
        }
        while node.level() > level {
            let Some(at) = choose(&node) else { return Ok(None) };
            node = self.nodes.child(&node, at)?;
        }
        // Asked here too, since the root itself may be of the level.
        Ok(choose(&node).map(|_| node))
    }
}

impl std::fmt::Debug for SortedMap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SortedMap")
            .field("kind", &self.kind())
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// The nodes of a map.
pub(super) struct Nodes<'a> {
    pub(super) objects: &'a dyn Objects,
    pub(super) kind: MapKind,
    /// The node of each level that was read last: whoever goes through a map in order reads each node once.
    recent: RefCell<Vec<Arc<Node>>>,
}

impl Nodes<'_> {
    /// A node that nothing is known about.
    pub(super) fn open(&self, id: &ObjectId) -> Result<Arc<Node>, GritError> {
        if let Some(node) = self.recent.borrow().iter().find(|node| node.id() == *id) {
            return Ok(node.clone());
        }
        let bytes = read_checked(self.objects, self.kind.object_kind(), id)?;
        let node = Node::open(self.kind, *id, bytes);
        let node = Arc::new(node.map_err(|error| GritError::Object { id: *id, error })?);
        let mut recent = self.recent.borrow_mut();
        recent.retain(|other| other.level() != node.level());
        recent.push(node.clone());
        Ok(node)
    }

    /// A node below another, which must be what that one says about it.
    pub(super) fn child(&self, parent: &Node, at: usize) -> Result<Arc<Node>, GritError> {
        let (count, id) = parent.child(at);
        let node = self.open(&id)?;
        self.expect(&node, parent.level() - 1, parent.key(at))?;
        if node.count() == count && (at == 0 || node.key(0) > parent.key(at - 1)) {
            return Ok(node);
        }
        Err(broken_link(&node))
    }

    /// Fails if a node is not the one that is named so. Levels that fall by one make circles impossible.
    pub(super) fn expect(&self, node: &Node, level: u8, last_key: &[u8]) -> Result<(), GritError> {
        match node.level() == level && node.last_key() == last_key {
            true => Ok(()),
            false => Err(broken_link(node)),
        }
    }
}

const fn broken_link(node: &Node) -> GritError {
    GritError::Object { id: node.id(), error: ObjectError::BrokenLink { what: "a node" } }
}

/// Entries of a map in order.
#[derive(Debug)]
pub struct Entries<'m, 'a> {
    map: &'m SortedMap<'a>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Before(Vec<u8>),
    In(Arc<Node>, usize),
    End,
}

impl Entries<'_, '_> {
    fn step(&mut self) -> Result<Option<(Vec<u8>, Value)>, GritError> {
        let (leaf, at) = match std::mem::replace(&mut self.place, Place::End) {
            Place::End => return Ok(None),
            Place::In(leaf, at) if at < leaf.len() => (leaf, at),
            Place::In(leaf, _) => match self.map.node_behind(0, leaf.last_key())? {
                Some(next) => (next, 0),
                None => return Ok(None),
            },
            Place::Before(key) => match self.map.node_at(0, &key)? {
                Some(leaf) if leaf.find(&key) < leaf.len() => {
                    let at = leaf.find(&key);
                    (leaf, at)
                }
                _ => return Ok(None),
            },
        };
        let entry = leaf.entry(at);
        self.place = Place::In(leaf, at + 1);
        Ok(Some(entry))
    }
}

impl Iterator for Entries<'_, '_> {
    type Item = Result<(Vec<u8>, Value), GritError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
