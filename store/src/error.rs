//! Why bytes are not the object that they were taken for.

use crate::id::{ObjectId, ObjectKind};

/// Why an object is refused. Every variant has a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The first byte names a byte form that this version does not know.
    #[error("the object has format {found}, which this version does not know")]
    Format {
        /// The first byte.
        found: u8,
    },
    /// The bytes are no archive of this kind.
    #[error("the bytes are no {kind}")]
    Malformed {
        /// What they were taken for.
        kind: ObjectKind,
    },
    /// The same object has other bytes: these would give it a second id.
    #[error("the {kind} is not in its canonical form")]
    NotCanonical {
        /// What it is.
        kind: ObjectKind,
    },
    /// The bytes have the id that was asked for, but as another kind.
    #[error("a {expected} was expected, and it is a {found}")]
    WrongKind {
        /// What was expected.
        expected: ObjectKind,
        /// What it is.
        found: ObjectKind,
    },
    /// The bytes have another id than the one that was asked for.
    #[error("the object has the hash {found}, not {expected}")]
    WrongHash {
        /// Under which id it was found.
        expected: ObjectId,
        /// The hash of the bytes.
        found: ObjectId,
    },
    /// A part is larger than is allowed.
    #[error("{what} has a size of {size}; at most {limit} is allowed")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// Keys are not in ascending order.
    #[error("the keys of {what} are not in order")]
    Unsorted {
        /// Where.
        what: &'static str,
    },
    /// A key occurs twice.
    #[error("a key of {what} occurs twice")]
    Duplicate {
        /// Where.
        what: &'static str,
    },
    /// Objects lie in each other deeper than is allowed, as if they lay in a circle.
    #[error("{what} is nested deeper than {limit}")]
    TooDeep {
        /// What was walked.
        what: &'static str,
        /// How deep it may be.
        limit: usize,
    },
    /// An object refers to another that cannot stand there, as a node to one of its own level.
    #[error("{what} refers to an object that cannot stand there")]
    BrokenLink {
        /// Who refers.
        what: &'static str,
    },
    /// A field has a value that it may not have.
    #[error("{what} has a value that it may not have")]
    Invalid {
        /// Which field.
        what: &'static str,
    },
}

impl ObjectError {
    /// The stable code of this refusal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format { .. } => "object_format",
            Self::Malformed { .. } => "object_malformed",
            Self::NotCanonical { .. } => "object_not_canonical",
            Self::WrongKind { .. } => "object_wrong_kind",
            Self::WrongHash { .. } => "object_wrong_hash",
            Self::TooLarge { .. } => "object_too_large",
            Self::Unsorted { .. } => "object_unsorted",
            Self::Duplicate { .. } => "object_duplicate_key",
            Self::TooDeep { .. } => "object_too_deep",
            Self::BrokenLink { .. } => "object_broken_link",
            Self::Invalid { .. } => "object_invalid",
        }
    }
}

/// Fails if a part is larger than is allowed.
pub(crate) const fn at_most(what: &'static str, size: u64, limit: u64) -> Result<(), ObjectError> {
    if size > limit { Err(ObjectError::TooLarge { what, size, limit }) } else { Ok(()) }
}

/// Why an object cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody asked has it.
    #[error("object {0} is missing")]
    Missing(ObjectId),
    /// It could not be looked for.
    #[error("objects cannot be read: {detail}")]
    Unavailable {
        /// The disk's words, or the peer's.
        detail: String,
    },
}

/// Why a walk over objects ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GritError {
    /// An object cannot be had.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An object is there, but is not what it should be.
    #[error("object {id}: {error}")]
    Object {
        /// Under which id it was found.
        id: ObjectId,
        /// What is wrong with it.
        #[source]
        error: ObjectError,
    },
    /// What should be written is not allowed.
    #[error("{0}")]
    Argument(#[source] ObjectError),
}

impl GritError {
    /// The stable code of this failure.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Read(ReadError::Missing(_)) => "object_missing",
            Self::Read(ReadError::Unavailable { .. }) => "object_unavailable",
            Self::Object { error, .. } | Self::Argument(error) => error.as_str(),
        }
    }
}
