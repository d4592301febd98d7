//! How connections come to be: dial, judge on both sides, confirm.

use std::net::SocketAddr;
use std::time::Duration;

use gritmesh_runtime::admission::{Hello, Refusal, admit};
use gritmesh_runtime::{DialError, LossReason, NodeId};

use super::connection::{EndState, pair};
use super::{CONNECT_TIMEOUT, ConnectionId, NetworkOccurrence, Report, Side};
use crate::NodeIndex;
use crate::world::{Event, Held, Process, QueueKey, State};

/// Dials of one node that may be under way. Gossip dials a handful at a time.
const DIALS_MAX: usize = 1024;

/// First repetition of a lost handshake packet; doubles with each.
const HANDSHAKE_RETRY: Duration = Duration::from_secs(1);

/// How long it takes to learn that no computer has an address.
const NO_SUCH_HOST: Duration = Duration::from_millis(1);

/// Names an attempt. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AttemptId(u64);

/// A connection being opened, as the dialler knows it.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(super) dialler: Process,
    /// What was dialled, if it was a dial and not a send.
    text: Option<String>,
    /// Who has to answer, if it was a send.
    wanted: Option<NodeId>,
    address: SocketAddr,
    hello: Box<Hello>,
    nonce: u64,
    timeout: QueueKey,
}

/// What a listener answers.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// Nobody listens, or somebody else than wanted.
    Unanswered { detail: &'static str },
    /// The listener has this node's identity.
    SameIdentity,
    /// The listener refuses.
    Refused { by: NodeId, refusal: Refusal },
    /// The listener accepts and proves that it may be accepted.
    Accepted { listener: Process, hello: Box<Hello>, proof: [u8; 32], nonce: u64 },
}

impl State {
    /// Opens a connection for envelopes that wait.
    pub(super) fn connect_for_send(&mut self, process: Process, peer: NodeId, address: SocketAddr) {
        match self.start_attempt(process, address, None, Some(peer)) {
            Ok(attempt) => {
                let entry = self.endpoint(process).peers.get_mut(&peer);
                entry.expect("the caller found the peer").attempt = Some(attempt);
            }
            Err(_) => self.fail_waiting(process, peer),
        }
    }

    pub(super) fn start_attempt(
        &mut self,
        dialler: Process,
        address: SocketAddr,
        text: Option<String>,
        wanted: Option<NodeId>,
    ) -> Result<AttemptId, DialError> {
        let endpoint = self.endpoint(dialler);
        if endpoint.dials_under_way >= DIALS_MAX {
            return Err(DialError::Connect { address, detail: "too many dials are under way".into() });
        }
        endpoint.dials_under_way += 1;
        let hello = Box::new(endpoint.hello.clone());
        let id = AttemptId(self.network.next_number());
        let timeout = NetworkOccurrence::AttemptTimeout { process: dialler, attempt: id };
        let timeout = self.queue.push(self.now + CONNECT_TIMEOUT, Event::Network(timeout));
        let nonce = self.network.links.nonce();
        let attempt = Attempt { dialler, text, wanted, address, hello, nonce, timeout };
        self.network.attempts.insert(id, attempt);
        let latency = match self.network.addresses.get(&address) {
            Some(to) => self.network.links.draw_latency((dialler.node, *to), &self.options.network),
            None => NO_SUCH_HOST,
        };
        let syn = NetworkOccurrence::Syn { attempt: id, tries: 0 };
        self.queue.push(self.now + latency, Event::Network(syn));
        Ok(id)
    }

    pub(super) fn on_syn(&mut self, id: AttemptId, tries: u32) {
        let Some(attempt) = self.network.attempts.get(&id) else { return };
        let dialler = attempt.dialler;
        let Some(node) = self.network.addresses.get(&attempt.address).copied() else {
            let verdict = Verdict::Unanswered { detail: "no route to host" };
            return self.on_answer(dialler, id, verdict);
        };
        if self.network.links.is_blocked((dialler.node, node)) {
            let again = NetworkOccurrence::Syn { attempt: id, tries: tries + 1 };
            self.queue.push(self.now + HANDSHAKE_RETRY * (1 << tries.min(8)), Event::Network(again));
            return;
        }
        let host = self.host_mut(node);
        let listens = host.running && host.handler.is_some();
        if listens && host.stalled {
            host.held.push(Held::Event(Event::Network(NetworkOccurrence::Syn { attempt: id, tries })));
            return;
        }
        let verdict = match self.current(node) {
            Some(listener) if listens => self.judge_dialler(listener, id),
            _ => Verdict::Unanswered { detail: "connection refused" },
        };
        let latency = self.network.links.draw_latency((node, dialler.node), &self.options.network);
        let answer = NetworkOccurrence::Answer { process: dialler, attempt: id, verdict };
        self.queue.push(self.now + latency, Event::Network(answer));
    }

