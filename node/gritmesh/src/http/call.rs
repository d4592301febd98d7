//! Calls and messages: `POST /v1/call/{type}/{id}/{method}` and `POST /v1/send/…`.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gritmesh_actor::{KEY_BYTES_MAX, codec};
use gritmesh_core::DynamicCall;
use gritmesh_runtime::{ActorAddress, DEFAULT_TENANT, Failure, FailureCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cluster::refuse_unknown_type;
use super::problem::{HttpCode, Problem};
use super::{BODY_BYTES_MAX, Face, Shared};
use crate::config::parse_duration;

/// Longest time that a caller may ask to wait for an answer, and longest delay of a message.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the names of a node's own methods begin with. They have paths of their own, some of them guarded.
const ADMINISTRATIVE: char = '$';

pub(super) const CALL: &str = "/v1/call/{type}/{id}/{method}";
pub(super) const SEND: &str = "/v1/send/{type}/{id}/{method}";

pub(super) const TENANT: &str = "x-tenant";
pub(super) const DEADLINE: &str = "x-deadline";
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(super) async fn call(State(face): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let Invocation { call, .. } = Invocation::read(&face, request, Verb::Call).await?;
    let answer = face.core.call_dynamic(call).await?;
    let answer = codec::to_json(&answer);
    let answer = answer.map_err(|error| Failure::new(FailureCode::BadAnswer, error.to_string()))?;
    Ok(Json(answer))
}

/// Accepts a message. Nobody hears how it ends, so what can be known now is refused now.
pub(super) async fn send(State(face): State<Shared>, request: Request) -> Result<Response, Problem> {
    let Invocation { call, delay } = Invocation::read(&face, request, Verb::Send).await?;
    refuse_unknown_type(&face.core, call.address.actor_type())?;
    face.core.check_dynamic(&call)?;
    let meaning = meaning(face.volatile.contains(call.address.actor_type()));
    match delay {
        Duration::ZERO => face.core.send_dynamic(call),
        _ => face.delayed.send_after(&face.core, delay, call)?,
    }
    let accepted = json!({
        "accepted": true,
        "delay_ms": u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        "kept_in": "memory",
        "detail": meaning,
    });
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

/// What it means that a message is accepted.
const fn meaning(volatile: bool) -> &'static str {
    match volatile {
        false => {
            "the message is in this node's memory and runs at most once: it is lost if the node stops or dies before the \
             actor has it; what a durable actor makes of it is kept, as with a call"
        }
        true => {
            "the message is in this node's memory and runs at most once: it is lost if the node stops or dies before the \
             actor has it; the actor is volatile and keeps nothing"
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Call,
    Send,
}

/// What a request asks an actor for.
#[derive(Debug)]
struct Invocation {
    call: DynamicCall,
    delay: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    timeout: Option<String>,
    delay: Option<String>,
}

impl Invocation {
    async fn read(face: &Face, request: Request, verb: Verb) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let path = Path::<(String, String, String)>::from_request_parts(&mut parts, &()).await;
        let Path((actor_type, id, method)) = path.map_err(bad_path)?;
        let parameters = Query::<Parameters>::try_from_uri(&parts.uri);
        let Query(parameters) = parameters.map_err(|error| bad_request(error.body_text()))?;
        let headers = parts.headers;
        let address = address(&headers, &actor_type, &id)?;
        if method.starts_with(ADMINISTRATIVE) {
            let detail = format!(
                "`{method}` is no method: no actor has one whose name begins with `{ADMINISTRATIVE}`"
            );
            return Err(Failure::new(FailureCode::UnknownMethod, detail).into());
        }
        let key = idempotency_key(&headers)?;
        if key.is_some() && face.volatile.contains(&actor_type) {
            let detail =
                format!("`{actor_type}` is volatile and remembers no answers: leave out `Idempotency-Key`");
            return Err(Problem::new(HttpCode::NotSupported, detail));
        }
        let asked = match (header(&headers, DEADLINE)?, parameters.timeout.as_deref()) {
            (Some(_), Some(_)) => return Err(bad_request("give `X-Deadline` or `?timeout=`, not both")),
            (asked, None) | (None, asked) => asked,
        };
        let timeout = asked.map(|text| duration(text, "timeout")).transpose()?;
        if timeout == Some(Duration::ZERO) {
            return Err(bad_request("a timeout of zero leaves no time to answer"));
        }
        let delay = match (parameters.delay.as_deref(), verb) {
            (Some(_), Verb::Call) => return Err(bad_request("only a message that is sent can be delayed")),
            (Some(text), Verb::Send) => duration(text, "delay")?,
            (None, _) => Duration::ZERO,
        };
        let body = read_body(body).await?;
        let arguments = codec::arguments_from_json(&body);
        let arguments = arguments.map_err(|error| {
            let detail = format!("the body is to be a JSON array of arguments, or the single one: {error}");
            Failure::new(FailureCode::BadArguments, detail)
        })?;
        Ok(Self { call: DynamicCall { address, method, arguments, timeout, key }, delay })
    }
}

/// The address that a request names by its path and the header `X-Tenant`.
pub(super) fn address(headers: &HeaderMap, actor_type: &str, id: &str) -> Result<ActorAddress, Problem> {
    let tenant = header(headers, TENANT)?.unwrap_or(DEFAULT_TENANT);
    Ok(ActorAddress::in_tenant(tenant, actor_type, id)?)
}

pub(super) fn bad_path(rejection: PathRejection) -> Problem {
    Failure::new(FailureCode::BadAddress, format!("the path cannot be read: {}", rejection.body_text()))
        .into()
}

pub(super) fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(HttpCode::BadRequest, detail)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| bad_request(format!("the header `{name}` is not plain text")))
}

/// A text of the caller's own by which a durable actor knows a request again.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let is_one = (1..=KEY_BYTES_MAX).contains(&key.len());
    let is_printable = key.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte));
    match key.to_str() {
        Ok(key) if is_one && is_printable => Ok(Some(key.to_owned())),
        _ => {
            let detail = format!(
                "`Idempotency-Key` is to be one text of 1 to {KEY_BYTES_MAX} printable ASCII letters"
            );
            Err(bad_request(detail))
        }
    }
}

fn duration(text: &str, what: &str) -> Result<Duration, Problem> {
    let duration = parse_duration(text).map_err(|error| bad_request(format!("{what}: {error}")))?;
    match duration <= TIMEOUT_MAX {
        true => Ok(duration),
        false => Err(bad_request(format!("{what}: at most {} h are allowed", TIMEOUT_MAX.as_secs() / 3600))),
    }
}

/// A body that has arrived.
pub(super) async fn read_body(body: Body) -> Result<Bytes, Problem> {
    let body = to_bytes(body, BODY_BYTES_MAX).await;
    body.map_err(|error| bad_request(format!("the body cannot be read: {error}")))
}
