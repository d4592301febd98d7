//! Whether the process lives, whether it may be sent work, and what it counts.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Shared;

pub(super) const LIVE: &str = "/livez";
pub(super) const READY: &str = "/readyz";
pub(super) const METRICS: &str = "/metrics";

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Routes that answer however busy the node is.
pub(super) fn is_vital(route: &str) -> bool {
    [LIVE, READY, METRICS].contains(&route)
}

/// Local only: what this node thinks of others must not make an orchestrator restart it.
pub(super) async fn live() -> Response {
    Json(json!({ "alive": true })).into_response()
}

pub(super) async fn ready(State(face): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let mut readiness = face.core.readiness();
    if query.as_deref() != Some("verbose") {
        readiness.notes.clear();
    }
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

pub(super) async fn metrics(State(face): State<Shared>) -> Response {
    let text = face.meter.append_to(face.core.metrics_text());
    ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}