    /// The listener's side of admission.
    fn judge_dialler(&mut self, listener: Process, id: AttemptId) -> Verdict {
        let nonce = self.network.links.nonce();
        let attempt = &self.network.attempts[&id];
        let dialler = &self.host(attempt.dialler.node).endpoint;
        let ours = &self.host(listener.node).endpoint;
        if attempt.wanted.is_some_and(|wanted| wanted != ours.node_id) {
            return Verdict::Unanswered { detail: "another node answered" };
        }
        let (theirs_id, ours_id) = (dialler.node_id, ours.node_id);
        let proof = dialler.secret.proof(theirs_id, ours_id, attempt.nonce, nonce);
        let expected = ours.secret.proof(theirs_id, ours_id, attempt.nonce, nonce);
        let judged = admit(&ours.hello, &attempt.hello, ours.secret.verify(expected, proof))
            .and_then(|()| self.check_twin(listener, theirs_id, attempt.dialler.node));
        if theirs_id == ours_id {
            // A key that meets itself ends the connection before anyone is introduced.
            return Verdict::SameIdentity;
        }
        if let Err(refusal) = judged {
            let report = Report::Refused {
                address: None,
                peer: Some(theirs_id),
                by_us: true,
                refusal: refusal.clone(),
            };
            self.report(listener, report);
            return Verdict::Refused { by: ours_id, refusal };
        }
        let proof = ours.secret.proof(ours_id, theirs_id, nonce, attempt.nonce);
        Verdict::Accepted { listener, hello: Box::new(ours.hello.clone()), proof, nonce }
    }

