//! What a node writes to its disk so far: whose member it is, and how often it was started.

use gritmesh_runtime::{ClusterId, Disk, DiskError, Incarnation, Record};

const CLUSTER: &str = "cluster";
const INCARNATION: &str = "incarnation";

/// What the disk remembers of earlier starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The cluster that the node belongs to.
    pub cluster: Option<ClusterId>,
    /// The incarnation of this start: one more than that of the last.
    pub incarnation: Incarnation,
}

/// Why what the disk remembers cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The disk cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A record is damaged.
    #[error("record `{key}` of the data directory is damaged; restore it, or start with an empty directory")]
    Damaged {
        /// Which record.
        key: &'static str,
    },
}

/// Reads what earlier starts left. The new incarnation still has to be written: see [`incarnation`].
///
/// # Errors
/// If a record cannot be read or is damaged.
pub fn remembered(disk: &dyn Disk) -> Result<Remembered, RecordError> {
    let cluster = read(disk, CLUSTER)?.map(ClusterId);
    let last = read(disk, INCARNATION)?.map_or(0, u64::from_le_bytes);
    Ok(Remembered { cluster, incarnation: Incarnation(last + 1) })
}

fn read<const N: usize>(disk: &dyn Disk, key: &'static str) -> Result<Option<[u8; N]>, RecordError> {
    let Some(value) = disk.read(key)? else { return Ok(None) };
    value.try_into().map(Some).map_err(|_| RecordError::Damaged { key })
}

/// The record of the cluster's id.
pub(crate) fn cluster(cluster: ClusterId) -> Record {
    Record { key: CLUSTER.into(), value: Some(cluster.0.to_vec()) }
}

/// The record of an incarnation, to be durable before the node speaks to anyone.
pub fn incarnation(incarnation: Incarnation) -> Record {
    Record { key: INCARNATION.into(), value: Some(incarnation.0.to_le_bytes().to_vec()) }
}
