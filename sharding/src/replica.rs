//! One shard's replicated log on one node.
//!
//! **Problem.** What a shard has acknowledged must survive any minority of its replicas, and at most one node may
//! believe that it leads. All of that while nodes crash, stall, are cut off, join and leave.
//!
//! **Design.** A [`Replica`] is a synchronous machine around the `raft` library, of which nothing is seen outside.
//! It is told what happens (a message came, time passed, a batch is durable, a command is proposed), and asked by
//! [`Replica::advance`] what to do.
//!
//! ```text
//!  receive, tick, propose,           ┌─► messages               at once
//!  reconfigure, transfer  ─► Replica ├─► changes, number ─► disk ─► persisted(number) ─┐
//!          ▲                         └─► committed ─► applied, into the same batch     │
//!          └── messages that had to wait for the disk come with the next advance ◄─────┘
//! ```
//!
//! A leader's messages leave before its own disk has synced, a follower's answers after. A commit index alone needs
//! no sync. Leases are ours, see [`lease`]; so are the bytes, see [`message`] and [`record`]. Idle shards sleep.
//!
//! The `now` of a call must have been read *after* that of which the call tells: a promise to a leader begins when
//! its message was received, not earlier.
//!
//! **Deliberately absent.** Reads that ask a majority (the lease answers them), proposals that are forwarded (the
//! caller asks the leader), and the transport of state, of which only index and configuration are told.

mod advance;
mod birth;
mod bytes;
mod lease;
mod limits;
mod log;
mod member;
mod message;
mod options;
mod receive;
mod reconfigure;
mod record;
mod remains;
mod silence;
mod sleep;
mod state;
mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use ::bytes::Bytes;
use gritmesh_runtime::{Change, Epoch, Instant, NodeId};
use raft::prelude::{Entry, Message as RaftMessage, MessageType};
use raft::{RawNode, StateRole};

use lease::Lease;
pub use limits::ReplicaLimits;
use log::Log;
pub use member::{Config, MEMBERS_MAX, Member, MemberRole, ReplicaId};
use message::Forced;
pub use message::{MessageError, MessageHeader};
pub use options::{COMMAND_BYTES_MAX, ReplicaOptions, ReplicaSetup};
pub use record::{FillError, LogCodec, RestoreError, Stored, Tombstone, WholeCommands};
pub use remains::{Called, Remains};
use silence::Granted;
use sleep::Sleep;
pub use status::{
    Committed, FollowerStatus, InstallError, Progress, ProposeError, ReconfigureError, Reconfigured,
    ReplicaStatus, Role, SnapshotMeta, TransferError,
};

/// One shard's replicated log on one node.
pub struct Replica {
    setup: ReplicaSetup,
    id: ReplicaId,
    raw: RawNode<Log>,
    /// As of what is applied.
    config: Config,
    /// The newest epoch that a leader has told of.
    heard: Epoch,
    /// Nodes of peers that are not in the configuration, or not yet.
    learned: VecDeque<(ReplicaId, NodeId)>,
    /// The latest time that was handed in.
    now: Instant,
    next_tick: Instant,
    /// When a leader was heard last.
    contact: Instant,
    /// The election timeout in ticks, and what it was drawn for.
    timeout: (u64, StateRole, usize),
    announced: Role,
    /// Index and term of the last applied entry.
    applied: (u64, u64),
    lease: Lease,
    /// The transfer that made this replica stand for election.
    forced: Option<Forced>,
    /// A transfer to this replica that waits until everything is durable.
    take_over: Option<(message::Message, u64)>,
    proposals: Vec<Entry>,
    proposed_bytes: usize,
    /// Changes for the next progress.
    changes: Vec<Change>,
    /// Messages for the next progress.
    outgoing: Vec<(NodeId, Vec<u8>)>,
    /// Messages that wait until the batch of a number is durable.
    parked: VecDeque<(u64, NodeId, Vec<u8>)>,
    /// Up to which number batches are durable.
    persisted: u64,
    /// The newest number that has to be.
    to_sync: u64,
    /// The newest number with a changed term or vote.
    hard: u64,
    /// The newest term and vote that were handed to the disk.
    voted: (u64, u64),
    /// State that was fetched, on its way into the log.
    restoring: Option<SnapshotMeta>,
    /// The index of state that is being written, and in which number.
    restored: Option<(u64, u64)>,
    /// State to be fetched.
    install: Option<(NodeId, SnapshotMeta)>,
    /// Followers for which state was asked for.
    wanted: BTreeSet<ReplicaId>,
    /// Members whose records are damaged, and who will never speak again, as they say.
    lost: BTreeSet<ReplicaId>,
    /// Who is for this replica in the election under way.
    granted: Granted,
    /// Since when followers have been told to fetch state.
    offers: BTreeMap<ReplicaId, Instant>,
    /// All members have the log up to here.
    settled: u64,
    sleep: Sleep,
    removed: bool,
    /// Whether there is something to report that the library does not know of.
    dirty: bool,
}

