//! Which node runs which actor.
//!
//! **Problem.** Every node must send a call for `counter/alice` to the same place, without asking anybody,
//! while nodes come, go and disagree about who is there.
//!
//! **Design.** Two layers, so that disagreement about the first cannot hurt the second. What *should* be is a
//! pure function of the members: the [`Ring`] orders nodes for a token, and [`propose_replicas`] spreads the
//! voters and leaders of whole shards over them evenly. What *is*, each shard decides for itself, in its own
//! replicated log: elections count its term, changes of its voters its epoch. The [`ShardTable`] is what a
//! node knows of that, newer versions replace older ones, and all copies converge. [`Placement`] spreads the
//! table, and tells the leaders on its node where the first layer wants their shards. [`Routing`] is the table
//! as callers need it.
//!
//! ```text
//!   view ─► Candidates ──┐                       ┌─► Want ─► leaders on this node ─► their logs ─┐
//!   gossip ─► Descriptor ├─►  Placement::handle ─┼─► Broadcast, Tell ─► peers                    │
//!   peers ─► Summary, … ─┘     table, proposal   └─► TableChanged ─► Routing ─► callers          │
//!                  ▲                                                                             │
//!                  └──────────────────────────── Own, Lost, Holds ◄──────────────────────────────┘
//! ```
//!
//! **Deliberately absent.** I/O, clocks, and the wire format of envelopes, of which only the bytes of a table
//! and of a descriptor are defined here.

mod placement;
mod proposal;
mod replica;
mod ring;
mod routing;
mod table;

pub use placement::{
    Candidate, Effect, Event, MOVES_AT_ONCE, Missing, Move, Options, Placement, REPLICATION_DEFAULT,
};
pub use proposal::propose_replicas;
pub use replica::{
    COMMAND_BYTES_MAX, Called, Committed, Config, FillError, FollowerStatus, InstallError, LogCodec,
    MEMBERS_MAX, Member, MemberRole, MessageError, MessageHeader, Progress, ProposeError, ReconfigureError,
    Reconfigured, Remains, Replica, ReplicaId, ReplicaLimits, ReplicaOptions, ReplicaSetup, ReplicaStatus,
    RestoreError, Role, SnapshotMeta, Stored, Tombstone, TransferError, WholeCommands,
};
pub use ring::{Ring, RingMember, VIRTUAL_NODES_MAX, VIRTUAL_NODES_PER_WEIGHT};
pub use routing::{Host, Hosting, Route, Routing};
pub use table::{
    Adopted, DESCRIPTOR_BYTES_MAX, Descriptor, EPOCH_JUMP_MAX, EPOCH_MAX, Merged, REPLICAS_MAX,
    SHARDS_DEFAULT, SHARDS_MAX, Shard, ShardTable, TABLE_BYTES_MAX, TERM_JUMP_MAX, TERM_MAX, TableError,
    Version,
};