    /// Refuses a node whose identity is in use on another computer.
    fn check_twin(&self, process: Process, peer: NodeId, node: NodeIndex) -> Result<(), Refusal> {
        let known = self.host(process.node).endpoint.peers.get(&peer).and_then(|peer| peer.connection);
        let other = known.and_then(|(id, side)| Some(&self.network.connections.get(&id)?.ends[1 - side]));
        match other {
            Some(end) if end.process.node != node && end.state != EndState::Closed => {
                Err(Refusal::DuplicateIdentity)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn on_answer(&mut self, process: Process, id: AttemptId, verdict: Verdict) {
        let Some(attempt) = self.network.attempts.get(&id) else { return };
        let node = self.network.addresses.get(&attempt.address).copied();
        if node.is_some_and(|node| self.network.links.is_blocked((node, process.node))) {
            let again = NetworkOccurrence::Answer { process, attempt: id, verdict };
            self.queue.push(self.now + HANDSHAKE_RETRY, Event::Network(again));
            return;
        }
        let attempt = self.end_attempt(id).expect("it was found above");
        let address = attempt.address;
        match verdict {
            Verdict::Accepted { listener, hello, proof, nonce } => {
                self.judge_listener(attempt, listener, hello, proof, nonce);
            }
            Verdict::Refused { by, refusal } => self.report_refusal(attempt, by, false, refusal),
            Verdict::SameIdentity => self.fail_attempt(attempt, DialError::DuplicateIdentity { address }),
            Verdict::Unanswered { detail } => {
                self.fail_attempt(attempt, DialError::Connect { address, detail: detail.into() });
            }
        }
    }

    /// The dialler's side of admission.
    fn judge_listener(
        &mut self,
        attempt: Attempt,
        listener: Process,
        hello: Box<Hello>,
        proof: [u8; 32],
        nonce: u64,
    ) {
        let ours = &self.host(attempt.dialler.node).endpoint;
        let (ours_id, theirs_id) = (ours.node_id, hello.info.node_id);
        let expected = ours.secret.proof(theirs_id, ours_id, nonce, attempt.nonce);
        let judged = admit(&ours.hello, &hello, ours.secret.verify(expected, proof))
            .and_then(|()| self.check_twin(attempt.dialler, theirs_id, listener.node));
        let Err(refusal) = judged else { return self.connect(attempt, listener, hello) };
        let link = (attempt.dialler.node, listener.node);
        if !self.network.links.is_blocked(link) {
            let latency = self.network.links.draw_latency(link, &self.options.network);
            let refusal = refusal.clone();
            let told = NetworkOccurrence::RefusedByDialler { process: listener, peer: ours_id, refusal };
            self.queue.push(self.now + latency, Event::Network(told));
        }
        self.report_refusal(attempt, theirs_id, true, refusal);
    }

    /// Both sides have accepted.
    fn connect(&mut self, attempt: Attempt, listener: Process, hello: Box<Hello>) {
        let dialler = attempt.dialler;
        if let Some(id) = self.network.pairs.get(&pair(dialler, listener)) {
            let connection = &self.network.connections[id];
            let side = usize::from(connection.ends[1].process == dialler);
            match (connection.ends[side].state, connection.ends[1 - side].state) {
                // The other side was quicker, this one is about to hear of it.
                (EndState::Opening, EndState::Open) => return,
                // There is a connection already, and the dialler was told of it.
                (EndState::Open, EndState::Open | EndState::Opening) => return,
                _ => {}
            }
        }
        let ours = (dialler, self.host(dialler.node).endpoint.node_id);
        let id = self.open_connection(ours, (listener, hello.info.node_id), attempt.hello);
        self.enter(dialler, id, 0, listener.node, hello);
    }

    pub(super) fn on_confirm(&mut self, process: Process, id: ConnectionId, hello: Box<Hello>) {
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        if self.network.links.is_blocked(connection.link_from(0)) {
            let again = NetworkOccurrence::Confirm { process, connection: id, hello };
            self.queue.push(self.now + HANDSHAKE_RETRY, Event::Network(again));
            return;
        }
        let (dialler, dialler_is_gone) =
            (connection.ends[0].process.node, connection.ends[0].state == EndState::Closed);
        if connection.ends[1].state != EndState::Opening {
            return;
        }
        let peer = self.host(process.node).endpoint.peers.get(&hello.info.node_id);
        if dialler_is_gone && peer.is_some_and(|peer| peer.connection.is_some()) {
            // A later connection to the same peer was quicker.
            return self.close_end(id, 1, LossReason::Reset);
        }
        let Some(connection) = self.network.connections.get_mut(&id) else { return };
        connection.ends[1].state = EndState::Open;
        self.enter(process, id, 1, dialler, hello);
        self.release_parked(id, 0, self.now);
    }

    /// Tells a process of an open end, after the loss of what it still took for its connection to that peer.
    fn enter(&mut self, process: Process, id: ConnectionId, side: Side, node: NodeIndex, hello: Box<Hello>) {
        let peer_id = hello.info.node_id;
        let peer = self.endpoint(process).peers.entry(peer_id).or_default();
        if let Some((old, old_side)) = peer.connection {
            self.close_end(old, old_side, LossReason::Reset);
            self.hang_up(old, old_side, LossReason::Reset);
        }
        let peer = self.endpoint(process).peers.entry(peer_id).or_default();
        peer.address = Some(hello.info.peer_address);
        peer.connection = Some((id, side));
        self.report(process, Report::Connected { peer: node, hello });
        self.mark_dirty(process, peer_id);
    }

    pub(super) fn on_attempt_timeout(&mut self, id: AttemptId) {
        if let Some(attempt) = self.end_attempt(id) {
            let address = attempt.address;
            self.fail_attempt(attempt, DialError::Connect { address, detail: "timed out".into() });
        }
    }

    fn end_attempt(&mut self, id: AttemptId) -> Option<Attempt> {
        let attempt = self.network.attempts.remove(&id)?;
        drop(self.queue.cancel(attempt.timeout));
        let endpoint = self.endpoint(attempt.dialler);
        endpoint.dials_under_way -= 1;
        if let Some(peer) = attempt.wanted.and_then(|wanted| endpoint.peers.get_mut(&wanted))
            && peer.attempt == Some(id)
        {
            peer.attempt = None;
        }
        Some(attempt)
    }

    fn fail_attempt(&mut self, attempt: Attempt, error: DialError) {
        if let Some(address) = attempt.text {
            self.report(attempt.dialler, Report::DialFailed { address, error });
        } else if let Some(wanted) = attempt.wanted {
            self.fail_waiting(attempt.dialler, wanted);
        }
    }

    fn report_refusal(&mut self, attempt: Attempt, peer: NodeId, by_us: bool, refusal: Refusal) {
        let address = attempt.text.or_else(|| Some(attempt.address.to_string()));
        self.report(attempt.dialler, Report::Refused { address, peer: Some(peer), by_us, refusal });
        if let Some(wanted) = attempt.wanted {
            self.fail_waiting(attempt.dialler, wanted);
        }
    }

    /// What waits for a peer that cannot be reached was surely not sent.
    pub(super) fn fail_waiting(&mut self, process: Process, peer_id: NodeId) {
        let Some(peer) = self.endpoint(process).peers.get_mut(&peer_id) else { return };
        if peer.connection.is_none() && peer.attempt.is_none() && peer.has_waiting() {
            let unsent = peer.take_unsent();
            self.report(process, Report::Lost { peer: peer_id, reason: LossReason::Unreachable, unsent });
        }
    }
}
