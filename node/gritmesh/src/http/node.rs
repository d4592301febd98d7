//! One node: what it says of itself, and what it may be ordered.
//!
//! The node is named by its id and reached by the peers: an HTTP address does not say who answers there. Without an id
//! the node that answers is meant.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Extension, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gritmesh_core::{NodeRefusal, NodeReport, NodeRequestError};
use gritmesh_runtime::{Failure, FailureCode, NodeId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::actor::read_order;
use super::call::bad_request;
use super::guard::authorize;
use super::problem::{HttpCode, Problem};
use super::{Face, Shared};

/// How long a node may take to answer. It has to be shorter than what the command line waits.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Which node is meant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    node: Option<String>,
}

impl Target {
    fn node(&self, face: &Face) -> Result<NodeId, Problem> {
        let Some(text) = &self.node else { return Ok(face.core.info().node_id) };
        text.parse().map_err(|error| bad_request(format!("`node` is to be the whole id of a node: {error}")))
    }
}

/// What the node says of itself.
pub(super) async fn report(
    State(face): State<Shared>,
    query: Result<Query<Target>, QueryRejection>,
) -> Result<Json<NodeReport>, Problem> {
    let Query(target) = query.map_err(|error| bad_request(error.body_text()))?;
    let node = target.node(&face)?;
    Ok(Json(face.core.report_of(node, ANSWER_TIME_MAX).await?))
}

/// Lets the node begin to hand over everything that it serves. How far it is, its report tells.
pub(super) async fn drain(
    State(face): State<Shared>,
    Extension(from): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    authorize(&face, from, &headers)?;
    let order: DrainOrder = read_order(request).await?;
    let node = Target { node: order.node }.node(&face)?;
    tracing::info!(peer = %from.0, node = %node.short(), "asked to let a node drain");
    let name = name_of(&face, node);
    face.core.drain_node(node, order.force, ANSWER_TIME_MAX).await?;
    let answer = json!({ "draining": true, "name": name, "node_id": node.to_string() });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// What is to drain.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainOrder {
    node: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Lets a node take part again that was drained.
pub(super) async fn undrain(
    State(face): State<Shared>,
    Extension(from): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let node = ordered(&face, from, &headers, request, "end the drain of a node").await?;
    face.core.undrain_node(node, ANSWER_TIME_MAX).await?;
    Ok(Json(json!({ "draining": false, "name": name_of(&face, node), "node_id": node.to_string() })))
}

/// Lets every node forget a member that is gone for good.
pub(super) async fn forget(
    State(face): State<Shared>,
    Extension(from): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let node = ordered(&face, from, &headers, request, "forget a member").await?;
    let name = name_of(&face, node);
    let unreached = face.core.forget_member(node, ANSWER_TIME_MAX).await?;
    let answer =
        json!({ "forgotten": true, "name": name, "node_id": node.to_string(), "unreached": unreached });
    Ok(Json(answer))
}

/// The node that an order is about.
async fn ordered(
    face: &Face,
    from: ConnectInfo<SocketAddr>,
    headers: &HeaderMap,
    request: Request,
    what: &str,
) -> Result<NodeId, Problem> {
    authorize(face, from, headers)?;
    let target: Target = read_order(request).await?;
    let node = target.node(face)?;
    tracing::info!(peer = %from.0, node = %node.short(), "asked to {what}");
    Ok(node)
}

fn name_of(face: &Face, node: NodeId) -> Option<String> {
    face.core.view().members.get(&node).map(|member| member.info.name.clone())
}

impl From<NodeRequestError> for Problem {
    fn from(error: NodeRequestError) -> Self {
        let detail = error.to_string();
        match error {
            NodeRequestError::Unknown { .. } => Self::new(HttpCode::UnknownNode, detail),
            NodeRequestError::Down { .. } => Self::new(HttpCode::NodeDown, detail),
            NodeRequestError::NotDelivered { .. } => Failure::new(FailureCode::NotDelivered, detail).into(),
            NodeRequestError::NoAnswer { .. } => Failure::new(FailureCode::Unknown, detail).into(),
            NodeRequestError::Refused { refusal, .. } => Self::new(refusal_code(&refusal), detail),
        }
    }
}

const fn refusal_code(refusal: &NodeRefusal) -> HttpCode {
    match refusal {
        NodeRefusal::OtherNode { .. } => HttpCode::OtherNode,
        NodeRefusal::Stopping => HttpCode::NodeDown,
        NodeRefusal::LastNode => HttpCode::LastNode,
        NodeRefusal::Alive { .. } => HttpCode::NodeAlive,
        NodeRefusal::Busy => HttpCode::Busy,
        NodeRefusal::Malformed { .. } => HttpCode::BadRequest,
    }
}
