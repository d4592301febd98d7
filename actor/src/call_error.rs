//! How a call may end without an answer: one of a closed set of ways.

use std::fmt;
use std::time::Duration;

use gritmesh_runtime::{Failure, FailureCode};

use crate::actor::NoError;

/// Why a call has no answer. What matters most to a caller is whether the handler may have run:
/// [`CallError::surely_not_run`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E = NoError> {
    /// The handler ran and refused.
    #[error("{0}")]
    Failed(E),
    /// The call surely did not run; it may be tried again.
    #[error("not delivered: {detail}")]
    NotDelivered {
        /// What stood in the way.
        detail: String,
    },
    /// The call may have run: its deadline passed or the connection broke while the answer was outstanding.
    #[error("unknown outcome: {detail}")]
    Unknown {
        /// What happened.
        detail: String,
    },
    /// The call is a query whose answer did not come. It may have run, and changed nothing; it may be tried again.
    #[error("no answer: {detail}")]
    NoAnswer {
        /// What happened.
        detail: String,
    },
    /// A queue on the way was full; the call did not run.
    #[error("overloaded: {detail}")]
    Overloaded {
        /// Which queue.
        detail: String,
        /// How long to wait before trying again.
        retry_after: Duration,
    },
    /// The call would have waited for itself; it did not run.
    #[error("deadlock: {cycle}")]
    Deadlock {
        /// The actors that would wait for each other, as `a -> b -> a`.
        cycle: String,
    },
    /// The call did not run: the type, the method or the arguments do not fit, or the actor cannot be loaded.
    #[error("{}: {detail}", code.as_str())]
    Refused {
        /// Which of these.
        code: FailureCode,
        /// The particulars.
        detail: String,
    },
    /// The handler panicked.
    #[error("the handler panicked: {detail}")]
    Panicked {
        /// The panic's message.
        detail: String,
    },
    /// The handler ran, but its answer could not be brought here.
    #[error("{}: {detail}", code.as_str())]
    AnswerLost {
        /// Too large, or of another shape than expected.
        code: FailureCode,
        /// The particulars.
        detail: String,
    },
}

impl<E> CallError<E> {
    /// The stable code.
    pub const fn code(&self) -> FailureCode {
        match self {
            Self::Failed(_) => FailureCode::ActorError,
            Self::NotDelivered { .. } => FailureCode::NotDelivered,
            Self::Unknown { .. } => FailureCode::Unknown,
            Self::NoAnswer { .. } => FailureCode::NoAnswer,
            Self::Overloaded { .. } => FailureCode::Overloaded,
            Self::Deadlock { .. } => FailureCode::Deadlock,
            Self::Refused { code, .. } | Self::AnswerLost { code, .. } => *code,
            Self::Panicked { .. } => FailureCode::Panicked,
        }
    }

    /// Whether the handler surely did not run, so that trying again cannot run it twice.
    pub const fn surely_not_run(&self) -> bool {
        self.code().surely_not_run()
    }
}

impl<E: fmt::Display> CallError<E> {
    pub(crate) fn to_failure(&self) -> Failure {
        let code = self.code();
        match self {
            Self::Overloaded { detail, retry_after } => {
                let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
                Failure { retry_after_ms, ..Failure::new(code, detail) }
            }
            Self::NotDelivered { detail }
            | Self::Unknown { detail }
            | Self::NoAnswer { detail }
            | Self::Deadlock { cycle: detail }
            | Self::Refused { detail, .. }
            | Self::Panicked { detail }
            | Self::AnswerLost { detail, .. } => Failure::new(code, detail),
            Self::Failed(error) => Failure::new(code, error.to_string()),
        }
    }
}

impl<E> From<Failure> for CallError<E> {
    fn from(failure: Failure) -> Self {
        let Failure { code, detail, retry_after_ms, .. } = failure;
        match code {
            FailureCode::NotDelivered => Self::NotDelivered { detail },
            FailureCode::Unknown => Self::Unknown { detail },
            FailureCode::NoAnswer => Self::NoAnswer { detail },
            FailureCode::Overloaded => {
                Self::Overloaded { detail, retry_after: Duration::from_millis(u64::from(retry_after_ms)) }
            }
            FailureCode::Deadlock => Self::Deadlock { cycle: detail },
            FailureCode::Panicked => Self::Panicked { detail },
            FailureCode::UnknownType
            | FailureCode::UnknownMethod
            | FailureCode::BadArguments
            | FailureCode::BadAddress
            | FailureCode::ActivationFailed
            | FailureCode::NoQuorum
            | FailureCode::DiskFull
            | FailureCode::Paused
            | FailureCode::Early => Self::Refused { code, detail },
            FailureCode::TooLarge | FailureCode::ActorError | FailureCode::BadAnswer => {
                Self::AnswerLost { code, detail }
            }
        }
    }
}
