//! What is told, and the log lines that tell it.

use std::time::Duration;

use gritmesh_runtime::{NodeInfo, ShardId};

/// One log line. What is an outage, and its end, stand at `WARN` or above, so that a log of those has both.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Member {
        info: Box<NodeInfo>,
        change: Change,
    },
    /// More members have changed than are told one by one.
    MembersUntold {
        changes: usize,
    },
    MajorityLost {
        shards: usize,
        of: usize,
        lasted: Duration,
    },
    MajorityRegained {
        shards: usize,
        of: usize,
        lasted: Duration,
    },
    LeadershipLost {
        shards: usize,
        of: usize,
    },
    /// From nodes that are down.
    LeadershipWon {
        shards: usize,
        of: usize,
    },
    /// What this node itself had lost.
    LeadershipRegained {
        shards: usize,
        of: usize,
    },
    /// From nodes that said good-bye.
    LeadershipInherited {
        shards: usize,
        of: usize,
    },
    Stuck {
        shards: usize,
        of: usize,
        named: Vec<ShardId>,
        lasted: Duration,
    },
    Unstuck {
        shards: usize,
        lasted: Duration,
    },
    NotReady {
        waits_for: String,
        lasted: Duration,
    },
    ReadyAgain {
        lasted: Duration,
    },
}

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Up,
    /// It was down.
    Back,
    Reachable,
    Unreachable,
    Down,
    Left,
}

impl Record {
    /// Writes it to the log.
    pub(crate) fn log(&self) {
        match self {
            Self::Member { info, change } => log_member(info, *change),
            Self::MembersUntold { changes } => {
                tracing::warn!(changes, "members change faster than it is logged");
            }
            Self::MajorityLost { shards, of, lasted } => {
                let lasted_s = lasted.as_secs();
                tracing::error!(
                    shards,
                    of,
                    lasted_s,
                    "no majority of the replicas of shards: their actors refuse calls"
                );
            }
            Self::MajorityRegained { shards, of, lasted } => {
                let lasted_s = lasted.as_secs();
                tracing::warn!(shards, of, lasted_s, "all shards have a majority of their replicas again");
            }
            Self::LeadershipLost { shards, of } => {
                tracing::warn!(shards, of, "leadership of shards was lost, and no other node leads them");
            }
            Self::LeadershipWon { shards, of } => {
                tracing::warn!(shards, of, "leadership of shards was taken over from nodes that are down");
            }
            Self::LeadershipRegained { shards, of } => {
                tracing::warn!(shards, of, "leadership of shards that was lost is back");
            }
            Self::LeadershipInherited { shards, of } => {
                tracing::info!(shards, of, "leads shards of nodes that have left in good order");
            }
            Self::Stuck { shards, of, named, lasted } => {
                let numbers: Vec<String> = named.iter().map(|shard| shard.0.to_string()).collect();
                let (first, lasted_s) = (numbers.join(", "), lasted.as_secs());
                tracing::error!(
                    shards,
                    of,
                    first,
                    lasted_s,
                    "nobody serves shards though most of their replicas are there"
                );
            }
            Self::Unstuck { shards, lasted } => {
                tracing::warn!(shards, lasted_s = lasted.as_secs(), "all shards are served again");
            }
            Self::NotReady { waits_for, lasted } => {
                tracing::warn!(waits_for, lasted_s = lasted.as_secs(), "not ready any more");
            }
            Self::ReadyAgain { lasted } => tracing::warn!(lasted_s = lasted.as_secs(), "ready again"),
        }
    }
}

fn log_member(info: &NodeInfo, change: Change) {
    macro_rules! line {
        ($level:ident, $state:literal, $what:literal) => {{
            let (node, address) = (info.node_id.short(), info.peer_address);
            tracing::$level!(node, name = info.name, %address, state = $state, $what);
        }};
    }
    match change {
        Change::Up => line!(info, "alive", "a member is up"),
        Change::Back => line!(warn, "alive", "a member that was down is up again"),
        Change::Reachable => line!(info, "alive", "a member answers again"),
        Change::Unreachable => line!(info, "unreachable", "a member does not answer"),
        Change::Down => line!(warn, "down", "a member is down"),
        Change::Left => line!(info, "left", "a member has left"),
    }
}
