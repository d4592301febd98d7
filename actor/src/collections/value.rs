//! One value that is read only when it is needed.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::contents::{CollectionField, Contents, sealed::Sealed};
use super::{Blob, StateError};
use crate::codec;

/// One value of any size, apart from the other fields: messages that do not ask for it do not pay for it.
///
/// ```
/// use gritmesh_actor::{StateError, Value};
///
/// let mut model: Value<Vec<f32>> = Value::default();
/// assert_eq!(model.get()?, None);
/// model.set(&vec![0.5; 1000])?;
/// assert_eq!(model.get()?.unwrap().len(), 1000);
/// # Ok::<(), StateError>(())
/// ```
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Value<T> {
    bytes: Blob,
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Value<T> {
    /// The value, if one was set.
    ///
    /// # Errors
    /// If the store fails, or the value is of another type.
    pub fn get(&self) -> Result<Option<T>, StateError> {
        match self.is_set() {
            true => Ok(Some(codec::decode(&self.bytes.read(0..u64::MAX)?)?)),
            false => Ok(None),
        }
    }

    /// Sets the value. Of a large one, only the parts that differ are written.
    ///
    /// # Errors
    /// If the store fails, or the value cannot be written.
    pub fn set(&mut self, value: &T) -> Result<(), StateError> {
        self.bytes.replace(&codec::encode(value)?)
    }

    /// Takes the value out.
    ///
    /// # Errors
    /// If the store fails.
    pub fn clear(&mut self) -> Result<(), StateError> {
        self.bytes.clear()
    }
}

impl<T> Value<T> {
    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        !self.bytes.is_empty()
    }
}

impl<T> Default for Value<T> {
    fn default() -> Self {
        Self { bytes: Blob::default(), of: PhantomData }
    }
}

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({:?})", self.bytes)
    }
}

impl<T> Sealed for Value<T> {}

impl<T> CollectionField for Value<T> {
    fn contents(&mut self) -> &mut Contents {
        self.bytes.contents()
    }
}
