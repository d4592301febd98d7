//! Tables and descriptors as bytes: what peers send, and what is kept on disk.
//!
//! One byte names the format, an rkyv archive follows. A table lies in columns and names every node once, so
//! that 1,024 shards with three replicas each on a thousand nodes stay below 72 KiB. The end of a range is
//! not written: it is where the next one starts.

use std::collections::BTreeSet;

use gritmesh_runtime::{Epoch, NodeId, ShardId, Token};
use rkyv::rancor;
use rkyv::{Archive, Deserialize, Serialize};

use super::{DESCRIPTOR_BYTES_MAX, Descriptor, Shard, ShardTable, TABLE_BYTES_MAX, TableError, Version};

/// The first byte. Another layout gets another number; old ones stay readable, but for format 1, which had no
/// terms and was on no disk.
const FORMAT: u8 = 2;

/// Stands in the column of leaders where there is none.
const NO_LEADER: u16 = u16::MAX;

#[derive(Archive, Serialize, Deserialize)]
struct Columns {
    /// Sorted, each once.
    nodes: Vec<[u8; 32]>,
    ids: Vec<u32>,
    starts: Vec<u64>,
    terms: Vec<u64>,
    epochs: Vec<u64>,
    /// Indexes into `nodes`, or [`NO_LEADER`].
    leaders: Vec<u16>,
    replica_counts: Vec<u8>,
    /// Indexes into `nodes`, of all shards in a row.
    replicas: Vec<u16>,
}

#[derive(Archive, Serialize, Deserialize)]
struct Row {
    shard: u32,
    term: u64,
    epoch: u64,
    leader: Option<[u8; 32]>,
    replicas: Vec<[u8; 32]>,
}

impl ShardTable {
    /// The table as bytes: equal tables, equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let shards = self.shards();
        let named = shards.iter().flat_map(|shard| shard.leader.iter().chain(&shard.replicas));
        let nodes: Vec<[u8; 32]> = named.map(|node| node.0).collect::<BTreeSet<_>>().into_iter().collect();
        let index =
            |node: &NodeId| nodes.binary_search(&node.0).expect("every named node is in the list") as u16;
        let columns = Columns {
            ids: shards.iter().map(|shard| shard.id.0).collect(),
            starts: shards.iter().map(|shard| shard.start.0).collect(),
            terms: shards.iter().map(|shard| shard.term).collect(),
            epochs: shards.iter().map(|shard| shard.epoch.0).collect(),
            leaders: shards.iter().map(|shard| shard.leader.as_ref().map_or(NO_LEADER, index)).collect(),
            replica_counts: shards.iter().map(|shard| shard.replicas.len() as u8).collect(),
            replicas: shards.iter().flat_map(|shard| shard.replicas.iter().map(index)).collect(),
            nodes,
        };
        with_format(&rkyv::to_bytes::<rancor::Error>(&columns).expect("writing to memory does not fail"))
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not a table, or exceed a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let archive = without_format(bytes, TABLE_BYTES_MAX)?;
        let columns = rkyv::from_bytes::<Columns, rancor::Error>(archive).map_err(malformed)?;
        Self::from_shards(columns.into_shards()?)
    }
}

impl Columns {
    fn into_shards(self) -> Result<Vec<Shard>, TableError> {
        let count = self.ids.len();
        let columns = [
            self.starts.len(),
            self.terms.len(),
            self.epochs.len(),
            self.leaders.len(),
            self.replica_counts.len(),
        ];
        let replicas: usize = self.replica_counts.iter().map(|count| usize::from(*count)).sum();
        if columns != [count; 5] || replicas != self.replicas.len() {
            return Err(malformed("the columns differ in length"));
        }
        let node = |index: &u16| self.nodes.get(usize::from(*index)).map(|key| NodeId(*key));
        let mut rest = self.replicas.as_slice();
        let mut shards = Vec::with_capacity(count);
        for place in 0..count {
            let (own, others) = rest.split_at(usize::from(self.replica_counts[place]));
            rest = others;
            let replicas: Option<Vec<NodeId>> = own.iter().map(node).collect();
            let leader = match self.leaders[place] {
                NO_LEADER => None,
                index => Some(node(&index).ok_or_else(|| malformed("a leader is not listed"))?),
            };
            // Where two ranges start alike, the end lies before the start and the table is refused for it.
            let end = self.starts.get(place + 1).map_or(u64::MAX, |next| next.wrapping_sub(1));
            shards.push(Shard {
                id: ShardId(self.ids[place]),
                start: Token(self.starts[place]),
                end: Token(end),
                term: self.terms[place],
                epoch: Epoch(self.epochs[place]),
                leader,
                replicas: replicas.ok_or_else(|| malformed("a replica is not listed"))?,
            });
        }
        Ok(shards)
    }
}

impl Descriptor {
    /// The descriptor as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let row = Row {
            shard: self.shard.0,
            term: self.version.term,
            epoch: self.version.epoch.0,
            leader: self.leader.map(|node| node.0),
            replicas: self.replicas.iter().map(|node| node.0).collect(),
        };
        with_format(&rkyv::to_bytes::<rancor::Error>(&row).expect("writing to memory does not fail"))
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not a descriptor, or exceed a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let archive = without_format(bytes, DESCRIPTOR_BYTES_MAX)?;
        let row = rkyv::from_bytes::<Row, rancor::Error>(archive).map_err(malformed)?;
        let descriptor = Self {
            shard: ShardId(row.shard),
            version: Version { term: row.term, epoch: Epoch(row.epoch) },
            leader: row.leader.map(NodeId),
            replicas: row.replicas.into_iter().map(NodeId).collect(),
        };
        descriptor.check().map(|()| descriptor)
    }
}

fn with_format(archive: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + archive.len());
    bytes.push(FORMAT);
    bytes.extend_from_slice(archive);
    bytes
}

fn without_format(bytes: &[u8], limit: usize) -> Result<&[u8], TableError> {
    if bytes.len() > limit {
        return Err(TableError::TooLarge { bytes: bytes.len(), limit });
    }
    match bytes.split_first() {
        Some((&FORMAT, archive)) => Ok(archive),
        Some((format, _)) => Err(TableError::Format { format: *format }),
        None => Err(malformed("there are none")),
    }
}

fn malformed(detail: impl ToString) -> TableError {
    TableError::Malformed { detail: detail.to_string() }
}
