//! Big blobs: leaves of 64 KiB under indices of hashes.
//!
//! **Problem.** One hash over a gigabyte can be checked only when the last byte has come.
//!
//! **Design.** The bytes are cut into leaves of [`LEAF_BYTES`], and indices of up to 1,024 ids are stacked above
//! until one is left. Any range is checked by the few objects on the way to it. Bytes that fit into one leaf are
//! that one object, so a small blob costs nothing extra.
//!
//! **Deliberately absent.** Cutting by content: what is written by difference is a map, not a blob.

use crate::blob::{Blob, BlobBody, BlobView, INDEX_LEVELS_MAX, INDEX_PIECES_MAX, LEAF_BYTES, span};
use crate::error::{GritError, ObjectError, at_most};
use crate::id::{ObjectId, ObjectKind};
use crate::object::Object;
use crate::objects::{Objects, read_checked};
use crate::text::{self, Headers};

/// Largest blob: what `INDEX_LEVELS_MAX` levels of indices can name.
pub const BLOB_BYTES_MAX: u64 = span(INDEX_LEVELS_MAX);

/// Most bytes that one read returns at once. Longer blobs are read in ranges.
pub const READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The id of bytes as a blob without headers, and its objects.
pub fn blob_of(bytes: &[u8]) -> (ObjectId, Vec<Object>) {
    let mut writer = BlobWriter::plain();
    let mut objects = writer.push(bytes).expect("bytes in memory are fewer than a blob can have");
    let (id, rest) = writer.finish();
    objects.extend(rest);
    (id, objects)
}

/// Makes a blob of bytes that come piece by piece. Keeps at most one leaf and the open indices in memory.
#[derive(Debug)]
pub struct BlobWriter {
    headers: Headers,
    length: u64,
    leaf: Vec<u8>,
    /// Ids that no index names yet, by level, the leaves' first.
    open: Vec<Vec<ObjectId>>,
}

impl BlobWriter {
    /// A blob with headers.
    ///
    /// # Errors
    /// If the headers are not in order, or too large.
    pub fn new(headers: Headers) -> Result<Self, ObjectError> {
        text::check(headers.iter().map(|(name, text)| (name.as_str(), text.as_str())))?;
        Ok(Self { headers, ..Self::plain() })
    }

    /// A blob without headers.
    pub const fn plain() -> Self {
        Self { headers: Vec::new(), length: 0, leaf: Vec::new(), open: Vec::new() }
    }

    /// Takes the next bytes and returns the objects that are ready by them.
    ///
    /// # Errors
    /// If the blob would have more than [`BLOB_BYTES_MAX`].
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Object>, ObjectError> {
        at_most("a blob", self.length.saturating_add(bytes.len() as u64), BLOB_BYTES_MAX)?;
        self.length += bytes.len() as u64;
        let mut ready = Vec::new();
        while !bytes.is_empty() {
            // A full leaf waits for the byte behind it: the only leaf of a blob is the blob itself.
            if self.leaf.len() == LEAF_BYTES {
                self.end_leaf(&mut ready);
            }
            let (now, later) = bytes.split_at(bytes.len().min(LEAF_BYTES - self.leaf.len()));
            self.leaf.extend_from_slice(now);
            bytes = later;
        }
        Ok(ready)
    }

    /// Ends the blob: its id, and the objects that were not returned before.
    pub fn finish(mut self) -> (ObjectId, Vec<Object>) {
        if self.length <= LEAF_BYTES as u64 {
            let blob = Blob { headers: self.headers, body: BlobBody::Data(self.leaf) };
            let object = Object::new(ObjectKind::Blob, blob.encode());
            return (object.id(), vec![object]);
        }
        let mut ready = Vec::new();
        self.end_leaf(&mut ready);
        let top = (1..=INDEX_LEVELS_MAX).find(|level| self.length <= span(*level));
        let top = top.expect("the length was compared with the largest");
        for level in 1..top {
            self.end_index(level, &mut ready);
        }
        let pieces = std::mem::take(&mut self.open[usize::from(top) - 1]);
        let body = BlobBody::Index { level: top, length: self.length, pieces };
        let root = Object::new(ObjectKind::Blob, Blob { headers: self.headers, body }.encode());
        let id = root.id();
        ready.push(root);
        (id, ready)
    }

    fn end_leaf(&mut self, ready: &mut Vec<Object>) {
        let object = Object::new(ObjectKind::Blob, Blob::of_data(std::mem::take(&mut self.leaf)).encode());
        self.add(0, object, ready);
    }

    /// Names a piece in the index above it, after a full one there was closed.
    fn add(&mut self, level: u8, piece: Object, ready: &mut Vec<Object>) {
        let at = usize::from(level);
        if self.open.len() <= at {
            self.open.push(Vec::new());
        }
        // A full index waits for the piece behind it: the only index of its level is the blob itself.
        if self.open[at].len() == INDEX_PIECES_MAX {
            self.end_index(level + 1, ready);
        }
        self.open[at].push(piece.id());
        ready.push(piece);
    }

