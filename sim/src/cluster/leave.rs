//! Stopping a node in good order, as its process does when it is told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{Either, select};

use super::Sim;
use crate::world::NodeIndex;

/// How long a node may take to hand its shards over before it leaves all the same.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A node that is on its way out.
pub(super) struct Leaving {
    gone: Arc<AtomicBool>,
}

impl Sim {
    /// Lets a node leave: it hands over its shards, says good-bye and ends. Time has to pass for that; the node is gone
    /// when [`node`](Self::node) says so. Nothing happens if it does not run.
    pub fn leave(&mut self, node: u16) {
        let member = &mut self.members[usize::from(node)];
        let Some(running) = member.node.clone().filter(|_| member.leaving.is_none()) else { return };
        let gone = Arc::new(AtomicBool::new(false));
        member.leaving = Some(Leaving { gone: Arc::clone(&gone) });
        let environment = self.world.environment(NodeIndex(node));
        let limit = environment.spawn.sleep_until(environment.clock.now() + DRAIN_LIMIT);
        environment.spawn.spawn(Box::pin(async move {
            match select(Box::pin(running.drain()), limit).await {
                Either::Left(_) | Either::Right(_) => running.leave().await,
            }
            gone.store(true, Ordering::Relaxed);
        }));
    }

    /// Starts a node again that left, or cuts short its leaving. Nothing happens to one that stays.
    pub fn come_back(&mut self, node: u16) {
        let member = &self.members[usize::from(node)];
        if member.leaving.is_some() || !self.world.is_running(NodeIndex(node)) {
            self.restart(node);
        }
    }

    /// Ends the processes of nodes that have left.
    pub(super) fn look_after_leavers(&mut self) {
        for number in 0..self.len() {
            let member = &mut self.members[usize::from(number)];
            if member.leaving.take_if(|leaving| leaving.gone.load(Ordering::Relaxed)).is_some() {
                if let Some(node) = member.node.take() {
                    node.stop();
                }
                self.world.shut_down(NodeIndex(number));
            }
        }
    }
}
