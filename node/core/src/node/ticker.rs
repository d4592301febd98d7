//! Once a second: the coarse clock goes on, idle actors leave memory, and the node looks for outages.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gritmesh_runtime::DiskSpace;

use super::Node;
use crate::engine;
use crate::passivation::{Memory, Sweep};

const PERIOD: Duration = Duration::from_secs(1);

/// Starts the ticker; it ends with the node.
pub(super) fn start(node: &Arc<Node>) {
    let weak = node.weak.clone();
    let clock = Arc::clone(&node.environment.clock);
    let spawn = Arc::clone(&node.environment.spawn);
    let mut next = clock.now();
    node.environment.spawn.spawn(Box::pin(async move {
        let mut sweep = Sweep::default();
        loop {
            // A process that was stopped does not catch up on the seconds it missed.
            next = (next + PERIOD).max(clock.now());
            spawn.sleep_until(next).await;
            let Some(node) = weak.upgrade() else { return };
            node.second(&mut sweep);
        }
    }));
}

impl Node {
    fn second(&self, sweep: &mut Sweep) {
        let now_s =
            u32::try_from(self.environment.clock.now().as_nanos() / 1_000_000_000).unwrap_or(u32::MAX);
        self.coarse_seconds.store(now_s, Ordering::Relaxed);
        self.steady.look();
        let unix = self.environment.clock.unix_time();
        let node = self.this();
        for engine in &self.engines {
            engine.post(&node, engine::Event::WallClock(unix));
        }
        let memory = Memory { used: (self.options.memory_used)(), limit: self.options.memory_limit_bytes };
        let calls = sweep.step(&self.directory, now_s, memory);
        self.metrics.direct_calls.inc_by(calls);
        self.look_around();
        self.watch_disk();
    }

    /// Says when the disk gets full, and when it has room again.
    fn watch_disk(&self) {
        let Some(space) = self.environment.disk.space() else { return };
        let DiskSpace { free_bytes, reserve_bytes } = space;
        let full = space.is_full();
        match (self.disk_full.swap(full, Ordering::Relaxed), full) {
            (false, true) => tracing::warn!(
                free_bytes,
                reserve_bytes,
                "the disk is full: changes are refused until there is room"
            ),
            (true, false) => tracing::warn!(free_bytes, "the disk has room again: changes are taken"),
            _ => {}
        }
    }
}
