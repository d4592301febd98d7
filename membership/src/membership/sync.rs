//! Whole member lists: pulled when a node joins, compared from time to time, and used to find each other again
//! after a partition. Foca only spreads changes, and forgets them once they were spread.

use std::time::Duration;

use foca::State;
use gritmesh_runtime::{Instant, NodeId};

use super::{Alarm, Membership};
use crate::event::Effect;
use crate::health::growth;
use crate::identity::Identity;
use crate::message::{CHUNK_MEMBERS_MAX, Member as SwimMember, Message};
use crate::swim::is_active;
use crate::view::MemberState;

/// Pause before a list that did not come is asked for again, first and longest.
const PULL_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// When gossip about a change should have reached everybody, on average.
const SETTLING: Duration = Duration::from_secs(3);

/// The least time between two answers to one peer that asks for the list, the only large answer there is.
const SERVE_PAUSE: Duration = Duration::from_millis(200);

/// Members that are down and called at a time.
const CALLED_AT_ONCE: usize = 2;

/// Members that are down and called at a time once one of them came back.
const CALLED_IN_A_ROW: usize = 16;

/// What is known about the completeness of this node's list.
#[derive(Debug, Default)]
pub(super) struct ListState {
    has_list: bool,
    asking: bool,
    pause: Duration,
    comparing: bool,
    calling_all: bool,
}

impl ListState {
    /// Nobody is left, so whoever comes next may know more.
    pub(super) const fn forget_list(&mut self) {
        self.has_list = false;
    }
}

impl Membership {
    pub(super) fn start_periods(&mut self, now: Instant) {
        let compare = self.jittered(self.options.compare_period);
        self.alarms.insert(now + compare, Alarm::Compare);
        let call = self.jittered(self.options.announce_to_down_period);
        self.alarms.insert(now + call, Alarm::CallDown);
    }

    /// Between half and one and a half of a period.
    fn jittered(&mut self, period: Duration) -> Duration {
        period / 2 + period.mul_f64(self.rng.below(1000) as f64 / 1000.0)
    }

    /// Makes sure that the whole list is asked for.
    pub(super) fn pull_soon(&mut self, now: Instant) {
        if !self.lists.has_list && !self.lists.asking {
            (self.lists.asking, self.lists.pause) = (true, PULL_RETRY.0);
            self.alarms.insert(now, Alarm::Pull);
        }
    }

