//! A node's current picture of all members.

use std::collections::BTreeMap;
use std::sync::Arc;

use gritmesh_runtime::{Instant, NodeId, NodeInfo};

/// All members that this node knows of, itself included.
///
/// Before a node has joined or founded a cluster, it is the only member of its view.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Counts the changes of this view; it means nothing to other nodes.
    pub version: u64,
    /// The members.
    pub members: BTreeMap<NodeId, Member>,
}

impl View {
    /// Members that are up, suspected ones included: a suspicion is not yet a reason to go elsewhere.
    pub fn active(&self) -> impl Iterator<Item = (&NodeId, &Member)> {
        self.members.iter().filter(|(_, member)| member.state.is_active())
    }
}

/// One member of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What it says of itself.
    pub info: NodeInfo,
    /// What this node thinks of it.
    pub state: MemberState,
    /// The actor types it hosts, sorted; `None` until they are known.
    pub types: Option<Arc<[String]>>,
    /// Since when it is in this state.
    pub since: Instant,
}

/// What a node thinks of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It answers.
    Alive,
    /// It did not answer a probe, and has some time to refute the suspicion.
    Unreachable,
    /// It is gone without a word.
    Down,
    /// It left of its own accord.
    Left,
}

impl MemberState {
    /// Whether the member takes part in the cluster.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Alive | Self::Unreachable)
    }

    /// The state as it stands in tables and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Unreachable => "unreachable",
            Self::Down => "down",
            Self::Left => "left",
        }
    }
}

/// What happened to a member, for whoever wants to follow it.
///
/// A member that restarts fast is replaced by its new incarnation at once: `NodeDown` for the old process,
/// then `NodeUp` for the new one, without a time between them. A member that was falsely declared down
/// rejoins by itself: `NodeUp` with the same incarnation.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterEvent {
    /// A member joined, or came back.
    NodeUp(NodeInfo),
    /// A member is gone without a word.
    NodeDown(NodeInfo),
    /// A member does not answer.
    NodeUnreachable(NodeInfo),
    /// A member that did not answer does so again.
    NodeReachable(NodeInfo),
    /// A member left of its own accord.
    NodeLeft(NodeInfo),
    /// The view changed in any way.
    MembershipChanged {
        /// The view's new version.
        version: u64,
        /// How many members are active.
        members: usize,
    },
}
