//! What a replica reports.

use bytes::Bytes;
use gritmesh_runtime::{Change, NodeId};

use super::member::{Config, ReplicaId};
use super::options::COMMAND_BYTES_MAX;

/// What a replica is to its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads, and has applied everything that was committed before its term.
    Leader {
        /// Its term.
        term: u64,
    },
    /// It does not lead, or not yet.
    Follower {
        /// Who leads, if it knows.
        leader: Option<NodeId>,
    },
}

/// Which state of a shard: that after an entry of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// The configuration as of the entry.
    pub config: Config,
}

/// A command that a majority has on its disks, and so has this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place in the log.
    pub index: u64,
    /// The term of the leader that proposed it.
    pub term: u64,
    /// What was proposed.
    pub command: Bytes,
    /// Whether this replica proposed it in the term in which it leads now. Own commands come in the order in which
    /// they were proposed.
    pub own: bool,
}

/// What there is to do after something has happened, in the order of the fields.
///
/// The commands are applied at once, and their effects are written in the *same* batch as `changes`, which record
/// that they are applied.
#[derive(Debug, Default)]
pub struct Progress {
    /// Messages that may leave at once, in this order to each node.
    pub messages: Vec<(NodeId, Vec<u8>)>,
    /// What to write.
    pub changes: Vec<Change>,
    /// The record of how far the log is applied, to be written with the changes. It takes the place of the last one,
    /// so of several in one batch the newest is enough.
    pub applied: Option<Change>,
    /// Whether it has to be synced. Without, it may wait for the next batch.
    pub sync: bool,
    /// If there is one, [`Replica::persisted`](super::Replica::persisted) is called with it once the changes, and
    /// all before them, are durable.
    pub number: Option<u64>,
    /// Commands to apply, in this order.
    pub committed: Vec<Committed>,
    /// Everything up to here is applied with this progress, also what is no command.
    pub applied_to: u64,
    /// The new role, if it changed. A leader that follows has lost what it proposed and did not get back.
    pub role: Option<Role>,
    /// The new configuration, if it changed.
    pub config: Option<Config>,
    /// Followers that lack what was cut off: answer with
    /// [`Replica::snapshot_taken`](super::Replica::snapshot_taken), or
    /// [`Replica::snapshot_failed`](super::Replica::snapshot_failed).
    pub snapshot_wanted: Vec<NodeId>,
    /// The log does not lead to this state: fetch it from that node, then call
    /// [`Replica::install`](super::Replica::install). Comes again until then, also for the same state.
    pub install: Option<(NodeId, SnapshotMeta)>,
    /// This replica is no member any more, and nothing will come of it. Write its tombstone and drop it.
    pub removed: bool,
}

/// A replica as it is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Which it is.
    pub replica: ReplicaId,
    /// What was reported last.
    pub role: Role,
    /// The newest term that it knows.
    pub term: u64,
    /// Who leads in this term, if it knows.
    pub leader: Option<NodeId>,
    /// The applied configuration.
    pub config: Config,
    /// The log up to here is cut off.
    pub cut: u64,
    /// The log up to here is applied.
    pub applied: u64,
    /// The log up to here is known to be committed.
    pub commit: u64,
    /// The log ends here.
    pub last: u64,
    /// All members but this one, if it leads.
    pub followers: Vec<FollowerStatus>,
    /// To whom leadership is being handed.
    pub transferring: Option<NodeId>,
    /// The index of the state that followers are told to fetch. The node keeps it for as long.
    pub offered: Option<u64>,
    /// Whether it rests until something happens.
    pub hibernating: bool,
}

/// A follower as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// Where it is.
    pub node: NodeId,
    /// It has the log up to here.
    pub matched: u64,
    /// Whether it lacks no more than what is on its way.
    pub caught_up: bool,
    /// Whether it has to fetch state, since what it lacks was cut off.
    pub needs_state: bool,
    /// Whether it was heard of during the last election timeout.
    pub active: bool,
}

/// Why a command was not taken. It surely will not be committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This replica does not lead.
    #[error("this replica does not lead")]
    NotLeader {
        /// Who does, if it knows.
        leader: Option<NodeId>,
    },
    /// It is handing leadership over.
    #[error("leadership is being handed over")]
    Transferring,
    /// Too much is on its way already.
    #[error("too much is proposed and not committed yet")]
    Full,
    /// Such a command cannot travel.
    #[error("a command has {bytes} bytes; at least one and at most {COMMAND_BYTES_MAX} are allowed")]
    Size {
        /// How long it is.
        bytes: usize,
    },
}

/// What one step towards the wanted voters was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reconfigured {
    /// The voters are those that are wanted, and there are no learners.
    Done,
    /// A change was proposed.
    Proposed,
    /// The change before is not applied yet.
    Waiting,
    /// These learners have not caught up.
    CatchingUp(Vec<NodeId>),
    /// All but this node is as wanted: hand leadership to a voter that stays, which then removes this one.
    TransferFirst,
}

/// Why no step was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReconfigureError {
    /// This replica does not lead, or is handing leadership over.
    #[error("this replica does not lead")]
    NotLeader,
    /// The wanted voters are none, too many, or one of them twice.
    #[error("{count} voters are wanted, or one of them twice")]
    Target {
        /// How many.
        count: usize,
    },
}

/// Why leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This replica does not lead.
    #[error("this replica does not lead")]
    NotLeader,
    /// The node is this one, or has no vote that lasts.
    #[error("node {node:?} cannot take leadership")]
    NotVoter {
        /// Which.
        node: NodeId,
    },
}

/// Why fetched state was not installed. It must not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The log has come to it in the meantime, or this replica leads or was removed.
    #[error("the state is not needed any more")]
    NotNeeded,
    /// This replica is not a member in the state's configuration.
    #[error("the state is of a configuration without this replica")]
    NotMember,
}
