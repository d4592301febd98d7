//! What there is to do: the library's results in our words, in the order that survives crashes.
//!
//! The library numbers its results. A number whose batch has to be synced is reported back by
//! [`Replica::persisted`]; one without anything to sync counts as persisted at once if nothing before it is on its
//! way. Messages of a leader leave at once, once its own term is durable: as the only voter it becomes leader
//! without having asked anybody, and may not begin the same term twice. Messages of a follower wait for what they
//! answer: heartbeats for the term, everything else for the log too.

use gritmesh_runtime::{Instant, NodeId};
use raft::StateRole;
use raft::prelude::{Entry, EntryType, Message as RaftMessage, MessageType, Ready};

use super::member::Reconfiguration;
use super::message::{Message, Outgoing};
use super::record::{self, Field};
use super::{Committed, Progress, Replica, ReplicaId, ReplicaStatus, Role};
use super::{FollowerStatus, SnapshotMeta};

impl Replica {
    /// What there is to do. Called after something has happened until there is nothing.
    pub fn advance(&mut self, now: Instant) -> Option<Progress> {
        self.see(now);
        if self.removed {
            return std::mem::take(&mut self.dirty).then(|| Progress { removed: true, ..self.blank() });
        }
        self.flush();
        if let Some((message, round)) = self.take_over.take() {
            self.take_over(message, round);
        }
        self.answer_for_lost();
        let ready = self.raw.has_ready();
        if !ready && !self.dirty && self.changes.is_empty() && self.outgoing.is_empty() && !self.has_news() {
            return None;
        }
        self.dirty = false;
        let mut progress = self.blank();
        progress.changes = std::mem::take(&mut self.changes);
        progress.messages = std::mem::take(&mut self.outgoing);
        if ready {
            self.take_ready(&mut progress);
        }
        progress.applied_to = self.applied.0;
        if self.removed {
            progress.removed = true;
            self.announced = Role::Follower { leader: None };
            progress.role = Some(self.announced);
            return Some(progress);
        }
        self.tell_role(&mut progress);
        self.tell_wanted(&mut progress);
        progress.install = self.install.take().filter(|(_, meta)| self.needs(meta));
        Some(progress)
    }

    fn blank(&self) -> Progress {
        Progress { applied_to: self.applied.0, ..Progress::default() }
    }

    /// Whether there is something to tell that lies in no result of the library.
    fn has_news(&self) -> bool {
        self.role() != self.announced || self.install.is_some() || self.raw.store().wants()
    }

    fn take_ready(&mut self, progress: &mut Progress) {
        let leads = self.leads();
        let mut ready = self.raw.ready();
        let number = ready.number();
        let at_once = ready.take_messages();
        let after_sync = ready.take_persisted_messages();
        self.write_state(&ready, progress);
        self.write_entries(ready.take_entries(), progress);
        self.write_hard(&ready, progress);
        let committed = ready.take_committed_entries();
        if ready.must_sync() {
            progress.sync = true;
            progress.number = Some(number);
            self.to_sync = number;
        }
        self.raw.advance_append_async(ready);
        if self.to_sync <= self.persisted {
            self.raw.on_persist_ready(number);
        }
        self.send(at_once, progress);
        self.send(after_sync, progress);
        self.apply(committed, leads, progress);
        self.settle();
    }

    /// The log starts anew behind fetched state.
    fn write_state(&mut self, ready: &Ready, progress: &mut Progress) {
        if ready.snapshot().is_empty() {
            return;
        }
        let SnapshotMeta { index, term, config } =
            self.restoring.take().expect("state gets into the log only when it is installed");
        let shard = self.setup.shard;
        self.raw.mut_store().reset(index, term);
        progress.changes.push(record::delete_entries(shard, 0, u64::MAX - 1));
        progress.changes.push(record::put_field(shard, Field::Base, |writer| writer.u64(index).u64(term)));
        self.applied = (index, term);
        self.write_applied(progress);
        self.take_config(config, progress);
        self.restored = Some((ready.number(), index));
    }