    fn end_index(&mut self, level: u8, ready: &mut Vec<Object>) {
        let pieces = std::mem::take(&mut self.open[usize::from(level) - 1]);
        let written: u64 = self.length_written(level);
        let length = span(level).min(written);
        let body = BlobBody::Index { level, length, pieces };
        let object = Object::new(ObjectKind::Blob, Blob { headers: Vec::new(), body }.encode());
        self.add(level, object, ready);
    }

    /// Bytes of the blob that no closed index of this level covers.
    fn length_written(&self, level: u8) -> u64 {
        let closed: u64 =
            (usize::from(level)..self.open.len()).map(|at| self.open[at].len() as u64 * span(at as u8)).sum();
        self.length - closed
    }
}

/// Reads ranges of a blob and checks every object on the way.
pub struct BlobReader<'a> {
    objects: &'a dyn Objects,
    id: ObjectId,
    length: u64,
}

impl<'a> BlobReader<'a> {
    /// Opens a blob.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn open(objects: &'a dyn Objects, id: ObjectId) -> Result<Self, GritError> {
        let bytes = read_checked(objects, ObjectKind::Blob, &id)?;
        let blob = view(&id, &bytes)?;
        let length = blob.length();
        // A higher index than is needed would give the same bytes a second id.
        if blob.level() > 0 && length <= span(blob.level() - 1) {
            let error = ObjectError::NotCanonical { kind: ObjectKind::Blob };
            return Err(GritError::Object { id, error });
        }
        Ok(Self { objects, id, length })
    }

    /// How many bytes the blob has.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The headers.
    ///
    /// # Errors
    /// If the blob cannot be had any more.
    pub fn headers(&self) -> Result<Headers, GritError> {
        let bytes = read_checked(self.objects, ObjectKind::Blob, &self.id)?;
        Ok(view(&self.id, &bytes)?.to_blob().headers)
    }

    /// All bytes.
    ///
    /// # Errors
    /// If an object cannot be had, or there are more than [`READ_BYTES_MAX`].
    pub fn read_all(&self) -> Result<Vec<u8>, GritError> {
        self.read(0, self.length)
    }

    /// Bytes from a place on, fewer than asked for only where the blob ends.
    ///
    /// # Errors
    /// If an object cannot be had, or more than [`READ_BYTES_MAX`] are asked for.
    pub fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, GritError> {
        let end = offset.saturating_add(length).min(self.length);
        let length = end.saturating_sub(offset);
        at_most("a read", length, READ_BYTES_MAX).map_err(GritError::Argument)?;
        let mut out = Vec::with_capacity(length as usize);
        if length > 0 {
            self.collect(self.id, Piece { level: None, length: self.length }, offset, end, &mut out)?;
        }
        Ok(out)
    }

    /// Appends what of a piece lies in a range, both counted from the piece's beginning.
    fn collect(
        &self,
        id: ObjectId,
        expected: Piece,
        from: u64,
        to: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), GritError> {
        let bytes = read_checked(self.objects, ObjectKind::Blob, &id)?;
        let blob = view(&id, &bytes)?;
        expected.check(id, &blob)?;
        if let Some(data) = blob.data() {
            out.extend_from_slice(&data[from as usize..to as usize]);
            return Ok(());
        }
        let below = blob.level() - 1;
        for (at, piece) in blob.pieces().enumerate() {
            let start = at as u64 * span(below);
            let end = blob.length().min(start + span(below));
            if start < to && end > from {
                let expected = Piece { level: Some(below), length: end - start };
                self.collect(piece, expected, from.max(start) - start, to.min(end) - start, out)?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for BlobReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader")
            .field("id", &self.id)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

fn view<'b>(id: &ObjectId, bytes: &'b [u8]) -> Result<BlobView<'b>, GritError> {
    Blob::view(bytes).map_err(|error| GritError::Object { id: *id, error })
}

/// What the index above says about a piece. Levels that fall by one make circles impossible.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// None for the blob itself.
    level: Option<u8>,
    length: u64,
}

impl Piece {
    fn check(self, id: ObjectId, blob: &BlobView<'_>) -> Result<(), GritError> {
        let fits = blob.length() == self.length
            && self.level.is_none_or(|level| blob.level() == level && blob.headers().next().is_none());
        match fits {
            true => Ok(()),
            false => Err(GritError::Object { id, error: ObjectError::BrokenLink { what: "a blob" } }),
        }
    }
}

/// The ids of the pieces directly under a blob, none if it is whole.
pub(crate) fn pieces(objects: &dyn Objects, id: &ObjectId) -> Result<(u8, Vec<ObjectId>), GritError> {
    let bytes = read_checked(objects, ObjectKind::Blob, id)?;
    let blob = view(id, &bytes)?;
    Ok((blob.level(), blob.pieces().collect()))
}
