//! Where objects come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{GritError, ReadError};
use crate::id::{ObjectId, ObjectKind};
use crate::object::{self, Object};

/// Whoever has objects: a disk, a peer, memory.
///
/// The bytes need not be right. Whoever reads through this trait compares their hash with the id.
pub trait Objects {
    /// The bytes of an object.
    ///
    /// # Errors
    /// If the object is missing, or cannot be looked for.
    fn read(&self, id: &ObjectId) -> Result<Arc<[u8]>, ReadError>;
}

/// Reads an object and compares its hash.
pub(crate) fn read_checked(
    objects: &dyn Objects,
    kind: ObjectKind,
    id: &ObjectId,
) -> Result<Arc<[u8]>, GritError> {
    let bytes = objects.read(id)?;
    object::check_id(kind, id, &bytes).map_err(|error| GritError::Object { id: *id, error })?;
    Ok(bytes)
}

/// Objects in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryObjects {
    objects: BTreeMap<ObjectId, Object>,
}

impl MemoryObjects {
    /// No objects.
    pub const fn new() -> Self {
        Self { objects: BTreeMap::new() }
    }

    /// Adds an object. One that is there already stays.
    pub fn insert(&mut self, object: Object) {
        self.objects.entry(object.id()).or_insert(object);
    }

    /// An object, if it is there.
    pub fn get(&self, id: &ObjectId) -> Option<&Object> {
        self.objects.get(id)
    }

    /// Takes an object away.
    pub fn remove(&mut self, id: &ObjectId) -> Option<Object> {
        self.objects.remove(id)
    }

    /// All objects, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl Extend<Object> for MemoryObjects {
    fn extend<T: IntoIterator<Item = Object>>(&mut self, objects: T) {
        objects.into_iter().for_each(|object| self.insert(object));
    }
}

impl Objects for MemoryObjects {
    fn read(&self, id: &ObjectId) -> Result<Arc<[u8]>, ReadError> {
        self.objects.get(id).map(|object| object.bytes().clone()).ok_or(ReadError::Missing(*id))
    }
}

/// New objects, not written yet, above those that are.
pub struct Overlay<'a> {
    above: MemoryObjects,
    below: &'a dyn Objects,
}

impl<'a> Overlay<'a> {
    /// Nothing new yet.
    pub const fn new(below: &'a dyn Objects) -> Self {
        Self { above: MemoryObjects::new(), below }
    }

    /// Adds an object.
    pub fn insert(&mut self, object: Object) {
        self.above.insert(object);
    }
}

impl Extend<Object> for Overlay<'_> {
    fn extend<T: IntoIterator<Item = Object>>(&mut self, objects: T) {
        self.above.extend(objects);
    }
}

impl Objects for Overlay<'_> {
    fn read(&self, id: &ObjectId) -> Result<Arc<[u8]>, ReadError> {
        match self.above.get(id) {
            Some(object) => Ok(object.bytes().clone()),
            None => self.below.read(id),
        }
    }
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("above", &self.above.len()).finish_non_exhaustive()
    }
}