    /// Asks a random peer for its list, until one has answered.
    pub(super) fn pull(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let cluster = self.cluster();
        let candidates: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| cluster.is_some() && peer.cluster == cluster)
            .map(|(node, _)| *node)
            .collect();
        if self.lists.has_list || candidates.is_empty() {
            self.lists.asking = false;
            return;
        }
        let chosen = candidates[self.rng.below(candidates.len() as u64) as usize];
        self.send(chosen, &Message::Pull, out);
        self.alarms.insert(now + self.lists.pause, Alarm::Pull);
        self.lists.pause = (self.lists.pause * 2).min(PULL_RETRY.1);
    }

    pub(super) fn serve_pull(&mut self, now: Instant, to: NodeId, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if peer.served.is_some_and(|at| now - at < SERVE_PAUSE) {
            self.counters.throttled += 1;
            return;
        }
        peer.served = Some(now);
        let mut members = vec![SwimMember::alive(self.swim.own().clone())];
        members.extend(self.swim.members().filter(|member| member.id().node_id() != to).cloned());
        let chunks = members.chunks(CHUNK_MEMBERS_MAX);
        let last = chunks.len() - 1;
        for (index, chunk) in chunks.enumerate() {
            self.send(to, &Message::Members { members: chunk.to_vec(), last: index == last }, out);
        }
    }

    /// Takes over a list. Who is alive is believed. That somebody is dead is hearsay, for after a partition
    /// each side believes it of the other: the accused becomes a suspect and may refute.
    ///
    /// Whom this node itself believes dead it calls, so that the member goes beyond what is believed of it. The member
    /// may be reached by others only, so whoever says that it lives is asked to tell it, too.
    pub(super) fn on_members(
        &mut self,
        now: Instant,
        from: NodeId,
        members: Vec<SwimMember>,
        last: bool,
        out: &mut Vec<Effect>,
    ) {
        let (mut alive, mut accused) = (Vec::new(), Vec::new());
        let (mut estranged, mut never_met) = (Vec::new(), Vec::new());
        for member in members {
            let node = member.id().node_id();
            let known = self.known(node);
            let same = known.as_ref().filter(|known| known.id() == member.id());
            let accuses = same.is_some() && !is_active(member.state());
            // Whom a list calls down is not believed to be so in any case.
            let member = if accuses { Some(member) } else { self.swim.shared().lock().screen(member) };
            let Some(member) = member else { continue };
            if node == self.own_id() {
                self.take_about_self(member);
                continue;
            }
            match (is_active(member.state()), same) {
                (true, Some(known)) if !is_active(known.state()) => estranged.push(known.clone()),
                (true, _) => alive.push(member),
                (false, Some(known)) if known.state() == State::Alive => {
                    accused.push(SwimMember::new(known.id().clone(), known.incarnation(), State::Suspect));
                }
                // It was never met here and is suspected already, and a peer knows it to be down. What another peer made
                // up ends so, wherever it is heard of late.
                (false, Some(known)) if self.is_unmet(node, known.id().info().incarnation) => {
                    never_met.push(member);
                }
                (false, None) if known.is_some() => alive.push(member),
                (false, _) => {}
            }
        }
        self.swim.apply(alive, false);
        let wait = self.options.suspicion.mul_f64(growth(self.swim.active_others() + 1));
        for member in &accused {
            let (identity, incarnation) = (member.id().clone(), member.incarnation());
            self.alarms.insert(now + wait, Alarm::Hearsay { identity, incarnation });
        }
        self.swim.apply(accused, true);
        self.swim.apply(never_met, true);
        for member in estranged.into_iter().take(CALLED_IN_A_ROW) {
            self.swim.announce(member.id().clone());
            self.send(from, &Message::Tell { member }, out);
        }
        self.lists.has_list |= last;
    }

    /// News from a peer that saw something itself.
    pub(super) fn on_verdict(&mut self, members: Vec<SwimMember>) {
        for member in members {
            let screened = self.swim.shared().lock().screen(member);
            match screened {
                Some(member) if member.id().node_id() == self.own_id() => self.take_about_self(member),
                Some(member) => self.swim.apply([member], true),
                None => {}
            }
        }
    }

    /// A peer believes something of a member that it may not reach. It is told if it still is what the peer speaks of;
    /// nobody believes it for that.
    pub(super) fn on_tell(&mut self, now: Instant, member: SwimMember, out: &mut Vec<Effect>) {
        let node = member.id().node_id();
        if node == self.own_id() {
            return self.take_about_self(member);
        }
        let is_current = self.known(node).is_some_and(|known| known.id() == member.id());
        if is_current && self.peers.contains_key(&node) && self.may_tell(now, node) {
            self.tell_itself(member, out);
        }
    }

    /// What others think of this very identity is for foca to refute. Former identities are of no interest.
    fn take_about_self(&mut self, member: SwimMember) {
        if member.id() == self.swim.own() {
            self.swim.apply([member], true);
        }
    }

    pub(super) fn compare_periodically(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.compare(out);
        let next = self.jittered(self.options.compare_period);
        self.alarms.insert(now + next, Alarm::Compare);
    }

    /// Something changed: looks soon whether everybody got it, for news can die out when many come at once.
    pub(super) fn compare_soon(&mut self, now: Instant) {
        if !self.lists.comparing {
            self.lists.comparing = true;
            let wait = self.jittered(SETTLING);
            self.alarms.insert(now + wait, Alarm::CompareOnce);
        }
    }

    pub(super) fn compare_once(&mut self, out: &mut Vec<Effect>) {
        self.lists.comparing = false;
        self.compare(out);
    }

    /// Sends a hash of this node's list to a random member.
    fn compare(&mut self, out: &mut Vec<Effect>) {
        if self.cluster().is_some()
            && let Some(node) = self.some_active(1).first().copied()
        {
            self.send(node, &Message::Digest(self.list_hash()), out);
        }
    }

    /// Both sides get the other's list if the lists differ.
    pub(super) fn on_digest(&mut self, now: Instant, from: NodeId, hash: u64, out: &mut Vec<Effect>) {
        if hash != self.list_hash() {
            self.send(from, &Message::Pull, out);
            self.serve_pull(now, from, out);
        }
    }

    pub(super) fn list_hash(&self) -> u64 {
        let others = self.swim.members().filter(|member| is_active(member.state()));
        others.fold(self.swim.own().fingerprint(), |hash, member| hash ^ member.id().fingerprint())
    }

    /// Calls out to a few members that are down. In a large cluster everybody does so more rarely, so that a
    /// dead machine is not called a thousand times a second.
    pub(super) fn call_down(&mut self, now: Instant) {
        self.forget_old(now);
        let mut down = self.down();
        self.rng.shuffle(&mut down);
        down.into_iter().take(CALLED_AT_ONCE).for_each(|identity| self.swim.announce(identity));
        let scale = (self.swim.active_others() / self.options.small_members.max(1)).clamp(1, 16);
        let next = self.jittered(self.options.announce_to_down_period * scale as u32);
        self.alarms.insert(now + next, Alarm::CallDown);
    }

    pub(super) fn call_all_soon(&mut self, now: Instant) {
        if !self.lists.calling_all {
            self.lists.calling_all = true;
            self.alarms.insert(now, Alarm::CallAll { after: None });
        }
    }

    /// Calls out to all members that are down, a few at a time.
    pub(super) fn call_all_down(&mut self, now: Instant, after: Option<NodeId>) {
        let mut rest: Vec<Identity> =
            self.down().into_iter().filter(|identity| Some(identity.node_id()) > after).collect();
        rest.truncate(CALLED_IN_A_ROW);
        self.lists.calling_all = rest.len() == CALLED_IN_A_ROW;
        if self.lists.calling_all {
            let after = rest.last().map(Identity::node_id);
            self.alarms.insert(now + self.options.gossip_period, Alarm::CallAll { after });
        }
        rest.into_iter().for_each(|identity| self.swim.announce(identity));
    }

    /// Members that are down, in the order of their ids.
    fn down(&self) -> Vec<Identity> {
        let shared = self.swim.shared().lock();
        let down = self.view.members.iter().filter(|(_, member)| member.state == MemberState::Down);
        down.filter_map(|(node, _)| shared.known.get(node)).map(|member| member.id().clone()).collect()
    }
}
