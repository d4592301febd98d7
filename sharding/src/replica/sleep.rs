//! Rest of idle shards: no heartbeats, no ticks, until something happens.
//!
//! A leader whose followers have and have committed everything announces sleep with its heartbeats, and sleeps once
//! all have answered that they do. Proposals and messages wake; so does the node, when the leader's node is gone.

use std::collections::BTreeSet;

use gritmesh_runtime::Instant;

use super::message::Body;
use super::{Replica, ReplicaId, tick_after};

/// How far a replica is from sleep.
#[derive(Debug)]
pub(super) struct Sleep {
    /// When something was proposed last, or woke it.
    activity: Instant,
    state: State,
    /// Followers that have answered that they sleep.
    asleep: BTreeSet<ReplicaId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Awake,
    /// A leader that announces sleep.
    Drowsy,
    Asleep,
}

impl Sleep {
    pub(super) fn new(now: Instant) -> Self {
        Self { activity: now, state: State::Awake, asleep: BTreeSet::new() }
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.state == State::Asleep
    }

    pub(super) fn is_drowsy_or_asleep(&self) -> bool {
        self.state != State::Awake
    }
}

impl Replica {
    /// Something happens, or should: the leader's node is unreachable, or a caller waits. A leader asks its followers
    /// at once, a follower waits for its leader again.
    pub fn wake(&mut self, now: Instant) {
        self.see(now);
        self.sleep.activity = self.now;
        if !self.sleep.is_drowsy_or_asleep() || self.removed {
            return;
        }
        let slept = self.sleep.is_asleep();
        self.sleep.state = State::Awake;
        if slept {
            self.next_tick = tick_after(self.now, self.setup.options.tick);
            self.contact = self.now;
        }
        if self.leads() {
            // It has not asked for long, so it cannot count who has answered.
            self.raw.raft.election_elapsed = 0;
            self.raw.ping();
        }
    }

    /// A message wakes, unless it belongs to falling asleep.
    pub(super) fn rouse(&mut self, body: &Body) {
        let lulls = matches!(
            body,
            Body::Heartbeat { sleep: true, .. } | Body::HeartbeatAnswer { .. } | Body::Ask | Body::Gone
        );
        if self.sleep.is_asleep() && !lulls {
            self.wake(self.now);
        }
    }

    /// Whether everything is done, everywhere.
    fn is_idle(&self) -> bool {
        let raft = &self.raw.raft;
        let last = raft.raft_log.last_index();
        self.is_leader()
            && !self.config.joint
            && self.proposals.is_empty()
            && raft.lead_transferee.is_none()
            && !raft.has_pending_conf()
            && self.applied.0 == last
            && raft.prs().iter().all(|(id, it)| *id == self.id.0 || (it.matched == last && it.recent_active))
    }

    /// Announces sleep when there has been nothing to do for long, and falls asleep once all followers have.
    pub(super) fn drowse(&mut self) {
        let after = self.setup.limits.hibernate_after;
        if !self.leads() || self.sleep.is_asleep() {
            return;
        }
        if self.now - self.sleep.activity < after || !self.is_idle() {
            self.sleep.state = State::Awake;
            return;
        }
        if self.sleep.state == State::Awake {
            self.sleep.state = State::Drowsy;
            self.sleep.asleep.clear();
        }
        let all = self.config.members.iter().map(|member| member.replica);
        if all.filter(|id| *id != self.id).all(|id| self.sleep.asleep.contains(&id)) {
            self.sleep.state = State::Asleep;
            self.lease.give_up();
        }
    }

    pub(super) fn hear_sleeper(&mut self, from: ReplicaId, asleep: bool) {
        if !self.sleep.is_drowsy_or_asleep() {
            return;
        }
        if asleep {
            self.sleep.asleep.insert(from);
        } else {
            self.sleep.asleep.remove(&from);
        }
    }

    /// The leader sleeps once all do. Not before everything is applied here.
    pub(super) fn fall_asleep(&mut self, commit: u64) {
        let log = &self.raw.raft.raft_log;
        if commit == log.last_index() && self.applied.0 == commit && self.is_persisted() {
            self.sleep.state = State::Asleep;
        }
    }

    /// Whether heartbeats announce sleep.
    pub(super) fn announces_sleep(&self) -> bool {
        self.leads() && self.sleep.is_drowsy_or_asleep()
    }
}
