//! The frame of every object: one byte that names the form, then an rkyv archive without alignment.

use std::sync::Arc;

use rkyv::api::high::{HighSerializer, HighValidator, to_bytes_in};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Error, Failure};
use rkyv::ser::allocator::ArenaHandle;
use rkyv::{Portable, Serialize};

use crate::error::{ObjectError, at_most};
use crate::id::ObjectKind;
use crate::object::OBJECT_BYTES_MAX;

/// The form that this version writes.
pub(crate) const FORMAT: u8 = 1;

/// The bytes of a record.
pub(crate) fn encode<T>(record: &T, size_hint: usize) -> Arc<[u8]>
where
    T: for<'a> Serialize<HighSerializer<Vec<u8>, ArenaHandle<'a>, Error>>,
{
    let mut buffer = Vec::with_capacity(size_hint + 1);
    buffer.push(FORMAT);
    to_bytes_in::<_, Error>(record, buffer).expect("a record in memory can be written").into()
}

/// Looks into a record without copying, after every length and text in it was checked.
pub(crate) fn access<A>(kind: ObjectKind, bytes: &[u8]) -> Result<&A, ObjectError>
where
    A: Portable + for<'a> CheckBytes<HighValidator<'a, Failure>>,
{
    at_most("an object", bytes.len() as u64, OBJECT_BYTES_MAX as u64)?;
    match bytes.split_first() {
        None => Err(ObjectError::Malformed { kind }),
        Some((&FORMAT, archive)) => {
            rkyv::access::<A, Failure>(archive).map_err(|_| ObjectError::Malformed { kind })
        }
        Some((&found, _)) => Err(ObjectError::Format { found }),
    }
}
