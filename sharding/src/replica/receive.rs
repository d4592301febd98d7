//! Messages that come in: who may say what, and what must not reach the library.
//!
//! The library takes its peers at their word and panics where that contradicts its own log. So everything it relies
//! on is checked before: numbers and entries when a message is read, and here what depends on the log.

use gritmesh_runtime::{Epoch, Instant, NodeId};
use raft::StateRole;

use super::message::{Body, Message, MessageError, MessageHeader};
use super::{Replica, ReplicaId, SnapshotMeta};

impl Replica {
    /// A message as it came in a frame from a node.
    ///
    /// # Errors
    /// If it is not a message for this replica, or contradicts what is known. It then changed nothing. A message
    /// that is only late, or of no use, is no error.
    pub fn receive(&mut self, now: Instant, from: NodeId, bytes: &[u8]) -> Result<(), MessageError> {
        let message = Message::decode(bytes)?;
        if message.header.shard != self.setup.shard {
            return Err(MessageError::Misdirected);
        }
        if self.removed {
            return Ok(());
        }
        if message.header.to != self.id {
            return self.hear_of_successor(&message.header);
        }
        self.see(now);
        if !self.is_known(from, &message.header)? {
            self.answer_stranger(from, &message);
            return Ok(());
        }
        self.check(from, &message)?;
        self.rouse(&message.body);
        let asked = (message.header.from, message.header.epoch);
        match message.body {
            Body::Ask => {}
            Body::Gone => self.hear_of_removal(asked.0, asked.1),
            Body::Lost => self.hear_of_loss(asked.0),
            Body::Vote { .. } => self.hear_candidate(message),
            Body::TimeoutNow { round } => self.take_over(message, round),
            Body::HeartbeatAnswer { round, asleep, .. } => self.hear_follower(message, round, asleep),
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => {
                self.hear_leader(from, message);
            }
            Body::VoteAnswer { .. } => self.hear_voter(message),
            Body::AppendAnswer { .. } => self.step(message, false),
        }
        Ok(())
    }

    /// Whether the sender is, or may be, a member. One that is not in the configuration may be only if it knows of a
    /// newer one.
    fn is_known(&mut self, from: NodeId, header: &MessageHeader) -> Result<bool, MessageError> {
        if let Some(member) = self.config.member(header.from) {
            return if member.node == from {
                Ok(true)
            } else {
                Err(MessageError::WrongSender { node: from })
            };
        }
        if header.epoch <= self.config.epoch {
            return Ok(false);
        }
        match self.learned.iter().find(|(id, _)| *id == header.from) {
            Some((_, node)) if *node != from => return Err(MessageError::WrongSender { node: from }),
            Some(_) => {}
            None => {
                if self.learned.len() >= self.setup.limits.learned {
                    self.learned.pop_front();
                }
                self.learned.push_back((header.from, from));
            }
        }
        Ok(true)
    }

    /// A replica that still believes to be a member, but was removed, is told so.
    fn answer_stranger(&mut self, from: NodeId, message: &Message) {
        let header = &message.header;
        let asks = matches!(message.body, Body::Ask | Body::Vote { .. });
        if asks && header.epoch < self.config.epoch {
            let gone = self.message(header.from, 0, Body::Gone);
            self.outgoing.push((from, gone.encode()));
        }
    }

    /// A leader that knows more than this replica speaks to another one on this node: the node was added anew, so
    /// this replica was removed before.
    fn hear_of_successor(&mut self, header: &MessageHeader) -> Result<(), MessageError> {
        if !header.is_from_leader() || header.epoch <= self.epoch() {
            return Err(MessageError::Misdirected);
        }
        self.removed = true;
        self.dirty = true;
        Ok(())
    }

    fn hear_of_removal(&mut self, from: ReplicaId, epoch: Epoch) {
        // An older member might not have heard yet that this replica was added.
        if epoch > self.epoch() && self.node_of(from).is_some() {
            self.removed = true;
            self.dirty = true;
        }
    }

