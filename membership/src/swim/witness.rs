//! What this node knows first-hand of members, and what it therefore does not believe of the words of others.
//!
//! **Problem.** Gossip is believed by whoever hears it, and a newer identity always wins. One peer that lies could make
//! members up, replace real ones by later starts or other data of theirs, and declare anybody dead or gone.
//!
//! **Design.** A connection proves who is at its other end. So of a member that is connected:
//!
//! * no later start is believed, for that would have ended the connection;
//! * that it is dead or has left is a claim, which holds only if the member does not answer now.
//!
//! Anybody else is believed in as long as there is no better knowledge, which the node then looks for: it calls a member
//! that it has never met, and one that does not answer is suspected. How many such members there may be is bounded, and
//! they are forgotten soon after their end. What is said of the node itself is never believed; it goes beyond what was
//! said, which others believe, since nothing that they believe makes that impossible.

use std::collections::BTreeMap;
use std::time::Duration;

use foca::{Identity as _, State};
use gritmesh_runtime::{Incarnation, Instant, NodeId};

use super::codec::{Exchange, MEMBERS_MAX};
use super::is_active;
use crate::identity::Identity;
use crate::message::Member;

/// Members of which this node has only heard and which it has never met, dead ones included. A node that joins a
/// cluster of a thousand hears of all of them at once.
pub(crate) const UNMET_MAX: usize = 1024;

/// By how much the renewals of a member may grow with one word of others. Where more than that is believed of a member,
/// because it was heard before the member itself, the member counts for more.
pub(crate) const RENEWALS_JUMP_MAX: u32 = 1 << 12;

/// A member that was silent for so long may well be dead, whoever says so.
const SILENCE: Duration = Duration::from_millis(1200);

/// Claims and strangers that were noted between two looks at them. Far more than one packet holds.
const NOTED_MAX: usize = 2048;

/// A peer at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contact {
    /// The start of its process.
    pub(crate) incarnation: Incarnation,
    /// When it sent something for the last time.
    pub(crate) heard: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Peers that are connected.
    pub(crate) contacts: BTreeMap<NodeId, Contact>,
    /// Members of which this start was never met.
    pub(crate) unmet: BTreeMap<NodeId, Incarnation>,
    /// Members that are unmet since the last look.
    pub(crate) strangers: Vec<NodeId>,
    /// Members that are connected and are said to be gone.
    pub(crate) claims: Vec<Member>,
    /// Members that spoke for themselves, while something newer is believed of them.
    pub(crate) contradicted: Vec<Identity>,
    /// Later starts of this node, and who spoke of them.
    pub(crate) impostors: Vec<(NodeId, Identity)>,
    /// What was claimed of this process, by its greatest number of renewals.
    pub(crate) surpass: Option<u32>,
}

impl Witness {
    /// A start of a connected member is believed in. If that is not the one at the other end, it was never met: foca may
    /// bring back an identity that the member has already contradicted, when a probe of it fails.
    pub(crate) fn note_unmet(&mut self, node: NodeId, believed: Incarnation) {
        if self.contacts.get(&node).is_some_and(|contact| contact.incarnation != believed) {
            self.unmet.insert(node, believed);
        }
    }

    /// Whether a start of a member is known by the words of others only.
    pub(crate) fn is_unmet(&self, node: NodeId, start: Incarnation) -> bool {
        self.unmet.get(&node) == Some(&start)
    }

    /// A connection proves a process.
    pub(crate) fn met(&mut self, node: NodeId, contact: Contact) {
        self.contacts.insert(node, contact);
        if self.is_unmet(node, contact.incarnation) {
            self.unmet.remove(&node);
        }
    }
}

