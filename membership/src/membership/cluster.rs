//! Founding and joining.
//!
//! A cluster id is drawn once, by the one node that may do so, and is on disk before anyone hears of it. Every
//! other node takes over the id of the first peer that has one, also on disk first. Nodes that are connected
//! before there is a cluster tell each other when one comes to be. Because what they say then may be lost or come
//! late, a member goes on asking every peer whose cluster it does not know, and never unlearns a peer's cluster.

use std::net::SocketAddr;

use foca::Identity as _;
use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::{ClusterId, Instant, NodeId};

use super::seeds::Reach;
use super::{Alarm, Membership, PEERS_MAX};
use crate::event::{Effect, Fatal};
use crate::message::{Member as SwimMember, Message};
use crate::swim::{Contact, is_active};

/// How long after the start a node may turn out to be the second with its identity. Later, the other one is
/// the second.
pub(super) const YOUNG: std::time::Duration = std::time::Duration::from_secs(30);

/// Pause before a peer whose cluster is not known is asked again.
pub(super) const ACQUAINT_RETRY: std::time::Duration = std::time::Duration::from_millis(500);

/// How a node stands to clusters.
#[derive(Debug)]
pub(super) enum Standing {
    /// It has none.
    Searching,
    /// It has one that is on its way to the disk.
    Persisting {
        cluster: ClusterId,
        founded: bool,
        // Confirmations to wait for: a founder may change its mind while it still can.
        writes: u32,
    },
    /// It belongs to one.
    Member(ClusterId),
    /// It said good-bye.
    Leaving(Option<ClusterId>),
}

/// A connected peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) cluster: Option<ClusterId>,
    pub(super) address: SocketAddr,
    /// When it said for the last time that it has no cluster.
    pub(super) said_none: Instant,
    /// When its last request for the member list was answered.
    pub(super) served: Option<Instant>,
}

impl Membership {
    pub(super) fn on_start(&mut self, now: Instant, out: &mut Vec<Effect>) {
        out.push(Effect::SetHello(self.hello()));
        for index in 0..self.seeds.len() {
            self.look_after_seed(now, index, out);
        }
        if self.cluster().is_none() {
            self.alarms.insert(now + self.options.found_after, Alarm::Found);
            self.found_if_alone(out);
            if self.seeds.first_name().is_some() {
                self.alarms.insert(now + ACQUAINT_RETRY, Alarm::Name);
            }
        }
        self.start_periods(now);
    }

    pub(super) fn look_after_seed(&mut self, now: Instant, index: usize, out: &mut Vec<Effect>) {
        let peers = &self.peers;
        let reach = Reach {
            connected: &|address| peers.values().any(|peer| peer.address == address),
            has_members: self.swim.active_others() > 0,
        };
        if let Some((dial, pause)) = self.seeds.visit(index, &mut self.rng, &reach) {
            out.extend(dial.map(|address| Effect::Dial { address }));
            self.alarms.insert(now + pause, Alarm::Seed(index));
        }
    }

