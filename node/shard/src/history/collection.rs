//! A collection field: a tree, and what was changed since it was written last.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use gritmesh_actor::{Collection, Entries, Flushed, FlushedObject};
use gritmesh_runtime::Failure;
use gritmesh_store::{BlobReader, GritError, Object, ObjectError, ObjectId, SortedMap, Value};

use super::pool::Pool;

/// A collection that reads the nodes that it needs, and keeps changes until they are flushed.
pub(super) struct TreeCollection {
    pool: Arc<Pool>,
    root: Option<ObjectId>,
    /// How many entries the tree has, without the changes.
    written: u64,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl TreeCollection {
    pub(super) fn open(pool: Arc<Pool>, root: Option<ObjectId>) -> Result<Self, Failure> {
        let written = SortedMap::tree(&*pool, root).len().map_err(|error| pool.walk_failed(error))?;
        Ok(Self { pool, root, written, changes: BTreeMap::new() })
    }

    fn tree(&self) -> SortedMap<'_> {
        SortedMap::tree(&*self.pool, self.root)
    }

    fn entries(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Entries, GritError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut changes = self.changes.range::<[u8], _>((Bound::Included(from), end)).peekable();
        let tree = self.tree();
        let mut found = Vec::new();
        for entry in tree.entries_from(from) {
            let (key, value) = entry?;
            if to.is_some_and(|to| key.as_slice() >= to) {
                break;
            }
            take_changes(&mut changes, Some(&key), &mut found);
            match changes.next_if(|(changed, _)| **changed == key) {
                Some((_, Some(value))) => found.push((key, value.clone())),
                Some((_, None)) => {}
                None if found.len() < limit => found.push((key, self.bytes(value)?)),
                None => {}
            }
            if found.len() >= limit {
                break;
            }
        }
        if found.len() < limit {
            take_changes(&mut changes, None, &mut found);
        }
        found.truncate(limit);
        Ok(found)
    }

    fn bytes(&self, value: Value) -> Result<Vec<u8>, GritError> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Blob(id) => BlobReader::open(&*self.pool, id)?.read_all(),
            Value::Tree(_) | Value::Message { .. } => {
                Err(GritError::Argument(ObjectError::Invalid { what: "a value of a collection" }))
            }
        }
    }
}

/// Takes over the changed entries below a key, or all that are left.
fn take_changes<'c>(
    changes: &mut Peekable<impl Iterator<Item = (&'c Vec<u8>, &'c Option<Vec<u8>>)>>,
    below: Option<&[u8]>,
    found: &mut Entries,
) {
    let is_below = |key: &[u8]| below.is_none_or(|below| key < below);
    while let Some((key, value)) = changes.next_if(|(key, _)| is_below(key)) {
        found.extend(value.clone().map(|value| (key.clone(), value)));
    }
}

impl Collection for TreeCollection {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.tree().get_bytes(key).map_err(|error| self.pool.walk_failed(error)),
        }
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.changes.insert(key.to_vec(), Some(value));
    }

    fn remove(&mut self, key: &[u8]) {
        self.changes.insert(key.to_vec(), None);
    }

    fn len(&self) -> u64 {
        let tree = self.tree();
        self.changes.iter().fold(self.written, |len, (key, change)| {
            // A node that cannot be read here stops the flush, so a wrong length is never kept.
            match (tree.get(key), change) {
                (Ok(Some(_)), None) => len.saturating_sub(1),
                (Ok(None), Some(_)) => len + 1,
                _ => len,
            }
        })
    }

    fn range(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Entries, Failure> {
        self.entries(from, to, limit).map_err(|error| self.pool.walk_failed(error))
    }

    fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    fn flush(&mut self) -> Result<Flushed, Failure> {
        let changes = self.changes.iter();
        let changes = changes.map(|(key, value)| (key.clone(), value.clone().map(Value::Bytes))).collect();
        let edited = self.tree().edit(changes).map_err(|error| self.pool.walk_failed(error))?;
        self.pool.add_loose(&edited.new);
        self.root = edited.root;
        self.changes.clear();
        self.written = self.tree().len().map_err(|error| self.pool.walk_failed(error))?;
        let root = self.root.map(|id| *id.as_bytes());
        Ok(Flushed { root, entries: self.written, objects: edited.new.iter().map(flushed).collect() })
    }
}

fn flushed(object: &Object) -> FlushedObject {
    let (id, kind) = (*object.id().as_bytes(), object.kind() as u8);
    FlushedObject { id, kind, bytes: Arc::clone(object.bytes()) }
}
