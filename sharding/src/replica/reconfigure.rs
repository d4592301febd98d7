//! Towards the wanted voters, one safe step after the other, and handing leadership over.

use std::collections::BTreeSet;

use gritmesh_runtime::{Epoch, Instant, NodeId};
use raft::{ProgressState, StateRole};

use super::member::{Reconfiguration, ReconfigureStep};
use super::{MemberRole, ReconfigureError, Reconfigured, Replica, ReplicaId, TransferError};
use crate::REPLICAS_MAX;

impl Replica {
    /// Makes one step towards a set of voters: a learner is added, or one that is not wanted is removed, or the
    /// voters are exchanged once all new ones have caught up. Called again, often, until it is [`Reconfigured::Done`].
    ///
    /// The leader never removes itself.
    ///
    /// # Errors
    /// If this replica does not lead, or the target is none.
    pub fn reconfigure(&mut self, now: Instant, target: &[NodeId]) -> Result<Reconfigured, ReconfigureError> {
        let mut wanted: BTreeSet<NodeId> = target.iter().copied().collect();
        if wanted.is_empty() || wanted.len() != target.len() || wanted.len() > REPLICAS_MAX {
            return Err(ReconfigureError::Target { count: target.len() });
        }
        if !self.is_leader() || self.raw.raft.lead_transferee.is_some() {
            return Err(ReconfigureError::NotLeader);
        }
        self.see(now);
        let goes = wanted.insert(self.setup.me);
        if self.raw.raft.has_pending_conf() {
            return Ok(Reconfigured::Waiting);
        }
        if self.config.joint {
            return Ok(if self.leave_joint() { Reconfigured::Proposed } else { Reconfigured::TransferFirst });
        }
        if let Some(step) = self.next_removal() {
            return Ok(self.propose_change(step));
        }
        if let Some(step) = self.next_learner(&wanted) {
            return Ok(self.propose_change(step));
        }
        let of_role = |role: MemberRole| self.config.members.iter().filter(move |member| member.role == role);
        let learners: Vec<_> = of_role(MemberRole::Learner).collect();
        let behind = learners.iter().filter(|learner| !self.has_caught_up(learner.replica));
        let behind: Vec<NodeId> = behind.map(|learner| learner.node).collect();
        if !behind.is_empty() {
            return Ok(Reconfigured::CatchingUp(behind));
        }
        let promote: Vec<ReplicaId> = learners.iter().map(|learner| learner.replica).collect();
        let unwanted = of_role(MemberRole::Voter).filter(|voter| !wanted.contains(&voter.node));
        let remove: Vec<ReplicaId> = unwanted.map(|voter| voter.replica).collect();
        if promote.is_empty() && remove.is_empty() {
            return Ok(if goes { Reconfigured::TransferFirst } else { Reconfigured::Done });
        }
        Ok(self.propose_change(ReconfigureStep::EnterJoint { promote, remove }))
    }

    /// Whether a member has said that its records are damaged: [`Self::reconfigure`] is to be called, if only towards
    /// the voters that there are.
    pub fn has_lost_members(&self) -> bool {
        self.leads() && !self.lost.is_empty()
    }

    /// The removal of a member whose records are damaged. It goes before anything else, and before a new one takes its
    /// place: a node is a member once, and what it promised under its old id must not count any more.
    fn next_removal(&self) -> Option<ReconfigureStep> {
        let lost = self.lost.iter().find_map(|replica| self.config.member(*replica))?;
        Some(match lost.role {
            MemberRole::Learner => ReconfigureStep::RemoveLearner { replica: lost.replica },
            _ => ReconfigureStep::EnterJoint { promote: Vec::new(), remove: vec![lost.replica] },
        })
    }

    /// The learner to remove or to add, if one is too many or missing.
    fn next_learner(&self, wanted: &BTreeSet<NodeId>) -> Option<ReconfigureStep> {
        let unwanted = self
            .config
            .members
            .iter()
            .find(|member| member.role == MemberRole::Learner && !wanted.contains(&member.node));
        if let Some(learner) = unwanted {
            return Some(ReconfigureStep::RemoveLearner { replica: learner.replica });
        }
        let node = *wanted.iter().find(|node| self.config.on(**node).is_none())?;
        let replica = ReplicaId::of(node, self.setup.shard, self.next_epoch());
        Some(ReconfigureStep::AddLearner { node, replica })
    }

