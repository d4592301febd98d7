//! Who is in the cluster: members, views, founding and joining, over foca.
//!
//! **Problem.** Identical nodes have to agree, without an orchestrator, on who is there. A dead one must be known
//! to all within two seconds, a stopped one must not take others with it, two halves of a partition must find
//! each other again, and none of that may cost more in a cluster of a thousand than in one of ten.
//!
//! **Design.** [`Membership`] is one synchronous value around foca, which is SWIM without a clock. Time and
//! randomness are handed in; what is to be done comes out as a list.
//!
//! ```text
//!  Tick, Connected, Received, Lost,    ┌────────────┐   Send, Dial, Learn, Forget, SetHello
//!  DialFailed, OwnAddress, Refused ──► │ Membership │ ──► PersistCluster, Founded, Joined
//!  ClusterPersisted, SetWeight,        │  ┌──────┐  │   ViewChanged, Notify, Broadcast
//!  Broadcast, Leave                    │  │ foca │  │   Fatal, Left
//!                                      └──┴──────┴──┘   view(), next_deadline()
//! ```
//!
//! What is added to foca, each in a module of its own below `membership`: founding and joining a cluster
//! (`cluster`), seeds (`seeds`), connection resets as evidence (`hints`), suspicion that counts from the last
//! sign of life and stands still while this process does (`suspicion`), whole member lists (`sync`), lists of
//! actor types (`types`) and a good-bye that cannot be mistaken for a death (`leaving`). Bytes are written by
//! hand (`wire`, `message`, `swim::codec`), because a ping is almost all there is and its size is the cost.
//!
//! **Measured** with the default [`Options`] in the simulated world of `scenarios`, 0.2 to 1 ms latency:
//!
//! | what | result |
//! |---|---|
//! | silent crash known to all of 5, 100 seeds | 1.66 to 1.86 s, median 1.76 s |
//! | silent crash known to all of 50; of 1,000 | 3 to 4 s; 5.2 s |
//! | killed process known to all of 5, 60 seeds | at most 155 ms |
//! | stalls of 1.5 s, 300 of them | nobody declared down |
//! | stalls of 2 s, an hour of them | no healthy node declared down; the stalled one is, and is back 30 ms (median), at most 205 ms, after it wakes |
//! | partition 2/3 merged after it heals | at most 0.5 s |
//! | joining 999 others: knows all; is known to all | 5 ms; 1 s |
//! | gossip per node and second in a quiet cluster | 491 B of 10, 500 B of 100, 509 B of 1,000 |
//!
//! A crash that is known within two seconds and a stall of two seconds that is forgiven exclude each other for
//! whoever only sees silence; the line is drawn at [`Options::detection`].
//!
//! **Deliberately absent.** Sockets, admission, disks: the node's driver has them. Shards: their descriptors
//! are [`Broadcast`]s whose content means nothing here. Quorums: a view is a guess, and two nodes' views may
//! differ.

mod event;
mod health;
mod identity;
mod lies;
mod membership;
mod message;
mod options;
#[cfg(test)]
mod scenarios;
mod swim;
#[cfg(test)]
mod testing;
mod view;
mod wire;

pub use event::{Broadcast, Counters, Effect, Event, Fatal};
pub use identity::LABEL_BYTES_MAX;
#[doc(hidden)]
pub use lies::lie;
pub use membership::Membership;
pub use options::{Options, SEEDS_MAX, Start, StartError, TYPES_MAX};
pub use swim::{BROADCAST_BYTES_MAX, BROADCAST_KEYS_MAX, MEMBERS_MAX};
pub use view::{ClusterEvent, Member, MemberState, View};
