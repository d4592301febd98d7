//! The objects of one step as one byte string: what a shard's log carries, and what lies on the disk.
//!
//! ```text
//! format │ kind, length │ the step's bytes │ kind, length │ bytes │ …
//!   u8      u8    u24 LE
//! ```
//!
//! **Problem.** A step is three to six small objects. One record each would cost more for keys than for content.
//!
//! **Design.** The step stands first and is found without a look at the rest; the other objects follow by
//! ascending id, each once, so equal steps have equal packs. Ids are not stored: they are hashes of what is.
//!
//! **Deliberately absent.** Compression, which the disk does over many packs at once.

use std::sync::Arc;

use crate::error::ObjectError;
use crate::id::{ObjectId, ObjectKind};
use crate::object::{self, OBJECT_BYTES_MAX, Object};
use crate::step::{Step, StepView};

/// Largest pack. A log entry stays far below the largest frame, so that entries of several shards share one.
pub const PACK_BYTES_MAX: usize = 1024 * 1024;

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 4;

/// The objects of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    bytes: Arc<[u8]>,
}

/// One object of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackEntry<'a> {
    /// What it is.
    pub kind: ObjectKind,
    /// Its canonical bytes.
    pub bytes: &'a [u8],
}

impl PackEntry<'_> {
    /// What it is called. Computed anew each time.
    pub fn id(&self) -> ObjectId {
        ObjectId::of(self.kind, self.bytes)
    }

    /// A copy that stands alone.
    pub fn to_object(&self) -> Object {
        Object::new(self.kind, self.bytes.into())
    }
}

impl Pack {
    /// Packs a step and other objects, in whatever order they come; repeated ones are packed once.
    ///
    /// # Errors
    /// If there is not exactly one step, or all together is too large.
    pub fn encode<'o>(objects: impl IntoIterator<Item = &'o Object>) -> Result<Self, PackError> {
        let (steps, mut others): (Vec<&Object>, Vec<&Object>) =
            objects.into_iter().partition(|object| object.kind() == ObjectKind::Step);
        let [step] = steps[..] else { return Err(PackError::Steps { found: steps.len() }) };
        others.sort_unstable_by_key(|object| object.id());
        others.dedup_by_key(|object| object.id());
        let all = || std::iter::once(step).chain(others.iter().copied());
        let size = 1 + all().map(|object| HEADER_BYTES + object.bytes().len()).sum::<usize>();
        check_size(size)?;
        let mut bytes = Vec::with_capacity(size);
        bytes.push(FORMAT);
        for object in all() {
            check_object_size(object.bytes().len())?;
            bytes.push(object.kind() as u8);
            bytes.extend_from_slice(&(object.bytes().len() as u32).to_le_bytes()[..3]);
            bytes.extend_from_slice(object.bytes());
        }
        Ok(Self { bytes: bytes.into() })
    }

    /// Opens a pack. With `verify` every object is checked as if it came from a stranger, and so is their order;
    /// without, only that the bytes are cut into objects of known kinds, the first of them a step.
    ///
    /// # Errors
    /// If the bytes are no pack.
    pub fn open(bytes: impl Into<Arc<[u8]>>, verify: bool) -> Result<Self, PackError> {
        let pack = Self { bytes: bytes.into() };
        check_size(pack.bytes.len())?;
        check_frames(frames(&pack.bytes)?)?;
        if verify {
            pack.check_objects()?;
        }
        Ok(pack)
    }

    /// Looks into the step of a pack that is not opened: as [`Self::open`] without `verify`, and without a copy.
    ///
    /// # Errors
    /// If the bytes are no pack, or it does not begin with a step.
    pub fn peek(bytes: &[u8]) -> Result<StepView<'_>, PackError> {
        check_size(bytes.len())?;
        let rest = frames(bytes)?;
        check_frames(rest)?;
        let (entry, _) = split(rest)?.ok_or(PackError::Steps { found: 0 })?;
        let view = Step::view(entry.bytes);
        view.map_err(|error| PackError::Object { id: entry.id(), error })
    }

    /// The bytes.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// The step as an object of the pack.
    pub fn step_entry(&self) -> PackEntry<'_> {
        self.iter().next().expect("a pack was checked to begin with a step")
    }

    /// The step, looked into without copying.
    ///
    /// # Errors
    /// If its bytes are no step, which an unverified pack can have.
    pub fn step(&self) -> Result<StepView<'_>, ObjectError> {
        Step::view(self.step_entry().bytes)
    }

    /// What the step is called. Computed anew each time.
    pub fn step_id(&self) -> ObjectId {
        self.step_entry().id()
    }

    /// The objects, the step first, then by ascending id.
    pub fn iter(&self) -> impl Iterator<Item = PackEntry<'_>> {
        let mut rest = &self.bytes[1..];
        std::iter::from_fn(move || {
            let (entry, behind) = split(rest).expect("the pack's frames were checked")?;
            rest = behind;
            Some(entry)
        })
    }

    /// An object by its id, found by hashing one after the other. The hash of what is found was therefore compared.
    pub fn find(&self, id: &ObjectId) -> Option<PackEntry<'_>> {
        self.iter().find(|entry| entry.id() == *id)
    }

    fn check_objects(&self) -> Result<(), PackError> {
        let mut last = None;
        for entry in self.iter() {
            let id = entry.id();
            object::check(entry.kind, entry.bytes).map_err(|error| PackError::Object { id, error })?;
            if entry.kind == ObjectKind::Step {
                continue;
            }
            match last {
                Some(last) if last >= id => return Err(PackError::Unsorted),
                _ => last = Some(id),
            }
        }
        Ok(())
    }
}

