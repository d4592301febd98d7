//! The replicas of an engine: made at founding, joined when a leader calls, brought back after a restart.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gritmesh_actor::{Gate, Header};
use gritmesh_runtime::{Change, DiskError, Instant, NodeId, ShardId, Table};
use gritmesh_shard::keys::token_range;
use gritmesh_shard::{ActorKey, ShardState};
use gritmesh_sharding::{Config, MessageHeader, Replica, ReplicaSetup, RestoreError, SHARDS_MAX, Shard};

use super::Engine;
use super::commits::Waiting;
use super::damage::send;
use super::event::{Commit, Counted, Effect};
use super::moves::Wanted;
use super::retention::Looking;
use super::serving::{Handing, Serving};
use super::shard_time::{self, ShardTime};
use super::transfer::{Giving, Incoming, View};
use crate::codec::StepLog;
use crate::options::Sabotage;

/// One shard on this node.
pub(super) struct Group {
    pub(super) replica: Replica,
    pub(super) state: ShardState,
    pub(super) config: Config,
    pub(super) leads: bool,
    pub(super) serving: Serving,
    /// Whether actors of an earlier leadership may still be in memory.
    pub(super) evicting: bool,
    /// Up to where the state must be on the disk before its actors may be read from there.
    pub(super) opens_at: u64,
    pub(super) applied_to: u64,
    pub(super) persisted_to: u64,
    /// What is proposed at the end of a batch.
    pub(super) queued: Vec<Queued>,
    /// What was proposed and whoever waits behind it, in order.
    pub(super) waiting: VecDeque<Waiting>,
    /// Actors with steps that are not on the disk yet: how many are undecided, and up to where the others reach.
    pub(super) unsettled: BTreeMap<ActorKey, Unsettled>,
    /// Who should lead instead, once the actors are out of memory.
    pub(super) handing_to: Option<Handing>,
    pub(super) installing: Installing,
    /// Where it should be, while it is led here and is not there.
    pub(super) wanted: Option<Wanted>,
    pub(super) incoming: Option<Incoming>,
    pub(super) views: BTreeMap<NodeId, View>,
    pub(super) givings: BTreeMap<NodeId, Giving>,
    /// Whether an object could not be read, so that others may be damaged, too.
    pub(super) objects_damaged: bool,
    pub(super) lease: Instant,
    /// Since when it knows no leader.
    pub(super) leaderless: Option<Instant>,
    pub(super) looking: Looking,
    pub(super) time: ShardTime,
}

/// Whether a state from the leader is being taken in. Until it is on the disk nothing may be applied on top of it:
/// what commands depend on is read from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Installing {
    No,
    /// It is in the next batch, which also gets what the log makes of it.
    Begun,
    /// It is on its way to the disk.
    Writing,
}

/// What waits to be proposed, or behind what does.
pub(super) enum Queued {
    Commit(Commit),
    Observer(Gate),
}

impl Queued {
    /// What is opened when that is decided.
    pub(super) fn gate(self) -> Option<Gate> {
        match self {
            Self::Commit(Commit { gate, .. }) => gate,
            Self::Observer(gate) => Some(gate),
        }
    }
}

/// Steps of one actor between being made and being on the disk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unsettled {
    pub(super) undecided: u32,
    pub(super) applied_at: u64,
}

impl Group {
    fn new(replica: Replica, state: ShardState, applied: u64) -> Self {
        let config = replica.status().config;
        Self {
            replica,
            state,
            config,
            leads: false,
            serving: Serving::Closed,
            evicting: false,
            opens_at: 0,
            applied_to: applied,
            persisted_to: applied,
            queued: Vec::new(),
            waiting: VecDeque::new(),
            unsettled: BTreeMap::new(),
            handing_to: None,
            installing: Installing::No,
            wanted: None,
            incoming: None,
            views: BTreeMap::new(),
            givings: BTreeMap::new(),
            objects_damaged: false,
            lease: Instant::ZERO,
            leaderless: None,
            looking: Looking::default(),
            time: ShardTime::default(),
        }
    }

    /// When it next wants to hear of the time.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let handing = self.handing_to.as_ref().map(|handing| handing.until);
        [self.replica.next_deadline(), handing, self.transfer_deadline()].into_iter().flatten().min()
    }
}

/// Why a replica is not brought back.
enum Unrestored {
    /// The disk refused.
    Unreadable(String),
    /// Its records are damaged.
    Damaged(String),
}

impl From<RestoreError> for Unrestored {
    fn from(error: RestoreError) -> Self {
        let why = error.to_string();
        if error.is_damage() { Self::Damaged(why) } else { Self::Unreadable(why) }
    }
}

