//! What a node writes of itself: who it is, whose member it is, how often it was started, and the ranges of the shards.

use gritmesh_runtime::{Change, ClusterId, DiskError, Incarnation, NodeId, Reads, Table};
use gritmesh_sharding::ShardTable;

const CLUSTER: &str = "cluster";
const OWNER: &str = "owner";
const INCARNATION: &str = "incarnation";
const FOUNDING: &str = "founding";
const SHARDS: &str = "shards";

/// What the disk remembers of earlier starts.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// The cluster that the node belongs to.
    pub cluster: Option<ClusterId>,
    /// The incarnation of this start: one more than that of the last.
    pub incarnation: Incarnation,
    /// The node whose replicas these are. Another one than now if the node's key was lost and made anew.
    pub owner: Option<NodeId>,
    /// The ranges of the shards.
    pub(crate) table: Option<ShardTable>,
    /// Whether the node was founding its cluster when it stopped.
    pub(crate) founding: bool,
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
pub fn remembered(disk: &dyn Reads) -> Result<Remembered, RecordError> {
    let cluster = read(disk, CLUSTER)?.map(ClusterId);
    let last = read(disk, INCARNATION)?.map_or(0, u64::from_le_bytes);
    let table = match disk.get(Table::Node, SHARDS.as_bytes())? {
        Some(bytes) => Some(ShardTable::decode(&bytes).map_err(|_| RecordError::Damaged { key: SHARDS })?),
        None => None,
    };
    let founding = read::<1>(disk, FOUNDING)?.is_some();
    let owner = read(disk, OWNER)?.map(NodeId);
    Ok(Remembered { cluster, incarnation: Incarnation(last + 1), owner, table, founding })
}

fn read<const N: usize>(disk: &dyn Reads, key: &'static str) -> Result<Option<[u8; N]>, RecordError> {
    let Some(value) = disk.get(Table::Node, key.as_bytes())? else { return Ok(None) };
    value.try_into().map(Some).map_err(|_| RecordError::Damaged { key })
}

/// The record of the cluster's id.
pub(crate) fn cluster(cluster: ClusterId) -> Change {
    Change::put(Table::Node, CLUSTER, cluster.0.to_vec())
}

/// The record of the node whose replicas the disk holds, to be written by its first start.
pub fn owner(node: NodeId) -> Change {
    Change::put(Table::Node, OWNER, node.0.to_vec())
}

/// The record that this node has yet to create the shards of its cluster.
pub(crate) fn founding(founding: bool) -> Change {
    match founding {
        true => Change::put(Table::Node, FOUNDING, vec![1]),
        false => Change::delete(Table::Node, FOUNDING),
    }
}

/// The record of the ranges of the shards.
pub(crate) fn table(table: &ShardTable) -> Change {
    Change::put(Table::Node, SHARDS, table.encode())
}

/// The record of an incarnation, to be durable before the node speaks to anyone.
pub fn incarnation(incarnation: Incarnation) -> Change {
    Change::put(Table::Node, INCARNATION, incarnation.0.to_le_bytes().to_vec())
}
