//! Connections that the node cannot serve, because it holds as many as it can, or because its clock is wrong: refused in words where there is time for it, else cut.

use std::time::Duration;

use axum::body::to_bytes;
use axum::http::header::{CONNECTION, CONTENT_LENGTH};
use axum::response::IntoResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Shared;
use super::problem::{HttpCode, Problem};

/// Refusals that are being written at once, each with a file. Further connections are cut.
const REFUSING_MAX: usize = 16;

/// How long one may take.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(1);

/// What one reads of the request that it refuses.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// The log has no more than one line for so long.
const SAID_PERIOD: Duration = Duration::from_secs(10);

/// Turns down surplus connections, and says so.
pub(super) struct Surplus {
    face: Shared,
    connections_max: usize,
    answer: Vec<u8>,
    undated: Vec<u8>,
    refusing: JoinSet<()>,
    surplus_said: Option<Instant>,
    room_said: Option<Instant>,
    undated_said: Option<Instant>,
    failure_said: Option<Instant>,
}

impl Surplus {
    pub(super) async fn new(face: Shared, connections_max: usize) -> Self {
        Self {
            face,
            connections_max,
            answer: answer("this node has as many connections as it may; try again").await,
            undated: answer("the clock of this node shows a time before 1970 or after 9999: set it").await,
            refusing: JoinSet::new(),
            surplus_said: None,
            room_said: None,
            undated_said: None,
            failure_said: None,
        }
    }

    pub(super) fn refuse(&mut self, stream: TcpStream) {
        self.face.meter.count_surplus();
        if is_time(&mut self.surplus_said) {
            tracing::warn!(
                connections_max = self.connections_max,
                "HTTP connections are refused: as many are open as this process has files for"
            );
        }
        let answer = self.answer.clone();
        self.begin(stream, answer);
    }

    /// A connection that rested has ended for a new one.
    pub(super) fn made_room(&mut self) {
        self.face.meter.count_crowded_out();
        if is_time(&mut self.room_said) {
            tracing::warn!(
                connections_max = self.connections_max,
                "HTTP connections that rest give way to new ones: as many are open as this process has files for"
            );
        }
    }

    /// HTTP has no form for what the clock shows.
    pub(super) fn refuse_undated(&mut self, stream: TcpStream) {
        if is_time(&mut self.undated_said) {
            tracing::warn!(
                "the clock shows a time before 1970 or after 9999: HTTP is refused until it is set"
            );
        }
        let answer = self.undated.clone();
        self.begin(stream, answer);
    }

    fn begin(&mut self, stream: TcpStream, answer: Vec<u8>) {
        while self.refusing.try_join_next().is_some() {}
        if self.refusing.len() < REFUSING_MAX {
            self.refusing.spawn(refuse(stream, answer));
        }
    }

    /// The operating system gave no connection, as when there are no files left.
    pub(super) fn failed(&mut self, error: &std::io::Error) {
        if is_time(&mut self.failure_said) {
            tracing::warn!(%error, "accepting an HTTP connection failed");
        }
    }
}

fn is_time(said: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_time = said.is_none_or(|last| now.duration_since(last) >= SAID_PERIOD);
    if is_time {
        *said = Some(now);
    }
    is_time
}

/// What is left unread when a connection is closed makes the other side lose the answer, so some of it is read.
async fn refuse(mut stream: TcpStream, answer: Vec<u8>) {
    let talk = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        let mut rest = (&mut stream).take(REQUEST_BYTES_MAX as u64);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whoever is gone needs no answer.
    let _ = timeout(REFUSAL_TIME_MAX, talk).await;
}

/// The refusal as bytes.
async fn answer(detail: &str) -> Vec<u8> {
    let problem = Problem::new(HttpCode::Busy, detail);
    let (mut head, body) = problem.into_response().into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("the document is in memory");
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    head.headers.insert(CONNECTION, axum::http::HeaderValue::from_static("close"));
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}
