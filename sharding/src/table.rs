//! The shard table: who leads which range of tokens.
//!
//! **Problem.** Every node holds a copy, learns changes in any order, twice or not at all, and all copies
//! must end up equal.
//!
//! **Design.** The ranges tile the token space. What may change about one, its [`Descriptor`], comes from the
//! shard's own log: elections count its term, changes of its voters its epoch. Of two descriptors of a shard
//! the greater `(term, epoch, leader, replicas)` is the newer one, on every node. So adopting is commutative,
//! associative and idempotent. One term has one leader; the order is total all the same, so that copies agree
//! whatever they are told.
//!
//! **Lies.** A peer may claim any term. How far one word moves an entry is bounded, so whoever serves the shard can
//! always go beyond it, which is what the placement machine does. The term of a table is therefore at least that of the
//! shard's log, and greater after a lie.
//!
//! **Deliberately absent.** Truth. The table says where to ask; a shard's quorum decides. Also absent: any assumption that ranges are equal, that their number is fixed, or that shard
//! numbers are dense. Splitting itself is absent too: tables with different ranges do not merge.

mod bytes;
mod descriptor;
mod error;

use std::collections::BTreeMap;

use gritmesh_runtime::{Epoch, NodeId, ShardId, Token};

pub use descriptor::{Descriptor, Version};
pub use error::TableError;

/// How many shards a cluster is founded with.
pub const SHARDS_DEFAULT: u32 = 64;

/// Most shards of one table: enough for 16 on each of 256 nodes, and the whole table still travels as one
/// frame.
pub const SHARDS_MAX: usize = 4096;

/// Most replicas of one shard. Quorums beyond seven only add latency.
pub const REPLICAS_MAX: usize = 7;

/// Greatest epoch that is read: a million changes a second for nine years.
pub const EPOCH_MAX: Epoch = Epoch(1 << 48);

/// Greatest term that is read. It is far beyond what [`TERM_JUMP_MAX`] lets anybody make others believe, so there is
/// always a greater one for a correction.
pub const TERM_MAX: u64 = 1 << 62;

/// By how much a table's term grows with one word of others at most; a greater one counts as this. A shard that elects
/// a leader every second needs a century for that many, and a liar a billion words to leave no term for the truth.
pub const TERM_JUMP_MAX: u64 = 1 << 32;

/// By how much a table's epoch grows with one word of others at most.
pub const EPOCH_JUMP_MAX: u64 = 1 << 20;

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
    /// Counts the elections of a leader.
    pub term: u64,
    /// Counts the changes of the replicas.
    pub epoch: Epoch,
    /// Who runs its actors.
    pub leader: Option<NodeId>,
    /// Who keeps its data and votes, sorted.
    pub replicas: Vec<NodeId>,
}

impl Shard {
    /// How new this is.
    pub const fn version(&self) -> Version {
        Version { term: self.term, epoch: self.epoch }
    }

    /// What may change about the shard, as it is told to others.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            shard: self.id,
            version: self.version(),
            leader: self.leader,
            replicas: self.replicas.clone(),
        }
    }

    /// Whether a token falls into the range.
    pub fn contains(&self, token: Token) -> bool {
        (self.start..=self.end).contains(&token)
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
            term: 0,
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

    /// Takes a descriptor in if it is newer than what is known. A term or epoch far beyond the known one counts as
    /// [`TERM_JUMP_MAX`] or [`EPOCH_JUMP_MAX`] more.
    pub fn adopt(&mut self, mut descriptor: Descriptor) -> Adopted {
        if let Err(error) = descriptor.check() {
            return Adopted::Refused(error);
        }
        if let Some(known) = self.shard(descriptor.shard) {
            descriptor.version = descriptor.version.within_reach_of(known.version());
        }
        self.adopt_own(descriptor)
    }

    /// Takes in what the node itself says of a shard that it serves, whose numbers need no bound.
    pub fn adopt_own(&mut self, descriptor: Descriptor) -> Adopted {
        if let Err(error) = descriptor.check() {
            return Adopted::Refused(error);
        }
        let Some(place) = self.places.get(&descriptor.shard) else {
            return Adopted::Refused(TableError::UnknownShard { shard: descriptor.shard });
        };
        let shard = &mut self.shards[*place];
        let known = (shard.version(), shard.leader, shard.replicas.as_slice());
        match (descriptor.version, descriptor.leader, descriptor.replicas.as_slice()).cmp(&known) {
            std::cmp::Ordering::Less => Adopted::Stale(shard.descriptor()),
            std::cmp::Ordering::Equal => Adopted::Known,
            std::cmp::Ordering::Greater => {
                Version { term: shard.term, epoch: shard.epoch } = descriptor.version;
                shard.leader = descriptor.leader;
                shard.replicas = descriptor.replicas;
                Adopted::Newer
            }
        }
    }

    /// Whether another table divides the tokens in the same way.
    pub fn has_ranges_of(&self, other: &Self) -> bool {
        let same_range = |(a, b): (&Shard, &Shard)| a.id == b.id && a.start == b.start;
        self.shards.len() == other.shards.len() && self.shards.iter().zip(&other.shards).all(same_range)
    }

    /// Takes in whatever another table knows better.
    ///
    /// # Errors
    /// If the tables have different ranges; this one is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<Merged, TableError> {
        if !self.has_ranges_of(other) {
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

    /// The same table with numbers that a first word may carry: what a node without a table believes of another's.
    #[must_use]
    pub fn within_reach(mut self) -> Self {
        for shard in &mut self.shards {
            let Version { term, epoch } = shard.version().within_reach_of(Version::ZERO);
            (shard.term, shard.epoch) = (term, epoch);
        }
        self
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

#[cfg(test)]
mod tests;
