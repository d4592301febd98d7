//! Keep-alive, and its end. A node that is to be left alone says so with every answer: a client that keeps its
//! connection open would notice only by losing a request.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::Response;

use super::Shared;

pub(super) async fn closing(State(face): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    // Asked for when the answer is there: it may have taken long.
    if face.core.is_winding_down() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
