//! One node's side of the network: what it knows of its peers and what waits for them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use gritmesh_runtime::admission::{Hello, Secret};
use gritmesh_runtime::frame::{self, FRAME_BYTES_MAX, HEADER_BYTES};
use gritmesh_runtime::{DialError, LossReason, Network, NodeId, NodeInfo, SendError, Tag, TrafficClass};

use super::{AttemptId, ConnectionId, NetworkOccurrence, QUEUE_BYTES_MAX, QUEUE_ENVELOPES_MAX, Report, Side};
use crate::NodeIndex;
use crate::trace::{Kind, class_and_size};
use crate::world::{Event, Handle, Process, State};

/// Peers that a node may know. More than the largest cluster that is simulated; further ones are not learned.
const PEERS_MAX: usize = 16 * 1024;

/// How long a dial takes that fails before anything is sent.
const LOCAL_FAILURE: Duration = Duration::from_micros(10);

/// One node, as the network sees it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) node_id: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) secret: Secret,
    pub(crate) hello: Hello,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    pub(crate) dials_under_way: usize,
}

/// What a node knows of a peer.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) queues: [ClassQueue; 4],
    /// The open connection.
    pub(crate) connection: Option<(ConnectionId, Side)>,
    /// The attempt that a send has started.
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) is_dirty: bool,
}

impl Peer {
    pub(crate) fn has_waiting(&self) -> bool {
        self.queues.iter().any(|queue| !queue.tags.is_empty())
    }

    /// Empties the queues; returns the tags of what was surely not sent.
    pub(crate) fn take_unsent(&mut self) -> Vec<Tag> {
        let queues = self.queues.iter_mut().flat_map(|queue| {
            queue.bytes.clear();
            queue.tags.drain(..)
        });
        queues.map(|(tag, _)| tag).filter(|tag| *tag != Tag::default()).collect()
    }
}

/// Envelopes of one class that wait for a peer: the very bytes to write, and who they are.
#[derive(Debug, Default)]
pub(crate) struct ClassQueue {
    bytes: Vec<u8>,
    /// Tag and size of each, frame header included.
    tags: VecDeque<(Tag, u32)>,
}

impl ClassQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    fn has_room(&self, body: usize) -> bool {
        self.bytes.len() + body + HEADER_BYTES <= QUEUE_BYTES_MAX && self.tags.len() < QUEUE_ENVELOPES_MAX
    }

    fn push(&mut self, tag: Tag, body: &[u8]) {
        frame::append(&mut self.bytes, body);
        self.tags.push_back((tag, (body.len() + HEADER_BYTES) as u32));
    }

    /// Takes out envelopes whose tag is chosen.
    fn withdraw(&mut self, chosen: &dyn Fn(Tag) -> bool) -> Vec<Tag> {
        let (bytes, tags) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.tags));
        let (mut start, mut withdrawn) = (0, Vec::new());
        for (tag, size) in tags {
            let end = start + size as usize;
            if tag != Tag::default() && chosen(tag) {
                withdrawn.push(tag);
            } else {
                self.bytes.extend_from_slice(&bytes[start..end]);
                self.tags.push_back((tag, size));
            }
            start = end;
        }
        withdrawn
    }

    /// Takes whole envelopes of at most `room` bytes, but at least one.
    pub(crate) fn take(&mut self, room: usize, spare: Vec<u8>) -> Vec<u8> {
        if self.bytes.len() <= room {
            self.tags.clear();
            return std::mem::replace(&mut self.bytes, spare);
        }
        let mut end = 0;
        while let Some((_, bytes)) = self.tags.front() {
            if end > 0 && end + *bytes as usize > room {
                break;
            }
            end += *bytes as usize;
            self.tags.pop_front();
        }
        let mut taken = spare;
        taken.extend_from_slice(&self.bytes[..end]);
        self.bytes.drain(..end);
        taken
    }
}

impl Endpoint {
    pub(crate) const fn new(secret: Secret, hello: Hello) -> Self {
        let (node_id, address) = (hello.info.node_id, hello.info.peer_address);
        Self { node_id, address, secret, hello, peers: BTreeMap::new(), dials_under_way: 0 }
    }
}

