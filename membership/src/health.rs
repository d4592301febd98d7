//! How far this node may trust its own judgement.
//!
//! Foca takes every unanswered probe as news about the other side. Often it is news about this one: the process
//! was stopped, the machine swaps, the network card is unplugged. Two signs are watched. A deadline that is
//! noticed much too late says that the process stood still; the machine then shifts all its deadlines. Probes
//! that fail towards most members say that this node is the one in trouble; it then gives everyone more time.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId};

/// How far back failed probes are remembered.
const WINDOW: Duration = Duration::from_secs(5);

/// The most by which suspicion is stretched, as in Lifeguard.
const STRETCH_MAX: u32 = 8;

#[derive(Debug, Default)]
pub(crate) struct Health {
    failed: BTreeMap<NodeId, Instant>,
}

impl Health {
    pub(crate) fn probe_failed(&mut self, now: Instant, node: NodeId) {
        self.failed.retain(|_, at| now - *at <= WINDOW);
        self.failed.insert(node, now);
    }

    /// By how much suspicions are to be stretched: more than once only if most of the members probed lately
    /// did not answer, and at least two.
    pub(crate) fn stretch(&self, now: Instant, others: usize, probe_period: Duration) -> u32 {
        let failed = self.failed.values().filter(|at| now - **at <= WINDOW).count();
        let probes = WINDOW.as_nanos() / probe_period.as_nanos().max(1);
        let probed = others.min(usize::try_from(probes).unwrap_or(usize::MAX));
        if failed >= 2 && failed * 2 > probed { STRETCH_MAX.min(failed as u32) } else { 1 }
    }
}

/// The factor by which times grow with the number of members: 1 up to ten of them, 3 at a thousand.
pub(crate) fn growth(members: usize) -> f64 {
    (members.max(1) as f64).log10().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trouble_with_most_members_stretches() {
        let period = Duration::from_millis(250);
        let mut health = Health::default();
        let now = Instant::from_nanos(1_000_000_000);
        let mut stretch_after = |node: u8, others| {
            health.probe_failed(now, NodeId([node; 32]));
            health.stretch(now, others, period)
        };
        assert_eq!(stretch_after(1, 1), 1, "the only other member may well be dead");
        assert_eq!(stretch_after(1, 4), 1, "one member twice is one member");
        assert_eq!(stretch_after(2, 4), 1, "two of four may be dead");
        assert_eq!(stretch_after(3, 4), 3);
        assert_eq!((4..=20).map(|node| stretch_after(node, 1000)).max(), Some(8));
        assert_eq!(health.stretch(now + Duration::from_secs(6), 4, period), 1, "it passes");
    }

    #[test]
    fn time_grows_slowly() {
        assert_eq!((growth(0), growth(10)), (1.0, 1.0));
        assert!((growth(1000) - 3.0).abs() < 1e-9);
    }
}
