//! Why something is not a table.

use gritmesh_runtime::{Epoch, ShardId};

use super::{REPLICAS_MAX, SHARDS_MAX};

/// Why something is not a shard table, or does not fit one. The table at hand is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is no shard.
    #[error("a shard table has at least one shard")]
    NoShards,
    /// There are too many shards.
    #[error("the table has {shards} shards; at most {SHARDS_MAX} are allowed")]
    TooManyShards {
        /// How many.
        shards: usize,
    },
    /// The ranges leave out a token or overlap.
    #[error("the ranges do not cover every token exactly once around shard {shard}")]
    Ranges {
        /// The first shard that does not fit.
        shard: ShardId,
    },
    /// Two ranges carry the same number.
    #[error("shard {shard} occurs twice")]
    DuplicateShard {
        /// The number.
        shard: ShardId,
    },
    /// A shard has too many replicas.
    #[error("shard {shard} has {replicas} replicas; at most {REPLICAS_MAX} are allowed")]
    TooManyReplicas {
        /// The shard.
        shard: ShardId,
        /// How many.
        replicas: usize,
    },
    /// The replicas are not sorted, or one is named twice.
    #[error("the replicas of shard {shard} are not in order")]
    UnsortedReplicas {
        /// The shard.
        shard: ShardId,
    },
    /// A term is beyond [`TERM_MAX`](super::TERM_MAX).
    #[error("shard {shard} claims term {term}, which no cluster reaches")]
    TermTooHigh {
        /// The shard.
        shard: ShardId,
        /// The term.
        term: u64,
    },
    /// An epoch is beyond [`EPOCH_MAX`](super::EPOCH_MAX).
    #[error("shard {shard} claims epoch {}, which no cluster reaches", epoch.0)]
    EpochTooHigh {
        /// The shard.
        shard: ShardId,
        /// The epoch.
        epoch: Epoch,
    },
    /// A descriptor is about a shard that the table does not have.
    #[error("shard {shard} is not in the table")]
    UnknownShard {
        /// The shard.
        shard: ShardId,
    },
    /// Two tables divide the tokens differently.
    #[error("the tables have different ranges")]
    OtherRanges,
    /// The bytes are too many.
    #[error("{bytes} bytes are too many; at most {limit} are read")]
    TooLarge {
        /// How many.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes are of a format that this build does not know.
    #[error("format {format} is not known to this build")]
    Format {
        /// The number of the format.
        format: u8,
    },
    /// The bytes are not what they claim to be.
    #[error("malformed bytes: {detail}")]
    Malformed {
        /// What was wrong.
        detail: String,
    },
}
