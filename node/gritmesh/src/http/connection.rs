//! One connection of a client: how long it may rest, what its heads may take, and what its requests are told of it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;

use super::framing::{Ambiguous, Watched};

/// Shortest time for which a connection may rest, whatever is set: a request's head has to arrive within it, too.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);

/// Memory for a request's head. A longer one is refused with 431.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Serves connections.
pub(super) struct Connector {
    router: Router,
    http: http1::Builder,
}

impl Connector {
    /// A client may end its half of a connection with its request, and still gets its answer.
    pub(super) fn new(router: Router, keep_alive: Duration) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(keep_alive.max(KEEP_ALIVE_MIN))
            .max_buf_size(HEAD_BYTES_MAX)
            .half_close(true);
        Self { router, http }
    }

    pub(super) fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl GracefulConnection<Error = hyper::Error> + Send + use<> {
        // Answers are small and waited for; a failure here only makes them slower.
        let _ = stream.set_nodelay(true);
        let stream = Watched::new(stream);
        let router = TowerToHyperService::new(self.router.clone());
        let service = Marked { router, peer, ambiguous: stream.ambiguous() };
        self.http.serve_connection(TokioIo::new(stream), service)
    }
}

/// Tells each request what is known of its connection.
struct Marked {
    router: TowerToHyperService<Router>,
    peer: SocketAddr,
    ambiguous: Ambiguous,
}

impl Service<Request<Incoming>> for Marked {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(self.ambiguous.clone());
        self.router.call(request)
    }
}
