//! What is left of a replica whose records are damaged, and how another one takes its place.
//!
//! **Problem.** A replica that has forgotten what it acknowledged must never speak again: its vote could elect a leader
//! that lacks what was committed with its help. But its node is well, and the shard should have its copies back.
//!
//! **Design.** The records stay as they are, and the replica is silent but for one word. To whatever a leader sends it,
//! and unasked once in a while, it answers that it is lost. The leader removes it, through the log as always, which the
//! other voters can do without it. When the node is then called under the id of a replica that was added later, what is
//! left is buried, and the new replica begins from nothing.
//!
//! An id is the hash of the epoch that added it, so which of two was added later can be computed, and nothing that the
//! damaged records may or may not say is believed. Where not even the id is left, it is the first one by which a leader
//! calls that is later than the replica before it, of which the tombstone tells.
//!
//! **Deliberately absent.** Repair of the records. And an answer to candidates: where nobody leads, too many replicas
//! are gone for the others to decide anything, and the records had better stay.

use gritmesh_runtime::{Epoch, NodeId, Reads, ShardId};

use super::message::{Body, Message};
use super::record;
use super::{Config, MessageHeader, Replica, ReplicaId, RestoreError, Tombstone};

/// How many epochs back the one that added a replica is looked for. A replica that was added before so many changes of
/// its shard is not told from one that never was; a change takes milliseconds at least, and few happen in a month.
const EPOCHS_BACK_MAX: u64 = 65_536;

/// What is left of a damaged replica.
#[derive(Clone, Debug)]
pub struct Remains {
    shard: ShardId,
    me: NodeId,
    /// None as long as that is not known.
    replica: Option<ReplicaId>,
    /// The replica that the node had before, if it had one: what is sent to that one says nothing.
    before: Option<ReplicaId>,
    /// The last one that it knew.
    config: Option<Config>,
}

/// What a message means to a node whose replica is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// Nothing.
    No,
    /// A leader counts on the damaged replica: this is to be answered.
    Lost(Vec<u8>),
    /// A leader has put another replica in its place. What is left may be buried under this tombstone, after which
    /// the leader's next message is one to [join](MessageHeader::may_join) by.
    Anew(Tombstone),
}

impl Remains {
    /// What can still be told of the replica that [`Replica::read`] found damaged. None if neither its id can be read
    /// nor which one was there before; then nobody can say which messages are for it, and only another node can take
    /// its place.
    ///
    /// # Errors
    /// If the disk refused.
    pub fn read(disk: &dyn Reads, shard: ShardId, me: NodeId) -> Result<Option<Self>, RestoreError> {
        let (identity, config) = record::read_remains(disk, shard)?;
        let member = || config.as_ref().and_then(|config| config.on(me)).map(|member| member.replica);
        let replica = identity.or_else(member);
        let before = match record::read_tombstone(disk, shard) {
            Ok(tombstone) => tombstone.map(|tombstone| tombstone.replica),
            Err(error) if error.is_damage() && replica.is_some() => None,
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Self { shard, me, replica, before, config }))
    }

    /// A node has no replica of the shard, and cannot read which one it had: the next one is given up as if it had been
    /// that one, and only the one after it may join.
    pub fn unknown(shard: ShardId, me: NodeId) -> Self {
        Self { shard, me, replica: None, before: None, config: None }
    }

    /// What a message to this node means.
    pub fn hear(&mut self, header: &MessageHeader) -> Called {
        if header.shard != self.shard || !header.is_from_leader() {
            return Called::No;
        }
        let later = |than: ReplicaId| self.added_later(header.to, than, header.epoch);
        let Some(replica) = self.replica else {
            if self.before.is_none_or(|before| later(before).is_some()) {
                self.replica = Some(header.to);
                return self.hear(header);
            }
            return Called::No;
        };
        if header.to == replica {
            let lost = Message::new(self.shard, header.epoch, replica, header.from, 0, Body::Lost);
            return Called::Lost(lost.encode());
        }
        match later(replica) {
            // Before its own epoch nobody speaks to the new one.
            Some(added) => {
                let epoch = Epoch(added.0.saturating_sub(1));
                Called::Anew(Tombstone { replica, epoch, applied: (0, 0) })
            }
            None => Called::No,
        }
    }

    /// What to tell others unasked: the leader may be asleep.
    pub fn tell(&self) -> Vec<(NodeId, Vec<u8>)> {
        let Some((config, replica)) = self.config.as_ref().zip(self.replica) else { return Vec::new() };
        let others = config.members.iter().filter(|member| member.node != self.me);
        let lost = |to| Message::new(self.shard, config.epoch, replica, to, 0, Body::Lost).encode();
        others.map(|member| (member.node, lost(member.replica))).collect()
    }

    /// The epoch that added a replica, if that was later than another one was added.
    fn added_later(&self, replica: ReplicaId, other: ReplicaId, newest: Epoch) -> Option<Epoch> {
        let oldest = newest.0.saturating_sub(EPOCHS_BACK_MAX);
        for epoch in (oldest..=newest.0).rev().map(Epoch) {
            let added = ReplicaId::of(self.me, self.shard, epoch);
            if added == other {
                return None;
            }
            if added == replica {
                return Some(epoch);
            }
        }
        None
    }
}

impl Replica {
    /// What is left of it once it has been found that its records are damaged, and it is dropped.
    pub fn remains(&self) -> Remains {
        let config = Some(self.config.clone()).filter(|config| !config.members.is_empty());
        Remains { shard: self.setup.shard, me: self.setup.me, replica: Some(self.id), before: None, config }
    }
}
