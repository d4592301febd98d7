//! The HTTP face of a node: calls as JSON, the state of the cluster, health and metrics.
//!
//! Any node answers for any actor. Every refusal is a problem document (RFC 9457) with a stable `code`; the codes
//! stand in `docs/errors.md`. What a request may use is bounded: connections, requests at once, the size of a
//! body and the time it takes to arrive, and how many of those are awaited (`bodies`). `/livez`, `/readyz` and `/metrics`
//! are outside of the bound on requests, so that a busy node is not taken for a dead one, and what an operator asks has
//! places of its own. Web pages of others are refused (`origin`).
//!
//! **Deliberately absent.** TLS and users: a proxy in front does that better.

mod actor;
mod bodies;
mod calendar;
mod call;
mod closing;
mod cluster;
mod connection;
mod delayed;
mod framing;
mod guard;
mod health;
mod letters;
mod meter;
mod node;
mod origin;
mod problem;
mod process;
mod resting;
mod server;
mod single;
mod surplus;
mod token;
mod writing;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use gritmesh_transport::Peers;
use tokio::sync::Semaphore;

use crate::config::Limits;
use bodies::Bodies;
use delayed::Delayed;
use meter::Meter;
use problem::{HttpCode, Problem};

pub(crate) use origin::Hosts;
pub(crate) use server::{Server, serve};
pub(crate) use token::Token;

/// Largest body of a request. Its arguments still have to fit into a frame together with the call's header.
pub(crate) const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Requests at once beyond the bound on all, for everything but calls and messages: whoever looks after a busy node has
/// to reach it.
const RESERVED_REQUESTS: usize = 32;

/// What the face is made of.
pub(crate) struct Setup {
    pub(crate) core: Arc<gritmesh_core::Node>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) token: Token,
    pub(crate) limits: Limits,
    pub(crate) hosts: Hosts,
    /// How long a connection may rest.
    pub(crate) keep_alive: Duration,
    /// Types of this node that keep nothing.
    pub(crate) volatile: BTreeSet<String>,
    /// Connections at once.
    pub(crate) connections_max: usize,
    /// The data directory.
    pub(crate) data: PathBuf,
}

/// What every request can use.
struct Face {
    core: Arc<gritmesh_core::Node>,
    token: Token,
    hosts: Hosts,
    bodies: Bodies,
    requests: Semaphore,
    /// Places for those who look after the node, when all others are taken.
    reserve: Semaphore,
    delayed: Delayed,
    meter: Meter,
    volatile: BTreeSet<String>,
}

type Shared = Arc<Face>;

fn router(setup: Setup) -> (Router, Shared) {
    let Setup { core, peers, token, limits, hosts, keep_alive: _, volatile, connections_max, data } = setup;
    let face = Arc::new(Face {
        core,
        token,
        hosts,
        bodies: Bodies::new(connections_max),
        reserve: Semaphore::new(RESERVED_REQUESTS),
        requests: Semaphore::new(limits.http_requests.min(Semaphore::MAX_PERMITS)),
        delayed: Delayed::new(),
        meter: Meter::new(peers, data),
        volatile,
    });
    let router = Router::new()
        .route(call::CALL, post(call::call))
        .route(call::SEND, post(call::send))
        .route("/v1/cluster", get(cluster::cluster))
        .route("/v1/shards", get(cluster::shards))
        .route("/v1/where/{type}/{id}", get(cluster::locate))
        .route("/v1/actors", get(cluster::actors))
        .route("/v1/actors/{type}/{id}/log", get(actor::log))
        .route("/v1/actors/{type}/{id}/show", get(actor::show))
        .route("/v1/actors/{type}/{id}/verify", get(actor::verify))
        .route("/v1/actors/{type}/{id}/outbox", get(actor::outbox))
        .route("/v1/actors/{type}/{id}/paused", get(actor::paused))
        .route("/v1/actors/{type}/{id}/pause", post(actor::pause))
        .route("/v1/actors/{type}/{id}/resume", post(actor::resume))
        .route("/v1/actors/{type}/{id}/letters", get(actor::letters))
        .route("/v1/actors/{type}/{id}/letters/replay", post(letters::replay))
        .route("/v1/actors/{type}/{id}/letters/drop", post(letters::give_up))
        .route("/v1/node", get(node::report))
        .route("/v1/node/drain", post(node::drain))
        .route("/v1/node/undrain", post(node::undrain))
        .route("/v1/node/forget", post(node::forget))
        .route("/v1/node/dead-letters", get(letters::dead))
        .route(health::LIVE, get(health::live))
        .route(health::READY, get(health::ready))
        .route(health::METRICS, get(health::metrics))
        .fallback(async || Problem::new(HttpCode::NotFound, "there is nothing under this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                HttpCode::MethodNotAllowed,
                "this path exists, but not for this method; see the `Allow` header",
            )
        })
        .layer(from_fn_with_state(Arc::clone(&face), guard::guard))
        .layer(from_fn_with_state(Arc::clone(&face), closing::closing))
        .with_state(Arc::clone(&face));
    (router, face)
}

#[cfg(test)]
mod tests;
