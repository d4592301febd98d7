//! Peers over libp2p.
//!
//! **Problem.** Nodes send each other many small envelopes whose latency counts, beside large objects whose
//! latency does not, over connections that must be encrypted, authenticated and closed to strangers. libp2p
//! offers a request-response protocol; it opens a stream per request and carries a twentieth of what one
//! long-lived stream does.
//!
//! **Design.** One connection per pair of nodes (TCP, noise, yamux), and on it one long-lived stream per
//! [traffic class](gritmesh_runtime::TrafficClass) plus one for control messages.
//!
//! ```text
//!   send ──► outbox ──► link ──► stream ┐                      ┌ stream ──► link ──► handler
//!            (peer, class)              ├── one connection ────┤
//!            control: admission, signs of life, goodbye        control
//! ```
//!
//! * `outbox`: envelopes wait as the very bytes that will be written, double-buffered, bounded, woken rarely.
//! * `link`: reads a stream for the handler and writes its outbox, as one task: an answer costs no hop.
//! * `admission`: who may stay, and which of two simultaneous connections does. One node of a pair decides.
//! * `session`: looks after one connection and reports its loss, with what was surely not sent; `silence` tells it
//!   when a peer has stopped answering.
//! * `encounter`: encryption, and whether a peer with this node's own key is this very process or a copy of it.
//! * `crowd`, `places` and `entrance`: strangers that do not come to an end give way to newer ones.
//! * `driver`: the task that owns libp2p's swarm; it makes and closes connections.
//! * `reach`: connections on demand, with backoff, and dials to seeds.
//!
//! **Deliberately absent.** No discovery, no retry of envelopes, no failure detector: membership decides who is
//! dead, this crate only says which connections ended and how. A connection is not closed for being idle: a sign
//! of life every few seconds is cheaper than a handshake in the middle of a call. No request and
//! response: what an envelope means is not known here.

mod admission;
mod complaints;
mod control;
mod crowd;
mod driver;
mod encounter;
mod entrance;
mod identity;
mod lanes;
mod link;
mod meter;
mod options;
mod outbox;
mod peer;
mod peers;
mod places;
mod reach;
mod session;
mod shared;
mod silence;
#[cfg(test)]
mod tests;

pub use crowd::{Crowd, network};
pub use identity::{Identity, IdentityError};
pub use meter::{Counters, Traffic};
pub use options::{Options, StartError, listens_on_loopback};
pub use peers::{Peers, bind};