    /// Refuses what contradicts the log, or the election.
    fn check(&self, node: NodeId, message: &Message) -> Result<(), MessageError> {
        let raft = &self.raw.raft;
        let contradiction = |what| Err(MessageError::Contradiction { node, what });
        let of_leader =
            matches!(message.body, Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. });
        if of_leader && message.term == raft.term {
            let other = raft.leader_id != 0 && raft.leader_id != message.header.from.0;
            if raft.state == StateRole::Leader || other {
                return contradiction("two replicas lead in one term");
            }
        }
        match &message.body {
            Body::Heartbeat { commit, .. }
                if message.term >= raft.term && *commit > raft.raft_log.last_index() =>
            {
                contradiction("it commits what this replica never had")
            }
            Body::AppendAnswer { index, reject: false, .. }
                if message.term == raft.term
                    && raft.state == StateRole::Leader
                    && *index > raft.raft_log.last_index() =>
            {
                contradiction("it has more than its leader")
            }
            Body::Snapshot { config, .. } if config.member(self.id).is_none() => {
                contradiction("it offers state of a configuration without this replica")
            }
            _ => Ok(()),
        }
    }

    /// Passes a message on to the library.
    pub(super) fn step(&mut self, message: Message, forced: bool) {
        // The library's errors say that it ignored something, as answers from former members.
        let _ignored = self.raw.step(message.into_raft(forced));
        self.settle();
    }

    fn hear_leader(&mut self, from: NodeId, message: Message) {
        let (term, leader, epoch) = (message.term, message.header.from, message.header.epoch);
        let (mut round, mut sleep, mut offered) = (None, None, None);
        let message = match message.body {
            Body::Heartbeat { round: of, settled, sleep: announced, commit } => {
                round = Some(of);
                sleep = announced.then_some(commit);
                self.settled = self.settled.max(settled);
                message
            }
            Body::Snapshot { index, log_term, config } if term >= self.raw.raft.term => {
                let meta = SnapshotMeta { index, term: log_term, config };
                let body = if self.needs(&meta) {
                    offered = Some(meta);
                    // The library hears of the state once it is there; until then this is a sign of life.
                    Body::Heartbeat { commit: 0, round: 0, settled: 0, sleep: false }
                } else {
                    Body::Snapshot { index, log_term, config: meta.config }
                };
                Message { header: message.header, term, body }
            }
            body => Message { header: message.header, term, body },
        };
        self.step(message, false);
        let raft = &self.raw.raft;
        if raft.term != term || raft.leader_id != leader.0 {
            return;
        }
        self.contact = self.now;
        self.heard = self.heard.max(epoch);
        self.lease.hear(self.now, term, round);
        if let Some(meta) = offered {
            self.install = Some((from, meta));
        }
        if let Some(commit) = sleep {
            self.fall_asleep(commit);
        }
    }

    /// Whether the log does not lead to a state.
    pub(super) fn needs(&self, meta: &SnapshotMeta) -> bool {
        let log = &self.raw.raft.raft_log;
        meta.index > log.committed && !log.match_term(meta.index, meta.term)
    }

    fn hear_candidate(&mut self, message: Message) {
        let Body::Vote { forced, .. } = &message.body else { return };
        if self.raw.store().base() == 0 {
            // A voter has been a learner and had the whole log. With none it has no vote, or had one and forgot it.
            return;
        }
        let honoured = self.lease.honours(*forced);
        #[cfg(test)]
        if self.setup.options.broken == super::options::Broken::PromisesNothing {
            return self.step(message, true);
        }
        if self.lease.is_free(self.now, *forced) {
            self.step(message, honoured);
        }
    }

    /// The leader hands over. Only while its last words are the last that were heard of it.
    pub(super) fn take_over(&mut self, message: Message, round: u64) {
        let raft = &self.raw.raft;
        let of_leader = message.term == raft.term && raft.leader_id == message.header.from.0;
        let forced = super::Forced { term: message.term, round };
        let honoured = self.lease.honours(Some(forced)) && self.lease.is_free(self.now, Some(forced));
        if !of_leader || raft.state != StateRole::Follower || !honoured {
            return;
        }
        let log = &raft.raft_log;
        if !self.is_persisted() || log.committed > log.applied {
            // The last entries came just before: they are on their way to the disk, or not applied yet, and the
            // library lets nobody stand who has a change of the members to apply.
            self.take_over = Some((message, round));
            return;
        }
        self.forced = Some(forced);
        self.step(message, false);
    }

    fn hear_follower(&mut self, message: Message, round: u64, asleep: bool) {
        let (from, term) = (message.header.from, message.term);
        self.step(message, false);
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader || raft.term != term {
            return;
        }
        self.lease.answer(from, round);
        if let Some(sent) = self.lease.confirmed(self.now, self.id, &self.config, &self.lost) {
            self.lease.bind(sent);
        }
        self.hear_sleeper(from, asleep);
    }

    /// Without a leader for long, asks the others whether this replica was removed: that message may have been lost,
    /// and nobody sends another.
    pub(super) fn ask(&mut self) {
        let patience = self.setup.options.election_timeout() * self.setup.limits.ask_after_elections;
        if self.raw.raft.state == StateRole::Leader || self.now - self.contact < patience {
            return;
        }
        self.contact = self.now;
        let members = self.config.members.iter().map(|member| (member.replica, member.node));
        let others: Vec<(ReplicaId, NodeId)> =
            members.chain(self.learned.iter().copied()).filter(|(id, _)| *id != self.id).collect();
        for (replica, node) in others {
            let ask = self.message(replica, self.raw.raft.term, Body::Ask);
            self.outgoing.push((node, ask.encode()));
        }
    }

    pub(super) fn message(&self, to: ReplicaId, term: u64, body: Body) -> Message {
        Message::new(self.setup.shard, self.epoch(), self.id, to, term, body)
    }
}
