//! One connection of a client: how long it may rest, what its heads may take, and what its requests are told of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

use super::framing::{Ambiguous, Watched};
use super::resting::{Answer, Seat, nothing};
use super::writing::{STALL_TIME_MAX, Written};

/// Shortest time for which a connection may rest, whatever is set: a request's head has to arrive within it, too.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);

/// Memory for a request's head. A longer one is refused with 431.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Serves connections.
pub(super) struct Connector {
    router: Router,
    http: http1::Builder,
    stall_max: Duration,
}

impl Connector {
    /// A client may end its half of a connection with its request, and still gets its answer.
    pub(super) fn new(router: Router, keep_alive: Duration) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(keep_alive.max(KEEP_ALIVE_MIN))
            .max_buf_size(HEAD_BYTES_MAX)
            .half_close(true);
        Self { router, http, stall_max: STALL_TIME_MAX }
    }

    pub(super) fn serve<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        seat: Arc<Seat>,
    ) -> impl GracefulConnection<Error = hyper::Error> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Watched::new(Written::new(stream, Arc::clone(&seat), self.stall_max));
        let router = TowerToHyperService::new(self.router.clone());
        let service = Marked { router, peer, ambiguous: stream.ambiguous(), seat };
        self.http.serve_connection(TokioIo::new(stream), service)
    }
}

/// Tells each request what is known of its connection.
struct Marked {
    router: TowerToHyperService<Router>,
    peer: SocketAddr,
    ambiguous: Ambiguous,
    seat: Arc<Seat>,
}

impl Service<Request<Incoming>> for Marked {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(self.ambiguous.clone());
        let Some(underway) = self.seat.begin() else {
            return Box::pin(async { match nothing().await {} });
        };
        let answering = self.router.call(request);
        Box::pin(async { Ok(answering.await?.map(|body| underway.answer(body))) })
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::yield_now;

    use super::super::resting::Resting;
    use super::*;

    const ANSWER_BYTES: usize = 1 << 20;

    /// A connection on which a large answer was asked for, what serves it, and where it rests.
    async fn asked(
        stall_max: Duration,
    ) -> (DuplexStream, impl GracefulConnection<Error = hyper::Error> + Send, Arc<Resting>) {
        let router = Router::new().route("/", get(async || vec![0_u8; ANSWER_BYTES]));
        let connector = Connector { stall_max, ..Connector::new(router, Duration::from_secs(60)) };
        let (stream, mut client) = duplex(1024);
        let resting = Arc::new(Resting::default());
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = connector.serve(stream, peer, resting.take_in(peer.ip()));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        (client, connection, resting)
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_ends_its_connection() {
        let (_client, connection, _) = asked(Duration::from_millis(50)).await;
        let error = connection.await.unwrap_err();
        assert!(format!("{error:?}").contains("TimedOut"), "{error:?}");
    }

    #[tokio::test]
    async fn a_connection_rests_when_all_of_the_answer_is_written() {
        let (mut client, connection, resting) = asked(STALL_TIME_MAX).await;
        let serving = tokio::spawn(connection);
        let mut head = [0; 12];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        assert!(!resting.make_room());
        let mut read = 0;
        while read < ANSWER_BYTES {
            read += client.read(&mut [0; 4096]).await.unwrap();
        }
        while !resting.make_room() {
            assert!(!serving.is_finished());
            yield_now().await;
        }
    }
}
