//! How a replica comes to life: founded, invited, or found on the disk. And what is left of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gritmesh_runtime::{Change, Epoch, Instant, Reads, ShardId};
use raft::prelude::HardState;
use raft::{RawNode, StateRole};

use super::lease::Lease;
use super::log::Log;
use super::record::{self, Field};
use super::sleep::Sleep;
use super::{
    Config, LogCodec, Replica, ReplicaId, ReplicaOptions, ReplicaSetup, RestoreError, Role, tick_after,
};
use super::{SnapshotMeta, Stored, Tombstone};

/// Index and term of the entry that a shard's log begins behind. Not zero: the first members are in no entry, so
/// nobody may ever replay the log from nothing.
const FOUNDATION: (u64, u64) = (5, 1);

impl Replica {
    /// The first replica of a new shard, its only voter. It leads at once.
    pub fn found(setup: ReplicaSetup, now: Instant) -> Self {
        let (shard, base) = (setup.shard, FOUNDATION);
        let config = Config::founded(setup.me, shard);
        let replica = ReplicaId::of(setup.me, shard, config.epoch);
        let hard = HardState { term: base.1, vote: 0, commit: base.0 };
        let changes = vec![
            record::put_field(shard, Field::Identity, |writer| writer.u64(replica.0)),
            record::put_field(shard, Field::Base, |writer| writer.u64(base.0).u64(base.1)),
            record::put_field(shard, Field::Applied, |writer| writer.u64(base.0).u64(base.1)),
            record::put_field(shard, Field::Config, |writer| config.write(writer)),
        ];
        let stored = Stored { replica, hard, base, applied: base, config, entries: Vec::new() };
        let mut founded = Self::with(setup, stored, now, now);
        founded.changes = changes;
        founded.stand();
        founded
    }

    /// A replica that knows nothing and waits for the leader's messages. Its id is that to which they are sent.
    pub fn join(setup: ReplicaSetup, replica: ReplicaId, now: Instant) -> Self {
        let identity = record::put_field(setup.shard, Field::Identity, |writer| writer.u64(replica.0));
        let (hard, config) = (HardState::default(), Config::default());
        let stored = Stored { replica, hard, base: (0, 0), applied: (0, 0), config, entries: Vec::new() };
        let mut joined = Self::with(setup, stored, now, now);
        joined.changes.push(identity);
        joined
    }

    /// The replica as it goes on after a restart.
    pub fn restore(setup: ReplicaSetup, stored: Stored, now: Instant) -> Self {
        // What it had promised to a leader before the crash, it may have forgotten. Nobody leads beside the only
        // voter, and nothing was promised before there was a term.
        let alone = stored.config.is_sole_voter(stored.replica);
        let may_have_promised = stored.hard.term > 0 && !alone;
        #[cfg(test)]
        let may_have_promised =
            may_have_promised && setup.options.broken != super::options::Broken::VotesAfterRestart;
        let quiet = if may_have_promised { now + setup.options.election_timeout() } else { now };
        let mut restored = Self::with(setup, stored, quiet, now);
        if alone {
            restored.stand();
        }
        restored
    }

    /// What a replica left on the disk; none if there is none.
    ///
    /// # Errors
    /// If a record is damaged, or records contradict each other.
    pub fn read(
        disk: &dyn Reads,
        shard: ShardId,
        codec: &dyn LogCodec,
    ) -> Result<Option<Stored>, RestoreError> {
        record::read(disk, shard, codec)
    }

    /// The state of a shard that a snapshot of the disk holds, as it is told to
    /// [`Replica::snapshot_taken`].
    ///
    /// # Errors
    /// If a record is damaged.
    pub fn read_snapshot(disk: &dyn Reads, shard: ShardId) -> Result<Option<SnapshotMeta>, RestoreError> {
        record::read_meta(disk, shard)
    }

    /// The node's last replica of a shard that was destroyed; see [`may_join`](super::MessageHeader::may_join).
    ///
    /// # Errors
    /// If the record is damaged.
    pub fn read_tombstone(disk: &dyn Reads, shard: ShardId) -> Result<Option<Tombstone>, RestoreError> {
        record::read_tombstone(disk, shard)
    }

    /// What removes a node's replica of a shard from the disk, and records that it was there, so that messages that
    /// come late do not bring it back. The state of the shard is the caller's to remove, in the same batch, and until
    /// that is written the caller has to remember the tombstone itself.
    pub fn bury(shard: ShardId, tombstone: Tombstone) -> Vec<Change> {
        record::bury(shard, tombstone)
    }

    /// What to bury this replica with.
    pub fn tombstone(&self) -> Tombstone {
        Tombstone { replica: self.id, epoch: self.epoch(), applied: self.applied }
    }

    /// The newest epoch that it has heard of.
    pub(super) fn epoch(&self) -> Epoch {
        self.config.epoch.max(self.heard)
    }

    fn with(setup: ReplicaSetup, stored: Stored, quiet: Instant, now: Instant) -> Self {
        let ReplicaOptions { tick, .. } = setup.options;
        let span = setup.options.election_timeout();
        let library = raft::Config {
            id: stored.replica.0,
            election_tick: setup.options.election_ticks as usize,
            heartbeat_tick: setup.options.heartbeat_ticks as usize,
            applied: stored.applied.0,
            max_size_per_msg: setup.limits.message_bytes as u64,
            max_inflight_msgs: setup.limits.inflight,
            check_quorum: true,
            pre_vote: true,
            // The commit index rides on the next entries or heartbeat: half of the messages.
            skip_bcast_commit: true,
            // The library asks for at least one message.
            max_uncommitted_size: setup.limits.uncommitted_bytes.max(setup.limits.message_bytes) as u64,
            max_committed_size_per_ready: setup.limits.committed_bytes as u64,
            ..Default::default()
        };
        let voted = (stored.hard.term, stored.hard.vote);
        let log = Log::new(stored.base, stored.entries, stored.hard, stored.config.to_raft());
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw =
            RawNode::new(&library, log, &logger).expect("what was stored is consistent, and so are options");
        let mut replica = Self {
            id: stored.replica,
            raw,
            heard: stored.config.epoch,
            config: stored.config,
            learned: VecDeque::new(),
            now,
            next_tick: tick_after(now, tick),
            contact: now,
            timeout: (u64::MAX, StateRole::Follower, 0),
            announced: Role::Follower { leader: None },
            applied: stored.applied,
            lease: Lease::new(span, quiet, setup.limits.rounds),
            forced: None,
            take_over: None,
            proposals: Vec::new(),
            proposed_bytes: 0,
            changes: Vec::new(),
            outgoing: Vec::new(),
            parked: VecDeque::new(),
            persisted: 0,
            to_sync: 0,
            hard: 0,
            voted,
            restoring: None,
            restored: None,
            install: None,
            wanted: BTreeSet::new(),
            lost: BTreeSet::new(),
            granted: super::Granted::default(),
            offers: BTreeMap::new(),
            settled: 0,
            sleep: Sleep::new(now),
            removed: false,
            dirty: false,
            setup,
        };
        replica.settle();
        replica
    }
}