/// The next tick. Those of all replicas of a node fall together, so that their heartbeats share frames.
fn tick_after(now: Instant, tick: Duration) -> Instant {
    let nanos = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).max(1);
    Instant::from_nanos((now.as_nanos() / nanos).saturating_add(1).saturating_mul(nanos))
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("shard", &self.setup.shard).field("status", &self.status()).finish()
    }
}

impl Replica {
    /// Which replica it is.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// When [`Self::tick`] is due; never while it sleeps.
    pub fn next_deadline(&self) -> Option<Instant> {
        (!self.removed && !self.sleep.is_asleep()).then_some(self.next_tick)
    }

    /// Time has passed. However late, it is one tick: who was stalled may not think that others were silent.
    pub fn tick(&mut self, now: Instant) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        self.see(now);
        let tick = self.setup.options.tick;
        self.next_tick = tick_after(now, tick);
        self.stay_for_lost();
        if !self.would_stand() || (self.lease.is_free(now, None) && self.is_persisted()) {
            self.raw.tick();
            self.settle();
        }
        self.leave_joint();
        self.offer_again();
        self.drowse();
        self.ask();
    }

    /// Proposes a command. It comes back as an own [`Committed`] in the order of proposals, or is lost with the
    /// change of [`Role`].
    ///
    /// # Errors
    /// If it was not taken.
    pub fn propose(&mut self, command: Bytes) -> Result<(), ProposeError> {
        if !self.is_leader() {
            return Err(ProposeError::NotLeader { leader: self.leader() });
        }
        if self.raw.raft.lead_transferee.is_some() {
            return Err(ProposeError::Transferring);
        }
        let bytes = command.len();
        if bytes == 0 || bytes > COMMAND_BYTES_MAX {
            return Err(ProposeError::Size { bytes });
        }
        let before = self.proposed_bytes + self.raw.raft.uncommitted_size();
        if before > 0 && before + bytes > self.setup.limits.uncommitted_bytes {
            return Err(ProposeError::Full);
        }
        self.wake(self.now);
        self.proposed_bytes += bytes;
        self.proposals.push(Entry { data: command.into(), ..Default::default() });
        Ok(())
    }

    /// Hands what was proposed to the library, all at once.
    fn flush(&mut self) {
        let entries = std::mem::take(&mut self.proposals);
        self.proposed_bytes = 0;
        if entries.is_empty() || !self.is_leader() {
            // Lost with the role, which is about to be reported.
            return;
        }
        let mut message = RaftMessage { from: self.id.0, entries, ..Default::default() };
        message.set_msg_type(MessageType::MsgPropose);
        self.raw.step(message).expect("what a leader has taken it proposes");
        self.settle();
    }

    /// The batch of this number is durable, and with it all before.
    pub fn persisted(&mut self, now: Instant, number: u64) {
        if self.removed {
            return;
        }
        self.see(now);
        self.raw.on_persist_ready(number);
        self.persisted = self.persisted.max(number);
        // Entries behind the state may have been applied before it was durable, if they were durable from before.
        let applied = self.raw.raft.raft_log.applied();
        let restored = self.restored.take_if(|(of, _)| *of <= number);
        if let Some((_, index)) = restored.filter(|(_, index)| *index > applied) {
            self.raw.advance_apply_to(index);
        }
        for (needs, to, bytes) in std::mem::take(&mut self.parked) {
            if needs <= self.persisted {
                self.outgoing.push((to, bytes));
            } else {
                self.parked.push_back((needs, to, bytes));
            }
        }
        self.settle();
    }

    /// Until when this node surely is the only one that may lead. None if it does not lead, is handing leadership
    /// over, sleeps, or no majority has answered lately.
    pub fn lease(&self) -> Option<Instant> {
        if !self.is_leader() || self.raw.raft.lead_transferee.is_some() || self.sleep.is_asleep() {
            return None;
        }
        let end = self.lease.end(self.lease.confirmed(self.now, self.id, &self.config, &self.lost)?);
        #[cfg(test)]
        if self.setup.options.broken == options::Broken::LeaseTooLong {
            return Some(end + self.setup.options.election_timeout());
        }
        (end > self.now).then_some(end)
    }

    /// Asks for a new lease soon: followers are asked now, unless they have just been.
    pub fn confirm(&mut self, now: Instant) {
        if !self.is_leader() {
            return;
        }
        self.see(now);
        if self.sleep.is_drowsy_or_asleep() {
            return self.wake(now);
        }
        let interval = self.setup.options.tick * self.setup.options.heartbeat_ticks;
        let confirmed = self.lease.confirmed(now, self.id, &self.config, &self.lost);
        let under_way = self
            .lease
            .newest_sent()
            .is_some_and(|sent| confirmed.is_none_or(|it| it < sent) && now - sent < interval);
        if !under_way {
            self.raw.ping();
        }
    }

    /// Whether it was announced as leader of the term that it leads.
    fn is_leader(&self) -> bool {
        let raft = &self.raw.raft;
        !self.removed
            && raft.state == StateRole::Leader
            && self.announced == (Role::Leader { term: raft.term })
    }

    /// Who leads as far as it knows.
    fn leader(&self) -> Option<NodeId> {
        self.node_of(ReplicaId(self.raw.raft.leader_id))
    }

    fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        let learned = || self.learned.iter().find(|(id, _)| *id == replica).map(|(_, node)| *node);
        self.config.member(replica).map(|member| member.node).or_else(learned)
    }

    fn see(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Stands for election at once, as the only voter may.
    fn stand(&mut self) {
        self.raw.campaign().expect("a follower may stand");
        self.settle();
    }

    /// Whether the next tick would make it stand for election.
    fn would_stand(&self) -> bool {
        let raft = &self.raw.raft;
        raft.state != StateRole::Leader
            && raft.promotable()
            && raft.election_elapsed + 1 >= raft.randomized_election_timeout()
    }

    /// Whether the whole log is durable. Only then may it stand: the library relies on it.
    fn is_persisted(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        log.unstable_entries().is_empty()
            && log.unstable_snapshot().is_none()
            && self.restored.is_none()
            && log.persisted == log.last_index()
    }

    /// Sets the election timeout, which the library draws at random whenever it likes, to one that is a function of
    /// the seed. After every call of the library, always.
    fn settle(&mut self) {
        let raft = &mut self.raw.raft;
        let (term, role, _) = self.timeout;
        if (term, role) != (raft.term, raft.state) {
            let label = format!("{} {:?} {} {:?}", self.setup.shard, self.id, raft.term, raft.state);
            let span = u64::from(self.setup.options.election_ticks);
            let drawn = self.setup.seed.child(&label).rng().below(span) + span;
            self.timeout = (raft.term, raft.state, drawn as usize);
        }
        raft.set_randomized_election_timeout(self.timeout.2);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