    fn next_epoch(&self) -> Epoch {
        Epoch(self.config.epoch.0 + 1)
    }

    fn propose_change(&mut self, step: ReconfigureStep) -> Reconfigured {
        self.wake(self.now);
        self.flush();
        let change = Reconfiguration { epoch: self.next_epoch(), step };
        // It may only be refused as too much on its way, and is tried again.
        let proposed = self.raw.propose_conf_change(change.encode(), change.to_raft());
        self.settle();
        if proposed.is_ok() { Reconfigured::Proposed } else { Reconfigured::Waiting }
    }

    /// Whether a follower lacks no more than what is on its way.
    pub(super) fn has_caught_up(&self, replica: ReplicaId) -> bool {
        let last = self.raw.raft.raft_log.last_index();
        self.raw.raft.prs().get(replica.0).is_some_and(|progress| {
            // It may be probed with all it needs: the library only goes on when there is something new.
            let has_most =
                progress.matched > 0 && progress.matched + self.setup.limits.caught_up_entries >= last;
            has_most && progress.state != ProgressState::Snapshot
        })
    }

    /// Leaves a joint configuration as soon as it is applied. Returns whether that is under way or not needed; not if
    /// it would remove this leader.
    pub(super) fn leave_joint(&mut self) -> bool {
        let raft = &self.raw.raft;
        if !self.is_leader()
            || !self.config.joint
            || raft.has_pending_conf()
            || raft.lead_transferee.is_some()
        {
            return true;
        }
        let stays = self.config.member(self.id).is_some_and(|me| me.role != MemberRole::Leaving);
        if stays {
            self.propose_change(ReconfigureStep::LeaveJoint);
            return true;
        }
        self.hand_to_best();
        false
    }

    /// Other voters that stay, and whose records are sound.
    fn heirs(&self) -> impl Iterator<Item = &super::Member> {
        let able =
            |member: &&super::Member| member.replica != self.id && !self.lost.contains(&member.replica);
        self.config.voters().filter(able)
    }

    /// Hands leadership to the voter that has the most, and rather to one that answers.
    fn hand_to_best(&mut self) {
        let matched = |replica: ReplicaId| self.raw.raft.prs().get(replica.0).map_or(0, |it| it.matched);
        let answers = |replica: ReplicaId| self.lease.is_answered_by(self.now, replica);
        let rank = |it: &&super::Member| (answers(it.replica), matched(it.replica), it.replica);
        let best = self.heirs().max_by_key(rank).map(|it| it.node);
        if let Some(node) = best {
            self.transfer(self.now, node).expect("a leader may hand over to a voter");
        }
    }

    /// Whether another voter answers this leader: as long as it does not, a transfer to it would leave the shard without a
    /// leader for a while, and fail. One that sleeps is woken, and may answer soon.
    pub fn is_answered_by(&mut self, now: Instant, node: NodeId) -> bool {
        self.see(now);
        let Some(replica) = self.heirs().find(|member| member.node == node).map(|it| it.replica) else {
            return false;
        };
        let answers = self.leads() && self.lease.is_answered_by(self.now, replica);
        if !answers && self.leads() {
            self.wake(now);
        }
        answers
    }

    /// Hands leadership to another voter. The lease ends at once, whatever becomes of it; if nothing does within an
    /// election timeout, this replica leads on.
    ///
    /// # Errors
    /// If this replica does not lead, or the other cannot.
    pub fn transfer(&mut self, now: Instant, to: NodeId) -> Result<(), TransferError> {
        if !self.is_leader() {
            return Err(TransferError::NotLeader);
        }
        let voter = self.heirs().find(|member| member.node == to);
        let replica = voter.ok_or(TransferError::NotVoter { node: to })?.replica;
        self.see(now);
        self.wake(now);
        self.flush();
        self.lease.give_up();
        self.raw.transfer_leader(replica.0);
        self.settle();
        Ok(())
    }

    /// Whether this replica leads in the library's eyes.
    pub(super) fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }
}
