//! How long a silent member is believed in.
//!
//! Foca starts a suspicion when a probe fails, at a moment that depends on who probed whom, so the time from a
//! crash to its detection would vary by as much as the probes do. In a small cluster every node instead counts
//! from when anyone heard of the member for the last time: a suspicion makes all of them tell each other.
//! A node that is merely stopped then has the whole time, and a dead one not more.

use std::time::Duration;

use foca::{Incarnation, State};
use gritmesh_runtime::{Instant, NodeId};

use super::{Alarm, Membership};
use crate::event::Effect;
use crate::health::growth;
use crate::identity::Identity;
use crate::message::{Member as SwimMember, Message};
use crate::swim::{SwimTimer, is_active};
use crate::view::MemberState;

/// Members that are told directly what this node saw for certain; gossip tells the others. Keeps the cost of a
/// death constant in large clusters.
const TOLD_MAX: usize = 16;

/// What two nodes may differ in about when a member was heard of before they correct each other.
const HEARD_SLACK: Duration = Duration::from_millis(20);

/// The least time between two notes to a suspect that it is one.
const TELL_PAUSE: Duration = Duration::from_millis(100);

/// When a member was last heard of, and told that it is suspected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    at: Instant,
    told: Instant,
}

impl Heard {
    pub(super) const fn now(now: Instant) -> Self {
        Self { at: now, told: Instant::ZERO }
    }
}

impl Membership {
    /// Shifts every deadline if this process was stopped: for it, that time did not pass. What was queued
    /// meanwhile is read before any deadline strikes.
    pub(super) fn notice_stall(&mut self, now: Instant) {
        let Some(late) = self.alarms.next_due().map(|due| now - due) else { return };
        if late <= self.options.stall_after {
            return;
        }
        self.counters.stalls += 1;
        let shift = late + self.options.stall_grace;
        let waiting: Vec<(Instant, Alarm)> =
            std::iter::from_fn(|| self.alarms.pop_due(Instant::MAX)).collect();
        for (due, alarm) in waiting {
            self.alarms.insert(due + shift, alarm);
        }
        self.heard.values_mut().for_each(|heard| heard.at += late);
        self.duplicate = None;
    }

    /// Something came from a member. If it is suspected here, it may not know: what was said of it while it
    /// could not be reached is not said again by foca.
    pub(super) fn note_heard(&mut self, now: Instant, node: NodeId, out: &mut Vec<Effect>) {
        let Some(heard) = self.heard.get_mut(&node) else { return };
        heard.at = now;
        let suspected =
            self.view.members.get(&node).is_some_and(|member| member.state == MemberState::Unreachable);
        if suspected && self.may_tell(now, node) {
            self.tell_suspect(node, out);
        }
    }

    /// A member has answered a probe, if only over another one. It lives, and where a pair of nodes is cut what it says
    /// of itself may come late.
    pub(super) fn note_answer(&mut self, now: Instant, node: NodeId) {
        if let Some(heard) = self.heard.get_mut(&node) {
            heard.at = now;
        }
    }

    /// Whether a member may be told again what is thought of it.
    pub(super) fn may_tell(&mut self, now: Instant, node: NodeId) -> bool {
        let Some(heard) = self.heard.get_mut(&node) else { return true };
        let may = now - heard.told >= TELL_PAUSE;
        if may {
            heard.told = now;
        }
        may
    }

    fn tell_suspect(&self, node: NodeId, out: &mut Vec<Effect>) {
        if let Some(member) = self.known(node).filter(|member| member.state() == State::Suspect) {
            self.tell_itself(member, out);
        }
    }

    const fn is_small(&self) -> bool {
        self.swim.active_others() < self.options.small_members
    }

    /// When a suspicion that began at `began` ends.
    pub(super) fn suspicion_due(&self, now: Instant, began: Instant, node: NodeId) -> Instant {
        let others = self.swim.active_others();
        let heard = self.heard.get(&node).map_or(began, |heard| heard.at);
        let at_least = began.max(heard) + self.options.suspicion_min;
        let due = if self.is_small() {
            heard + self.options.detection
        } else {
            began + self.options.suspicion.mul_f64(growth(others + 1))
        };
        let time = due.max(at_least) - began;
        began + time * self.health.stretch(now, others, self.options.probe_period)
    }

