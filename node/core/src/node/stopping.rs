//! How a node leaves and stops.

use std::sync::atomic::Ordering;

use super::Node;
use crate::{control, engine};

impl Node {
    /// Says from now on that this node is to be sent no more work, although it still does what it is sent.
    pub fn announce_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Announces that this node leaves, and waits until that is sent.
    pub async fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.control.post(&self.this(), control::Event::Leave);
        self.left.wait().await;
        // Until they heard of it, others have sent calls here, also some to be passed on.
        self.outlast_passed_on().await;
    }

    /// Lets go of every actor at once, as a crash does, and tells everyone who waits for this node that it is no more.
    /// Both hold their node and the node holds them, so the last `Arc` of a node that is not stopped is never
    /// dropped.
    pub fn stop(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.directory.clear();
        let node = self.this();
        for engine in &self.engines {
            // Until it hears of it, an engine may still bring actors into memory; those are dropped when it has.
            engine.post(&node, engine::Event::Stop);
        }
    }
}
