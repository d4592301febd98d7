//! Looks into what others say of members, and of this node.

use std::collections::BTreeMap;
use std::time::Duration;

use foca::Identity as _;
use gritmesh_runtime::{Incarnation, Instant, NodeId};

use super::cluster::YOUNG;
use super::{Alarm, Membership};
use crate::event::{Effect, Fatal};
use crate::health::growth;
use crate::identity::Identity;
use crate::message::{Member as SwimMember, Message};
use crate::swim::{RENEWALS_JUMP_MAX, is_active};

/// How long a connected member has to answer when it is said to be gone.
const ANSWER: Duration = Duration::from_millis(300);

/// How long a member that this node only heard of may take until it is met. Longer than a dial and an admission.
const MEETING: Duration = Duration::from_secs(3);

/// Unmet members that are called at a time, and the pause until the next ones are.
const CALLED_AT_ONCE: (usize, Duration) = (64, Duration::from_millis(100));

/// How long the end of a member that was never met is remembered: until everybody has heard of it.
pub(super) const UNMET_REMEMBERED: Duration = Duration::from_secs(60);

/// The least time between two looks for another process with this node's identity.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How long after such a look its result counts.
const LOOK_COUNTS: Duration = Duration::from_secs(10);

/// How long a peer's word counts that a later start of this node is known. Whoever has met that start says so again
/// whenever this node speaks to it. What one peer made up does not add to what another one makes up later.
const STALE_COUNTS: Duration = Duration::from_secs(5);

/// What this node looks into.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    /// Members to be called, because this node only heard of them.
    strangers: Vec<NodeId>,
    calling: bool,
    /// What is said of connected members, and since when.
    claims: BTreeMap<NodeId, (SwimMember, Instant)>,
    /// Where another process with this node's identity is said to be, and when it was looked for.
    copy: Option<(std::net::SocketAddr, Instant)>,
    /// Peers that know a later start of this node, at its own address, and when they last said so.
    stale: BTreeMap<NodeId, (Incarnation, Instant)>,
}

impl Membership {
    /// Takes up what the last messages left to be looked into. Returns whether there was anything.
    pub(super) fn inquire(&mut self, now: Instant, out: &mut Vec<Effect>) -> bool {
        let (strangers, claims, contradicted, impostors, surpass) = {
            let witness = &mut self.swim.shared().lock().witness;
            (
                std::mem::take(&mut witness.strangers),
                std::mem::take(&mut witness.claims),
                std::mem::take(&mut witness.contradicted),
                std::mem::take(&mut witness.impostors),
                witness.surpass.take(),
            )
        };
        let any =
            !(strangers.is_empty() && claims.is_empty() && contradicted.is_empty() && impostors.is_empty())
                || surpass.is_some();
        if !strangers.is_empty() {
            self.inquiries.strangers.extend(strangers);
            if !self.inquiries.calling {
                self.call_strangers(now, out);
            }
        }
        for claim in claims {
            self.note_claim(now, claim, out);
        }
        for speaker in contradicted {
            let node = speaker.node_id();
            if let Some(known) = self.overrule(&speaker)
                && self.may_tell(now, node)
            {
                self.tell_itself(known, out);
            }
        }
        for (from, impostor) in impostors {
            self.on_impostor(now, from, &impostor, out);
        }
        if let Some(identity) = surpass.and_then(|claimed| self.swim.own().beyond(claimed)) {
            self.swim.change(identity);
            out.push(Effect::SetHello(self.hello()));
        }
        any
    }

    /// Calls members that this node only heard of, a few at a time.
    pub(super) fn call_strangers(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let (at_once, pause) = CALLED_AT_ONCE;
        let count = at_once.min(self.inquiries.strangers.len());
        let called: Vec<NodeId> = self.inquiries.strangers.drain(..count).collect();
        for node in called {
            let Some(member) = self.known(node).filter(|member| is_active(member.state())) else { continue };
            let incarnation = member.id().info().incarnation;
            if self.is_unmet(node, incarnation) {
                out.push(Effect::Dial { address: member.id().info().peer_address.to_string() });
                self.alarms.insert(now + MEETING, Alarm::Unmet { node, incarnation });
            }
        }
        self.inquiries.calling = !self.inquiries.strangers.is_empty();
        if self.inquiries.calling {
            self.alarms.insert(now + pause, Alarm::Strangers);
        }
    }

    /// Tells a member what is believed of it, unless that is only hearsay: it knows better.
    pub(super) fn tell_itself(&self, believed: SwimMember, out: &mut Vec<Effect>) {
        let node = believed.id().node_id();
        if !self.is_unmet(node, believed.id().info().incarnation) {
            self.send(node, &Message::Verdict { members: vec![believed] }, out);
        }
    }

