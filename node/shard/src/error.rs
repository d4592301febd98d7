//! Why a shard's state cannot be read, or bytes not be taken.

use gritmesh_runtime::{DiskError, Failure, FailureCode, Token};
use gritmesh_store::ObjectId;

/// What went wrong. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Bytes that have not the form they should.
    #[error("{what} is malformed")]
    Malformed {
        /// Which.
        what: &'static str,
    },
    /// An object is missing, or is not what its id says. A peer may have it.
    #[error("object {id} at token {token} is {}", if *missing { "missing" } else { "damaged" })]
    Damaged {
        /// Where it belongs.
        token: Token,
        /// Which.
        id: ObjectId,
        /// Whether there is none at all.
        missing: bool,
    },
    /// There is no such thing, or it belongs to another actor or tenant, which is the same to whoever asks.
    #[error("not found")]
    NotFound,
    /// Something is larger than it may be.
    #[error("{what} has {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Which.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Objects that are sound by themselves do not fit together.
    #[error("the history is broken at step {id}: {what}")]
    Broken {
        /// Where.
        id: ObjectId,
        /// In which way.
        what: &'static str,
    },
}

impl StateError {
    /// Whether something is not what it was when it was written, rather than that the disk refused.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Disk(error) if !error.is_damage())
    }

    /// As a caller of an actor is told that cannot be loaded.
    pub fn into_failure(self) -> Failure {
        let code = match &self {
            Self::TooLarge { .. } => FailureCode::TooLarge,
            Self::Disk(_)
            | Self::Malformed { .. }
            | Self::Damaged { .. }
            | Self::NotFound
            | Self::Broken { .. } => FailureCode::ActivationFailed,
        };
        Failure::new(code, self.to_string())
    }
}
