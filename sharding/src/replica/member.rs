//! Who keeps a copy of a shard, and how that changes.
//!
//! **Problem.** The members of a shard change while some of them are away, crash or come back with old knowledge;
//! an old vote must never count for a new member.
//!
//! **Design.** A [`Config`] is a value, a [`Reconfiguration`] an entry of the log that turns one into the next:
//! [`Config::after`] is a pure function, so all replicas come to the same result, also about a change that does not
//! fit, which is void. Voters only change through a joint configuration, in which the majorities of both the old
//! and the new voters must agree. A node that is added again is a new replica with a new [`ReplicaId`].
//!
//! **Deliberately absent.** Voters that become learners: they are removed, and may be added anew.

use std::collections::BTreeSet;
use std::fmt;

use gritmesh_runtime::{Epoch, NodeId, ShardId};
use raft::prelude::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

use super::bytes::{Cut, Reader, Writer};
use super::options::NUMBER_MAX;
use crate::REPLICAS_MAX;

/// Most members at a time: all replicas replaced in one change.
pub const MEMBERS_MAX: usize = 2 * REPLICAS_MAX;

/// Which replica of a shard: another one whenever a node is added to the shard anew, so that what a former replica
/// promised can never count for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

impl ReplicaId {
    /// The replica of a shard on a node that was added by the change that made this epoch.
    pub fn of(node: NodeId, shard: ShardId, added: Epoch) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("gritmesh 2026 replica of a shard");
        hasher.update(&node.0).update(&shard.0.to_be_bytes()).update(&added.0.to_be_bytes());
        let hash = hasher.finalize();
        let bits = u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("a hash is longer"));
        // Zero means nobody.
        Self(bits.max(1))
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MemberRole {
    /// It votes, in the old and in the new configuration if there are two.
    Voter = 0,
    /// It gets everything and decides nothing.
    Learner = 1,
    /// It votes in the new configuration, and will stay.
    Entering = 2,
    /// It votes in the old configuration, and will go.
    Leaving = 3,
}

/// One replica of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Where it is.
    pub node: NodeId,
    /// Which it is.
    pub replica: ReplicaId,
    /// What it may do.
    pub role: MemberRole,
}

/// All replicas of a shard: the truth about it, changed only by what is committed in its own log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// One more with every applied change.
    pub epoch: Epoch,
    /// Sorted by node, each node once. None if the replica has not heard of any yet.
    pub members: Vec<Member>,
    /// Whether it is between two sets of voters.
    pub joint: bool,
}

/// What is added to every encoded member.
const MEMBER_BYTES: usize = 32 + 8 + 1;

impl Config {
    /// The configuration that a shard is founded with.
    pub(super) fn founded(me: NodeId, shard: ShardId) -> Self {
        let epoch = Epoch(1);
        let member = Member { node: me, replica: ReplicaId::of(me, shard, epoch), role: MemberRole::Voter };
        Self { epoch, members: vec![member], joint: false }
    }

