//! What every request passes: where it comes from, its body, a bound on how many there are at once, a net for defects,
//! and a count.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, ORIGIN, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::sync::SemaphorePermit;

use super::call::bad_request;
use super::framing::Ambiguous;
use super::problem::{HttpCode, Problem, Refused};
use super::{Face, Shared, call, health, single};

/// Headers that proxies add, for whom they speak or of themselves. One that ends in `*` stands for all that begin so.
const PROXY_HEADERS: [&str; 26] = [
    "ali-cdn-*",
    "cdn-*",
    "cf-*",
    "client-ip",
    "cloudfront-*",
    "do-connecting-ip",
    "fastly-*",
    "fly-*",
    "forwarded*",
    "incap-client-ip",
    "proxy-client-ip",
    "true-client-*",
    "via",
    "wl-proxy-*",
    "x-appengine-*",
    "x-azure-*",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-*",
    "x-forward*",
    "x-host-forwarded*",
    "x-nf-*",
    "x-origin*",
    "x-proxy*",
    "x-real-*",
    "x-remote-*",
];

pub(super) async fn guard(State(face): State<Shared>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let is_last = request.headers().contains_key(TRANSFER_ENCODING);
    let response = AssertUnwindSafe(pass(&face, &route, request, next)).catch_unwind().await;
    let response = response.unwrap_or_else(|_| {
        tracing::error!(route, "a request caused a panic");
        Err(Problem::new(HttpCode::Internal, "the request met a defect of this node; see its log"))
    });
    let mut response = response.unwrap_or_else(Problem::into_response);
    if is_last {
        // Nobody follows where the next one would begin; see `framing`.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    count(&face, &route, begun, response)
}

async fn pass(face: &Face, route: &str, request: Request, next: Next) -> Result<Response, Problem> {
    if request.extensions().get::<Ambiguous>().is_some_and(Ambiguous::is_set) {
        let detail = "a request has either `Content-Length` or `Transfer-Encoding`, and not both";
        return Err(bad_request(detail));
    }
    check_coding(request.headers())?;
    single::check(&request)?;
    face.hosts.check(&request)?;
    let request = receive(face, request).await?;
    let _permit = admit(face, route)?;
    Ok(next.run(request).await)
}

/// What the last coding of a body is, is not enough: below it, `gzip` would be taken for what the client means. And a proxy
/// that reads the list in another way takes another part for the body (RFC 9112, 6.1).
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => {
            let detail = "the only `Transfer-Encoding` that a body may have is `chunked`, once";
            Err(Problem::new(HttpCode::NotSupported, detail))
        }
    }
}

/// Waits for the body of what changes something. Whatever else has one, nobody reads.
async fn receive(face: &Face, request: Request) -> Result<Request, Problem> {
    if request.method() != Method::POST {
        return Ok(request);
    }
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.0.ip());
    let (parts, body) = request.into_parts();
    let body = face.bodies.receive(from, body).await?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn admit<'a>(face: &'a Face, route: &str) -> Result<Option<SemaphorePermit<'a>>, Problem> {
    // A node that is asked too much is alive, and one wants to see why.
    if health::is_vital(route) {
        return Ok(None);
    }
    let mut permit = face.requests.try_acquire();
    if permit.is_err() && ![call::CALL, call::SEND].contains(&route) {
        permit = face.reserve.try_acquire();
    }
    let busy = "this node serves as many requests as it may; try again";
    permit.map(Some).map_err(|_| Problem::new(HttpCode::Busy, busy))
}

fn count(face: &Face, route: &str, begun: Instant, response: Response) -> Response {
    let code = response.extensions().get::<Refused>().map_or("ok", |refused| refused.0);
    face.meter.count(route, code, begun.elapsed());
    response
}

/// What proxies say of whom they speak for. A proxy on this machine makes all the world look as if it sat here.
fn passed_on(headers: &HeaderMap) -> Option<&HeaderName> {
    let stands_for = |known: &str, name: &str| match known.strip_suffix('*') {
        Some(kind) => name.starts_with(kind),
        None => name == known,
    };
    headers.keys().find(|name| PROXY_HEADERS.iter().any(|known| stands_for(known, name.as_str())))
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
        if let Some(name) = passed_on(headers) {
            let detail = format!(
                "the request came through a proxy (`{name}`), so nobody knows from which machine: administrative \
                 requests by a proxy need a token; set `--token`"
            );
            return Err(Problem::new(HttpCode::Unauthorized, detail));
        }
        if headers.contains_key(ORIGIN) {
            let detail = "administrative requests are not taken from web pages unless a token is set";
            return Err(Problem::new(HttpCode::Forbidden, detail));
        }
        return Ok(());
    };
    let given = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    // Hashes compare in constant time.
    match given.is_some_and(|given| blake3::hash(given) == blake3::hash(token.as_bytes())) {
        true => Ok(()),
        false => {
            let detail = "send the node's token as `Authorization: Bearer TOKEN`";
            Err(Problem::new(HttpCode::Unauthorized, detail))
        }
    }
}

/// The token of an `Authorization`. The name of the scheme is the same in any case.
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked(b"bearer".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && token.starts_with(b" ");
    is_bearer.then(|| token.trim_ascii())
}
