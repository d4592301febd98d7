//! What may change about a shard, and how new it is.

use gritmesh_runtime::{Epoch, NodeId, ShardId};

use super::{EPOCH_JUMP_MAX, EPOCH_MAX, REPLICAS_MAX, TERM_JUMP_MAX, TERM_MAX, TableError};

/// How new a description of a shard is: by term, then by epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Counts the elections of a leader.
    pub term: u64,
    /// Counts the changes of the replicas.
    pub epoch: Epoch,
}

impl Version {
    /// Of a shard that nobody has led yet.
    pub const ZERO: Self = Self { term: 0, epoch: Epoch(0) };

    /// This version, or what is believed of it where another one is known.
    #[must_use]
    pub(crate) fn within_reach_of(self, known: Self) -> Self {
        Self {
            term: self.term.min(known.term.saturating_add(TERM_JUMP_MAX)),
            epoch: self.epoch.min(Epoch(known.epoch.0.saturating_add(EPOCH_JUMP_MAX))),
        }
    }
}

/// What one node tells another about one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The shard.
    pub shard: ShardId,
    /// How new what follows is.
    pub version: Version,
    /// Who runs its actors, if that is known.
    pub leader: Option<NodeId>,
    /// Who keeps its data and votes, sorted. Empty where only the leader was heard of.
    pub replicas: Vec<NodeId>,
}

impl Descriptor {
    /// Whether this says the same of the shard as another descriptor, however new either is.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.leader == other.leader
            && self.replicas == other.replicas
            && self.version.epoch == other.version.epoch
    }

    /// The place in the order of all that is said about one shard: the greater, the newer.
    pub(crate) fn rank(&self) -> (Version, Option<NodeId>, &[NodeId]) {
        (self.version, self.leader, &self.replicas)
    }

    /// What a redirect tells: the leader, but not the replicas. The whole descriptor of the same version
    /// replaces it.
    pub const fn led_by(shard: ShardId, version: Version, leader: NodeId) -> Self {
        Self { shard, version, leader: Some(leader), replicas: Vec::new() }
    }

    pub(crate) fn check(&self) -> Result<(), TableError> {
        let Self { shard, version: Version { term, epoch }, .. } = *self;
        if self.replicas.len() > REPLICAS_MAX {
            return Err(TableError::TooManyReplicas { shard, replicas: self.replicas.len() });
        }
        if !self.replicas.is_sorted_by(|a, b| a < b) {
            return Err(TableError::UnsortedReplicas { shard });
        }
        if term > TERM_MAX {
            return Err(TableError::TermTooHigh { shard, term });
        }
        if epoch > EPOCH_MAX {
            return Err(TableError::EpochTooHigh { shard, epoch });
        }
        Ok(())
    }
}