impl Engine {
    /// Brings back what the disk holds.
    pub(super) fn restore(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let shards = match self.stored_shards() {
            Ok(shards) => shards,
            Err(error) => return self.halt(format!("the shards cannot be read: {error}"), out),
        };
        for shard in shards {
            match self.read_group(now, shard) {
                Ok(Some(group)) => {
                    self.groups.insert(shard, group);
                    self.dirty.insert(shard);
                    out.push(Effect::Holds { shard, holds: true });
                }
                Ok(None) => {}
                Err(Unrestored::Unreadable(reason)) => {
                    self.halt(format!("the replica of shard {shard} cannot be restored: {reason}"), out);
                }
                Err(Unrestored::Damaged(why)) => self.quarantine_stored(now, shard, &why, out),
            }
        }
    }

    /// Shards of this engine of which the disk has any record.
    fn stored_shards(&self) -> Result<Vec<ShardId>, DiskError> {
        let mut shards = Vec::new();
        let mut from = vec![0; 4];
        loop {
            let rows = match self.disk.scan(Table::Group, &from[..]..&[u8::MAX; 8][..], 1) {
                Ok(rows) => rows,
                // Which shards the damaged records are of is found out by asking for each.
                Err(error) if error.is_damage() => {
                    let all = 0..SHARDS_MAX as u32;
                    return Ok(all.map(ShardId).filter(|shard| self.is_mine(*shard)).collect());
                }
                Err(error) => return Err(error),
            };
            let Some((key, _)) = rows.first() else { return Ok(shards) };
            let Some(number) = key.first_chunk::<4>() else { return Ok(shards) };
            let shard = u32::from_be_bytes(*number);
            if self.is_mine(ShardId(shard)) {
                shards.push(ShardId(shard));
            }
            let Some(next) = shard.checked_add(1) else { return Ok(shards) };
            from = next.to_be_bytes().to_vec();
        }
    }

    fn open_state(&self, applied: u64) -> ShardState {
        let state = ShardState::at(applied, self.limits.shard.state);
        match self.sabotage {
            Sabotage::SkipCompareAndSet => state.without_comparing(),
            _ => state,
        }
    }

    fn read_group(&self, now: Instant, shard: ShardId) -> Result<Option<Group>, Unrestored> {
        let setup = self.setup(shard);
        let stored = Replica::read(&*self.disk, shard, &*setup.codec)?;
        let Some(stored) = stored else { return Ok(None) };
        let applied = stored.applied();
        Ok(Some(Group::new(Replica::restore(setup, stored, now), self.open_state(applied), applied)))
    }

    /// Creates the replicas of a new cluster. Those that the disk holds already were created before a crash.
    pub(super) fn found(&mut self, now: Instant, shards: &[Shard], out: &mut Vec<Effect>) {
        let mut created = false;
        for shard in shards.iter().map(|shard| shard.id) {
            let here = self.groups.contains_key(&shard) || self.quarantine.contains_key(&shard);
            if !self.is_mine(shard) || here {
                continue;
            }
            let replica = Replica::found(self.setup(shard), now);
            let applied = replica.status().applied;
            self.groups.insert(shard, Group::new(replica, self.open_state(applied), applied));
            self.dirty.insert(shard);
            created = true;
            out.push(Effect::Holds { shard, holds: true });
        }
        match created {
            true => self.writer.founding = true,
            false => out.push(Effect::Founded),
        }
    }

    fn setup(&self, shard: ShardId) -> ReplicaSetup {
        ReplicaSetup {
            shard,
            me: self.me,
            options: self.replicas.clone(),
            limits: self.limits.replica,
            seed: self.seed.child(&format!("shard {shard}")),
            codec: Arc::new(StepLog),
        }
    }

    /// Messages of logs from a peer.
    pub(super) fn consensus(
        &mut self,
        now: Instant,
        from: NodeId,
        messages: &[Vec<u8>],
        out: &mut Vec<Effect>,
    ) {
        self.full_peers.heard(now, from, messages.iter().any(Vec::is_empty));
        for message in messages.iter().filter(|message| !message.is_empty()) {
            let Ok(header) = MessageHeader::read(message) else {
                out.push(Effect::Count(Counted::MalformedConsensus));
                continue;
            };
            let shard = header.shard;
            if !self.is_mine(shard) || !self.may_join(now, from, (&header, message), out) {
                continue;
            }
            let Some(group) = self.groups.get_mut(&shard) else { continue };
            if group.replica.receive(now, from, message).is_err() {
                out.push(Effect::Count(Counted::MalformedConsensus));
            }
            self.dirty.insert(shard);
        }
    }

