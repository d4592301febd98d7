//! What is left of a replica whose records are damaged, and how another one takes its place.
//!
//! **Problem.** A replica that has forgotten what it acknowledged must never speak again: its vote could elect a leader
//! that lacks what was committed with its help. But its node is well, and the shard should have its copies back.
//!
//! **Design.** The records stay as they are, and the replica is silent but for one word. It writes down that it will
//! never speak again, and once that is durable it answers whatever leaders and candidates send it, and says unasked once
//! in a while, that it is lost. The others may rely on that, see [`silence`](super::silence). The leader removes it,
//! through the log as always. When the node is then called under the id of a replica that was added later, what is left is
//! buried, and the new replica begins from nothing.
//!
//! An id is the hash of the epoch that added it, so which of two was added later can be computed, and nothing that the
//! damaged records may or may not say is believed. Where not even the id is left, it is the first one by which a leader
//! or a candidate calls that is later than the replica before it, of which the tombstone tells. Only a leader is believed
//! where the tombstone was damaged, or the record of silence, since what candidates know may be old.
//!
//! The only voter promises nothing before somebody else counts on it: no other replica could go on.
//!
//! **Deliberately absent.** Repair of the records.

use gritmesh_runtime::{Change, Epoch, NodeId, Reads, ShardId};

use super::message::{Body, Message};
use super::record::{self, Left, Lost};
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
    promise: Promise,
    /// Whether a candidate may be the one that names it.
    hears_candidates: bool,
    /// Who counted on it last, with its epoch: to be told even where the members are not known.
    caller: Option<(NodeId, ReplicaId, Epoch)>,
}

/// That it will never speak again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    NotGiven,
    /// It is on its way to the disk.
    Written,
    /// It is durable.
    Given,
}

/// What a message means to a node whose replica is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// Nothing.
    No,
    /// A leader or a candidate counts on the damaged replica: this is to be answered.
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
        let Left { identity, config, lost } = Left::read(disk, shard)?;
        let member = || config.as_ref().and_then(|config| config.on(me)).map(|member| member.replica);
        let (replica, promise) = match lost {
            Lost::Named(replica) => (Some(replica), Promise::Given),
            // Written anew, so that it can be read.
            Lost::No | Lost::Unnamed => (identity.or_else(member), Promise::NotGiven),
        };
        let before = match record::read_tombstone(disk, shard) {
            Ok(tombstone) => tombstone.map(|tombstone| tombstone.replica),
            Err(error) if error.is_damage() && replica.is_some() => None,
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error),
        };
        let hears_candidates = lost == Lost::No;
        Ok(Some(Self { shard, me, replica, before, config, promise, hears_candidates, caller: None }))
    }

    /// A node has no replica of the shard, and cannot read which one it had: the next one is given up as if it had been
    /// that one, and only the one after it may join.
    pub fn unknown(shard: ShardId, me: NodeId) -> Self {
        Self {
            shard,
            me,
            replica: None,
            before: None,
            config: None,
            promise: Promise::NotGiven,
            hears_candidates: false,
            caller: None,
        }
    }

    /// What to write before anything is said, if it is time for it: that the replica will never speak again. Then
    /// [`Self::promised`] is to be called.
    pub fn promise(&mut self) -> Option<(ReplicaId, Change)> {
        let replica = self.replica?;
        let alone = self.config.as_ref().is_some_and(|config| config.is_sole_voter(replica));
        if self.promise != Promise::NotGiven || (alone && self.caller.is_none()) {
            return None;
        }
        self.promise = Promise::Written;
        Some((replica, record::give_up(self.shard, replica)))
    }

    /// What was to be written for a replica is durable.
    pub fn promised(&mut self, replica: ReplicaId) {
        if self.replica == Some(replica) && self.promise == Promise::Written {
            self.promise = Promise::Given;
        }
    }

    /// What a message to this node means.
    pub fn hear(&mut self, from: NodeId, header: &MessageHeader) -> Called {
        let leads = header.is_from_leader();
        if header.shard != self.shard || !(leads || header.is_from_candidate()) {
            return Called::No;
        }
        let later = |than: ReplicaId| self.added_later(header.to, than, header.epoch);
        let Some(replica) = self.replica else {
            let is_believed = leads || self.hears_candidates;
            if is_believed && self.before.is_none_or(|before| later(before).is_some()) {
                self.replica = Some(header.to);
                return self.hear(from, header);
            }
            return Called::No;
        };
        if header.to == replica {
            self.caller = Some((from, header.from, header.epoch));
            if self.promise != Promise::Given {
                return Called::No;
            }
            let lost = Message::new(self.shard, header.epoch, replica, header.from, 0, Body::Lost);
            return Called::Lost(lost.encode());
        }
        match later(replica).filter(|_| leads) {
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
        let Some(replica) = self.replica.filter(|_| self.promise == Promise::Given) else {
            return Vec::new();
        };
        let lost = |to, epoch| Message::new(self.shard, epoch, replica, to, 0, Body::Lost).encode();
        let mut told: Vec<(NodeId, ReplicaId, Epoch)> = Vec::new();
        if let Some(config) = &self.config {
            let others = config.members.iter().filter(|member| member.node != self.me);
            told.extend(others.map(|member| (member.node, member.replica, config.epoch)));
        }
        let caller = self.caller.filter(|(node, ..)| told.iter().all(|(of, ..)| of != node));
        told.extend(caller);
        told.into_iter().map(|(node, to, epoch)| (node, lost(to, epoch))).collect()
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
        Remains { replica: Some(self.id), config, ..Remains::unknown(self.setup.shard, self.setup.me) }
    }
}
