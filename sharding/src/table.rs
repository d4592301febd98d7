//! The shard table: who leads which range of tokens.
//!
//! **Problem.** Every node holds a copy, learns changes in any order, twice or not at all, and all copies
//! must end up equal.
//!
//! **Design.** The ranges tile the token space. Each carries an epoch and a leader; of two descriptions of a
//! shard the greater `(epoch, leader, replicas)` is the newer one, on every node. So adopting is commutative,
//! associative and idempotent, and two sides of a healed partition that reached the same epoch agree without
//! talking.
//!
//! **Deliberately absent.** Any assumption that ranges are equal, that their number is fixed, or that shard
//! numbers are dense. Splitting itself is absent too: tables with different ranges do not merge.

mod bytes;

use std::collections::BTreeMap;

use gritmesh_runtime::{Epoch, NodeId, ShardId, Token};

/// How many shards a cluster is founded with.
pub const SHARDS_DEFAULT: u32 = 64;

/// Most shards of one table: enough for 16 on each of 256 nodes, and the whole table still travels as one
/// frame.
pub const SHARDS_MAX: usize = 4096;

/// Most replicas of one shard. Quorums beyond seven only add latency.
pub const REPLICAS_MAX: usize = 7;

/// Greatest epoch that is believed: a million changes a second for nine years. Without a limit one damaged
/// number would leave no epoch for the next change.
pub const EPOCH_MAX: Epoch = Epoch(1 << 48);

/// Largest encoded table in bytes: [`SHARDS_MAX`] shards without two replicas in common.
pub const TABLE_BYTES_MAX: usize = 1280 * 1024;

/// Largest encoded descriptor in bytes.
pub const DESCRIPTOR_BYTES_MAX: usize = 512;

/// One range of tokens and who is responsible for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number.
    pub id: ShardId,
    /// First token of the range.
    pub start: Token,
    /// Last token of the range.
    pub end: Token,
    /// Counts the changes below.
    pub epoch: Epoch,
    /// Who runs its actors.
    pub leader: Option<NodeId>,
    /// Who keeps its data. Today the leader alone.
    pub replicas: Vec<NodeId>,
}

impl Shard {
    /// What may change about the shard, as it is told to others.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor { shard: self.id, epoch: self.epoch, leader: self.leader, replicas: self.replicas.clone() }
    }

    /// Whether a token falls into the range.
    pub fn contains(&self, token: Token) -> bool {
        (self.start..=self.end).contains(&token)
    }
}

/// What one node tells another about one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The shard.
    pub shard: ShardId,
    /// Counts the changes of what follows.
    pub epoch: Epoch,
    /// Who runs its actors.
    pub leader: Option<NodeId>,
    /// Who keeps its data.
    pub replicas: Vec<NodeId>,
}

impl Descriptor {
    /// The descriptor of a shard whose leader is its only replica.
    pub fn led_by(shard: ShardId, epoch: Epoch, leader: NodeId) -> Self {
        Self { shard, epoch, leader: Some(leader), replicas: vec![leader] }
    }

    fn check(&self) -> Result<(), TableError> {
        if self.replicas.len() > REPLICAS_MAX {
            return Err(TableError::TooManyReplicas { shard: self.shard, replicas: self.replicas.len() });
        }
        if self.epoch > EPOCH_MAX {
            return Err(TableError::EpochTooHigh { shard: self.shard, epoch: self.epoch });
        }
        Ok(())
    }
}

/// What became of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// It is newer and replaced what was known.
    Newer,
    /// It was known.
    Known,
    /// It is older than what is known, which is returned.
    Stale(Descriptor),
    /// It does not fit the table, which is unchanged.
    Refused(TableError),
}

/// What became of another node's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Shards of which the other table knew more.
    pub adopted: Vec<ShardId>,
    /// Whether the other table knew less about some shard.
    pub other_is_behind: bool,
}

/// All shards, in the order of their ranges, which cover every token exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardTable {
    /// Start of every range, apart from the shards: the search for a token then stays within a few cache
    /// lines.
    starts: Vec<u64>,
    shards: Vec<Shard>,
    places: BTreeMap<ShardId, usize>,
}

impl ShardTable {
    /// The table of a new cluster: `count` ranges of equal size, none of them led.
    ///
    /// # Errors
    /// If `count` is 0 or more than [`SHARDS_MAX`].
    pub fn initial(count: u32) -> Result<Self, TableError> {
        if count as usize > SHARDS_MAX {
            return Err(TableError::TooManyShards { shards: count as usize });
        }
        let boundary = |index: u32| (u128::from(index) << 64) / u128::from(count);
        let shard = |index: u32| Shard {
            id: ShardId(index),
            start: Token(boundary(index) as u64),
            end: Token((boundary(index + 1) - 1) as u64),
            epoch: Epoch(0),
            leader: None,
            replicas: Vec::new(),
        };
        Self::from_shards((0..count).map(shard).collect())
    }

