//! What a process with nodes in it needs: an executor, and an ear for signals.

use std::future::Future;

use rustix::fs::Mode;
use rustix::process::umask;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output::Failed;
use crate::{Node, files};

/// What a shell reports for a process that ends by ctrl-C.
const INTERRUPTED: i32 = 130;

/// What group and others may do.
const OTHERS: u32 = 0o077;

/// Settles what belongs to the whole process: what it makes is for its user only, and it may have as many files open as
/// the operating system lets it.
pub(super) fn settle() {
    umask(Mode::from_raw_mode(OTHERS));
    files::raise_limit();
}

/// Runs a future on an executor of its own, with one thread per core.
pub(super) fn block_on(future: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    let executor = Builder::new_multi_thread().enable_all().build();
    let executor = executor.map_err(|error| Failed::Unusable(format!("cannot start threads: {error}")))?;
    let result = executor.block_on(future);
    // What still runs is a request to a node that does not answer, for instance.
    executor.shutdown_background();
    result
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To stop.
    Stop,
    /// To read the settings again.
    Reload,
}

/// Signals that ask this process for something.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failed> {
        let listen =
            |kind| signal(kind).map_err(|error| Failed::Unusable(format!("cannot catch signals: {error}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for one.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Stops nodes in good order. Whoever signals again does not want to wait for that.
    pub(super) async fn stop(&mut self, nodes: &[Node]) {
        let stopped = futures::future::join_all(nodes.iter().map(Node::shutdown));
        let asked_again = async { while self.next().await != Asked::Stop {} };
        tokio::select! {
            biased;
            () = asked_again => std::process::exit(INTERRUPTED),
            _ = stopped => {}
        }
    }
}