impl State {
    pub(crate) fn endpoint(&mut self, process: Process) -> &mut Endpoint {
        &mut self.host_mut(process.node).endpoint
    }

    /// Notes that something waits for a peer, to be written at the end of this instant.
    pub(crate) fn mark_dirty(&mut self, process: Process, peer: NodeId) {
        let Some(entry) = self.endpoint(process).peers.get_mut(&peer) else { return };
        if !entry.is_dirty && entry.has_waiting() {
            entry.is_dirty = true;
            self.network.dirty.push((process.node, peer));
        }
    }

    fn queue_envelope(
        &mut self,
        process: Process,
        to: NodeId,
        class: TrafficClass,
        tag: Tag,
        body: &[u8],
    ) -> Result<(), SendError> {
        if !self.is_current(process) {
            return Err(SendError::Closed);
        }
        let lie = self.lie_of(process.node, class, body);
        let body = lie.as_deref().unwrap_or(body);
        if body.len() > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge { bytes: body.len(), limit: FRAME_BYTES_MAX });
        }
        let peer = self.endpoint(process).peers.get_mut(&to).ok_or(SendError::UnknownPeer)?;
        if peer.address.is_none() && peer.connection.is_none() {
            return Err(SendError::UnknownPeer);
        }
        let queue = &mut peer.queues[class as usize];
        if !queue.has_room(body.len()) {
            let peer = self.network.node_by_id(to);
            self.record(Kind::NotSent, Some(process.node), peer, [class_and_size(class, body.len()), 0]);
            return Err(SendError::QueueFull);
        }
        queue.push(tag, body);
        if !peer.is_dirty {
            peer.is_dirty = true;
            self.network.dirty.push((process.node, to));
        }
        Ok(())
    }

    /// What a node says instead of a frame of gossip, if it lies.
    fn lie_of(&mut self, node: NodeIndex, class: TrafficClass, body: &[u8]) -> Option<Vec<u8>> {
        let per_million = self.host(node).lies_per_million;
        if class != TrafficClass::Gossip || per_million == 0 {
            return None;
        }
        if !self.lies_rng.chance(f64::from(per_million) / 1e6) {
            return None;
        }
        let about: Vec<NodeInfo> = self.hosts.iter().map(|host| host.endpoint.hello.info.clone()).collect();
        Some(gritmesh_core::lie_instead_of(body, &mut self.lies_rng, &about))
    }

    /// Drops what is known of a peer and closes its connection.
    fn forget_peer(&mut self, process: Process, peer: NodeId) {
        let Some(entry) = self.endpoint(process).peers.get_mut(&peer) else { return };
        match entry.connection {
            Some((connection, side)) => {
                self.close_end(connection, side, LossReason::Local);
                self.hang_up(connection, side, LossReason::Closed);
            }
            None if entry.has_waiting() => {
                let unsent = entry.take_unsent();
                self.report(process, Report::Lost { peer, reason: LossReason::Local, unsent });
            }
            None => {}
        }
        self.endpoint(process).peers.remove(&peer);
    }

    fn dial_text(&mut self, process: Process, text: &str) {
        let own = self.host(process.node).endpoint.address;
        if let Some(addresses) = self.look_up(process.node, text) {
            let report = Report::Resolved { name: text.to_owned(), addresses };
            let occurrence = NetworkOccurrence::Report { process, report };
            self.queue.push(self.now + LOCAL_FAILURE, Event::Network(occurrence));
            return;
        }
        let error = match self.resolve(text) {
            Ok(address) if address == own => DialError::Own { address },
            Ok(address) => match self.start_attempt(process, address, Some(text.to_owned()), None) {
                Ok(_) => return,
                Err(error) => error,
            },
            Err(detail) => DialError::Resolve { address: text.to_owned(), detail },
        };
        let report = Report::DialFailed { address: text.to_owned(), error };
        let occurrence = NetworkOccurrence::Report { process, report };
        self.queue.push(self.now + LOCAL_FAILURE, Event::Network(occurrence));
    }

    /// What a name stands for that was given to the world. As resolvers do, a node's own address comes first.
    fn look_up(&self, node: NodeIndex, text: &str) -> Option<Vec<SocketAddr>> {
        let (name, port) = text.rsplit_once(':')?;
        let (nodes, port) = (self.network.names.get(name)?, port.parse().ok()?);
        let mut nodes: Vec<NodeIndex> = nodes.clone();
        nodes.sort_by_key(|shown| *shown != node);
        let address = |node: NodeIndex| SocketAddr::new(self.host(node).endpoint.address.ip(), port);
        Some(nodes.into_iter().map(address).collect()).filter(|found: &Vec<_>| !found.is_empty())
    }

    /// Looks a name up: a socket address, or `nK:port` for the node with index K.
    fn resolve(&self, text: &str) -> Result<SocketAddr, String> {
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        let (name, port) = text.rsplit_once(':').ok_or("it is not of the form `host:port`")?;
        let port: u16 = port.parse().map_err(|_| "the port is not a number below 65536".to_owned())?;
        let host = name.strip_prefix('n').and_then(|number| number.parse::<usize>().ok());
        let host = host.and_then(|index| self.hosts.get(index)).ok_or("no such host")?;
        Ok(SocketAddr::new(host.endpoint.address.ip(), port))
    }
}

