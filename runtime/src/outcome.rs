//! The closed set of ways in which a call can fail, as it crosses the wire.

use rkyv::{Archive, Deserialize, Serialize};

/// What went wrong with a call. The code is a promise to callers in any language; the detail is for people.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Failure {
    /// Which kind of failure, and with it whether the handler ran.
    pub code: FailureCode,
    /// One sentence for a person.
    pub detail: String,
    /// For [`FailureCode::ActorError`], the application's error in MessagePack; else empty.
    pub data: Vec<u8>,
    /// How long to wait before trying again, in milliseconds; zero if that is not known.
    pub retry_after_ms: u32,
}

/// Longest detail of a failure that is made here. It goes into answers, logs and lists of dead letters, and may quote
/// what a caller has sent.
const DETAIL_BYTES_MAX: usize = 4096;

impl Failure {
    /// A failure without data. A detail of more than 4 KiB is cut.
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > DETAIL_BYTES_MAX {
            detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
            detail.push('…');
        }
        Self { code, detail, data: Vec::new(), retry_after_ms: 0 }
    }
}

/// The kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
#[repr(u8)]
pub enum FailureCode {
    /// The call surely did not run; it may be tried again.
    NotDelivered,
    /// The call may have run: its deadline passed or the connection broke while the answer was outstanding.
    Unknown,
    /// A bounded queue on the way was full; the call did not run.
    Overloaded,
    /// The call would wait for itself; it did not run.
    Deadlock,
    /// No node of the cluster hosts the type; the call did not run.
    UnknownType,
    /// The type has no such method; the call did not run.
    UnknownMethod,
    /// The arguments do not fit the method; the call did not run.
    BadArguments,
    /// The address is malformed; the call did not run.
    BadAddress,
    /// The actor could not be brought into memory; the call did not run.
    ActivationFailed,
    /// The arguments or the answer exceed the size of a frame. An answer that is too large was computed.
    TooLarge,
    /// The handler panicked; it ran in part.
    Panicked,
    /// The handler ran and answered with its own error.
    ActorError,
    /// The answer could not be understood by the caller; the handler ran.
    BadAnswer,
    /// The replicas of the actor's shard that can be reached are no majority; the call did not run.
    NoQuorum,
    /// The disk of the node that leads the shard is full; nothing was changed.
    DiskFull,
    /// The actor is paused, because it kept failing or because an operator said so; the call did not run.
    Paused,
    /// A message between durable actors came before one that was sent earlier; it did not run, and comes again.
    Early,
    /// The call is a query whose answer did not come. It may have run, and changed nothing; it may be tried again.
    NoAnswer,
}

impl FailureCode {
    /// Every code, for tables and documentation.
    pub const ALL: [Self; 18] = [
        Self::NotDelivered,
        Self::Unknown,
        Self::Overloaded,
        Self::Deadlock,
        Self::UnknownType,
        Self::UnknownMethod,
        Self::BadArguments,
        Self::BadAddress,
        Self::ActivationFailed,
        Self::TooLarge,
        Self::Panicked,
        Self::ActorError,
        Self::BadAnswer,
        Self::NoQuorum,
        Self::DiskFull,
        Self::Paused,
        Self::Early,
        Self::NoAnswer,
    ];

    /// The code as it stands in problem documents, logs and metrics. Never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotDelivered => "not_delivered",
            Self::Unknown => "unknown_outcome",
            Self::Overloaded => "overloaded",
            Self::Deadlock => "deadlock",
            Self::UnknownType => "unknown_type",
            Self::UnknownMethod => "unknown_method",
            Self::BadArguments => "bad_arguments",
            Self::BadAddress => "bad_address",
            Self::ActivationFailed => "activation_failed",
            Self::TooLarge => "too_large",
            Self::Panicked => "panicked",
            Self::ActorError => "actor_error",
            Self::BadAnswer => "bad_answer",
            Self::NoQuorum => "no_quorum",
            Self::DiskFull => "disk_full",
            Self::Paused => "paused",
            Self::Early => "early",
            Self::NoAnswer => "no_answer",
        }
    }

    /// Whether the handler surely did not run, so that trying again cannot run it twice.
    pub const fn surely_not_run(self) -> bool {
        match self {
            Self::NotDelivered
            | Self::Overloaded
            | Self::Deadlock
            | Self::UnknownType
            | Self::UnknownMethod
            | Self::BadArguments
            | Self::BadAddress
            | Self::ActivationFailed
            | Self::NoQuorum
            | Self::DiskFull
            | Self::Paused
            | Self::Early => true,
            Self::Unknown
            | Self::TooLarge
            | Self::Panicked
            | Self::ActorError
            | Self::BadAnswer
            | Self::NoAnswer => false,
        }
    }

    /// Whether the call surely changed nothing, so that trying again cannot change it twice.
    pub const fn surely_changed_nothing(self) -> bool {
        self.surely_not_run() || matches!(self, Self::NoAnswer)
    }

    /// What the code means for a query, which changes nothing however often it runs.
    #[must_use]
    pub const fn of_query(self) -> Self {
        match self {
            Self::Unknown => Self::NoAnswer,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct() {
        let mut codes: Vec<&str> = FailureCode::ALL.iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), FailureCode::ALL.len());
    }
}
