//! State for followers whose entries were cut off, and the cutting.
//!
//! The library waits for ever for a follower that it has sent to fetch state, so state is offered again after a
//! while. What is offered is only where to find it; the bytes travel between the nodes.

use gritmesh_runtime::{Instant, NodeId};
use raft::{ProgressState, SnapshotStatus, StateRole};

use super::message::{Body, snapshot};
use super::record::{self, Field};
use super::{Config, InstallError, Replica, ReplicaId, SnapshotMeta};

impl Replica {
    /// The state after this entry can be fetched from this node, see [`Replica::read_snapshot`]. Answers
    /// [`Progress::snapshot_wanted`](super::Progress::snapshot_wanted), for all that want it.
    pub fn snapshot_taken(&mut self, index: u64, term: u64, config: Config) {
        let wanted = std::mem::take(&mut self.wanted);
        if self.removed || !self.leads() || index > self.applied.0 {
            return;
        }
        // The state may be older than the change that made a follower a member, or end before the log begins. Then
        // the follower is no better off, and a new state is asked for when it is next heard of: not at once, or it
        // would be asked for in a circle until the disk has caught up.
        let reaches = index >= self.raw.store().base();
        let is_of_use = |replica: &ReplicaId| reaches && config.member(*replica).is_some();
        let helped: Vec<ReplicaId> = wanted.into_iter().filter(is_of_use).collect();
        self.raw.mut_store().offer(Some(SnapshotMeta { index, term, config }));
        for replica in helped {
            if self.raw.raft.prs().get(replica.0).is_some() {
                self.raw.raft.send_append(replica.0);
            }
        }
        self.settle();
    }

    /// No state could be taken, or the follower could not fetch it. It is asked for anew when the follower is next
    /// heard of.
    pub fn snapshot_failed(&mut self, to: NodeId) {
        let Some(replica) = self.config.on(to).map(|member| member.replica) else { return };
        self.wanted.remove(&replica);
        if self.removed || !self.leads() {
            return;
        }
        self.raw.mut_store().offer(None);
        self.offers.remove(&replica);
        self.raw.report_snapshot(replica.0, SnapshotStatus::Failure);
        self.settle();
    }

    /// Offers state again to followers that have been silent about it, and forgets it when nobody needs it.
    pub(super) fn offer_again(&mut self) {
        let patience = self.setup.options.election_timeout() * self.setup.limits.offer_again_elections;
        if !self.leads() {
            self.offers.clear();
            self.wanted.clear();
            return self.raw.mut_store().offer(None);
        }
        let pulling: Vec<ReplicaId> = self.pulling().collect();
        self.offers.retain(|replica, _| pulling.contains(replica));
        if pulling.is_empty() && self.wanted.is_empty() {
            return self.raw.mut_store().offer(None);
        }
        for replica in pulling {
            let since = *self.offers.entry(replica).or_insert(self.now);
            if self.now - since >= patience {
                self.offers.remove(&replica);
                self.raw.report_snapshot(replica.0, SnapshotStatus::Failure);
            }
        }
        self.settle();
    }

    /// Followers that have been told to fetch state.
    fn pulling(&self) -> impl Iterator<Item = ReplicaId> {
        let progress = self.raw.raft.prs();
        let is_pulling = |replica: &ReplicaId| {
            progress.get(replica.0).is_some_and(|it| it.state == ProgressState::Snapshot)
        };
        self.config.members.iter().map(|member| member.replica).filter(is_pulling)
    }

    /// The state has been fetched, and will be written in one batch with what the next [`Replica::advance`] returns.
    ///
    /// # Errors
    /// If it must not be written.
    pub fn install(&mut self, now: Instant, meta: SnapshotMeta) -> Result<(), InstallError> {
        if self.removed || self.leads() || !self.needs(&meta) {
            return Err(InstallError::NotNeeded);
        }
        if meta.config.member(self.id).is_none() || meta.config.epoch < self.config.epoch {
            return Err(InstallError::NotMember);
        }
        self.see(now);
        self.install = None;
        let raft = &mut self.raw.raft;
        if raft.state != StateRole::Follower {
            let term = raft.term;
            raft.become_follower(term, 0);
        }
        let (leader, term) = (ReplicaId(raft.leader_id), raft.term);
        if leader == ReplicaId(0) {
            let restored = raft.restore(snapshot(meta.index, meta.term, &meta.config));
            assert!(restored, "a follower that needs state takes it");
            self.settle();
        } else {
            let (index, log_term, config) = (meta.index, meta.term, meta.config.clone());
            let mut message = self.message(leader, term, Body::Snapshot { index, log_term, config });
            (message.header.from, message.header.to) = (leader, self.id);
            self.step(message, false);
        }
        self.restoring = Some(meta);
        Ok(())
    }

    /// Everything up to this entry is in the state on the disk, or in a batch on its way there. Cuts the log, but
    /// for what followers may need within the limits of the options.
    pub fn compact(&mut self, index: u64) {
        if self.removed || self.restoring.is_some() || self.restored.is_some() {
            return;
        }
        let limits = &self.setup.limits;
        let index = index.min(self.applied.0);
        let factor =
            if self.leads() && self.pulling().next().is_some() { limits.kept_while_pulling } else { 1 };
        let log = self.raw.store();
        let limit = log.cut_for(index, limits.kept_entries * factor, limits.kept_bytes * factor);
        let cut = index.min(self.settled_index()).max(limit);
        if cut < log.base() + limits.cut_entries {
            return;
        }
        let (shard, from) = (self.setup.shard, log.base() + 1);
        let term = self.raw.mut_store().cut(cut);
        self.changes.push(record::delete_entries(shard, from, cut));
        self.changes.push(record::put_field(shard, Field::Base, |writer| writer.u64(cut).u64(term)));
    }

    /// The index up to which all members have the log, as far as is known.
    pub(super) fn settled_index(&self) -> u64 {
        if !self.leads() {
            return self.settled;
        }
        let progress = self.raw.raft.prs();
        let others = self.config.members.iter().filter(|member| member.replica != self.id);
        others
            .filter_map(|member| Some(progress.get(member.replica.0)?.matched))
            .min()
            .unwrap_or(self.applied.0)
    }
}
