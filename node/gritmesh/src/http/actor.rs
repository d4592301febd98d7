//! One durable actor: its log, its state, the proof of its history, and what an operator may order.
//!
//! Everything is asked of the node that leads the actor's shard, by a call as any other; this node need not host the
//! type. A step of another actor, or of the same one in another tenant, is not found, exactly as if it did not exist.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, Extension, FromRequestParts, Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use gritmesh_actor::codec;
use gritmesh_core::{
    DynamicCall, HistoryStatus, LetterStatus, MessageStatus, PausedStatus, StateStatus, StepStatus, admin,
};
use gritmesh_runtime::{ActorAddress, Failure, FailureCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{address, bad_path, bad_request, read_body};
use super::cluster::refuse_unknown_type;
use super::guard::authorize;
use super::problem::{HttpCode, Problem};
use super::{Face, Shared};

/// Steps of a log that are shown if nobody says how many. The node itself shows at most a thousand.
const STEPS_SHOWN: usize = 20;

/// How long the proof of a history may take: a step a tenth of a millisecond, and there may be millions.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// Longest reason of a pause. It is shown to every caller of the actor.
const REASON_BYTES_MAX: usize = 1024;

/// The reason of a pause for which nobody gave one.
const NO_REASON: &str = "an operator paused it";

/// Hexadecimal digits of a step's id.
const ID_DIGITS: usize = 64;

/// The actor that a path and the header `X-Tenant` name. Its type is one that somebody hosts.
#[derive(Clone, Debug)]
pub(super) struct Subject(pub(super) ActorAddress);

impl FromRequestParts<Shared> for Subject {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Shared) -> Result<Self, Problem> {
        let path: Result<Path<(String, String)>, PathRejection> = Path::from_request_parts(parts, face).await;
        let Path((actor_type, id)) = path.map_err(bad_path)?;
        let address = address(&parts.headers, &actor_type, &id)?;
        refuse_unknown_type(&face.core, &actor_type)?;
        if face.volatile.contains(&actor_type) {
            let detail = format!("`{actor_type}` is volatile: it keeps no history and cannot be paused");
            return Err(Problem::new(HttpCode::NotSupported, detail));
        }
        Ok(Self(address))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    from: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn log(
    State(face): State<Shared>,
    Subject(actor): Subject,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Json<Vec<StepStatus>>, Problem> {
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let from = query.from.map(step_id).transpose()?;
    let limit = query.limit.unwrap_or(STEPS_SHOWN);
    face.ask(&actor, admin::LOG, &(from, Some(limit))).await.map(Json)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {
    step: Option<String>,
}

pub(super) async fn show(
    State(face): State<Shared>,
    Subject(actor): Subject,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Json<StateStatus>, Problem> {
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let step = query.step.map(step_id).transpose()?;
    face.ask(&actor, admin::SHOW, &(step,)).await.map(Json)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyQuery {
    limit: Option<u64>,
}

pub(super) async fn verify(
    State(face): State<Shared>,
    Subject(actor): Subject,
    query: Result<Query<VerifyQuery>, QueryRejection>,
) -> Result<Json<HistoryStatus>, Problem> {
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let proof = face.ask_within(VERIFY_TIME_MAX, &actor, admin::VERIFY, &(query.limit,)).await;
    proof.map(Json).map_err(|failure| match failure.code {
        // What cannot be read is as little proven as what is wrong.
        FailureCode::ActivationFailed => Problem::new(HttpCode::BrokenHistory, failure.detail),
        _ => refusal(failure),
    })
}

pub(super) async fn letters(
    State(face): State<Shared>,
    Subject(actor): Subject,
) -> Result<Json<Vec<LetterStatus>>, Problem> {
    face.ask(&actor, admin::LETTERS, &()).await.map(Json)
}

pub(super) async fn outbox(
    State(face): State<Shared>,
    Subject(actor): Subject,
) -> Result<Json<Value>, Problem> {
    let messages: Vec<MessageStatus> = face.ask(&actor, admin::OUTBOX, &()).await?;
    Ok(Json(messages.iter().map(message).collect()))
}

/// A message with its arguments as people read them; null if they have no JSON form.
fn message(message: &MessageStatus) -> Value {
    json!({
        "receiver": message.receiver,
        "sequence": message.sequence,
        "id": message.id,
        "method": message.method,
        "arguments": codec::to_json(&message.arguments).unwrap_or_default(),
    })
}

pub(super) async fn paused(
    State(face): State<Shared>,
    Subject(actor): Subject,
) -> Result<Json<Option<PausedStatus>>, Problem> {
    face.ask(&actor, admin::PAUSED, &()).await.map(Json)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseOrder {
    reason: Option<String>,
}

pub(super) async fn pause(
    State(face): State<Shared>,
    Extension(from): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
    Subject(actor): Subject,
    request: Request,
) -> Result<Json<Value>, Problem> {
    authorize(&face, from, &headers)?;
    let order: PauseOrder = read_order(request).await?;
    let reason = order.reason.unwrap_or_else(|| NO_REASON.to_owned());
    if reason.len() > REASON_BYTES_MAX {
        return Err(bad_request(format!("the reason may have {REASON_BYTES_MAX} bytes")));
    }
    tracing::info!(%actor, reason, peer = %from.0, "asked to pause an actor");
    let () = face.ask(&actor, admin::PAUSE, &(&reason,)).await?;
    Ok(Json(json!({ "paused": true, "reason": reason })))
}

pub(super) async fn resume(
    State(face): State<Shared>,
    Extension(from): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
    Subject(actor): Subject,
) -> Result<Json<Value>, Problem> {
    authorize(&face, from, &headers)?;
    tracing::info!(%actor, peer = %from.0, "asked to let an actor go on");
    let () = face.ask(&actor, admin::RESUME, &()).await?;
    Ok(Json(json!({ "paused": false })))
}

impl Face {
    /// Asks the leader of an actor's shard.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        actor: &ActorAddress,
        method: &str,
        arguments: &impl Serialize,
    ) -> Result<T, Problem> {
        self.asked(None, actor, method, arguments).await.map_err(refusal)
    }

    async fn ask_within<T: DeserializeOwned>(
        &self,
        timeout: Duration,
        actor: &ActorAddress,
        method: &str,
        arguments: &impl Serialize,
    ) -> Result<T, Failure> {
        self.asked(Some(timeout), actor, method, arguments).await
    }

    async fn asked<T: DeserializeOwned>(
        &self,
        timeout: Option<Duration>,
        actor: &ActorAddress,
        method: &str,
        arguments: &impl Serialize,
    ) -> Result<T, Failure> {
        let unreadable = |error: codec::CodecError| Failure::new(FailureCode::BadAnswer, error.to_string());
        let arguments = codec::encode(arguments).map_err(unreadable)?;
        let (address, method) = (actor.clone(), method.to_owned());
        let call = DynamicCall { address, method, arguments, timeout, key: None };
        let answer = self.core.call_dynamic(call).await?;
        codec::decode(&answer).map_err(unreadable)
    }
}

/// What was asked for is well-formed, or it would have been refused here. So a leader that cannot do anything with it
/// has nothing of that id.
fn refusal(failure: Failure) -> Problem {
    match failure.code {
        FailureCode::BadArguments => Problem::new(HttpCode::NotFound, failure.detail),
        _ => failure.into(),
    }
}

fn step_id(text: String) -> Result<String, Problem> {
    match text.len() == ID_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => Ok(text),
        false => Err(bad_request(format!("a step's id has {ID_DIGITS} hexadecimal digits"))),
    }
}

/// The body of an order: a JSON object, or nothing.
pub(super) async fn read_order<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let body = read_body(request.into_body()).await?;
    let body = if body.iter().all(u8::is_ascii_whitespace) { &b"{}"[..] } else { &body[..] };
    // Serde takes a list for a struct, too, field by field.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(bad_request("the body of an order is a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| bad_request(format!("the body cannot be read: {error}")))
}
