//! What replicas of one shard tell each other, as bytes.
//!
//! ```text
//! version, u8 │ kind, u8 │ shard, u32 │ epoch, u64 │ from, u64 │ to, u64 │ term, u64 │ what the kind needs
//! ```
//!
//! All numbers are big-endian. The first six fields are the [`MessageHeader`], which a node reads to find the
//! replica, or to decide that it needs one.

mod body;
mod convert;

use gritmesh_runtime::{Epoch, NodeId, ShardId};

use super::bytes::{Cut, Reader, Writer};
use super::member::ReplicaId;
use super::record::Tombstone;
pub(super) use body::{Body, Forced, LogEntry};
pub(super) use convert::{Outgoing, snapshot};

/// The first byte. Another layout gets another number.
const VERSION: u8 = 1;

/// What every message begins with, readable without a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// The shard.
    pub shard: ShardId,
    /// The newest epoch that the sender has heard of.
    pub epoch: Epoch,
    /// The replica that sent it.
    pub from: ReplicaId,
    /// The replica that it is for.
    pub to: ReplicaId,
    kind: u8,
}

impl MessageHeader {
    /// Reads the header of a message.
    ///
    /// # Errors
    /// If the bytes are not a message of this version.
    pub fn read(bytes: &[u8]) -> Result<Self, MessageError> {
        Ok(Self::take(&mut Reader(bytes))?)
    }

    /// Whether a node that has no replica of this id should make one, to be filled by the leader.
    ///
    /// Only leaders invite. `destroyed` is the node's last replica of the shard, if there was one: what was sent to
    /// it must not bring it back.
    pub fn may_join(&self, destroyed: Option<Tombstone>) -> bool {
        let is_new = |last: Tombstone| self.epoch > last.epoch && self.to != last.replica;
        self.is_from_leader() && destroyed.is_none_or(is_new)
    }

    /// Whether only a leader sends such a message.
    pub(super) fn is_from_leader(&self) -> bool {
        body::is_from_leader(self.kind)
    }

    /// Whether only a candidate sends such a message.
    pub(super) fn is_from_candidate(&self) -> bool {
        body::is_from_candidate(self.kind)
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Cut> {
        if reader.u8()? != VERSION {
            return Err(Cut("its version is unknown"));
        }
        let kind = reader.u8()?;
        let (shard, epoch) = (ShardId(reader.u32()?), Epoch(reader.u64()?));
        let (from, to) = (ReplicaId(reader.u64()?), ReplicaId(reader.u64()?));
        let numbers = epoch.0 <= super::options::NUMBER_MAX && from.0 != 0 && to.0 != 0;
        if !numbers || from == to {
            return Err(Cut("its header holds what cannot be"));
        }
        Ok(Self { shard, epoch, from, to, kind })
    }
}

/// A message between two replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) header: MessageHeader,
    /// The sender's term, or in a question before an election the one it would like.
    pub(super) term: u64,
    pub(super) body: Body,
}

impl Message {
    pub(super) fn new(
        shard: ShardId,
        epoch: Epoch,
        from: ReplicaId,
        to: ReplicaId,
        term: u64,
        body: Body,
    ) -> Self {
        Self { header: MessageHeader { shard, epoch, from, to, kind: body.kind() }, term, body }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(HEADER_BYTES + self.body.bytes());
        writer.u8(VERSION).u8(self.header.kind).u32(self.header.shard.0).u64(self.header.epoch.0);
        writer.u64(self.header.from.0).u64(self.header.to.0).u64(self.term);
        self.body.write(&mut writer);
        writer.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Cut> {
        let mut reader = Reader(bytes);
        let header = MessageHeader::take(&mut reader)?;
        let term = body::read_number(&mut reader)?;
        let body = Body::read(header.kind, term, &mut reader)?;
        reader.end()?;
        Ok(Self { header, term, body })
    }
}

impl Tombstone {
    /// What to answer a candidate that still counts on the destroyed replica; nothing to anybody else.
    ///
    /// Of a change that removes most of the voters those who stay may know no more than that it was proposed, and the
    /// leader that told the others is gone or has forgotten it in a crash. Only the removed ones can say then that it
    /// was committed, and without a majority of them there would be no election. Whoever has the same entry commits it.
    pub fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let Ok(Message { header, term, body: Body::Vote { pre, .. } }) = Message::decode(message) else {
            return None;
        };
        let (commit, commit_term) = self.applied;
        if header.to != self.replica || header.epoch >= self.epoch || commit == 0 {
            return None;
        }
        // In a question before an election stands the term that the candidate would like.
        let term = if pre { term.saturating_sub(1) } else { term };
        let body = Body::VoteAnswer { pre, reject: true, commit, commit_term };
        Some(Message::new(header.shard, self.epoch, self.replica, header.from, term, body).encode())
    }
}

/// Bytes in front of the body.
const HEADER_BYTES: usize = 1 + 1 + 4 + 8 + 8 + 8 + 8;

/// Why a message was refused. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The bytes are not a message.
    #[error("not a message between replicas: {0}")]
    Malformed(&'static str),
    /// It is for another shard or replica.
    #[error("the message is for another replica")]
    Misdirected,
    /// The node is not the one that the replica in the header is on.
    #[error("node {node:?} speaks for a replica of another node")]
    WrongSender {
        /// Who sent it.
        node: NodeId,
    },
    /// It contradicts what its sender has said or agreed to before.
    #[error("node {node:?} contradicts the log: {what}")]
    Contradiction {
        /// Who sent it.
        node: NodeId,
        /// What about it.
        what: &'static str,
    },
}

impl From<Cut> for MessageError {
    fn from(cut: Cut) -> Self {
        Self::Malformed(cut.0)
    }
}
