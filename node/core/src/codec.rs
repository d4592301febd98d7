//! How entries of the shards' logs lie on the disk: without the packs, which are objects.

use bytes::Bytes;
use gritmesh_runtime::{Change, Reads, ShardId};
use gritmesh_shard::StateError;
use gritmesh_sharding::{FillError, LogCodec};

/// Translates between the logs and what a shard makes of their entries.
#[derive(Debug)]
pub(crate) struct StepLog;

impl LogCodec for StepLog {
    fn strip(&self, _: ShardId, command: &[u8]) -> (Vec<u8>, Vec<Change>) {
        // What cannot be taken apart is kept whole; applying it will tell what is wrong.
        gritmesh_shard::strip(&Bytes::copy_from_slice(command))
            .unwrap_or_else(|_| (command.to_vec(), Vec::new()))
    }

    fn fill(&self, _: ShardId, stub: &[u8], disk: &dyn Reads) -> Result<Bytes, FillError> {
        gritmesh_shard::fill(stub, disk).map_err(|error| match error {
            StateError::Disk(error) => FillError::Disk(error),
            damage => FillError::Damaged(damage.to_string()),
        })
    }
}
