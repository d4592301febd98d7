//! What a process with nodes in it needs: an executor, and an ear for signals.

use std::future::Future;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output::Failed;
use crate::Node;

/// What a shell reports for a process that ends by ctrl-C.
const INTERRUPTED: i32 = 130;

/// Runs a future on an executor of its own, with one thread per core.
pub(super) fn block_on(future: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    let executor = Builder::new_multi_thread().enable_all().build();
    let executor = executor.map_err(|error| Failed::Unusable(format!("cannot start threads: {error}")))?;
    let result = executor.block_on(future);
    // What still runs is a request to a node that does not answer, for instance.
    executor.shutdown_background();
    result
}

/// Signals that ask this process to stop.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failed> {
        let listen =
            |kind| signal(kind).map_err(|error| Failed::Unusable(format!("cannot catch signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Stops nodes in good order. Whoever signals again does not want to wait for that.
    pub(super) async fn stop(&mut self, nodes: &[Node]) {
        let stopped = futures::future::join_all(nodes.iter().map(Node::shutdown));
        tokio::select! {
            biased;
            () = self.next() => std::process::exit(INTERRUPTED),
            _ = stopped => {}
        }
    }
}
