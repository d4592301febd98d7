//! The cluster as this node sees it, and the actors in memory.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use gritmesh_core::{ActorStatus, ClusterStatus, Location, ShardStatus};
use gritmesh_runtime::{Failure, FailureCode};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::call::{address, bad_path, bad_request};
use super::problem::{HttpCode, Problem};

/// Actors shown if nobody says how many, and at most.
const ACTORS_SHOWN: usize = 100;
const ACTORS_SHOWN_MAX: usize = 10_000;

/// How long another node may take to list its actors, and how many are asked at once.
const OTHERS_TIME_MAX: Duration = Duration::from_secs(2);
const OTHERS_ASKED_MAX: usize = 8;

pub(super) async fn cluster(State(face): State<Shared>) -> Json<ClusterStatus> {
    Json(face.core.cluster_status_asked(OTHERS_TIME_MAX).await)
}

pub(super) async fn shards(State(face): State<Shared>) -> Json<Vec<ShardStatus>> {
    Json(face.core.shard_statuses())
}

pub(super) async fn locate(
    State(face): State<Shared>,
    headers: HeaderMap,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Location>, Problem> {
    let Path((actor_type, id)) = path.map_err(bad_path)?;
    let address = address(&headers, &actor_type, &id)?;
    refuse_unknown_type(&face.core, &actor_type)?;
    let mut location = face.core.locate(&address).ok_or_else(|| {
        Problem::new(HttpCode::NoLeader, format!("no node is known to lead the shard of `{address}` for now"))
    })?;
    if location.active.is_none()
        && let Ok(node) = location.node_id.parse()
    {
        location.active = face.core.in_memory_of(node, &address, OTHERS_TIME_MAX).await.ok();
    }
    Ok(Json(location))
}

/// Refuses a type that surely nobody hosts: all members have said what they host, and it is not among it.
pub(super) fn refuse_unknown_type(core: &gritmesh_core::Node, actor_type: &str) -> Result<(), Problem> {
    let view = core.view();
    let hosts = |types: &[String]| types.iter().any(|name| name == actor_type);
    let may = view.active().any(|(_, member)| member.types.as_deref().is_none_or(hosts));
    match may {
        true => Ok(()),
        false => {
            let detail = format!("no node of the cluster hosts the type `{actor_type}`");
            Err(Failure::new(FailureCode::UnknownType, detail).into())
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActorsQuery {
    #[serde(rename = "type")]
    actor_type: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    all: bool,
}

/// Actors in memory.
#[derive(Debug, Serialize)]
struct Actors {
    /// Some of them.
    actors: Vec<ActorStatus>,
    /// How many there are of all types.
    total: usize,
    /// Nodes that did not answer, by name.
    unreachable: Vec<String>,
}

pub(super) async fn actors(
    State(face): State<Shared>,
    query: Result<Query<ActorsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| bad_request(error.body_text()))?;
    let limit = query.limit.unwrap_or(ACTORS_SHOWN).min(ACTORS_SHOWN_MAX);
    let (actors, total) = face.core.actors(query.actor_type.as_deref(), limit);
    let mut found = Actors { actors, total, unreachable: Vec::new() };
    if query.all {
        add_others(&face.core, query.actor_type.as_deref(), limit, &mut found).await;
    }
    Ok(Json(found).into_response())
}

/// Asks every other node for its own list. One that does not answer in time is named instead.
async fn add_others(core: &gritmesh_core::Node, actor_type: Option<&str>, limit: usize, found: &mut Actors) {
    let own = core.info().node_id;
    let view = core.view();
    let others = view.active().filter(|(node, _)| **node != own);
    let asked = others.map(|(node, member)| {
        let (node, name) = (*node, member.info.name.clone());
        async move { core.actors_of(node, actor_type, limit, OTHERS_TIME_MAX).await.map_err(|_| name) }
    });
    let asked: Vec<_> = asked.collect();
    let mut answers = stream::iter(asked).buffer_unordered(OTHERS_ASKED_MAX);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok((actors, total)) => {
                found.actors.extend(actors);
                found.total += usize::try_from(total).unwrap_or(usize::MAX);
            }
            Err(name) => found.unreachable.push(name),
        }
    }
    found.actors.sort_by(|a, b| a.address.cmp(&b.address));
    found.actors.truncate(limit);
    found.unreachable.sort();
}