    /// The member on a node.
    pub fn on(&self, node: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node == node)
    }

    /// The member with this id.
    pub fn member(&self, replica: ReplicaId) -> Option<&Member> {
        self.members.iter().find(|member| member.replica == replica)
    }

    /// Members that vote once the change under way, if there is one, is done.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.role.votes_in_new())
    }

    /// Members that voted before the change under way.
    fn outgoing(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| self.joint && member.role.votes_in_old())
    }

    /// Whether a replica is the only one with a vote.
    pub fn is_sole_voter(&self, replica: ReplicaId) -> bool {
        !self.joint
            && self.member(replica).is_some_and(|member| member.role == MemberRole::Voter)
            && self.voters().count() == 1
    }

    /// The greatest value that a majority has reached, of both sets of voters if there are two. Of voters that are
    /// [lost](super::silence) none is asked; for that, half of an even number is enough.
    pub(super) fn majority<T: Ord + Copy>(
        &self,
        lost: &BTreeSet<ReplicaId>,
        value: impl Fn(ReplicaId) -> Option<T>,
    ) -> Option<T> {
        let of = |voters: Vec<ReplicaId>| {
            let sound = voters.iter().filter(|voter| !lost.contains(voter));
            let mut values: Vec<Option<T>> = sound.map(|voter| value(*voter)).collect();
            values.sort_unstable_by(|left, right| right.cmp(left));
            let spared = voters.len().is_multiple_of(2) && values.len() < voters.len();
            values.get(voters.len() / 2 - usize::from(spared)).copied().flatten()
        };
        let new = of(self.voters().map(|member| member.replica).collect())?;
        if !self.joint {
            return Some(new);
        }
        Some(new.min(of(self.outgoing().map(|member| member.replica).collect())?))
    }

    /// What the raft library calls it.
    pub(super) fn to_raft(&self) -> ConfState {
        let ids = |members: Vec<&Member>| members.iter().map(|member| member.replica.0).collect();
        let learners = self.members.iter().filter(|member| member.role == MemberRole::Learner);
        ConfState {
            voters: ids(self.voters().collect()),
            learners: ids(learners.collect()),
            voters_outgoing: ids(self.outgoing().collect()),
            learners_next: Vec::new(),
            auto_leave: false,
        }
    }

    /// The configuration after a change, or none if the change does not fit, and is void.
    pub(super) fn after(&self, change: &Reconfiguration) -> Option<Self> {
        let mut next = self.clone();
        next.epoch = Epoch(self.epoch.0 + 1);
        let fits = change.epoch == next.epoch && next.apply(&change.step);
        (fits && next.check().is_ok()).then_some(next)
    }

    fn apply(&mut self, step: &ReconfigureStep) -> bool {
        let role = |config: &Self, replica| config.member(replica).map(|member| member.role);
        match step {
            ReconfigureStep::AddLearner { node, replica } => {
                if self.joint || self.on(*node).is_some() || self.member(*replica).is_some() {
                    return false;
                }
                self.members.push(Member { node: *node, replica: *replica, role: MemberRole::Learner });
                self.members.sort_unstable();
            }
            ReconfigureStep::RemoveLearner { replica } => {
                if self.joint || role(self, *replica) != Some(MemberRole::Learner) {
                    return false;
                }
                self.members.retain(|member| member.replica != *replica);
            }
            ReconfigureStep::EnterJoint { promote, remove } => {
                let learners = promote.iter().all(|id| role(self, *id) == Some(MemberRole::Learner));
                let voters = remove.iter().all(|id| role(self, *id) == Some(MemberRole::Voter));
                if self.joint || !learners || !voters || promote.len() + remove.len() == 0 {
                    return false;
                }
                self.set_roles(|member| match member.role {
                    MemberRole::Learner if promote.contains(&member.replica) => MemberRole::Entering,
                    MemberRole::Voter if remove.contains(&member.replica) => MemberRole::Leaving,
                    role => role,
                });
                self.joint = true;
            }
            ReconfigureStep::LeaveJoint => {
                if !self.joint {
                    return false;
                }
                self.joint = false;
                self.members.retain(|member| member.role != MemberRole::Leaving);
                self.set_roles(|member| match member.role {
                    MemberRole::Entering => MemberRole::Voter,
                    role => role,
                });
            }
        }
        true
    }

    fn set_roles(&mut self, role: impl Fn(&Member) -> MemberRole) {
        self.members.iter_mut().for_each(|member| member.role = role(member));
    }

    fn check(&self) -> Result<(), Cut> {
        let between = |role: MemberRole| matches!(role, MemberRole::Entering | MemberRole::Leaving);
        let duplicate = self.members.windows(2).any(|pair| pair[0].node >= pair[1].node);
        let mut ids: Vec<ReplicaId> = self.members.iter().map(|member| member.replica).collect();
        ids.sort_unstable();
        if duplicate || ids.windows(2).any(|pair| pair[0] == pair[1]) || ids.first() == Some(&ReplicaId(0)) {
            return Err(Cut("its members are not sorted or not different"));
        }
        if self.members.len() > MEMBERS_MAX || self.epoch.0 > NUMBER_MAX {
            return Err(Cut("it has too many members or changes"));
        }
        if self.joint != self.members.iter().any(|member| between(member.role)) {
            return Err(Cut("its members' roles contradict each other"));
        }
        if self.voters().count() == 0 || (self.joint && self.outgoing().count() == 0) {
            return Err(Cut("it has no voters"));
        }
        Ok(())
    }

    pub(super) fn write<'a>(&self, writer: &'a mut Writer) -> &'a mut Writer {
        writer.u64(self.epoch.0).u8(u8::from(self.joint)).u8(self.members.len() as u8);
        self.members.iter().fold(writer, |writer, member| {
            writer.bytes(&member.node.0).u64(member.replica.0).u8(member.role as u8)
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Cut> {
        let epoch = Epoch(reader.u64()?);
        let joint = read_flag(reader)?;
        let count = usize::from(reader.u8()?);
        if count * MEMBER_BYTES > reader.0.len() {
            return Err(Cut("it announces more members than it has"));
        }
        let member = |reader: &mut Reader<'_>| -> Result<Member, Cut> {
            let (node, replica) = (reader.node()?, ReplicaId(reader.u64()?));
            Ok(Member { node, replica, role: MemberRole::read(reader)? })
        };
        let members = (0..count).map(|_| member(reader)).collect::<Result<_, _>>()?;
        let config = Self { epoch, members, joint };
        config.check()?;
        Ok(config)
    }
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, Cut> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Cut("a flag is neither set nor not")),
    }
}