    pub(super) fn on_connected(&mut self, now: Instant, hello: &Hello, out: &mut Vec<Effect>) {
        let node = hello.info.node_id;
        let differs = matches!((self.cluster(), hello.cluster), (Some(ours), Some(theirs)) if ours != theirs);
        if node == self.own_id() || differs {
            self.counters.unexpected += 1;
            return;
        }
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&node) {
            self.counters.overflowed += 1;
            return;
        }
        let peer =
            Peer { cluster: hello.cluster, address: hello.info.peer_address, said_none: now, served: None };
        self.peers.insert(node, peer);
        let contact = Contact { incarnation: hello.info.incarnation, heard: now };
        self.swim.shared().lock().witness.met(node, contact);
        self.hints.remove(&node);
        self.note_heard(now, node, out);
        self.learn_types(&hello.types, out);
        self.introduce(node, false, out);
        self.acquaint_soon(now);
        self.consider_cluster(hello.cluster, out);
        if self.cluster().is_some() && hello.cluster.is_some() {
            self.pull_soon(now);
        }
    }

    /// Says who this node is.
    pub(super) fn introduce(&self, to: NodeId, asks: bool, out: &mut Vec<Effect>) {
        let member = SwimMember::alive(self.swim.own().clone());
        self.send(to, &Message::Introduce { cluster: self.cluster(), asks, member }, out);
    }

    /// Makes sure that peers whose cluster is not known are asked, if this node has one. Most say it by themselves
    /// before it comes to that.
    fn acquaint_soon(&mut self, now: Instant) {
        let asks = self.cluster().is_some() && self.peers.values().any(|peer| peer.cluster.is_none());
        if asks && !self.acquainting {
            self.acquainting = true;
            self.alarms.insert(now + ACQUAINT_RETRY, Alarm::Acquaint);
        }
    }

    pub(super) fn acquaint(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.acquainting = false;
        for (node, _) in self.peers.iter().filter(|(_, peer)| peer.cluster.is_none()) {
            self.introduce(*node, true, out);
        }
        self.acquaint_soon(now);
    }

    pub(super) fn on_introduce(
        &mut self,
        now: Instant,
        from: NodeId,
        cluster: Option<ClusterId>,
        member: SwimMember,
        out: &mut Vec<Effect>,
    ) {
        if member.id().node_id() != from || !self.swim.shared().lock().may_be_of_itself(member.id()) {
            self.counters.malformed += 1;
            return;
        }
        let Some(peer) = self.peers.get_mut(&from) else {
            self.counters.unexpected += 1;
            return;
        };
        // A process keeps the cluster that it has: without one, this was said before an earlier message.
        peer.cluster = cluster.or(peer.cluster);
        if cluster.is_none() {
            peer.said_none = now;
        }
        peer.address = member.id().info().peer_address;
        match (self.cluster(), cluster) {
            (Some(ours), Some(theirs)) if ours == theirs => {
                self.note_heard(now, from, out);
                self.meet(member, out);
                self.pull_soon(now);
            }
            (Some(_), Some(_)) => self.counters.unexpected += 1,
            (Some(_), None) => {}
            (None, _) => self.consider_cluster(cluster, out),
        }
    }

    /// Takes note of a member that spoke for itself.
    fn meet(&mut self, member: SwimMember, out: &mut Vec<Effect>) {
        let identity = member.id().clone();
        let known = self.known(identity.node_id());
        if known.as_ref().is_some_and(|known| *known.id() == identity && !is_active(known.state())) {
            // It does not know that it is thought dead here; foca's answer to its answer will tell it.
            self.swim.announce(identity);
        } else if known.is_some_and(|known| known.id().win_addr_conflict(&identity)) {
            // A later start of the same node is known, or is only talked about. If this is an earlier one, it has to stop.
            if let Some(newer) = self.overrule(&identity) {
                self.tell_itself(newer, out);
            }
        } else if self.swim.shared().lock().note(&member).is_ok() {
            self.swim.apply([SwimMember::alive(identity)], true);
        }
    }

    /// Reacts to a peer that has a cluster, or has none.
    fn consider_cluster(&mut self, theirs: Option<ClusterId>, out: &mut Vec<Effect>) {
        match (&mut self.standing, theirs) {
            (Standing::Searching, Some(cluster)) => {
                self.standing = Standing::Persisting { cluster, founded: false, writes: 1 };
                out.push(Effect::PersistCluster { cluster, founded: false });
            }
            // Nobody has heard of our cluster yet, so the one that others know goes first.
            (Standing::Persisting { cluster, founded, writes }, Some(theirs)) if *founded => {
                (*cluster, *founded) = (theirs, false);
                *writes += 1;
                out.push(Effect::PersistCluster { cluster: theirs, founded: false });
            }
            (Standing::Searching, None) => self.found_if_alone(out),
            _ => {}
        }
    }

    /// Founds as soon as every seed has said that it has no cluster.
    fn found_if_alone(&mut self, out: &mut Vec<Effect>) {
        let peers = &self.peers;
        let said_none =
            |address| peers.values().any(|peer| peer.address == address && peer.cluster.is_none());
        if self.seeds.all_others(said_none) {
            self.found(out);
        }
    }

    /// Founds, if this node is the one that may.
    pub(super) fn found(&mut self, out: &mut Vec<Effect>) {
        if self.may_found && matches!(self.standing, Standing::Searching) {
            self.found_now(out);
        }
    }

    pub(super) fn found_now(&mut self, out: &mut Vec<Effect>) {
        let mut id = [0; 16];
        self.rng.fill(&mut id);
        let cluster = ClusterId(id);
        self.standing = Standing::Persisting { cluster, founded: true, writes: 1 };
        out.push(Effect::PersistCluster { cluster, founded: true });
    }

    pub(super) fn on_cluster_persisted(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let Standing::Persisting { cluster, founded, writes } = &mut self.standing else {
            self.counters.unexpected += 1;
            return;
        };
        *writes -= 1;
        if *writes > 0 {
            return;
        }
        let (cluster, founded) = (*cluster, *founded);
        self.standing = Standing::Member(cluster);
        out.push(Effect::SetHello(self.hello()));
        out.push(if founded { Effect::Founded(cluster) } else { Effect::Joined(cluster) });
        for node in self.peers.keys() {
            self.introduce(*node, false, out);
        }
        self.acquaint_soon(now);
        self.pull_soon(now);
    }

    pub(super) fn on_own_address(&mut self, address: &str, out: &mut Vec<Effect>) {
        self.seeds.mark_own(address);
        if matches!(self.standing, Standing::Searching) {
            let was = self.may_found;
            self.may_found = self.seeds.may_found();
            if self.may_found && (!was || self.peers.is_empty()) {
                self.found_if_alone(out);
            }
        }
    }

    pub(super) fn on_refused(
        &mut self,
        now: Instant,
        address: Option<&str>,
        refusal: &Refusal,
        out: &mut Vec<Effect>,
    ) {
        self.counters.refused += 1;
        let Some(address) = address else { return };
        self.seeds.mark_failed(address);
        if *refusal == Refusal::DuplicateIdentity
            && let Some(address) = self.is_superseded_at(now, address)
        {
            return out.push(Effect::Fatal(Fatal::Superseded { address }));
        }
        if *refusal != Refusal::DuplicateIdentity || now - self.started > YOUNG {
            return;
        }
        // A process that was just replaced by this one may linger, so once is not enough.
        let patience = self.options.duplicate_patience;
        let first = match self.duplicate {
            Some((first, last)) if now - last <= patience * 2 => first,
            _ => now,
        };
        self.duplicate = Some((first, now));
        if now - first >= patience {
            out.push(Effect::Fatal(Fatal::DuplicateIdentity));
        }
    }
}
