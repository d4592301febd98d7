//! Notes in the trace, written from within the code of a node.

use std::fmt;
use std::sync::{Arc, Weak};

use gritmesh_runtime::Instant;

use super::World;
use super::state::Shared;
use crate::NodeIndex;

/// Writes notes about one node into the trace: for clients and actors of a test that tell what they saw. No node's
/// own code has it.
#[derive(Clone)]
pub struct Notes {
    // Weak: tasks in the world hold this.
    world: Weak<Shared>,
    node: NodeIndex,
}

impl Notes {
    /// Adds a line to the trace. Returns the instant of the world, which no clock of a node shows.
    pub fn note(&self, text: &str) -> Instant {
        // A world that is gone has no time any more.
        let Some(world) = self.world.upgrade() else { return Instant::MAX };
        let mut state = world.lock();
        let now = state.now;
        state.trace.note(now, Some(self.node), text);
        now
    }

    /// The world's time at which the clock of the node, as it runs now, shows an instant.
    pub(crate) fn world_time(&self, local: Instant) -> Instant {
        let Some(world) = self.world.upgrade() else { return Instant::MAX };
        let state = world.lock();
        state.host(self.node).clock.world(local)
    }

    /// The world's time now.
    pub(crate) fn now(&self) -> Instant {
        self.world.upgrade().map_or(Instant::MAX, |world| world.lock().now)
    }
}

impl World {
    /// The notes of one node.
    pub fn notes(&self, node: NodeIndex) -> Notes {
        Notes { world: Arc::downgrade(&self.shared), node }
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").field("node", &self.node).finish_non_exhaustive()
    }
}
