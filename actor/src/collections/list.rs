//! Elements by number.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StateError;
use super::contents::{CollectionField, Contents, sealed::Sealed};
use crate::codec;

/// A list of any size that grows and shrinks at its end.
///
/// ```
/// use gritmesh_actor::{List, StateError};
///
/// let mut log: List<String> = List::default();
/// for line in ["one", "two", "three"] {
///     log.push(&line.to_owned())?;
/// }
/// assert_eq!(log.get(1)?.as_deref(), Some("two"));
/// log.set(1, &"zwei".to_owned())?;
/// assert_eq!(log.page(1, 10)?, ["zwei", "three"]);
/// assert_eq!(log.pop()?.as_deref(), Some("three"));
/// assert_eq!(log.len(), 2);
/// # Ok::<(), StateError>(())
/// ```
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct List<T> {
    contents: Contents,
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> List<T> {
    /// Adds an element at the end.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push(&mut self, element: &T) -> Result<(), StateError> {
        let end = self.len();
        self.contents.put(key(end), codec::encode(element)?);
        Ok(())
    }

    /// Takes the last element out.
    ///
    /// # Errors
    /// If the store fails, or the element is of another type.
    pub fn pop(&mut self) -> Result<Option<T>, StateError> {
        let Some(last) = self.len().checked_sub(1) else {
            return Ok(None);
        };
        let element = self.get(last)?;
        self.contents.remove(&key(last));
        Ok(element)
    }

    /// An element by its number, from 0.
    ///
    /// # Errors
    /// If the store fails, or the element is of another type.
    pub fn get(&self, index: u64) -> Result<Option<T>, StateError> {
        let element = self.contents.get(&key(index))?;
        Ok(element.map(|element| codec::decode(&element)).transpose()?)
    }

    /// Puts an element in the place of another.
    ///
    /// # Errors
    /// If there is none at that place, or the element cannot be written.
    pub fn set(&mut self, index: u64, element: &T) -> Result<(), StateError> {
        let len = self.len();
        if index >= len {
            return Err(StateError::OutOfRange { index, len });
        }
        self.contents.put(key(index), codec::encode(element)?);
        Ok(())
    }

    /// The elements from a number on, at most `limit`.
    ///
    /// # Errors
    /// If the store fails, or an element is of another type.
    pub fn page(&self, from: u64, limit: usize) -> Result<Vec<T>, StateError> {
        let entries = self.contents.range(&key(from), None, limit)?;
        entries.iter().map(|(_, element)| Ok(codec::decode(element)?)).collect()
    }

    /// Takes everything out. Costs as much as there is.
    ///
    /// # Errors
    /// If the store fails.
    pub fn clear(&mut self) -> Result<(), StateError> {
        self.contents.clear()
    }
}

impl<T> List<T> {
    /// How many elements there are.
    pub fn len(&self) -> u64 {
        self.contents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn key(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { contents: Contents::default(), of: PhantomData }
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List({:?})", self.contents)
    }
}

impl<T> Sealed for List<T> {}

impl<T> CollectionField for List<T> {
    fn contents(&mut self) -> &mut Contents {
        &mut self.contents
    }
}