    /// Nobody answered a probe of this node: the suspect and, in a small cluster, all others are told.
    pub(super) fn on_probe_failed(&mut self, now: Instant, suspect: &Identity, out: &mut Vec<Effect>) {
        let node = suspect.node_id();
        self.counters.probes_failed += 1;
        self.health.probe_failed(now, node);
        self.tell_suspect(node, out);
        let Some(heard) = self.heard.get(&node).filter(|_| self.is_small()) else { return };
        let message = Message::Heard { node, age_ms: as_millis(now - heard.at) };
        for to in self.some_active(TOLD_MAX) {
            if to != node {
                self.send(to, &message, out);
            }
        }
    }

    /// Another node tells when it last heard of a member.
    pub(super) fn on_heard(
        &mut self,
        now: Instant,
        from: NodeId,
        node: NodeId,
        age_ms: u64,
        out: &mut Vec<Effect>,
    ) {
        let age = Duration::from_millis(age_ms);
        let Some(heard) = self.heard.get_mut(&node) else { return };
        let ours = now - heard.at;
        if age < ours {
            heard.at = Instant::from_nanos(now.as_nanos().saturating_sub(age.as_nanos() as u64));
        } else if ours + HEARD_SLACK < age && self.is_small() {
            let message = Message::Heard { node, age_ms: as_millis(ours) };
            self.send(from, &message, out);
        }
    }

    /// The time of a suspect is up, unless it was extended meanwhile.
    pub(super) fn on_suspicion_due(
        &mut self,
        now: Instant,
        timer: SwimTimer,
        began: Instant,
        out: &mut Vec<Effect>,
    ) {
        let SwimTimer::ChangeSuspectToDown { member_id, .. } = &timer else { return };
        let node = member_id.node_id();
        // Foca would put the suspect in the place of an earlier identity that has spoken for itself since.
        if self.known(node).is_some_and(|known| known.id() != member_id) {
            return;
        }
        let due = self.suspicion_due(now, began, node);
        let suspected = self.known(node).is_some_and(|member| member.state() == State::Suspect);
        if suspected && due > now {
            self.alarms.insert(due, Alarm::Suspicion { timer, began });
            return;
        }
        self.swim.fire(timer);
        self.settle(now, out);
        if suspected {
            self.tell_if_down(node, out);
        }
    }

    /// Declares a member down, if it is still the one that was meant and did not refute.
    pub(super) fn condemn(
        &mut self,
        identity: &Identity,
        incarnation: Incarnation,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let node = identity.node_id();
        let stands = self.known(node).is_some_and(|member| {
            member.id() == identity && member.incarnation() == incarnation && is_active(member.state())
        });
        if stands {
            self.swim.apply([SwimMember::new(identity.clone(), incarnation, State::Down)], true);
            self.settle(now, out);
            self.tell_if_down(node, out);
        }
    }

    fn tell_if_down(&mut self, node: NodeId, out: &mut Vec<Effect>) {
        if let Some(member) = self.known(node).filter(|member| member.state() == State::Down) {
            self.tell(member, out);
        }
    }

    /// Tells members directly what this node knows for certain.
    pub(super) fn tell(&mut self, member: SwimMember, out: &mut Vec<Effect>) {
        let body = Message::Verdict { members: vec![member] }.encode();
        let targets = self.some_active(TOLD_MAX);
        out.extend(targets.into_iter().map(|to| Effect::Send { to, body: body.clone() }));
    }

    /// Others that are active: all of them if there are few, else a random choice.
    pub(super) fn some_active(&mut self, limit: usize) -> Vec<NodeId> {
        let own = self.own_id();
        let mut others: Vec<NodeId> =
            self.view.active().map(|(node, _)| *node).filter(|node| *node != own).collect();
        if others.len() > limit {
            self.rng.shuffle(&mut others);
            others.truncate(limit);
        }
        others
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
