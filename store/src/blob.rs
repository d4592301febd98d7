//! A blob: headers and bytes, or the index of a big one's pieces.

use std::sync::Arc;

use crate::archive;
use crate::error::{ObjectError, at_most};
use crate::id::{ObjectId, ObjectKind};
use crate::text::{self, Headers};

use record::{ArchivedBlobRecord, ArchivedBodyRecord, BlobRecord, BodyRecord, IndexRecord};

/// Largest data that lies in one object. A longer blob is cut into leaves of exactly this size and a rest.
pub const LEAF_BYTES: usize = 64 * 1024;

/// How many pieces an index names at most: an index then takes half the room of a leaf.
pub(crate) const INDEX_PIECES_MAX: usize = 1024;

/// Levels of indices above the leaves. Three hold 64 TiB, more than any node's disk.
pub(crate) const INDEX_LEVELS_MAX: u8 = 3;

/// Headers and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Texts by name. Pieces of a big blob have none; the blob's own stand in its topmost index.
    pub headers: Headers,
    /// The bytes, or where they are.
    pub body: BlobBody,
}

/// The bytes of a blob, or where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobBody {
    /// The bytes, at most [`LEAF_BYTES`].
    Data(Vec<u8>),
    /// The pieces of a blob that has more.
    Index {
        /// 1 if the pieces are leaves, one more for each level of indices between.
        level: u8,
        /// How many bytes all pieces have together.
        length: u64,
        /// The pieces in order, all but the last of them full.
        pieces: Vec<ObjectId>,
    },
}

impl Blob {
    /// Bytes without headers.
    pub const fn of_data(data: Vec<u8>) -> Self {
        Self { headers: Vec::new(), body: BlobBody::Data(data) }
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Arc<[u8]> {
        let headers = text::records(&self.headers);
        let hashes: Vec<[u8; 32]>;
        let (body, size) = match &self.body {
            BlobBody::Data(data) => (BodyRecord::Data(data), data.len()),
            BlobBody::Index { level, length, pieces } => {
                hashes = pieces.iter().map(|id| *id.as_bytes()).collect();
                let index = IndexRecord { level: *level, length: *length, pieces: &hashes };
                (BodyRecord::Index(Box::new(index)), pieces.len() * 32 + 32)
            }
        };
        let record = BlobRecord { headers: &headers, body };
        let fixed = size_of::<ArchivedBlobRecord<'_>>();
        archive::encode(&record, fixed + text::size_hint(&self.headers) + size)
    }

    /// The id.
    pub fn id(&self) -> ObjectId {
        ObjectId::of(ObjectKind::Blob, &self.encode())
    }

    /// Reads a blob from outside and checks that its bytes are canonical.
    ///
    /// # Errors
    /// If they are not.
    pub fn decode(bytes: &[u8]) -> Result<Self, ObjectError> {
        let blob = Self::view(bytes)?.to_blob();
        if *blob.encode() != *bytes {
            return Err(ObjectError::NotCanonical { kind: ObjectKind::Blob });
        }
        Ok(blob)
    }

    /// Looks into a blob without copying. Lengths, texts and the order of headers are checked, the canonical form
    /// is not.
    ///
    /// # Errors
    /// If the bytes are no blob.
    pub fn view(bytes: &[u8]) -> Result<BlobView<'_>, ObjectError> {
        let archived: &ArchivedBlobRecord<'static> = archive::access(ObjectKind::Blob, bytes)?;
        let view = BlobView { archived };
        text::check(view.headers())?;
        match &archived.body {
            ArchivedBodyRecord::Data(data) => {
                at_most("a blob's data", data.len() as u64, LEAF_BYTES as u64)?;
            }
            ArchivedBodyRecord::Index(index) => {
                check_index(index.level, index.length.into(), index.pieces.len())?;
            }
        }
        Ok(view)
    }
}

