//! Connections: taken while there is room, closed in good order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::surplus::Surplus;
use super::{Setup, router};

/// How long a request's head may take to arrive, and how long a connection may rest between two requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// Memory for a request's head. A longer one is refused with 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long requests may take to finish when the server closes.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long no connection must have been open for the server to count as left alone. Clients that make one for each
/// request have none most of the time.
const QUIET_TIME: Duration = Duration::from_millis(500);

/// The pause after the operating system refused a connection, as it does when it runs out of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running server. Dropping it cuts all connections.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    open: watch::Receiver<Open>,
    ended: watch::Receiver<()>,
    accepting: AbortHandle,
}

/// How many connections are open, and since when.
#[derive(Clone, Copy, Debug)]
struct Open {
    connections: usize,
    since: Instant,
}

impl Open {
    fn now(connections: usize) -> Self {
        Self { connections, since: Instant::now() }
    }
}

impl Server {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until nobody has had a connection for a moment.
    pub(crate) async fn left_alone(&self) {
        let mut open = self.open.clone();
        loop {
            let now = *open.borrow_and_update();
            let quiet = async {
                match now.connections {
                    0 => sleep_until(now.since + QUIET_TIME).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = open.changed() => if changed.is_err() { return },
                () = quiet => return,
            }
        }
    }

    /// Takes no more connections, and waits until the requests at hand are answered or `end` has come.
    pub(crate) async fn close(&self, end: Instant) {
        self.stop.send_replace(true);
        let mut ended = self.ended.clone();
        // The task's end closes the channel, which is what is awaited.
        let _ = timeout_at(end, ended.changed()).await;
        self.accepting.abort();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves a listener that is bound to `address`.
pub(crate) fn serve(listener: TcpListener, address: SocketAddr, setup: Setup) -> Server {
    let (stop, stopped) = watch::channel(false);
    let (running, ended) = watch::channel(());
    let (count, open) = watch::channel(Open::now(0));
    let connections_max = setup.connections_max;
    let (router, face) = router(setup);
    let accepting = tokio::spawn(async move {
        let surplus = Surplus::new(face, connections_max).await;
        accept(listener, router, connections_max, surplus, stopped, &count).await;
        drop(running);
    });
    Server { address, stop, open, ended, accepting: accepting.abort_handle() }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    mut surplus: Surplus,
    mut stopped: watch::Receiver<bool>,
    count: &watch::Sender<Open>,
) {
    // The set cuts its connections when this task ends or is aborted.
    let mut connections = JoinSet::new();
    let graceful = GracefulShutdown::new();
    let head = Arc::new(head_limits());
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {
                count.send_replace(Open::now(connections.len()));
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                surplus.failed(&error);
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if connections.len() >= connections_max {
            surplus.refuse(stream);
            continue;
        }
        let watcher = graceful.watcher();
        let connection = connection(&head, stream, peer, router.clone());
        connections.spawn(async move {
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%peer, %error, "an HTTP connection ended early");
            }
        });
        count.send_replace(Open::now(connections.len()));
    }
    drop(listener);
    if timeout(CLOSE_TIME_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("HTTP requests were still running and are cut");
    }
}

fn head_limits() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    builder
}

fn connection(
    head: &http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + use<> {
    // Answers are small and waited for; a failure here only makes them slower.
    let _ = stream.set_nodelay(true);
    let service = router.layer(axum::Extension(ConnectInfo(peer)));
    head.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
}