    fn write_entries(&mut self, entries: Vec<Entry>, progress: &mut Progress) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (shard, end, before) = (self.setup.shard, last.index, self.raw.store().last());
        let replaced = first.index <= before;
        for entry in &entries {
            record::put_entry(shard, &*self.setup.codec, entry, &mut progress.changes);
        }
        if replaced && before > end {
            progress.changes.push(record::delete_entries(shard, end + 1, before));
        }
        self.raw.mut_store().append(entries);
    }

    fn write_hard(&mut self, ready: &Ready, progress: &mut Progress) {
        let Some(hard) = ready.hs() else { return };
        if (hard.term, hard.vote) == self.voted {
            // How far the log is committed need not be remembered: what is applied tells enough of it.
            return;
        }
        self.voted = (hard.term, hard.vote);
        self.hard = ready.number();
        progress.changes.push(record::put_field(self.setup.shard, Field::Hard, |writer| {
            writer.u64(hard.term).u64(hard.vote).u64(hard.commit)
        }));
    }

    fn write_applied(&self, progress: &mut Progress) {
        let (index, term) = self.applied;
        let shard = self.setup.shard;
        let record = record::put_field(shard, Field::Applied, |writer| writer.u64(index).u64(term));
        progress.applied = Some(record);
    }

    fn take_config(&mut self, config: super::Config, progress: &mut Progress) {
        let record = record::put_field(self.setup.shard, Field::Config, |writer| config.write(writer));
        progress.changes.push(record);
        progress.config = Some(config.clone());
        self.config = config;
        let known = &self.config;
        self.learned.retain(|(replica, _)| known.member(*replica).is_none());
        self.lost.retain(|replica| known.member(*replica).is_some());
    }

    fn apply(&mut self, entries: Vec<Entry>, leads: bool, progress: &mut Progress) {
        let Some(last) = entries.last().map(|entry| entry.index) else { return };
        let own_term = self.raw.raft.term;
        for entry in entries {
            let (index, term) = (entry.index, entry.term);
            self.applied = (index, term);
            if entry.get_entry_type() == EntryType::EntryConfChangeV2 {
                self.apply_change(&entry, progress);
            } else if !entry.data.is_empty() {
                let own = leads && term == own_term;
                progress.committed.push(Committed { index, term, command: entry.data.into(), own });
            }
            if self.removed {
                // What follows is none of this replica's business, and the library not to be asked again.
                return;
            }
        }
        self.write_applied(progress);
        self.raw.advance_apply_to(last);
    }

    fn apply_change(&mut self, entry: &Entry, progress: &mut Progress) {
        let change =
            Reconfiguration::decode(&entry.context).expect("changes are checked before they are appended");
        let Some(config) = self.config.after(&change) else { return };
        if config.member(self.id).is_none() {
            self.removed = true;
            self.heard = self.heard.max(config.epoch);
            progress.config = Some(config);
            return;
        }
        let voters = self.raw.apply_conf_change(&change.to_raft()).expect("our rules are the stricter ones");
        debug_assert!(raft_proto::conf_state_eq(&voters, &config.to_raft()), "one configuration");
        self.take_config(config, progress);
        if self.leads() {
            // Whoever does not know that the change is committed needs the old members for an election.
            self.raw.ping();
        }
    }

    /// Sends what may leave, and parks the rest.
    fn send(&mut self, mut messages: Vec<RaftMessage>, progress: &mut Progress) {
        self.ask_coming_voters(&mut messages);
        // The library walks its members in the order of a hash map.
        messages.sort_by_key(|message| message.to);
        let has = |kind: MessageType| messages.iter().any(|message| message.get_msg_type() == kind);
        if has(MessageType::MsgHeartbeat) {
            self.lease.start_round(self.now, self.raw.raft.term);
        }
        if has(MessageType::MsgTimeoutNow) {
            // From here on another replica may be elected, also if this one leads on for now.
            self.lease.give_up();
        }
        for message in messages {
            let to = ReplicaId(message.to);
            let Some(node) = self.node_of(to) else { continue };
            let needs = match message.get_msg_type() {
                _ if self.leads() => self.hard,
                MessageType::MsgHeartbeatResponse => self.hard,
                _ => self.to_sync,
            };
            for bytes in self.encode(to, message) {
                self.dispatch(needs, node, bytes, progress);
            }
        }
    }

    fn encode(&self, to: ReplicaId, message: RaftMessage) -> Vec<Vec<u8>> {
        let outgoing = Outgoing {
            round: self.lease.round(),
            asleep: self.sleep.is_asleep(),
            sleep: self.announces_sleep(),
            settled: self.settled_index(),
            forced: self.forced,
            config: self.raw.store().offered().map(|meta| &meta.config),
            bytes_max: self.setup.limits.message_bytes,
        };
        let term = message.term;
        let bodies = outgoing.bodies(message).into_iter();
        bodies.map(|body| Message::encode(&self.message(to, term, body))).collect()
    }

    fn dispatch(&mut self, needs: u64, node: NodeId, bytes: Vec<u8>, progress: &mut Progress) {
        if needs <= self.persisted {
            progress.messages.push((node, bytes));
        } else if self.parked.len() < self.setup.limits.parked {
            self.parked.push_back((needs, node, bytes));
        }
    }

    /// What it is now, as far as callers are concerned.
    fn role(&self) -> Role {
        let raft = &self.raw.raft;
        match raft.state {
            StateRole::Leader if self.applied.1 == raft.term => Role::Leader { term: raft.term },
            StateRole::Leader => Role::Follower { leader: None },
            _ => Role::Follower { leader: self.leader() },
        }
    }

    fn tell_role(&mut self, progress: &mut Progress) {
        let role = self.role();
        if role == self.announced {
            return;
        }
        // Between two terms of its own it followed, and what it had proposed is lost.
        let led = matches!((self.announced, role), (Role::Leader { .. }, Role::Leader { .. }));
        self.announced = if led { Role::Follower { leader: None } } else { role };
        self.dirty |= led;
        progress.role = Some(self.announced);
        if let Role::Leader { .. } = self.announced {
            self.sleep = super::Sleep::new(self.now);
            // For the lease, without which it cannot serve.
            self.raw.ping();
        }
    }

    fn tell_wanted(&mut self, progress: &mut Progress) {
        for replica in self.raw.mut_store().take_wanted() {
            if let Some(member) = self.config.member(replica).filter(|_| self.wanted.insert(replica)) {
                progress.snapshot_wanted.push(member.node);
            }
        }
    }

    /// The replica as it is at the moment.
    pub fn status(&self) -> ReplicaStatus {
        let raft = &self.raw.raft;
        let log = self.raw.store();
        let others = self.config.members.iter().filter(|member| self.leads() && member.replica != self.id);
        let follower = |member: &super::Member| {
            let progress = raft.prs().get(member.replica.0)?;
            Some(FollowerStatus {
                node: member.node,
                matched: progress.matched,
                caught_up: self.has_caught_up(member.replica),
                needs_state: progress.state == raft::ProgressState::Snapshot
                    || self.wanted.contains(&member.replica),
                active: progress.recent_active,
            })
        };
        ReplicaStatus {
            replica: self.id,
            role: self.announced,
            term: raft.term,
            leader: self.leader(),
            config: self.config.clone(),
            cut: log.base(),
            applied: self.applied.0,
            commit: raft.raft_log.committed,
            last: raft.raft_log.last_index(),
            followers: others.filter_map(follower).collect(),
            transferring: raft.lead_transferee.and_then(|id| self.node_of(ReplicaId(id))),
            offered: log.offered().map(|meta| meta.index),
            hibernating: self.sleep.is_asleep(),
        }
    }
}
