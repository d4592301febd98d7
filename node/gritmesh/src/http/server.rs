//! Connections: taken while there is room, closed in good order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::calendar::{has_date, while_dated};
use super::connection::Connector;
use super::resting::Resting;
use super::surplus::Surplus;
use super::{Setup, router};

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
    let keep_alive = setup.keep_alive;
    let (router, face) = router(setup);
    let connector = Connector::new(router, keep_alive);
    let accepting = tokio::spawn(async move {
        let surplus = Surplus::new(face, connections_max).await;
        accept(listener, connector, connections_max, surplus, stopped, &count).await;
        drop(running);
    });
    Server { address, stop, open, ended, accepting: accepting.abort_handle() }
}

async fn accept(
    listener: TcpListener,
    connector: Connector,
    connections_max: usize,
    mut surplus: Surplus,
    mut stopped: watch::Receiver<bool>,
    count: &watch::Sender<Open>,
) {
    // The set cuts its connections when this task ends or is aborted.
    let mut connections = JoinSet::new();
    let resting = Arc::new(Resting::default());
    let graceful = GracefulShutdown::new();
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
        if !has_date() {
            surplus.refuse_undated(stream);
            continue;
        }
        if connections.len() >= connections_max {
            if !resting.make_room() {
                surplus.refuse(stream);
                continue;
            }
            surplus.made_room();
            // It ends as soon as its task runs. Until then it has the file that this one needs.
            connections.join_next().await;
        }
        // Answers are small and waited for; a failure here only makes them slower.
        let _ = stream.set_nodelay(true);
        let seat = resting.take_in(peer.ip());
        let connection = graceful.watch(connector.serve(stream, peer, Arc::clone(&seat)));
        connections.spawn(async move {
            let ended = tokio::select! {
                biased;
                () = seat.cut() => return,
                ended = while_dated(connection) => ended,
            };
            if let Some(Err(error)) = ended {
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
