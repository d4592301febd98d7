//! From foca's members to the view.

use std::collections::BTreeMap;
use std::sync::Arc;

use foca::State;
use gritmesh_runtime::{Instant, NodeId, NodeInfo};

use super::Membership;
use super::hearsay::UNMET_REMEMBERED;
use super::suspicion::Heard;
use crate::event::Effect;
use crate::message::Member as SwimMember;
use crate::swim::{MEMBERS_MAX, is_active};
use crate::view::{ClusterEvent, Member, MemberState, View};

pub(super) fn view_of_one(now: Instant, info: NodeInfo, types: Arc<[String]>) -> View {
    let own = Member { state: MemberState::Alive, types: Some(types), since: now, info };
    View { version: 0, members: BTreeMap::from([(own.info.node_id, own)]) }
}

impl Membership {
    /// Looks at the members that may have changed, and reports what did.
    pub(super) fn refresh(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut touched = std::mem::take(&mut self.swim.wants.touched);
        if touched.is_empty() {
            return;
        }
        touched.sort_unstable();
        touched.dedup();
        let own = self.own_id();
        let current: BTreeMap<NodeId, SwimMember> = self
            .swim
            .members()
            .filter(|member| touched.binary_search(&member.id().node_id()).is_ok())
            .map(|member| (member.id().node_id(), member.clone()))
            .collect();
        let mut changed = false;
        for node in touched.into_iter().filter(|node| *node != own) {
            changed |= match current.get(&node) {
                Some(member) => self.update(now, member, out),
                None => self.remove(node, out),
            };
        }
        if changed {
            self.swim.resize(&self.options);
            self.after_change(now, out);
            self.make_room();
        }
    }

    /// Takes over what foca thinks of one member now.
    fn update(&mut self, now: Instant, member: &SwimMember, out: &mut Vec<Effect>) -> bool {
        let node = member.id().node_id();
        let before = {
            let shared = &mut *self.swim.shared().lock();
            shared.witness.note_unmet(node, member.id().info().incarnation);
            shared.known.insert(node, member.clone())
        };
        if before.as_ref() == Some(member) {
            return false;
        }
        if is_active(member.state()) {
            self.gone.remove(&node);
        } else {
            self.gone.entry(node).or_insert(now);
        }
        let state = match member.state() {
            State::Alive => MemberState::Alive,
            State::Suspect => MemberState::Unreachable,
            State::Down if member.id().is_leaving() => MemberState::Left,
            State::Down => MemberState::Down,
        };
        let info = member.id().info().clone();
        let old = self.view.members.get(&node);
        if old.is_none() && !state.is_active() {
            // Somebody who was gone before this node heard of it is no news.
            return false;
        }
        if old.is_some_and(|old| old.state == state && old.info == info) {
            return false;
        }
        report(old, &info, state, out);
        let since = old.filter(|old| old.state == state).map_or(now, |old| old.since);
        let returned =
            old.is_some_and(|old| old.state == MemberState::Down && old.info.incarnation == info.incarnation);
        if state.is_active() {
            self.heard.entry(node).or_insert_with(|| Heard::now(now));
            if returned {
                // Whoever comes back unchanged was cut off, and so may others have been.
                self.call_all_soon(now);
            }
        } else {
            self.heard.remove(&node);
            self.hints.remove(&node);
        }
        let types = self.types.get(info.types);
        if types.is_none() && state.is_active() {
            self.types_missing(now);
        }
        self.view.members.insert(node, Member { info, state, types, since });
        true
    }

    /// Forgets a member that foca no longer keeps.
    fn remove(&mut self, node: NodeId, out: &mut Vec<Effect>) -> bool {
        let mut shared = self.swim.shared().lock();
        shared.known.remove(&node);
        shared.witness.unmet.remove(&node);
        drop(shared);
        self.heard.remove(&node);
        self.gone.remove(&node);
        let known = self.view.members.remove(&node).is_some();
        if known {
            out.push(Effect::Forget(node));
        }
        known
    }

