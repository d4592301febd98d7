//! What tests ask of a [`World`].

use std::collections::BTreeSet;
use std::time::Duration;

use gritmesh_runtime::{ClusterId, NodeId};

use super::world::{World, millis};
use crate::{ClusterEvent, MemberState};

impl World {
    /// Runs until a condition holds and returns how long that took.
    pub(crate) fn run_until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> Duration {
        let begin = self.now;
        while !holds(self) {
            assert!(self.now - begin < limit, "nothing after {limit:?}: {:?}", self.sizes());
            self.run(millis(5));
        }
        self.now - begin
    }

    /// Whether every running node sees exactly the running ones alive.
    pub(crate) fn agree(&self, size: usize) -> bool {
        let running: BTreeSet<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.running).map(|(id, _)| *id).collect();
        running.len() == size
            && self.nodes.values().filter(|node| node.running).all(|node| {
                let alive = node.machine.view().members.iter();
                let alive = alive.filter(|(_, member)| member.state == MemberState::Alive).map(|(id, _)| *id);
                alive.eq(running.iter().copied())
            })
    }

    /// Whether every other running node takes this one to be in this state.
    pub(crate) fn all_see(&self, number: u16, state: MemberState) -> bool {
        let id = Self::id(number);
        self.nodes
            .iter()
            .filter(|(other, node)| **other != id && node.running)
            .all(|(_, node)| node.machine.view().members.get(&id).is_some_and(|member| member.state == state))
    }

    /// How often any node declared down one of those that `healthy` names.
    pub(crate) fn deaths(&self, healthy: impl Fn(u16) -> bool) -> usize {
        self.count(|event| match event {
            ClusterEvent::NodeDown(info) => healthy(self.nodes[&info.node_id].number),
            _ => false,
        })
    }

    /// How often any node suspected one of those that `healthy` names.
    pub(crate) fn suspicions(&self, healthy: impl Fn(u16) -> bool) -> usize {
        self.count(|event| match event {
            ClusterEvent::NodeUnreachable(info) => healthy(self.nodes[&info.node_id].number),
            _ => false,
        })
    }

    fn count(&self, matches: impl Fn(&ClusterEvent) -> bool) -> usize {
        let events = self.nodes.values().flat_map(|node| &node.log);
        events.filter(|(_, event)| matches(event)).count()
    }

    /// For messages of failed assertions.
    pub(crate) fn sizes(&self) -> Vec<(u16, Option<ClusterId>, usize)> {
        let nodes = self.nodes.values().filter(|node| node.running);
        nodes
            .map(|node| (node.number, node.machine.cluster(), node.machine.view().active().count()))
            .collect()
    }
}