/// What lies behind the format, which must be known.
fn frames(bytes: &[u8]) -> Result<&[u8], PackError> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => Ok(rest),
        Some((&found, _)) => Err(PackError::Format { found }),
        None => Err(PackError::Cut),
    }
}

fn check_frames(mut rest: &[u8]) -> Result<(), PackError> {
    let mut steps = 0;
    let mut is_first = true;
    while let Some((entry, behind)) = split(rest)? {
        check_object_size(entry.bytes.len())?;
        steps += usize::from(entry.kind == ObjectKind::Step);
        if is_first && steps == 0 {
            return Err(PackError::Steps { found: 0 });
        }
        is_first = false;
        rest = behind;
    }
    if steps == 1 { Ok(()) } else { Err(PackError::Steps { found: steps }) }
}

/// The first object of a pack's rest, and what lies behind it.
fn split(rest: &[u8]) -> Result<Option<(PackEntry<'_>, &[u8])>, PackError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (&[kind, low, middle, high], rest) = rest.split_first_chunk().ok_or(PackError::Cut)?;
    let kind = ObjectKind::from_number(kind).ok_or(PackError::Kind { found: kind })?;
    let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
    let (bytes, behind) = rest.split_at_checked(length).ok_or(PackError::Cut)?;
    Ok(Some((PackEntry { kind, bytes }, behind)))
}

const fn check_size(bytes: usize) -> Result<(), PackError> {
    if bytes > PACK_BYTES_MAX { Err(PackError::TooLarge { bytes }) } else { Ok(()) }
}

const fn check_object_size(bytes: usize) -> Result<(), PackError> {
    if bytes > OBJECT_BYTES_MAX { Err(PackError::ObjectTooLarge { bytes }) } else { Ok(()) }
}

/// Why bytes are no pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The first byte names a form that this version does not know.
    #[error("the pack has format {found}, which this version does not know")]
    Format {
        /// The first byte.
        found: u8,
    },
    /// The bytes end within an object.
    #[error("the pack ends within an object")]
    Cut,
    /// An object is of no known kind.
    #[error("the pack holds an object of the unknown kind {found}")]
    Kind {
        /// Its number.
        found: u8,
    },
    /// A pack has one step, and it stands first.
    #[error("a pack begins with its only step; this one has {found}")]
    Steps {
        /// How many it has, or would begin with.
        found: usize,
    },
    /// All objects together are too large.
    #[error("the pack has {bytes} bytes; at most {PACK_BYTES_MAX} are allowed")]
    TooLarge {
        /// How many bytes.
        bytes: usize,
    },
    /// One object is too large.
    #[error("an object of the pack has {bytes} bytes; at most {OBJECT_BYTES_MAX} are allowed")]
    ObjectTooLarge {
        /// How many bytes.
        bytes: usize,
    },
    /// Objects are not in the order of their ids, or one is there twice.
    #[error("the objects of the pack are not in order")]
    Unsorted,
    /// An object is not what it says.
    #[error("object {id} of the pack: {error}")]
    Object {
        /// Its id.
        id: ObjectId,
        /// What is wrong with it.
        #[source]
        error: ObjectError,
    },
}

impl PackError {
    /// The stable code of this refusal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format { .. } => "pack_format",
            Self::Cut => "pack_cut",
            Self::Kind { .. } => "pack_unknown_kind",
            Self::Steps { .. } => "pack_steps",
            Self::TooLarge { .. } => "pack_too_large",
            Self::ObjectTooLarge { .. } => "pack_object_too_large",
            Self::Unsorted => "pack_unsorted",
            Self::Object { error, .. } => error.as_str(),
        }
    }
}
