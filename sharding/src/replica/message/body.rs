//! What a message says, by kind.

use super::super::bytes::{Cut, Reader, Writer};
use super::super::member::{Config, Reconfiguration};
use super::super::options::NUMBER_MAX;

/// The transfer of leadership that an election rests on: the leader's term, and the last heartbeat round that it
/// had sent when it let go. Who has heard of a later round knows that the leader holds a lease again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Forced {
    pub(in super::super) term: u64,
    pub(in super::super) round: u64,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct LogEntry {
    pub(in super::super) term: u64,
    /// Whether it is a [`Reconfiguration`], or a command, which is empty where a leader begins its term.
    pub(in super::super) is_change: bool,
    pub(in super::super) bytes: Vec<u8>,
}

impl LogEntry {
    pub(in super::super) fn write(&self, writer: &mut Writer) {
        writer.u64(self.term).u8(u8::from(self.is_change)).u32(self.bytes.len() as u32).bytes(&self.bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Cut> {
        let term = read_number(reader)?;
        let is_change = read_flag(reader)?;
        let length = reader.u32()? as usize;
        let bytes = reader.take(length)?.to_vec();
        if is_change {
            Reconfiguration::decode(&bytes)?;
        }
        Ok(Self { term, is_change, bytes })
    }
}

/// What a message says. Fields are named as in the thesis on Raft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Body {
    Append {
        index: u64,
        log_term: u64,
        commit: u64,
        entries: Vec<LogEntry>,
    },
    AppendAnswer {
        index: u64,
        commit: u64,
        reject: bool,
        hint: u64,
        log_term: u64,
    },
    Heartbeat {
        commit: u64,
        round: u64,
        /// All members have the log up to here.
        settled: u64,
        /// No more heartbeats will come until something happens.
        sleep: bool,
    },
    HeartbeatAnswer {
        commit: u64,
        round: u64,
        asleep: bool,
    },
    Vote {
        /// Only a question whether it would be granted.
        pre: bool,
        index: u64,
        log_term: u64,
        commit: u64,
        commit_term: u64,
        forced: Option<Forced>,
    },
    VoteAnswer {
        pre: bool,
        reject: bool,
        commit: u64,
        commit_term: u64,
    },
    /// There is state up to here to be fetched; the log before it is gone.
    Snapshot {
        index: u64,
        log_term: u64,
        config: Config,
    },
    /// Start an election at once.
    TimeoutNow {
        round: u64,
    },
    /// Am I still a member?
    Ask,
    /// You are not, since the epoch in the header or before.
    Gone,
    /// My records are damaged. I will never vote nor acknowledge anything again, which is written down: put another
    /// replica in my place.
    Lost,
}

const APPEND: u8 = 0;
const APPEND_ANSWER: u8 = 1;
const HEARTBEAT: u8 = 2;
const HEARTBEAT_ANSWER: u8 = 3;
const VOTE: u8 = 4;
const VOTE_ANSWER: u8 = 5;
const SNAPSHOT: u8 = 6;
const TIMEOUT_NOW: u8 = 7;
const ASK: u8 = 8;
const GONE: u8 = 9;
const LOST: u8 = 10;

/// Bytes of an entry beside its content.
pub(in super::super) const ENTRY_BYTES: usize = 8 + 1 + 4;

pub(super) fn is_from_leader(kind: u8) -> bool {
    matches!(kind, APPEND | HEARTBEAT | SNAPSHOT)
}

pub(super) fn is_from_candidate(kind: u8) -> bool {
    kind == VOTE
}

pub(super) fn read_number(reader: &mut Reader<'_>) -> Result<u64, Cut> {
    match reader.u64()? {
        number if number > NUMBER_MAX => Err(Cut("a number is too great to be true")),
        number => Ok(number),
    }
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, Cut> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Cut("a flag is neither set nor not")),
    }
}