impl MemberRole {
    const fn votes_in_new(self) -> bool {
        matches!(self, Self::Voter | Self::Entering)
    }

    const fn votes_in_old(self) -> bool {
        matches!(self, Self::Voter | Self::Leaving)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Cut> {
        match reader.u8()? {
            0 => Ok(Self::Voter),
            1 => Ok(Self::Learner),
            2 => Ok(Self::Entering),
            3 => Ok(Self::Leaving),
            _ => Err(Cut("a member's role is unknown")),
        }
    }
}

/// A change of the configuration, as it lies in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reconfiguration {
    /// The epoch that it makes. If the shard is elsewhere by then, the change is void.
    pub(super) epoch: Epoch,
    pub(super) step: ReconfigureStep,
}

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReconfigureStep {
    AddLearner { node: NodeId, replica: ReplicaId },
    RemoveLearner { replica: ReplicaId },
    EnterJoint { promote: Vec<ReplicaId>, remove: Vec<ReplicaId> },
    LeaveJoint,
}

impl Reconfiguration {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(self.epoch.0);
        match &self.step {
            ReconfigureStep::AddLearner { node, replica } => writer.u8(0).bytes(&node.0).u64(replica.0),
            ReconfigureStep::RemoveLearner { replica } => writer.u8(1).u64(replica.0),
            ReconfigureStep::EnterJoint { promote, remove } => {
                writer.u8(2).u8(promote.len() as u8).u8(remove.len() as u8);
                promote.iter().chain(remove).fold(&mut writer, |writer, id| writer.u64(id.0))
            }
            ReconfigureStep::LeaveJoint => writer.u8(3),
        };
        writer.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Cut> {
        let mut reader = Reader(bytes);
        let epoch = Epoch(reader.u64()?);
        let id = |reader: &mut Reader<'_>| match reader.u64()? {
            0 => Err(Cut("a replica has no id")),
            id => Ok(ReplicaId(id)),
        };
        let step = match reader.u8()? {
            0 => ReconfigureStep::AddLearner { node: reader.node()?, replica: id(&mut reader)? },
            1 => ReconfigureStep::RemoveLearner { replica: id(&mut reader)? },
            2 => {
                let (promote, remove) = (usize::from(reader.u8()?), usize::from(reader.u8()?));
                if promote.max(remove) > MEMBERS_MAX {
                    return Err(Cut("it changes too many members"));
                }
                let mut ids =
                    |count: usize| (0..count).map(|_| id(&mut reader)).collect::<Result<Vec<_>, _>>();
                ReconfigureStep::EnterJoint { promote: ids(promote)?, remove: ids(remove)? }
            }
            3 => ReconfigureStep::LeaveJoint,
            _ => return Err(Cut("its kind of change is unknown")),
        };
        reader.end()?;
        Ok(Self { epoch, step })
    }

    /// What the raft library calls it.
    pub(super) fn to_raft(&self) -> ConfChangeV2 {
        let single = |id: ReplicaId, kind: ConfChangeType| {
            let mut single = ConfChangeSingle { node_id: id.0, ..Default::default() };
            single.set_change_type(kind);
            single
        };
        let mut change = ConfChangeV2::default();
        match &self.step {
            ReconfigureStep::AddLearner { replica, .. } => {
                change.changes = vec![single(*replica, ConfChangeType::AddLearnerNode)];
            }
            ReconfigureStep::RemoveLearner { replica } => {
                change.changes = vec![single(*replica, ConfChangeType::RemoveNode)];
            }
            ReconfigureStep::EnterJoint { promote, remove } => {
                let added = promote.iter().map(|id| single(*id, ConfChangeType::AddNode));
                let removed = remove.iter().map(|id| single(*id, ConfChangeType::RemoveNode));
                change.changes = added.chain(removed).collect();
                change.set_transition(ConfChangeTransition::Explicit);
            }
            ReconfigureStep::LeaveJoint => {}
        }
        change
    }
}
