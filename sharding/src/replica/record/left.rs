//! What can still be read of a replica whose records are damaged, and the record that it will never speak again.

use gritmesh_runtime::{Change, Reads, ShardId};

use super::{Config, Field, Records, ReplicaId, RestoreError, put_field};

/// Whether a replica has said that it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Lost {
    No,
    /// This one.
    Named(ReplicaId),
    /// It has, but which one it was cannot be read any more.
    Unnamed,
}

/// What is left of a replica, each part if it can still be read.
#[derive(Debug)]
pub(in super::super) struct Left {
    pub(in super::super) identity: Option<ReplicaId>,
    pub(in super::super) config: Option<Config>,
    pub(in super::super) lost: Lost,
}

impl Left {
    pub(in super::super) fn read(disk: &dyn Reads, shard: ShardId) -> Result<Self, RestoreError> {
        let records = Records { disk, shard };
        let identity = records.field(Field::Identity, |reader| reader.u64().map(ReplicaId));
        let config = records.field(Field::Config, Config::read);
        Ok(Self {
            identity: unless_damaged(identity)?,
            config: unless_damaged(config)?,
            lost: records.lost()?,
        })
    }
}

impl Records<'_> {
    /// A record that is there but damaged counts: it was written before anybody was told.
    pub(super) fn lost(&self) -> Result<Lost, RestoreError> {
        match self.field(Field::Lost, |reader| reader.u64().map(ReplicaId)) {
            Ok(None) => Ok(Lost::No),
            Ok(Some(replica)) => Ok(Lost::Named(replica)),
            Err(error) if error.is_damage() => Ok(Lost::Unnamed),
            Err(error) => Err(error),
        }
    }
}

/// Takes a damaged record for one that is not there.
fn unless_damaged<T>(read: Result<Option<T>, RestoreError>) -> Result<Option<T>, RestoreError> {
    read.or_else(|error| if error.is_damage() { Ok(None) } else { Err(error) })
}

/// Records that a replica will never speak again. To be durable before anybody is told.
pub(in super::super) fn give_up(shard: ShardId, replica: ReplicaId) -> Change {
    put_field(shard, Field::Lost, |writer| writer.u64(replica.0))
}