impl Body {
    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Append { .. } => APPEND,
            Self::AppendAnswer { .. } => APPEND_ANSWER,
            Self::Heartbeat { .. } => HEARTBEAT,
            Self::HeartbeatAnswer { .. } => HEARTBEAT_ANSWER,
            Self::Vote { .. } => VOTE,
            Self::VoteAnswer { .. } => VOTE_ANSWER,
            Self::Snapshot { .. } => SNAPSHOT,
            Self::TimeoutNow { .. } => TIMEOUT_NOW,
            Self::Ask => ASK,
            Self::Gone => GONE,
            Self::Lost => LOST,
        }
    }

    /// About how long it will be, to allocate once.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append { entries, .. } => {
                32 + entries.iter().map(|entry| ENTRY_BYTES + entry.bytes.len()).sum::<usize>()
            }
            _ => 64,
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Append { index, log_term, commit, entries } => {
                writer.u64(*index).u64(*log_term).u64(*commit).u32(entries.len() as u32);
                entries.iter().for_each(|entry| entry.write(writer));
            }
            Self::AppendAnswer { index, commit, reject, hint, log_term } => {
                writer.u64(*index).u64(*commit).u8(u8::from(*reject)).u64(*hint).u64(*log_term);
            }
            Self::Heartbeat { commit, round, settled, sleep } => {
                writer.u64(*commit).u64(*round).u64(*settled).u8(u8::from(*sleep));
            }
            Self::HeartbeatAnswer { commit, round, asleep } => {
                writer.u64(*commit).u64(*round).u8(u8::from(*asleep));
            }
            Self::Vote { pre, index, log_term, commit, commit_term, forced } => {
                writer.u8(u8::from(*pre)).u64(*index).u64(*log_term).u64(*commit).u64(*commit_term);
                let Forced { term, round } = forced.unwrap_or_default();
                writer.u8(u8::from(forced.is_some())).u64(term).u64(round);
            }
            Self::VoteAnswer { pre, reject, commit, commit_term } => {
                writer.u8(u8::from(*pre)).u8(u8::from(*reject)).u64(*commit).u64(*commit_term);
            }
            Self::Snapshot { index, log_term, config } => {
                config.write(writer.u64(*index).u64(*log_term));
            }
            Self::TimeoutNow { round } => {
                writer.u64(*round);
            }
            Self::Ask | Self::Gone | Self::Lost => {}
        }
    }

    pub(super) fn read(kind: u8, term: u64, reader: &mut Reader<'_>) -> Result<Self, Cut> {
        if term == 0 && !matches!(kind, ASK | GONE | LOST) {
            return Err(Cut("it has no term"));
        }
        Ok(match kind {
            APPEND => Self::read_append(term, reader)?,
            APPEND_ANSWER => Self::AppendAnswer {
                index: read_number(reader)?,
                commit: read_number(reader)?,
                reject: read_flag(reader)?,
                hint: read_number(reader)?,
                log_term: read_number(reader)?,
            },
            HEARTBEAT => Self::Heartbeat {
                commit: read_number(reader)?,
                round: read_number(reader)?,
                settled: read_number(reader)?,
                sleep: read_flag(reader)?,
            },
            HEARTBEAT_ANSWER => Self::HeartbeatAnswer {
                commit: read_number(reader)?,
                round: read_number(reader)?,
                asleep: read_flag(reader)?,
            },
            VOTE => Self::read_vote(reader)?,
            VOTE_ANSWER => Self::VoteAnswer {
                pre: read_flag(reader)?,
                reject: read_flag(reader)?,
                commit: read_number(reader)?,
                commit_term: read_number(reader)?,
            },
            SNAPSHOT => Self::read_snapshot(term, reader)?,
            TIMEOUT_NOW => Self::TimeoutNow { round: read_number(reader)? },
            ASK => Self::Ask,
            GONE => Self::Gone,
            LOST => Self::Lost,
            _ => return Err(Cut("its kind is unknown")),
        })
    }

    fn read_append(term: u64, reader: &mut Reader<'_>) -> Result<Self, Cut> {
        let (index, log_term, commit) = (read_number(reader)?, read_number(reader)?, read_number(reader)?);
        let count = reader.u32()? as usize;
        if count * ENTRY_BYTES > reader.0.len() {
            return Err(Cut("it announces more entries than it has"));
        }
        // No log begins before its foundation, which nobody can append to from nothing.
        if index == 0 || log_term == 0 {
            return Err(Cut("it appends to no entry"));
        }
        let mut entries = Vec::with_capacity(count);
        let mut before = log_term;
        for _ in 0..count {
            let entry = LogEntry::read(reader)?;
            if entry.term < before {
                return Err(Cut("the terms of its entries fall"));
            }
            before = entry.term;
            entries.push(entry);
        }
        if before > term {
            return Err(Cut("an entry is newer than its sender"));
        }
        Ok(Self::Append { index, log_term, commit, entries })
    }

    fn read_vote(reader: &mut Reader<'_>) -> Result<Self, Cut> {
        let pre = read_flag(reader)?;
        let (index, log_term) = (read_number(reader)?, read_number(reader)?);
        let (commit, commit_term) = (read_number(reader)?, read_number(reader)?);
        let forced = read_flag(reader)?;
        let transfer = Forced { term: read_number(reader)?, round: read_number(reader)? };
        Ok(Self::Vote { pre, index, log_term, commit, commit_term, forced: forced.then_some(transfer) })
    }

    fn read_snapshot(term: u64, reader: &mut Reader<'_>) -> Result<Self, Cut> {
        let (index, log_term) = (read_number(reader)?, read_number(reader)?);
        let config = Config::read(reader)?;
        if index == 0 || log_term == 0 || log_term > term {
            return Err(Cut("its state is from nowhere"));
        }
        Ok(Self::Snapshot { index, log_term, config })
    }
}