impl Network for Handle {
    fn send(&self, to: NodeId, class: TrafficClass, tag: Tag, body: &[u8]) -> Result<(), SendError> {
        self.lock().queue_envelope(self.process, to, class, tag, body)
    }

    fn withdraw(&self, to: NodeId, class: TrafficClass, chosen: &dyn Fn(Tag) -> bool) -> Vec<Tag> {
        let mut state = self.lock();
        if !state.is_current(self.process) {
            return Vec::new();
        }
        let peer = state.endpoint(self.process).peers.get_mut(&to);
        peer.map(|peer| peer.queues[class as usize].withdraw(chosen)).unwrap_or_default()
    }

    fn dial(&self, address: &str) {
        let mut state = self.lock();
        if state.is_current(self.process) {
            state.dial_text(self.process, address);
        }
    }

    fn learn(&self, info: &NodeInfo) {
        let mut state = self.lock();
        if !state.is_current(self.process) {
            return;
        }
        let endpoint = state.endpoint(self.process);
        let is_room = endpoint.peers.len() < PEERS_MAX || endpoint.peers.contains_key(&info.node_id);
        if info.node_id != endpoint.node_id && is_room {
            endpoint.peers.entry(info.node_id).or_default().address = Some(info.peer_address);
        }
    }

    fn forget(&self, peer: NodeId) {
        let mut state = self.lock();
        if state.is_current(self.process) {
            state.forget_peer(self.process, peer);
        }
    }

    fn set_hello(&self, hello: Hello) {
        let mut state = self.lock();
        if state.is_current(self.process) {
            state.endpoint(self.process).hello = hello;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_gives_whole_envelopes_and_keeps_the_rest() {
        let mut queue = ClassQueue::default();
        for tag in 1..=3 {
            queue.push(Tag(tag), &[tag as u8; 6]);
        }
        assert_eq!(queue.take(25, Vec::new()).len(), 20);
        assert_eq!(queue.take(1, Vec::new()), [6, 0, 0, 0, 3, 3, 3, 3, 3, 3]);
        assert!(queue.is_empty() && queue.bytes.is_empty());
    }

    #[test]
    fn what_is_withdrawn_is_gone_and_the_rest_stays_in_order() {
        let mut queue = ClassQueue::default();
        for tag in [1, 0, 2, 3] {
            queue.push(Tag(tag), &[tag as u8; 2]);
        }
        assert_eq!(queue.withdraw(&|tag| tag.0 < 3), [Tag(1), Tag(2)]);
        assert_eq!(queue.take(100, Vec::new()), [2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_queue_is_bounded_in_bytes_and_in_number() {
        let mut queue = ClassQueue::default();
        (0..QUEUE_ENVELOPES_MAX).for_each(|_| queue.push(Tag(1), b""));
        assert!(!queue.has_room(0));
        let mut queue = ClassQueue::default();
        queue.push(Tag(1), &vec![0; FRAME_BYTES_MAX]);
        assert!(queue.has_room(FRAME_BYTES_MAX - 2 * HEADER_BYTES));
        assert!(!queue.has_room(FRAME_BYTES_MAX));
    }
}