    pub(super) fn after_change(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.view.version += 1;
        let members = self.view.active().count();
        if self.swim.active_others() == 0 {
            self.lists.forget_list();
        } else if self.cluster().is_some() {
            self.pull_soon(now);
            self.compare_soon(now);
        }
        out.push(Effect::ViewChanged);
        out.push(Effect::Notify(ClusterEvent::MembershipChanged { version: self.view.version, members }));
    }

    /// Forgets the member that is gone for the longest time if the table is full.
    fn make_room(&mut self) {
        if self.swim.shared().lock().known.len() >= MEMBERS_MAX
            && let Some((_, node)) = self.gone.iter().map(|(node, since)| (*since, *node)).min()
        {
            self.forget(node);
        }
    }

    /// Forgets the members that are gone for long enough.
    pub(super) fn forget_old(&mut self, now: Instant) {
        let old: Vec<NodeId> = {
            let shared = self.swim.shared().lock();
            let after = |node: &NodeId| match shared.witness.unmet.contains_key(node) {
                true => UNMET_REMEMBERED.min(self.options.remove_down_after),
                false => self.options.remove_down_after,
            };
            let old = self.gone.iter().filter(|(node, since)| now - **since >= after(node));
            old.map(|(node, _)| *node).collect()
        };
        old.into_iter().for_each(|node| self.forget(node));
    }

    /// An operator knows that a member does not come back. If it does, it is a new one.
    pub(super) fn on_forget(&mut self, node: NodeId) {
        if self.view.members.get(&node).is_some_and(|member| !member.state.is_active()) {
            self.forget(node);
        }
    }

    fn forget(&mut self, node: NodeId) {
        if let Some(member) = self.known(node) {
            self.swim.forget(member.id().clone());
        }
    }

    /// Keeps up with this node's own identity, which foca renews when it is thought dead.
    pub(super) fn follow_own_identity(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.swim.wants.rejoined) {
            self.counters.rejoins += 1;
        }
        let identity = self.swim.own();
        if *identity == self.swim.shared().lock().own {
            return;
        }
        let info = identity.info().clone();
        self.swim.resume();
        let own = self.own_id();
        let member = self.view.members.get_mut(&own).expect("a view holds its own node");
        if member.info != info {
            member.info = info;
            self.after_change(now, out);
        }
    }

    pub(super) fn on_set_weight(&mut self, weight: u16, out: &mut Vec<Effect>) {
        let own = self.swim.own();
        if own.info().weight == weight {
            return;
        }
        let mut info = own.info().clone();
        info.weight = weight;
        if let Some(identity) = own.changed(info) {
            self.swim.change(identity);
            out.push(Effect::SetHello(self.hello()));
        }
    }
}

/// What a change means to those who follow the cluster, and to the network.
fn report(old: Option<&Member>, info: &NodeInfo, state: MemberState, out: &mut Vec<Effect>) {
    let mut notify = |event| out.push(Effect::Notify(event));
    let mut was = old.map(|old| old.state).filter(|state| state.is_active());
    if let Some(old) = old.filter(|old| was.is_some() && old.info.incarnation != info.incarnation) {
        notify(ClusterEvent::NodeDown(old.info.clone()));
        was = None;
    }
    match (was, state) {
        (None, MemberState::Alive) => notify(ClusterEvent::NodeUp(info.clone())),
        (None, MemberState::Unreachable) => {
            notify(ClusterEvent::NodeUp(info.clone()));
            notify(ClusterEvent::NodeUnreachable(info.clone()));
        }
        (Some(MemberState::Unreachable), MemberState::Alive) => {
            notify(ClusterEvent::NodeReachable(info.clone()));
        }
        (Some(MemberState::Alive), MemberState::Unreachable) => {
            notify(ClusterEvent::NodeUnreachable(info.clone()));
        }
        (Some(_), MemberState::Down) => notify(ClusterEvent::NodeDown(info.clone())),
        (Some(_), MemberState::Left) => notify(ClusterEvent::NodeLeft(info.clone())),
        _ => {}
    }
    if state.is_active() && (was.is_none() || old.is_none_or(|old| old.info != *info)) {
        out.push(Effect::Learn(info.clone()));
    }
}
