//! Changes of members: each is a line, unless there are too many.

use std::collections::BTreeSet;
use std::time::Duration;

use gritmesh_membership::ClusterEvent;
use gritmesh_runtime::{Instant, NodeId};

use super::record::{Change, Record};

/// Lines about members within [`WINDOW`]. More than that is a network that comes and goes, or a cluster that is
/// started or lost as a whole; the number tells that better.
const LINES_MAX: usize = 16;
const WINDOW: Duration = Duration::from_secs(10);

/// Members that are known to be down. Beyond that, one that comes back is told as a new one.
const DOWN_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Members {
    down: BTreeSet<NodeId>,
    /// When the present window began, and how many lines it has.
    window: Option<(Instant, usize)>,
    untold: usize,
}

impl Members {
    pub(super) fn changed(&mut self, now: Instant, event: &ClusterEvent, out: &mut Vec<Record>) {
        self.look(now, out);
        let (info, change) = match event {
            ClusterEvent::NodeUp(info) => {
                (info, if self.down.remove(&info.node_id) { Change::Back } else { Change::Up })
            }
            ClusterEvent::NodeReachable(info) => (info, Change::Reachable),
            ClusterEvent::NodeUnreachable(info) => (info, Change::Unreachable),
            ClusterEvent::NodeDown(info) => {
                if self.down.len() < DOWN_MAX {
                    self.down.insert(info.node_id);
                }
                (info, Change::Down)
            }
            ClusterEvent::NodeLeft(info) => {
                self.down.remove(&info.node_id);
                (info, Change::Left)
            }
            // What changed was told already.
            ClusterEvent::MembershipChanged { .. } => return,
        };
        let (_, lines) = self.window.get_or_insert((now, 0));
        if *lines >= LINES_MAX {
            self.untold += 1;
            return;
        }
        *lines += 1;
        out.push(Record::Member { info: Box::new(info.clone()), change });
    }

    pub(super) fn look(&mut self, now: Instant, out: &mut Vec<Record>) {
        if self.window.is_some_and(|(began, _)| now.saturating_since(began) >= WINDOW) {
            self.window = None;
            match std::mem::take(&mut self.untold) {
                0 => {}
                changes => out.push(Record::MembersUntold { changes }),
            }
        }
    }
}
