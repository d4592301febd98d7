//! Bringing a shard that is led here to where it should be, one safe step after the other.
//!
//! Each step is an entry of the shard's own log, and the next one follows as soon as the last is applied, or as soon
//! as a new replica has caught up. Whoever wants it says so only once in a while.

use gritmesh_runtime::{Instant, NodeId, ShardId};
use gritmesh_sharding::{MemberRole, Reconfigured};

use super::Engine;
use super::event::Effect;
use super::groups::Group;
use crate::options::Sabotage;

/// Where a shard should be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Sorted.
    voters: Vec<NodeId>,
    leader: NodeId,
}

impl Engine {
    pub(super) fn want(
        &mut self,
        now: Instant,
        shard: ShardId,
        voters: Vec<NodeId>,
        leader: NodeId,
        out: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get_mut(&shard).filter(|group| group.leads) else { return };
        group.wanted = Some(Wanted { voters, leader });
        self.dirty.insert(shard);
        self.step_move(now, shard, out);
    }

    /// The next step, if there is one to make now.
    pub(super) fn step_move(&mut self, now: Instant, shard: ShardId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard).filter(|group| group.leads) else { return };
        if group.handing_to.is_some() {
            return;
        }
        if group.replica.has_lost_members() && self.sabotage != Sabotage::KeepLostReplicas {
            return self.remove_lost(now, shard);
        }
        let Some(wanted) = group.wanted.clone() else { return };
        if !group.is_where(&wanted.voters) {
            // It never removes itself: that is for whoever leads next.
            match group.replica.reconfigure(now, &wanted.voters) {
                Ok(Reconfigured::Proposed) => {
                    self.dirty.insert(shard);
                    return;
                }
                Ok(Reconfigured::Waiting | Reconfigured::CatchingUp(_)) => return,
                Ok(Reconfigured::Done | Reconfigured::TransferFirst) => {}
                Err(error) => {
                    tracing::debug!(%shard, %error, "a shard cannot be moved for now");
                    return;
                }
            }
        }
        let votes = group.config.voters().any(|voter| voter.node == wanted.leader);
        if wanted.leader != self.me && votes && !group.config.joint {
            if let Some(heir) = group.heir(now, self.me, &wanted) {
                self.hand_over(now, shard, heir, out);
            }
            return;
        }
        if group.is_where(&wanted.voters) {
            group.wanted = None;
        }
    }
}

impl Engine {
    /// The next step to remove a replica whose records are damaged. Whether its node gets another one is for whoever
    /// knows where the shard should be.
    fn remove_lost(&mut self, now: Instant, shard: ShardId) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let voters: Vec<NodeId> = group.config.voters().map(|voter| voter.node).collect();
        match group.replica.reconfigure(now, &voters) {
            Ok(Reconfigured::Proposed) => {
                tracing::warn!(%shard, "a replica says that its records are damaged, and is replaced");
                self.dirty.insert(shard);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%shard, %error, "a damaged replica cannot be removed for now"),
        }
    }
}

impl Group {
    /// Who can take the leadership over now: who should, if it answers; else anybody that stays, if this node should not.
    /// A shard whose leader hands it to a node that it does not reach is served by nobody until that has failed.
    fn heir(&mut self, now: Instant, me: NodeId, wanted: &Wanted) -> Option<NodeId> {
        let Wanted { voters, leader } = wanted;
        let others = voters.iter().filter(|node| **node != me && !voters.contains(&me));
        std::iter::once(leader).chain(others).copied().find(|node| self.replica.is_answered_by(now, *node))
    }

    /// Whether these are its only members, and all of them vote.
    fn is_where(&self, voters: &[NodeId]) -> bool {
        let mut members: Vec<NodeId> = self.config.members.iter().map(|member| member.node).collect();
        members.sort_unstable();
        let all_vote = self.config.members.iter().all(|member| member.role == MemberRole::Voter);
        members == voters && all_vote && !self.config.joint
    }
}
