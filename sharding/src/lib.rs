//! Which node runs which actor.
//!
//! **Problem.** Every node must send a call for `counter/alice` to the same place, without asking anybody,
//! while nodes come, go and disagree about who is there.
//!
//! **Design.** Two layers, so that disagreement about the first cannot hurt the second. What *should* be is a
//! pure function of the members: the [`Ring`] orders nodes for a token, and [`propose`] spreads whole shards
//! over them evenly. What *is*, is written down: the [`ShardTable`] names an epoch and a leader for every
//! range of tokens, newer epochs replace older ones, and all copies of the table converge. [`Assignment`]
//! moves the second towards the first, one drained shard after the other. [`Routing`] is the table as callers
//! need it.
//!
//! ```text
//!   view ─► Candidates ─┐                        ┌─► Serve, Release ─► engines ─► Released ─┐
//!   gossip ─► Descriptor ├─►  Assignment::handle ─┼─► Broadcast, Tell ─► peers               │
//!   peers ─► Summary, … ─┘     table, proposal    └─► TableChanged ─► Routing ─► callers     │
//!                  ▲                                                                         │
//!                  └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! **Deliberately absent.** Consensus: today the view decides who may claim a shard, so two sides of a
//! partition both claim, and the table only guarantees that they agree again afterwards. A replicated log per
//! shard will decide epochs instead; callers see the same table, effects and descriptors then. Also absent:
//! I/O, clocks, and the wire format of envelopes, of which only the bytes of a table and of a descriptor are
//! defined here.

mod assignment;
mod placement;
mod proposal;
mod ring;
mod table;

pub use assignment::{Assignment, Candidate, Effect, Event, MOVES_AT_ONCE, Options};
pub use placement::{Host, Hosting, Route, Routing};
pub use proposal::propose;
pub use ring::{Ring, RingMember, VIRTUAL_NODES_MAX, VIRTUAL_NODES_PER_WEIGHT};
pub use table::{
    Adopted, DESCRIPTOR_BYTES_MAX, Descriptor, EPOCH_MAX, Merged, REPLICAS_MAX, SHARDS_DEFAULT, SHARDS_MAX,
    Shard, ShardTable, TABLE_BYTES_MAX, TableError,
};
