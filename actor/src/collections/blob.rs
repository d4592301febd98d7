//! Bytes in pieces.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::StateError;
use super::contents::{CollectionField, Contents, sealed::Sealed};

/// Bytes of a piece: as large as the leaves into which the store cuts what is big. All pieces but the last are full.
const PIECE: usize = 64 << 10;

/// Bytes of any number, that grow at their end and are read in parts.
///
/// ```
/// use gritmesh_actor::{Blob, StateError};
///
/// let mut file = Blob::default();
/// file.append(b"hello ")?;
/// file.append(&[b'.'; 100_000])?;
/// assert_eq!(file.len()?, 100_006);
/// assert_eq!(file.read(4..8)?, b"o ..");
/// assert_eq!(file.read(100_000..200_000)?.len(), 6);
/// # Ok::<(), StateError>(())
/// ```
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blob {
    contents: Contents,
}

impl Blob {
    /// How many bytes there are.
    ///
    /// # Errors
    /// If the store fails.
    pub fn len(&self) -> Result<u64, StateError> {
        let Some(last) = self.contents.len().checked_sub(1) else {
            return Ok(0);
        };
        Ok(last * PIECE as u64 + self.piece(last)?.len() as u64)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.contents.len() == 0
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// If the store fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let pieces = self.contents.len();
        let mut rest = bytes;
        if let Some(last) = pieces.checked_sub(1) {
            let mut piece = self.piece(last)?;
            let (fitting, more) = rest.split_at(rest.len().min(PIECE.saturating_sub(piece.len())));
            if !fitting.is_empty() {
                piece.extend_from_slice(fitting);
                self.contents.put(key(last), piece);
            }
            rest = more;
        }
        for (number, piece) in (pieces..).zip(rest.chunks(PIECE)) {
            self.contents.put(key(number), piece.to_vec());
        }
        Ok(())
    }

    /// The bytes of a range, as far as there are any.
    ///
    /// # Errors
    /// If the store fails.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>, StateError> {
        let mut read = Vec::new();
        let (first, pieces) = (range.start / PIECE as u64, self.contents.len());
        let end = range.end.div_ceil(PIECE as u64).min(pieces);
        for number in first..end {
            let (start, piece) = (number * PIECE as u64, self.piece(number)?);
            let within =
                |at: u64| piece.len().min(usize::try_from(at.saturating_sub(start)).unwrap_or(PIECE));
            let (from, to) = (within(range.start), within(range.end));
            read.extend_from_slice(piece.get(from..to).unwrap_or_default());
        }
        Ok(read)
    }

    /// Puts other bytes in the place of these.
    ///
    /// # Errors
    /// If the store fails.
    pub fn replace(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let old = self.contents.len();
        for (number, piece) in (0..).zip(bytes.chunks(PIECE)) {
            // A piece that is the same is not a change.
            if number >= old || self.piece(number)? != piece {
                self.contents.put(key(number), piece.to_vec());
            }
        }
        let new = bytes.len().div_ceil(PIECE) as u64;
        (new..old).for_each(|number| self.contents.remove(&key(number)));
        Ok(())
    }

    /// Takes everything out.
    ///
    /// # Errors
    /// If the store fails.
    pub fn clear(&mut self) -> Result<(), StateError> {
        self.contents.clear()
    }

    fn piece(&self, number: u64) -> Result<Vec<u8>, StateError> {
        let missing = || StateError::Unfit { detail: format!("piece {number} of a blob is missing") };
        self.contents.get(&key(number))?.ok_or_else(missing)
    }
}

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

impl Sealed for Blob {}

impl CollectionField for Blob {
    fn contents(&mut self) -> &mut Contents {
        &mut self.contents
    }
}
