//! Keys and values, sorted by key.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::contents::{CollectionField, Contents, sealed::Sealed};
use super::{StateError, key};
use crate::codec;

/// A sorted map of any size: each change costs the logarithm of it.
///
/// # Keys
/// Numbers, `bool`, `char`, `String`, arrays, tuples, `Option`, structs and enums of these, in the order that they
/// have in Rust when it is derived. Maps and floating point numbers cannot be keys. The form of a key does not
/// change with time: to give a stored key type another shape is to start a new map.
///
/// ```
/// use gritmesh_actor::{Map, StateError};
///
/// let mut stock: Map<(String, u32), u64> = Map::default();
/// stock.insert(&("tea".into(), 250), &12)?;
/// stock.insert(&("tea".into(), 50), &3)?;
/// stock.insert(&("salt".into(), 500), &9)?;
///
/// assert_eq!(stock.get(&("tea".into(), 50))?, Some(3));
/// assert_eq!(stock.len(), 3);
/// // Everything of tea, in order.
/// let tea = stock.range(("tea".into(), 0)..("teb".into(), 0), 10)?;
/// assert_eq!(tea, [(("tea".into(), 50), 3), (("tea".into(), 250), 12)]);
/// // Page by page.
/// let first = stock.page(None, 2)?;
/// let second = stock.page(first.last().map(|(key, _)| key), 2)?;
/// assert_eq!((first.len(), second.len()), (2, 1));
/// # Ok::<(), StateError>(())
/// ```
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Map<K, V> {
    contents: Contents,
    #[serde(skip)]
    of: PhantomData<fn() -> (K, V)>,
}

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> Map<K, V> {
    /// The value of a key.
    ///
    /// # Errors
    /// If the store fails, or the value is of another type.
    pub fn get<Q: Serialize + ?Sized>(&self, key: &Q) -> Result<Option<V>, StateError>
    where
        K: Borrow<Q>,
    {
        let value = self.contents.get(&key::encode(key)?)?;
        Ok(value.map(|value| codec::decode(&value)).transpose()?)
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// If the store fails.
    pub fn contains<Q: Serialize + ?Sized>(&self, key: &Q) -> Result<bool, StateError>
    where
        K: Borrow<Q>,
    {
        Ok(self.contents.get(&key::encode(key)?)?.is_some())
    }

    /// Gives a key a value, in place of the one that it may have.
    ///
    /// # Errors
    /// If the key or the value cannot be written.
    pub fn insert<Q: Serialize + ?Sized>(&mut self, key: &Q, value: &V) -> Result<(), StateError>
    where
        K: Borrow<Q>,
    {
        self.contents.put(key::encode(key)?, codec::encode(value)?);
        Ok(())
    }

    /// Takes a key out, if it is there.
    ///
    /// # Errors
    /// If the key cannot be written.
    pub fn remove<Q: Serialize + ?Sized>(&mut self, key: &Q) -> Result<(), StateError>
    where
        K: Borrow<Q>,
    {
        self.contents.remove(&key::encode(key)?);
        Ok(())
    }

    /// The entries whose keys lie in a range, in order, at most `limit`.
    ///
    /// # Errors
    /// If the store fails, or an entry is of another type.
    pub fn range(&self, keys: impl RangeBounds<K>, limit: usize) -> Result<Vec<(K, V)>, StateError> {
        let from = match keys.start_bound() {
            Bound::Included(key) => key::encode(key)?,
            Bound::Excluded(key) => after(key::encode(key)?),
            Bound::Unbounded => Vec::new(),
        };
        let to = match keys.end_bound() {
            Bound::Included(key) => Some(after(key::encode(key)?)),
            Bound::Excluded(key) => Some(key::encode(key)?),
            Bound::Unbounded => None,
        };
        self.read(&from, to.as_deref(), limit)
    }

    /// The first entries, or those after a key, at most `limit`.
    ///
    /// # Errors
    /// If the store fails, or an entry is of another type.
    pub fn page<Q: Serialize + ?Sized>(
        &self,
        behind: Option<&Q>,
        limit: usize,
    ) -> Result<Vec<(K, V)>, StateError>
    where
        K: Borrow<Q>,
    {
        let from = behind.map_or_else(|| Ok(Vec::new()), |key| key::encode(key).map(after))?;
        self.read(&from, None, limit)
    }

    /// Takes everything out. Costs as much as there is.
    ///
    /// # Errors
    /// If the store fails.
    pub fn clear(&mut self) -> Result<(), StateError> {
        self.contents.clear()
    }

    fn read(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<(K, V)>, StateError> {
        let entries = self.contents.range(from, to, limit)?;
        entries.iter().map(|(key, value)| Ok((key::decode(key)?, codec::decode(value)?))).collect()
    }
}

impl<K, V> Map<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.contents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The first bytes that come after these.
fn after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { contents: Contents::default(), of: PhantomData }
    }
}

impl<K, V> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({:?})", self.contents)
    }
}

impl<K, V> Sealed for Map<K, V> {}

impl<K, V> CollectionField for Map<K, V> {
    fn contents(&mut self) -> &mut Contents {
        &mut self.contents
    }
}