    pub(super) fn is_unmet(&self, node: NodeId, incarnation: Incarnation) -> bool {
        self.swim.shared().lock().witness.is_unmet(node, incarnation)
    }

    /// Somebody was called and did not come: it becomes a suspect, and refutes that through others if it lives.
    pub(super) fn suspect_unmet(&mut self, now: Instant, node: NodeId, incarnation: Incarnation) {
        let stays =
            |member: &SwimMember| is_active(member.state()) && member.id().info().incarnation == incarnation;
        let Some(member) =
            self.known(node).filter(|member| self.is_unmet(node, incarnation) && stays(member))
        else {
            return;
        };
        // By the peers that are there: what others made up must not lengthen its own life.
        let wait = self.options.suspicion.mul_f64(growth(self.peers.len() + 1));
        let (identity, incarnation) = (member.id().clone(), member.incarnation());
        self.swim.apply([SwimMember::new(identity.clone(), incarnation, foca::State::Suspect)], true);
        self.alarms.insert(now + wait, Alarm::Hearsay { identity, incarnation });
    }

    /// A connected member is said to be gone: it is asked.
    fn note_claim(&mut self, now: Instant, claim: SwimMember, out: &mut Vec<Effect>) {
        let node = claim.id().node_id();
        let noted = self.inquiries.claims.insert(node, (claim, now)).is_some();
        if !noted {
            self.introduce(node, true, out);
            self.alarms.insert(now + ANSWER, Alarm::Claim(node));
        }
    }

    /// The time to answer is up.
    pub(super) fn decide_claim(&mut self, node: NodeId) {
        let Some((claim, since)) = self.inquiries.claims.remove(&node) else { return };
        let contact = self.swim.shared().lock().witness.contacts.get(&node).copied();
        if contact.is_none_or(|contact| contact.heard <= since) {
            self.swim.apply([claim], true);
        }
    }

    /// Its connection ended: whoever said that it is gone was right.
    pub(super) fn believe_claim(&mut self, node: NodeId) {
        if let Some((claim, _)) = self.inquiries.claims.remove(&node) {
            self.swim.apply([claim], true);
        }
    }

    /// A peer spoke for itself while something newer is believed of it. What it says counts for more than what others
    /// said; what is known for certain is returned, for it has to hear that.
    pub(super) fn overrule(&mut self, speaker: &Identity) -> Option<SwimMember> {
        let node = speaker.node_id();
        let known = self.known(node).filter(|known| known.id().win_addr_conflict(speaker))?;
        let known_start = known.id().info().incarnation;
        let is_rumour = match known_start == speaker.info().incarnation {
            // It goes beyond what is less than that, as soon as it is told.
            true => known.id().renewals() > speaker.renewals().saturating_add(RENEWALS_JUMP_MAX),
            false => self.is_unmet(node, known_start),
        };
        if !is_rumour {
            return Some(known);
        }
        self.swim.shared().lock().witness.unmet.remove(&node);
        self.swim.replace(&known, speaker.clone());
        None
    }

    /// Others know a later start of this node. Only one that can be met ends this one, or most peers that say so to a
    /// young process, whose data directory may be an old copy.
    fn on_impostor(&mut self, now: Instant, from: NodeId, impostor: &Identity, out: &mut Vec<Effect>) {
        let (ours, theirs) = (self.swim.own().info().clone(), impostor.info());
        if theirs.peer_address != ours.peer_address {
            if self.inquiries.copy.is_none_or(|(_, at)| now - at >= LOOK_PAUSE) {
                self.inquiries.copy = Some((theirs.peer_address, now));
                out.push(Effect::Dial { address: theirs.peer_address.to_string() });
            }
            return;
        }
        if now - self.started > YOUNG || !self.peers.contains_key(&from) {
            return;
        }
        self.inquiries.stale.insert(from, (theirs.incarnation, now));
        let peers = &self.peers;
        self.inquiries
            .stale
            .retain(|peer, (_, said)| now - *said <= STALE_COUNTS && peers.contains_key(peer));
        let peers = self.peers.values().filter(|peer| peer.cluster == self.cluster()).count();
        let say = self.inquiries.stale.len();
        if say * 2 > peers && (say > 1 || peers == 1) {
            let seen =
                self.inquiries.stale.values().map(|(seen, _)| *seen).min().unwrap_or(theirs.incarnation);
            out.push(Effect::Fatal(Fatal::StaleIncarnation { ours: ours.incarnation, seen }));
        }
    }

    /// Whether another process with this identity was met where the cluster knows a later start of this node.
    pub(super) fn is_superseded_at(&self, now: Instant, address: &str) -> Option<std::net::SocketAddr> {
        let (at, looked) = self.inquiries.copy?;
        (at.to_string() == address && now - looked <= LOOK_COUNTS).then_some(at)
    }
}
