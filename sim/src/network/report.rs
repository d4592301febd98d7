//! What a node is told about its peers, on its way from the world to the node's handler.

use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::frame::Frames;
use gritmesh_runtime::{DialError, LossReason, NetworkEvent, NetworkHandler, NodeId, Tag, TrafficClass};

use crate::NodeIndex;
use crate::trace::{Kind, class_and_size, digest};
use crate::world::{Call, Process, State};

/// A [`NetworkEvent`] that owns what it tells.
#[derive(Debug)]
pub(crate) enum Report {
    Connected { peer: NodeIndex, hello: Box<Hello> },
    Received { peer: NodeIndex, from: NodeId, class: TrafficClass, bytes: Vec<u8> },
    Lost { peer: NodeId, reason: LossReason, unsent: Vec<Tag> },
    Resolved { name: String, addresses: Vec<std::net::SocketAddr> },
    DialFailed { address: String, error: DialError },
    Refused { address: Option<String>, peer: Option<NodeId>, by_us: bool, refusal: Refusal },
}

impl Report {
    /// Calls the handler. Returns the buffer that held the frames, for use by the next write.
    pub(crate) fn deliver(self, handler: &dyn NetworkHandler) -> Option<Vec<u8>> {
        match self {
            Self::Connected { hello, .. } => handler.handle(NetworkEvent::Connected { hello: *hello }),
            Self::Received { from, class, bytes, .. } => {
                let (frames, _) = Frames::split(&bytes).expect("the sender checked every envelope's size");
                handler.handle(NetworkEvent::Received { from, class, frames });
                return Some(bytes);
            }
            Self::Lost { peer, reason, unsent } => {
                handler.handle(NetworkEvent::Lost { peer, reason, unsent })
            }
            Self::Resolved { name, addresses } => {
                handler.handle(NetworkEvent::Resolved { name, addresses });
            }
            Self::DialFailed { address, error } => {
                handler.handle(NetworkEvent::DialFailed { address, error });
            }
            Self::Refused { address, peer, by_us, refusal } => {
                handler.handle(NetworkEvent::Refused { address, peer, by_us, refusal });
            }
        }
        None
    }
}

impl State {
    /// Lets a process be told something, right after what is being done now.
    pub(crate) fn report(&mut self, process: Process, report: Report) {
        self.calls.push_back(Call { process, report });
    }

    pub(crate) fn record_call(&mut self, call: &Call) {
        let (kind, peer, numbers) = match &call.report {
            Report::Connected { peer, .. } => (Kind::Connected, Some(*peer), [0, 0]),
            Report::Received { peer, class, bytes, .. } => {
                (Kind::Arrived, Some(*peer), [class_and_size(*class, bytes.len()), digest(bytes)])
            }
            Report::Lost { peer, reason, unsent } => {
                (Kind::Lost, self.network.node_by_id(*peer), [*reason as u64, unsent.len() as u64])
            }
            Report::Resolved { addresses, .. } => (Kind::Resolved, None, [addresses.len() as u64, 0]),
            Report::DialFailed { .. } => (Kind::DialFailed, None, [0, 0]),
            Report::Refused { peer, by_us, .. } => {
                (Kind::Refused, peer.and_then(|id| self.network.node_by_id(id)), [u64::from(*by_us), 0])
            }
        };
        self.record(kind, Some(call.process.node), peer, numbers);
    }
}
