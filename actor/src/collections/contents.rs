//! What all collections are underneath: a sorted map of bytes, in memory or in the store.

use std::collections::BTreeMap;
use std::ops::Bound;

use gritmesh_runtime::Failure;
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::StateError;
use crate::durable::{Collection, Entries, Flushed};

/// Entries that are moved at once when a collection is replaced.
const PAGE: usize = 1_000;

/// A field that is kept by difference. Implemented by the collections of this crate only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a collection",
    note = "collections are `Map`, `List`, `Value` and `Blob`; any other field is kept with serde as it is"
)]
pub trait CollectionField: sealed::Sealed {
    /// What it is underneath.
    #[doc(hidden)]
    fn contents(&mut self) -> &mut Contents;
}

pub(super) mod sealed {
    /// Only for types of this crate.
    #[expect(unnameable_types, reason = "it is there so that nobody else can name it")]
    pub trait Sealed {}
}

/// The entries of a collection. The lock is never contended: it lets queries share the actor.
#[derive(Default)]
pub struct Contents(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    backing: Backing,
    /// The first failure of the store. The turn that met it is undone.
    failure: Option<Failure>,
}

enum Backing {
    /// Of an actor that has no store, or not been given its own yet.
    Memory(BTreeMap<Vec<u8>, Vec<u8>>),
    Stored(Box<dyn Collection>),
}

impl Default for Backing {
    fn default() -> Self {
        Self::Memory(BTreeMap::new())
    }
}

impl Contents {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|entries| Ok(entries.get(key).cloned()), |stored| stored.get(key))
    }

    pub(super) fn len(&self) -> u64 {
        match &self.0.lock().backing {
            Backing::Memory(entries) => entries.len() as u64,
            Backing::Stored(stored) => stored.len(),
        }
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        match &mut self.0.get_mut().backing {
            Backing::Memory(entries) => drop(entries.insert(key, value)),
            Backing::Stored(stored) => stored.put(&key, value),
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        match &mut self.0.get_mut().backing {
            Backing::Memory(entries) => drop(entries.remove(key)),
            Backing::Stored(stored) => stored.remove(key),
        }
    }

    /// Entries with `from <= key < to`, in order, at most `limit`.
    pub(super) fn range(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Entries, StateError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Entries::new());
        }
        let in_memory = |entries: &BTreeMap<Vec<u8>, Vec<u8>>| {
            let end = to.map_or(Bound::Unbounded, Bound::Excluded);
            let found = entries.range::<[u8], _>((Bound::Included(from), end)).take(limit);
            Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
        };
        self.read(in_memory, |stored| stored.range(from, to, limit))
    }

    /// Removes every entry.
    pub(super) fn clear(&mut self) -> Result<(), StateError> {
        let inner = self.0.get_mut();
        match &mut inner.backing {
            Backing::Memory(entries) => entries.clear(),
            Backing::Stored(stored) => {
                if let Err(failure) = empty(stored.as_mut()) {
                    inner.failure.get_or_insert_with(|| failure.clone());
                    return Err(failure.into());
                }
            }
        }
        Ok(())
    }

    fn read<T>(
        &self,
        in_memory: impl FnOnce(&BTreeMap<Vec<u8>, Vec<u8>>) -> Result<T, Failure>,
        in_store: impl FnOnce(&dyn Collection) -> Result<T, Failure>,
    ) -> Result<T, StateError> {
        let mut inner = self.0.lock();
        let result = match &inner.backing {
            Backing::Memory(entries) => in_memory(entries),
            Backing::Stored(stored) => in_store(stored.as_ref()),
        };
        result.map_err(|failure| {
            inner.failure.get_or_insert_with(|| failure.clone());
            failure.into()
        })
    }

    /// Puts the collection into the store. What a `Default` or a deserialised value had in it comes first, unless
    /// the store knows better.
    pub(crate) fn attach(&mut self, mut stored: Box<dyn Collection>) {
        let inner = self.0.get_mut();
        if let Backing::Memory(entries) = std::mem::take(&mut inner.backing)
            && stored.is_empty()
        {
            entries.into_iter().for_each(|(key, value)| stored.put(&key, value));
        }
        inner.backing = Backing::Stored(stored);
    }

    /// What has changed. `open` gives the stored collection that a handler has put this one in place of.
    pub(crate) fn flush(
        &mut self,
        open: impl FnOnce() -> Result<Box<dyn Collection>, Failure>,
    ) -> Result<Option<Flushed>, Failure> {
        let inner = self.0.get_mut();
        if let Backing::Memory(entries) = &mut inner.backing {
            let mut stored = open()?;
            empty(stored.as_mut())?;
            std::mem::take(entries).into_iter().for_each(|(key, value)| stored.put(&key, value));
            inner.backing = Backing::Stored(stored);
        }
        match &mut inner.backing {
            Backing::Stored(stored) if stored.is_changed() => stored.flush().map(Some),
            Backing::Stored(_) | Backing::Memory(_) => Ok(None),
        }
    }

    pub(crate) fn take_failure(&mut self) -> Option<Failure> {
        self.0.get_mut().failure.take()
    }
}

fn empty(stored: &mut dyn Collection) -> Result<(), Failure> {
    while !stored.is_empty() {
        for (key, _) in stored.range(&[], None, PAGE)? {
            stored.remove(&key);
        }
    }
    Ok(())
}

/// Stands among the plain fields of its actor as nothing: its entries are written by difference.
impl Serialize for Contents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.lock().backing {
            Backing::Memory(entries) if !entries.is_empty() => Err(serde::ser::Error::custom(
                "a `Map`, `List`, `Value` or `Blob` is kept only as a field of the durable actor itself, not of \
                 something inside it",
            )),
            _ => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Contents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self::default())
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} entries", self.len())
    }
}