/// How many bytes lie under one object of a level, if it is full. Level 0 are the leaves.
pub(crate) const fn span(level: u8) -> u64 {
    LEAF_BYTES as u64 * (INDEX_PIECES_MAX as u64).pow(level as u32)
}

/// An index of a level names exactly as many pieces as its length needs, and is of the lowest level that can.
fn check_index(level: u8, length: u64, pieces: usize) -> Result<(), ObjectError> {
    if level == 0 {
        return Err(ObjectError::Invalid { what: "a blob's level" });
    }
    if level > INDEX_LEVELS_MAX {
        return Err(ObjectError::TooDeep { what: "a blob", limit: usize::from(INDEX_LEVELS_MAX) });
    }
    at_most("a blob's index", pieces as u64, INDEX_PIECES_MAX as u64)?;
    if pieces as u64 != length.div_ceil(span(level - 1)) || pieces == 0 {
        return Err(ObjectError::Invalid { what: "a blob's length" });
    }
    Ok(())
}

/// A blob in its bytes.
#[derive(Clone, Copy)]
pub struct BlobView<'a> {
    archived: &'a ArchivedBlobRecord<'static>,
}

impl<'a> BlobView<'a> {
    /// Names and texts, ascending.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        text::pairs(&self.archived.headers)
    }

    /// The bytes, unless the blob is cut into pieces.
    pub fn data(&self) -> Option<&'a [u8]> {
        match &self.archived.body {
            ArchivedBodyRecord::Data(data) => Some(data),
            ArchivedBodyRecord::Index(_) => None,
        }
    }

    /// How many bytes the blob has, with all pieces.
    pub fn length(&self) -> u64 {
        match &self.archived.body {
            ArchivedBodyRecord::Data(data) => data.len() as u64,
            ArchivedBodyRecord::Index(index) => index.length.into(),
        }
    }

    /// Levels of indices above the leaves, this one included.
    pub fn level(&self) -> u8 {
        match &self.archived.body {
            ArchivedBodyRecord::Data(_) => 0,
            ArchivedBodyRecord::Index(index) => index.level,
        }
    }

    /// The pieces in order. None if the bytes lie in the blob itself.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = ObjectId> + use<'a> {
        let hashes: &'a [[u8; 32]] = match &self.archived.body {
            ArchivedBodyRecord::Data(_) => &[],
            ArchivedBodyRecord::Index(index) => &index.pieces,
        };
        hashes.iter().map(|hash| ObjectId::from_bytes(*hash))
    }

    /// A copy that stands alone.
    pub fn to_blob(&self) -> Blob {
        let headers = self.headers().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let body = match self.data() {
            Some(data) => BlobBody::Data(data.to_vec()),
            None => BlobBody::Index {
                level: self.level(),
                length: self.length(),
                pieces: self.pieces().collect(),
            },
        };
        Blob { headers, body }
    }
}

impl std::fmt::Debug for BlobView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobView")
            .field("length", &self.length())
            .field("level", &self.level())
            .finish_non_exhaustive()
    }
}

mod record {
    use rkyv::with::InlineAsBox;
    use rkyv::{Archive, Serialize};

    use crate::text::HeaderRecord;

    #[derive(Debug, Archive, Serialize)]
    pub(super) struct BlobRecord<'a> {
        #[rkyv(with = InlineAsBox)]
        pub(super) headers: &'a [HeaderRecord<'a>],
        pub(super) body: BodyRecord<'a>,
    }

    #[derive(Debug, Archive, Serialize)]
    pub(super) enum BodyRecord<'a> {
        Data(#[rkyv(with = InlineAsBox)] &'a [u8]),
        /// Boxed, so that the many small blobs do not pay for the fields of the few big ones.
        Index(Box<IndexRecord<'a>>),
    }

    #[derive(Debug, Archive, Serialize)]
    pub(super) struct IndexRecord<'a> {
        pub(super) level: u8,
        pub(super) length: u64,
        #[rkyv(with = InlineAsBox)]
        pub(super) pieces: &'a [[u8; 32]],
    }
}