    /// A table of these shards, in whatever order they come.
    ///
    /// # Errors
    /// If the ranges do not cover every token exactly once, or a limit is exceeded.
    pub fn from_shards(mut shards: Vec<Shard>) -> Result<Self, TableError> {
        if shards.len() > SHARDS_MAX {
            return Err(TableError::TooManyShards { shards: shards.len() });
        }
        shards.sort_by_key(|shard| shard.start);
        check_tiling(&shards)?;
        shards.iter().try_for_each(|shard| shard.descriptor().check())?;
        let mut places = BTreeMap::new();
        for (place, shard) in shards.iter().enumerate() {
            if places.insert(shard.id, place).is_some() {
                return Err(TableError::DuplicateShard { shard: shard.id });
            }
        }
        Ok(Self { starts: shards.iter().map(|shard| shard.start.0).collect(), shards, places })
    }

    /// All shards by range.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The shard that a token falls into.
    pub fn shard_of(&self, token: Token) -> &Shard {
        &self.shards[place_of(&self.starts, token)]
    }

    /// A shard by its number.
    pub fn shard(&self, id: ShardId) -> Option<&Shard> {
        self.places.get(&id).map(|place| &self.shards[*place])
    }

    /// Takes a descriptor in if it is newer than what is known.
    pub fn adopt(&mut self, descriptor: Descriptor) -> Adopted {
        if let Err(error) = descriptor.check() {
            return Adopted::Refused(error);
        }
        let Some(place) = self.places.get(&descriptor.shard) else {
            return Adopted::Refused(TableError::UnknownShard { shard: descriptor.shard });
        };
        let shard = &mut self.shards[*place];
        let known = (shard.epoch, shard.leader, shard.replicas.as_slice());
        match (descriptor.epoch, descriptor.leader, descriptor.replicas.as_slice()).cmp(&known) {
            std::cmp::Ordering::Less => Adopted::Stale(shard.descriptor()),
            std::cmp::Ordering::Equal => Adopted::Known,
            std::cmp::Ordering::Greater => {
                shard.epoch = descriptor.epoch;
                shard.leader = descriptor.leader;
                shard.replicas = descriptor.replicas;
                Adopted::Newer
            }
        }
    }

    /// Takes in whatever another table knows better.
    ///
    /// # Errors
    /// If the tables have different ranges; this one is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<Merged, TableError> {
        let same_range = |(a, b): (&Shard, &Shard)| a.id == b.id && a.start == b.start;
        if self.shards.len() != other.shards.len() || !self.shards.iter().zip(&other.shards).all(same_range) {
            return Err(TableError::OtherRanges);
        }
        let mut merged = Merged::default();
        for shard in &other.shards {
            match self.adopt(shard.descriptor()) {
                Adopted::Newer => merged.adopted.push(shard.id),
                Adopted::Stale(_) => merged.other_is_behind = true,
                Adopted::Known | Adopted::Refused(_) => {}
            }
        }
        Ok(merged)
    }

    /// A hash of all that the table says: equal tables, equal hashes. Never 0, which stands for having no
    /// table.
    pub fn hash(&self) -> u64 {
        let hash = blake3::hash(&self.encode());
        let word = hash.as_bytes()[..8].try_into().expect("the slice has eight bytes");
        u64::from_le_bytes(word).max(1)
    }
}

/// Index of the range that a token falls into. The first start is 0, so there is one.
pub(crate) fn place_of(starts: &[u64], token: Token) -> usize {
    starts.partition_point(|start| *start <= token.0) - 1
}

fn check_tiling(sorted: &[Shard]) -> Result<(), TableError> {
    let mut covered: Option<u64> = None;
    for shard in sorted {
        let follows = match covered {
            None => shard.start.0 == 0,
            Some(end) => end.checked_add(1) == Some(shard.start.0),
        };
        if !follows || shard.end < shard.start {
            return Err(TableError::Ranges { shard: shard.id });
        }
        covered = Some(shard.end.0);
    }
    match (covered, sorted.last()) {
        (Some(u64::MAX), _) => Ok(()),
        (_, Some(shard)) => Err(TableError::Ranges { shard: shard.id }),
        (_, None) => Err(TableError::NoShards),
    }
}

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
    /// An epoch is beyond [`EPOCH_MAX`].
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

#[cfg(test)]
mod tests;