    /// Whether there is a replica for a message, which may be a new one: its leader has added this node.
    fn may_join(
        &mut self,
        now: Instant,
        from: NodeId,
        (header, message): (&MessageHeader, &[u8]),
        out: &mut Vec<Effect>,
    ) -> bool {
        let shard = header.shard;
        if self.groups.contains_key(&shard) {
            return true;
        }
        if self.quarantine.contains_key(&shard) {
            self.hear_for_damaged(from, header, out);
            return false;
        }
        let unknown = self.routes.as_ref().is_some_and(|routes| routes.table.shard(shard).is_none());
        if shard.0 as usize >= SHARDS_MAX || unknown {
            out.push(Effect::Count(Counted::MalformedConsensus));
            return false;
        }
        // The old replica has to be gone before a new one can begin from nothing. Leaders repeat themselves.
        if self.writer.is_burying(shard) {
            return false;
        }
        let destroyed = match Replica::read_tombstone(&*self.disk, shard) {
            Ok(destroyed) => destroyed,
            Err(error) => {
                match error.is_damage() {
                    true => self.tombstone_is_damaged(now, header, out),
                    false => tracing::warn!(%shard, %error, "a replica cannot join"),
                }
                return false;
            }
        };
        if !header.may_join(destroyed) {
            if let Some(answer) = destroyed.and_then(|destroyed| destroyed.answer(message)) {
                send(from, answer, out);
            }
            return false;
        }
        let replica = Replica::join(self.setup(shard), header.to, now);
        self.groups.insert(shard, Group::new(replica, self.open_state(0), 0));
        out.push(Effect::Holds { shard, holds: true });
        true
    }

    /// The replica is no member any more: nothing of it stays but the memory that it was one.
    pub(super) fn destroy(&mut self, shard: ShardId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.remove(&shard) else { return };
        self.dirty.remove(&shard);
        self.bury(shard, group.replica.tombstone());
        out.push(Effect::Holds { shard, holds: false });
    }

    /// What deletes all rows of a shard's actors, and its time.
    pub(super) fn key_ranges(&self, shard: ShardId) -> Vec<Change> {
        let Some(range) = self.range(shard) else { return Vec::new() };
        let range = token_range(range.start, range.end);
        let delete = |table| Change::DeleteRange { table, from: range.start.clone(), to: range.end.clone() };
        Table::OF_ACTORS.map(delete).into_iter().chain([shard_time::key_range(shard)]).collect()
    }

    /// The tokens of a shard, once there is a table.
    pub(super) fn range(&self, shard: ShardId) -> Option<Shard> {
        self.routes.as_ref()?.table.shard(shard).cloned()
    }

    /// Whether steps of an actor are on their way to the disk.
    pub(super) fn is_unsettled(&self, shard: ShardId, header: &Header) -> bool {
        if self.sabotage == Sabotage::SkipCompareAndSet {
            // What is never loaded too early gives the comparison nothing to do.
            return false;
        }
        let Some(group) = self.groups.get(&shard) else { return false };
        let key = || ActorKey::at(&header.address, header.token);
        !group.unsettled.is_empty() && group.unsettled.contains_key(&key())
    }

    /// A peer is believed dead: shards that it leads must not sleep on.
    pub(super) fn peer_gone(&mut self, now: Instant, peer: NodeId, out: &mut Vec<Effect>) {
        self.lost(now, peer, &[], out);
        self.give_up_handing_to(now, peer);
        for (shard, group) in &mut self.groups {
            let status = group.replica.status();
            if status.leader == Some(peer) || group.config.members.iter().any(|member| member.node == peer) {
                group.replica.wake(now);
                self.dirty.insert(*shard);
            }
        }
    }

    /// A leader that sleeps does not hear that it was deposed: it asks its followers.
    pub(super) fn doubt(&mut self, now: Instant, shard: ShardId) {
        if let Some(group) = self.groups.get_mut(&shard) {
            group.replica.wake(now);
            self.dirty.insert(shard);
        }
    }

    /// When some shard wants to hear of the time. Not later than any of them wants to; whoever moves a deadline
    /// forward says so by [`Self::wake_by`], so that nobody has to ask all shards after every batch.
    pub(super) fn groups_deadline(&self) -> Option<Instant> {
        (self.groups_due < Instant::MAX).then_some(self.groups_due)
    }

    pub(super) fn wake_by(&mut self, due: Instant) {
        self.groups_due = self.groups_due.min(due);
    }

    pub(super) fn tick_all(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.expire(now, out);
        if self.groups_due <= now {
            for (shard, group) in &mut self.groups {
                if group.replica.next_deadline().is_some_and(|due| due <= now) {
                    group.replica.tick(now);
                    self.dirty.insert(*shard);
                }
            }
            self.expire_transfers(now, out);
            self.expire_handing_over(now);
            self.tell_of_damage(now, out);
            let due =
                self.groups.values().filter_map(Group::next_deadline).chain(self.damage_deadline()).min();
            self.groups_due = due.unwrap_or(Instant::MAX);
        }
        self.retry_write(now, out);
        self.retry_loads(now, out);
        self.outputs_tick(now);
    }
}
