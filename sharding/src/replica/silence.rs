//! Voters that are lost, and what the others may decide without them.
//!
//! **Problem.** One of two voters finds its records damaged. A majority of two is both, so the other one could neither be
//! elected nor remove the damaged one, though all that the two had agreed on lies whole on its disk.
//!
//! **Design.** A voter says that it is lost only after it has written down that it will never vote nor acknowledge
//! anything again, see [`remains`](super::remains). From then on *half of an even number of voters is enough*, if all of
//! that half are sound: each majority that ever decided anything has at most one vote more than half, so at least half of
//! its votes were those of sound voters, or it had more lost ones, which are then missing here as well; and with one voter
//! fewer than even, two halves have one in common. Of an odd number of voters a majority is needed as ever, and the lost
//! ones do not count for it.
//!
//! That holds for decisions of the same voters. Whoever goes by old ones would lack what newer ones have decided, so each
//! change that lies in the log and is not applied must be agreed to by the voters that it makes as well. The change to
//! newer voters was decided by a majority of the old ones, therefore half of them have it in their logs. The library asks
//! only the voters of the members that are applied, so a candidate asks those of the others itself.
//!
//! The library knows majorities only. What half have granted or acknowledged, the lost ones are made to have granted or
//! acknowledged as well, and nothing else.
//!
//! **Deliberately absent.** Two lost voters of three, or one that was alone: the only copy of what was acknowledged may be
//! the one that is lost.

use std::collections::BTreeSet;

use raft::prelude::{EntryType, Message as RaftMessage, MessageType};
use raft::{GetEntriesContext, StateRole};

use super::member::Reconfiguration;
use super::message::{Body, Message};
use super::{Config, Replica, ReplicaId};

/// Members that are for this replica in one election, or in the question before it.
#[derive(Debug, Default)]
pub(super) struct Granted {
    of: (u64, bool),
    by: BTreeSet<ReplicaId>,
}

impl Replica {
    /// A replica has lost its records. The leader puts another one in its place, see [`Self::reconfigure`]; what the
    /// others hear of it wakes them, and so a leader that sleeps.
    pub(super) fn hear_of_loss(&mut self, replica: ReplicaId) {
        if self.config.member(replica).is_some() {
            self.dirty |= self.lost.insert(replica);
        }
    }

    pub(super) fn hear_voter(&mut self, message: Message) {
        let from = message.header.from;
        if let Body::VoteAnswer { pre, reject: false, .. } = message.body
            && self.config.member(from).is_some()
        {
            let of = (message.term, pre);
            if self.granted.of != of {
                self.granted = Granted { of, by: BTreeSet::new() };
            }
            self.granted.by.insert(from);
        }
        self.step(message, false);
    }

    /// Decides what can be decided without those that are lost.
    pub(super) fn answer_for_lost(&mut self) {
        if self.lost.is_empty() {
            return;
        }
        while self.vote_for_lost() {}
        self.acknowledge_for_lost();
    }

    /// Returns whether the election has got further by it: to its second half, or to its end.
    fn vote_for_lost(&mut self) -> bool {
        let raft = &self.raw.raft;
        let (state, term) = (raft.state, raft.term);
        let (term, kind) = match state {
            StateRole::PreCandidate => (term + 1, MessageType::MsgRequestPreVoteResponse),
            StateRole::Candidate => (term, MessageType::MsgRequestVoteResponse),
            StateRole::Follower | StateRole::Leader => return false,
        };
        let granted = Some(&self.granted).filter(|it| it.of == (term, state == StateRole::PreCandidate));
        let is_for = |voter| voter == self.id || granted.is_some_and(|granted| granted.by.contains(&voter));
        if self.without_lost(|voter| is_for(voter).then_some(())).is_none() {
            return false;
        }
        for replica in self.lost.clone() {
            self.speak_for(replica, RaftMessage { term, ..Default::default() }, kind);
        }
        self.raw.raft.state != state
    }

    /// Adds what a candidate asks of those who are about to become voters.
    pub(super) fn ask_coming_voters(&self, messages: &mut Vec<RaftMessage>) {
        let is_question = |message: &&RaftMessage| {
            matches!(message.get_msg_type(), MessageType::MsgRequestVote | MessageType::MsgRequestPreVote)
        };
        let Some(question) = messages.iter().find(is_question).filter(|_| !self.lost.is_empty()).cloned()
        else {
            return;
        };
        let mut asked: BTreeSet<u64> = messages.iter().map(|message| message.to).collect();
        asked.extend(self.lost.iter().map(|replica| replica.0).chain([self.id.0]));
        for config in self.unapplied_configs().unwrap_or_default() {
            let coming = config.voters().map(|member| member.replica.0);
            let coming: Vec<u64> = coming.filter(|to| asked.insert(*to)).collect();
            messages.extend(coming.into_iter().map(|to| RaftMessage { to, ..question.clone() }));
        }
    }

    fn acknowledge_for_lost(&mut self) {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return;
        }
        let (term, progress) = (raft.term, raft.prs());
        let matched = |voter: ReplicaId| progress.get(voter.0).map(|it| it.matched);
        let Some(index) = self.without_lost(matched) else { return };
        let behind = self.lost.iter().filter(|replica| matched(**replica).is_some_and(|it| it < index));
        for replica in behind.copied().collect::<Vec<_>>() {
            let answer = RaftMessage { term, index, ..Default::default() };
            self.speak_for(replica, answer, MessageType::MsgAppendResponse);
        }
    }

    /// A leader stays one as long as it hears of enough sound voters.
    pub(super) fn stay_for_lost(&mut self) {
        let raft = &self.raw.raft;
        if self.lost.is_empty() || raft.state != StateRole::Leader {
            return;
        }
        let is_active = |voter: ReplicaId| {
            voter == self.id || raft.prs().get(voter.0).is_some_and(|progress| progress.recent_active)
        };
        if self.without_lost(|voter| is_active(voter).then_some(())).is_some() {
            for replica in &self.lost {
                if let Some(progress) = self.raw.raft.mut_prs().get_mut(replica.0) {
                    progress.recent_active = true;
                }
            }
        }
    }

    fn speak_for(&mut self, replica: ReplicaId, mut message: RaftMessage, kind: MessageType) {
        (message.from, message.to) = (replica.0, self.id.0);
        message.set_msg_type(kind);
        // The library's errors say that it ignored something.
        let _ignored = self.raw.step(message);
        self.settle();
    }

    /// The greatest value that enough sound voters have reached, by the members and by all that they are about to become.
    fn without_lost<T: Ord + Copy>(&self, value: impl Fn(ReplicaId) -> Option<T>) -> Option<T> {
        let configs = self.unapplied_configs()?;
        let agreed = [&self.config].into_iter().chain(&configs);
        agreed.map(|config| config.majority(&self.lost, &value)).min().flatten()
    }

    /// The members after each change that lies in the log and is not applied.
    /// None while the log does not lead there.
    fn unapplied_configs(&self) -> Option<Vec<Config>> {
        let log = &self.raw.raft.raft_log;
        let entries = log.entries(self.applied.0 + 1, None, GetEntriesContext::empty(false)).ok()?;
        let mut configs: Vec<Config> = Vec::new();
        for entry in entries.iter().filter(|it| it.get_entry_type() == EntryType::EntryConfChangeV2) {
            let change = Reconfiguration::decode(&entry.context);
            let change = change.expect("changes are checked before they are appended");
            let next = configs.last().unwrap_or(&self.config).after(&change);
            configs.extend(next);
        }
        Some(configs)
    }
}