impl Exchange {
    /// What is believed of a member that a peer speaks of; `None` if nothing is.
    pub(crate) fn screen(&mut self, member: Member) -> Option<Member> {
        let node = member.id().node_id();
        if node == self.own.node_id() {
            self.hear_of_self(member.id());
            return (*member.id() == self.own).then_some(member);
        }
        if node == self.sender {
            return self.may_be_of_itself(member.id()).then_some(member);
        }
        let gone = !is_active(member.state()) || member.id().is_leaving();
        let Some(known) = self.known.get(&node) else {
            return if gone || !self.is_acceptable(&member) { None } else { Some(member) };
        };
        let (is, was) = (member.id(), known.id());
        let alive = self.witness.contacts.get(&node).filter(|_| known.state() == State::Alive);
        if is == was || was.win_addr_conflict(is) {
            let lives = gone && is == was && alive.is_some_and(|contact| self.now - contact.heard < SILENCE);
            return if lives { self.claim(member) } else { Some(member) };
        }
        let (ours, theirs) = (was.info().incarnation, is.info().incarnation);
        if theirs > ours {
            let met = self.witness.contacts.get(&node).is_some_and(|contact| contact.incarnation < theirs);
            return if met || !self.is_acceptable(&member) { None } else { Some(member) };
        }
        if is.renewals() > was.renewals().saturating_add(RENEWALS_JUMP_MAX) {
            return None;
        }
        match gone && alive.is_some_and(|contact| self.now - contact.heard < SILENCE) {
            true => self.claim(member),
            false => Some(member),
        }
    }

    /// Whether a peer can truly say this of itself. Its connection tells which start it is, and it does not burn the
    /// numbers by which it could correct what it said.
    pub(crate) fn may_be_of_itself(&self, claimed: &Identity) -> bool {
        let node = claimed.node_id();
        let start = claimed.info().incarnation;
        let known = self.known.get(&node).map(Member::id).filter(|known| known.info().incarnation == start);
        self.witness.contacts.get(&node).is_none_or(|contact| contact.incarnation == start)
            && known
                .is_none_or(|known| claimed.renewals() <= known.renewals().saturating_add(RENEWALS_JUMP_MAX))
    }

    /// Whether there is room for a member that this node may never have met; if so, it is noted.
    fn is_acceptable(&mut self, member: &Member) -> bool {
        let (node, incarnation) = (member.id().node_id(), member.id().info().incarnation);
        let contact = self.witness.contacts.get(&node);
        if contact.is_some_and(|contact| contact.incarnation == incarnation) {
            return true;
        }
        let is_new = !self.witness.unmet.contains_key(&node);
        let full = is_new && self.witness.unmet.len() >= UNMET_MAX;
        if full || self.known.len() >= MEMBERS_MAX && !self.known.contains_key(&node) {
            self.overflowed += 1;
            return false;
        }
        if self.witness.unmet.insert(node, incarnation) != Some(incarnation) {
            self.witness.strangers.push(node);
        }
        true
    }

    fn claim(&mut self, member: Member) -> Option<Member> {
        if self.witness.claims.len() < NOTED_MAX {
            self.witness.claims.push(member);
        }
        None
    }

    /// A peer spoke for itself; others may have said something newer of it.
    pub(super) fn compare_with_known(&mut self, speaker: &Identity) {
        let known = self.known.get(&speaker.node_id());
        if known.is_some_and(|known| known.id().win_addr_conflict(speaker))
            && self.witness.contradicted.len() < NOTED_MAX
        {
            self.witness.contradicted.push(speaker.clone());
        }
    }

    fn hear_of_self(&mut self, claimed: &Identity) {
        if !claimed.win_addr_conflict(&self.own) {
            return;
        }
        if claimed.info().incarnation > self.own.info().incarnation {
            if self.witness.impostors.len() < NOTED_MAX {
                self.witness.impostors.push((self.sender, claimed.clone()));
            }
        } else if claimed.renewals() <= self.own.renewals().saturating_add(2 * RENEWALS_JUMP_MAX) {
            // Others do not believe more at once.
            self.witness.surpass = self.witness.surpass.max(Some(claimed.renewals()));
        }
    }
}
