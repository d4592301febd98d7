//! Between our messages and those of the raft library.

use raft::CAMPAIGN_TRANSFER;
use raft::prelude::{Entry, EntryType, Message as RaftMessage, MessageType, Snapshot, SnapshotMetadata};

use super::body::ENTRY_BYTES;
use super::{Body, Forced, LogEntry, Message};
use crate::replica::member::Config;

impl LogEntry {
    /// From an entry of the library, without its place.
    pub(in super::super) fn from_raft(entry: &Entry) -> Self {
        let is_change = entry.get_entry_type() == EntryType::EntryConfChangeV2;
        let bytes = if is_change { entry.context.clone() } else { entry.data.clone() };
        Self { term: entry.term, is_change, bytes }
    }

    /// To an entry of the library.
    pub(in super::super) fn into_raft(self, index: u64) -> Entry {
        let mut entry = Entry { term: self.term, index, ..Default::default() };
        if self.is_change {
            // The library reads what a change does only when it is proposed, and we apply it from our own words.
            entry.set_entry_type(EntryType::EntryConfChangeV2);
            entry.context = self.bytes;
        } else {
            entry.data = self.bytes;
        }
        entry
    }
}

/// What a message of the library needs to become ours.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Outgoing<'a> {
    /// The heartbeat round under way.
    pub(in super::super) round: u64,
    /// The round of the heartbeat that is being answered travels as context; this says whether we sleep.
    pub(in super::super) asleep: bool,
    /// Whether heartbeats announce sleep.
    pub(in super::super) sleep: bool,
    /// The index up to which all members have the log.
    pub(in super::super) settled: u64,
    /// The transfer that an election rests on.
    pub(in super::super) forced: Option<Forced>,
    /// The configuration that comes with the state that is offered.
    pub(in super::super) config: Option<&'a Config>,
    /// Most bytes of entries in one message.
    pub(in super::super) bytes_max: usize,
}

impl Outgoing<'_> {
    /// What a message of the library says, in one or more of ours.
    pub(in super::super) fn bodies(&self, message: RaftMessage) -> Vec<Body> {
        let body = match message.get_msg_type() {
            MessageType::MsgAppend => return self.appends(message),
            MessageType::MsgAppendResponse => Body::AppendAnswer {
                index: message.index,
                commit: message.commit,
                reject: message.reject,
                hint: message.reject_hint,
                log_term: message.log_term,
            },
            MessageType::MsgHeartbeat => Body::Heartbeat {
                commit: message.commit,
                round: self.round,
                settled: self.settled,
                sleep: self.sleep,
            },
            MessageType::MsgHeartbeatResponse => {
                let round = message.context.try_into().map_or(0, u64::from_be_bytes);
                Body::HeartbeatAnswer { commit: message.commit, round, asleep: self.asleep }
            }
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => Body::Vote {
                pre: message.get_msg_type() == MessageType::MsgRequestPreVote,
                index: message.index,
                log_term: message.log_term,
                commit: message.commit,
                commit_term: message.commit_term,
                forced: self.forced.filter(|_| message.context == CAMPAIGN_TRANSFER),
            },
            MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
                Body::VoteAnswer {
                    pre: message.get_msg_type() == MessageType::MsgRequestPreVoteResponse,
                    reject: message.reject,
                    commit: message.commit,
                    commit_term: message.commit_term,
                }
            }
            MessageType::MsgSnapshot => {
                let Some((config, metadata)) = self.config.zip(message.snapshot.and_then(|it| it.metadata))
                else {
                    return Vec::new();
                };
                Body::Snapshot { index: metadata.index, log_term: metadata.term, config: config.clone() }
            }
            MessageType::MsgTimeoutNow => Body::TimeoutNow { round: self.round },
            // Proposals and reads are never forwarded, and the rest never leaves a node.
            _ => return Vec::new(),
        };
        vec![body]
    }

    /// Cuts a long append into several.
    fn appends(&self, message: RaftMessage) -> Vec<Body> {
        let (mut index, mut log_term, commit) = (message.index, message.log_term, message.commit);
        let mut bodies = Vec::new();
        let mut entries: Vec<LogEntry> = Vec::new();
        let mut bytes = 0;
        for entry in message.entries {
            let entry = LogEntry::from_raft(&entry);
            let size = ENTRY_BYTES + entry.bytes.len();
            if !entries.is_empty() && bytes + size > self.bytes_max {
                let (count, last) = (entries.len() as u64, entries.last().map_or(log_term, |last| last.term));
                bodies.push(Body::Append { index, log_term, commit, entries: std::mem::take(&mut entries) });
                (index, log_term, bytes) = (index + count, last, 0);
            }
            bytes += size;
            entries.push(entry);
        }
        bodies.push(Body::Append { index, log_term, commit, entries });
        bodies
    }
}

impl Message {
    /// To a message of the library. `forced`: a vote may be given although the leader is alive.
    ///
    /// # Panics
    /// If it is none that the library knows; these are answered before.
    pub(in super::super) fn into_raft(self, forced: bool) -> RaftMessage {
        let (from, to, term) = (self.header.from.0, self.header.to.0, self.term);
        let mut raft = RaftMessage { from, to, term, ..Default::default() };
        let kind = match self.body {
            Body::Append { index, log_term, commit, entries } => {
                (raft.index, raft.log_term, raft.commit) = (index, log_term, commit);
                let places = index + 1..;
                raft.entries = places.zip(entries).map(|(at, entry)| entry.into_raft(at)).collect();
                MessageType::MsgAppend
            }
            Body::AppendAnswer { index, commit, reject, hint, log_term } => {
                (raft.index, raft.commit, raft.reject) = (index, commit, reject);
                (raft.reject_hint, raft.log_term) = (hint, log_term);
                MessageType::MsgAppendResponse
            }
            Body::Heartbeat { commit, round, .. } => {
                (raft.commit, raft.context) = (commit, round.to_be_bytes().to_vec());
                MessageType::MsgHeartbeat
            }
            Body::HeartbeatAnswer { commit, .. } => {
                raft.commit = commit;
                MessageType::MsgHeartbeatResponse
            }
            Body::Vote { pre, index, log_term, commit, commit_term, .. } => {
                (raft.index, raft.log_term) = (index, log_term);
                (raft.commit, raft.commit_term) = (commit, commit_term);
                if forced {
                    raft.context = CAMPAIGN_TRANSFER.to_vec();
                }
                if pre { MessageType::MsgRequestPreVote } else { MessageType::MsgRequestVote }
            }
            Body::VoteAnswer { pre, reject, commit, commit_term } => {
                (raft.reject, raft.commit, raft.commit_term) = (reject, commit, commit_term);
                if pre { MessageType::MsgRequestPreVoteResponse } else { MessageType::MsgRequestVoteResponse }
            }
            Body::Snapshot { index, log_term, config } => {
                raft.snapshot = Some(snapshot(index, log_term, &config));
                MessageType::MsgSnapshot
            }
            Body::TimeoutNow { .. } => MessageType::MsgTimeoutNow,
            Body::Ask | Body::Gone | Body::Lost => {
                unreachable!("questions of membership do not reach the library")
            }
        };
        raft.set_msg_type(kind);
        raft
    }
}

/// The library's word for state that lies elsewhere.
pub(in super::super) fn snapshot(index: u64, term: u64, config: &Config) -> Snapshot {
    let conf_state = Some(config.to_raft());
    Snapshot { data: Vec::new(), metadata: Some(SnapshotMetadata { conf_state, index, term }) }
}
