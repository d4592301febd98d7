//! What every request passes: a bound on how many there are at once, a net for defects, and a count.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, ORIGIN};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use super::problem::{HttpCode, Problem, Refused};
use super::{Face, Shared, health};

pub(super) async fn guard(State(face): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let permit = match face.requests.try_acquire() {
        Ok(permit) => Some(permit),
        // A node that is asked too much is alive, and one wants to see why.
        Err(_) if health::is_vital(&route) => None,
        Err(_) => {
            let busy = Problem::new(HttpCode::Busy, "this node serves as many requests as it may; try again");
            return count(&face, &route, busy.into_response());
        }
    };
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = response.unwrap_or_else(|_| {
        tracing::error!(route, "a request caused a panic");
        Problem::new(HttpCode::Internal, "the request met a defect of this node; see its log").into_response()
    });
    drop(permit);
    count(&face, &route, response)
}

fn count(face: &Face, route: &str, response: Response) -> Response {
    let code = response.extensions().get::<Refused>().map_or("ok", |refused| refused.0);
    face.meter.count(route, code);
    response
}

/// Whether a request may change the node: it has the token, or, where there is none, comes from this machine and
/// not from a web page.
pub(super) fn authorize(
    face: &Face,
    from: ConnectInfo<SocketAddr>,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let Some(token) = face.token.get() else {
        if !from.0.ip().to_canonical().is_loopback() {
            let detail =
                "administrative requests are taken from this machine only; set `--token` to open them";
            return Err(Problem::new(HttpCode::Forbidden, detail));
        }
        if headers.contains_key(ORIGIN) {
            let detail = "administrative requests are not taken from web pages unless a token is set";
            return Err(Problem::new(HttpCode::Forbidden, detail));
        }
        return Ok(());
    };
    let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    // Hashes compare in constant time.
    match given.is_some_and(|given| blake3::hash(given) == blake3::hash(token.as_bytes())) {
        true => Ok(()),
        false => {
            let detail = "send the node's token as `Authorization: Bearer TOKEN`";
            Err(Problem::new(HttpCode::Unauthorized, detail))
        }
    }
}
