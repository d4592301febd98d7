//! Whether there is room for changes, here and where the other replicas are.
//!
//! **Problem.** An entry that finds no room on the disk stays under way until there is some, and whoever asks its actor
//! waits behind it. It cannot be taken back: others may have it.
//!
//! **Design.** A disk says that it is full while it still has room for what is under way, and from then on nothing is
//! proposed for a caller: he is refused at once. A node whose disk is full says so with its messages of logs, and a leader
//! that hears it from so many that the others are no majority refuses, too. What is heard counts for some seconds, or until
//! a message comes without it. What makes room, as forgetting old answers, is proposed all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_runtime::{Failure, FailureCode, Instant, NodeId, ShardId};

use super::Engine;
use crate::wire::LogMessages;

/// Peers whose disk is full, as far as was heard, and until when that counts.
#[derive(Debug)]
pub(super) struct FullPeers {
    until: BTreeMap<NodeId, Instant>,
    heard_for: Duration,
}

impl FullPeers {
    pub(super) const fn new(heard_for: Duration) -> Self {
        Self { until: BTreeMap::new(), heard_for }
    }

    pub(super) fn heard(&mut self, now: Instant, peer: NodeId, full: bool) {
        if full {
            self.until.insert(peer, now + self.heard_for);
        } else {
            self.until.remove(&peer);
        }
    }

    fn is_full(&self, now: Instant, peer: NodeId) -> bool {
        self.until.get(&peer).is_some_and(|until| *until > now)
    }
}

impl Engine {
    /// Why nothing new may be written to a shard that is led here, if that is so.
    pub(super) fn lacks_room(&self, now: Instant, shard: ShardId) -> Option<Failure> {
        if self.writer.is_full() || !self.disk.has_room() {
            return Some(disk_full("the disk of the node that leads the shard is full"));
        }
        if self.full_peers.until.is_empty() {
            return None;
        }
        let group = self.groups.get(&shard)?;
        let (mut voters, mut full) = (0, 0);
        for voter in group.config.voters() {
            voters += 1;
            full += usize::from(self.full_peers.is_full(now, voter.node));
        }
        (full > 0 && voters - full <= voters / 2).then(|| {
            disk_full("the disks of so many replicas of the shard are full that the others are no majority")
        })
    }

    /// Envelopes with messages of logs, which say whether the disk here is full.
    pub(super) fn envelopes(&self, messages: Vec<Vec<u8>>) -> impl Iterator<Item = Vec<u8>> + use<> {
        LogMessages::frames(messages, !self.disk.has_room())
    }
}

pub(super) fn disk_full(detail: &str) -> Failure {
    Failure::new(FailureCode::DiskFull, detail)
}
