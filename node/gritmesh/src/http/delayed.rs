//! Messages that wait for their time. In memory only: they are gone when the node is.

use std::sync::{Arc, Weak};
use std::time::Duration;

use gritmesh_core::DynamicCall;
use gritmesh_runtime::{Failure, FailureCode};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::problem::Problem;

/// Memory of all waiting messages, in KiB, and with it their number: each takes at least one.
const WAITING_KIB_MAX: usize = 64 * 1024;

/// Messages of one node that wait for their time. Dropping it drops them.
#[derive(Debug)]
pub(super) struct Delayed {
    room: Arc<Semaphore>,
    timers: Mutex<JoinSet<()>>,
}

impl Delayed {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(WAITING_KIB_MAX)), timers: Mutex::default() }
    }

    /// Sends a message after a delay, if the node still runs then.
    pub(super) fn send_after(
        &self,
        core: &Arc<gritmesh_core::Node>,
        delay: Duration,
        call: DynamicCall,
    ) -> Result<(), Problem> {
        let kib = u32::try_from(call.arguments.len() / 1024 + 1).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kib) else {
            let detail = "too many delayed messages wait on this node";
            return Err(Failure::new(FailureCode::Overloaded, detail).into());
        };
        let core: Weak<gritmesh_core::Node> = Arc::downgrade(core);
        let mut timers = self.timers.lock();
        while timers.try_join_next().is_some() {}
        timers.spawn(async move {
            sleep(delay).await;
            drop(room);
            if let Some(core) = core.upgrade() {
                core.send_dynamic(call);
            }
        });
        Ok(())
    }
}
