//! Letters: messages that their receiver could not read, as it has no such method or the arguments do not fit.
//!
//! A letter holds where the message comes from, not the message; that stays in its sender's history. Once the receiver
//! has learnt to read it, it is replayed: fetched from there, and called with a key made of its id, so that a replay
//! that breaks off in the middle and is repeated runs it once.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Extension, Query, Request, State};
use axum::http::HeaderMap;
use gritmesh_actor::codec;
use gritmesh_core::{DeadLetterStatus, DynamicCall, LetterStatus, MessageStatus, admin};
use gritmesh_runtime::{ActorAddress, Failure, FailureCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::actor::{Subject, read_order};
use super::call::bad_request;
use super::guard::authorize;
use super::problem::{HttpCode, Problem};
use super::{Face, Shared};

/// What the key of a replay begins with. Keys from outside are printable, so nobody else can use it.
const REPLAY_KEY: &str = "\0letter\0";

/// Dead letters that are shown if nobody says how many.
const DEAD_SHOWN: usize = 100;

/// Which letter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterOrder {
    sender: String,
    sequence: u64,
}

/// Runs the message of a letter, and gives up the letter once it has run. What the handler answered, its own error
/// included, is the answer. If it still cannot be read, the letter stays.
pub(super) async fn replay(
    State(face): State<Shared>,
    Extension(from): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
    Subject(actor): Subject,
    request: Request,
) -> Result<Json<Value>, Problem> {
    authorize(&face, from, &headers)?;
    let letter = face.letter(&actor, read_order(request).await?).await?;
    let sender: ActorAddress = letter.sender.parse()?;
    let sent: MessageStatus = face.ask(&sender, admin::SENT, &(&letter.id,)).await?;
    tracing::info!(%actor, sender = letter.sender, sequence = letter.sequence, peer = %from.0, "asked to replay a letter");
    let call = DynamicCall {
        address: actor.clone(),
        method: sent.method,
        arguments: sent.arguments,
        timeout: None,
        key: Some(format!("{REPLAY_KEY}{}", letter.id)),
    };
    let outcome = match face.core.call_dynamic(call).await {
        // It was read, and its own error is an answer.
        Err(failure) if failure.code == FailureCode::ActorError => Err(failure),
        outcome => Ok(outcome?),
    };
    face.give_up(&actor, &letter).await?;
    let answer = codec::to_json(&outcome?);
    let answer = answer.map_err(|error| Failure::new(FailureCode::BadAnswer, error.to_string()))?;
    Ok(Json(answer))
}

/// Gives up a letter: its message never runs.
pub(super) async fn give_up(
    State(face): State<Shared>,
    Extension(from): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
    Subject(actor): Subject,
    request: Request,
) -> Result<Json<Value>, Problem> {
    authorize(&face, from, &headers)?;
    let letter = face.letter(&actor, read_order(request).await?).await?;
    tracing::info!(%actor, sender = letter.sender, sequence = letter.sequence, peer = %from.0, "asked to drop a letter");
    face.give_up(&actor, &letter).await?;
    Ok(Json(json!({ "dropped": true })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadQuery {
    limit: Option<usize>,
}

/// Messages that came to nothing on this node, newest first. They hold what others have sent, whoever those were.
pub(super) async fn dead(
    State(face): State<Shared>,
    Extension(from): Extension<ConnectInfo<SocketAddr>>,
    headers: HeaderMap,
    query: Result<Query<DeadQuery>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    authorize(&face, from, &headers)?;
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let shown = |letter: &DeadLetterStatus| {
        let arguments = letter.arguments.as_deref().map(codec::to_json);
        json!({
            "time_unix_ms": letter.time_unix_ms,
            "actor": letter.actor,
            "method": letter.method,
            "code": letter.code,
            "detail": letter.detail,
            "arguments": arguments.and_then(Result::ok),
        })
    };
    Ok(Json(face.core.dead_letters(query.limit.unwrap_or(DEAD_SHOWN)).iter().map(shown).collect()))
}

impl Face {
    async fn letter(&self, actor: &ActorAddress, order: LetterOrder) -> Result<LetterStatus, Problem> {
        let letters: Vec<LetterStatus> = self.ask(actor, admin::LETTERS, &()).await?;
        let LetterOrder { sender, sequence } = order;
        let is_it = |letter: &LetterStatus| (&letter.sender, letter.sequence) == (&sender, sequence);
        letters.into_iter().find(is_it).ok_or_else(|| {
            Problem::new(HttpCode::NotFound, format!("{actor} has no letter {sequence} from {sender}"))
        })
    }

    async fn give_up(&self, actor: &ActorAddress, letter: &LetterStatus) -> Result<(), Problem> {
        self.ask(actor, admin::DROP_LETTER, &(&letter.sender, letter.sequence)).await
    }
}
