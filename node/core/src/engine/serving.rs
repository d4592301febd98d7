//! When actors of a shard may run: only while its replica here leads, and only after everything that an earlier
//! leadership left is gone.
//!
//! ```text
//!             leads                state on the disk, old actors gone
//!   Closed ─────────► Opening ────────────────────────────────────────► Open
//!     ▲                  ▲  another shall lead, and does not take over    │ another shall lead, or does
//!     │                  └─────────────────────────────── Closing ◄───────┘
//!     └──────────────────────────────────────────────────────┘ actors gone, leads no more
//! ```

use gritmesh_runtime::{Instant, NodeId, ShardId};
use gritmesh_sharding::{Descriptor, MemberRole, Role, Version};

use super::Engine;
use super::event::{Counted, Effect};
use super::groups::Group;
use super::stopping::end_waiting;
use crate::options::Sabotage;

/// A leadership that is being given away.
pub(super) struct Handing {
    pub(super) to: NodeId,
    /// When the shard is served here again.
    pub(super) until: Instant,
    /// Whether the actors are out of memory and the replica was told.
    pub(super) begun: bool,
}

/// What this node does with the calls for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// Another node serves it.
    Closed,
    /// It is about to be served here.
    Opening,
    /// Calls are delivered.
    Open,
    /// What runs is brought to its end.
    Closing,
}

impl Engine {
    pub(super) fn serving(&self, shard: ShardId) -> Serving {
        self.groups.get(&shard).map_or(Serving::Closed, |group| group.serving)
    }

    pub(super) fn became(&mut self, now: Instant, shard: ShardId, role: &Role, out: &mut Vec<Effect>) {
        if let Some(group) = self.groups.get_mut(&shard) {
            match role {
                Role::Follower { leader: None } => {
                    group.leaderless.get_or_insert(now);
                }
                Role::Follower { leader: Some(_) } | Role::Leader { .. } => {
                    let since = group.leaderless.take();
                    let took = since.map(|since| now.saturating_since(since));
                    out.extend(took.map(|took| Effect::Count(Counted::Elected(took))));
                }
            }
        }
        match role {
            Role::Leader { .. } => {
                out.push(Effect::Count(Counted::Led));
                self.begin_to_lead(shard, out);
            }
            Role::Follower { .. } => self.end_to_lead(shard, out),
        }
    }

    fn begin_to_lead(&mut self, shard: ShardId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        group.leads = true;
        group.opens_at = group.applied_to;
        group.serving = Serving::Opening;
        let epoch = group.config.epoch;
        out.push(Effect::Lease { shard, until: Instant::ZERO, epoch });
        out.push(Effect::Own(describe(shard, group, self.me)));
        self.try_open(shard);
    }

    /// Serves the shard if nothing stands in the way any more.
    pub(super) fn try_open(&mut self, shard: ShardId) {
        if self.range(shard).is_none() {
            return;
        }
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let may = group.leads && group.serving == Serving::Opening && !group.evicting;
        if !may {
            return;
        }
        if group.persisted_to < group.opens_at {
            return self.writer.hurry();
        }
        if self.sabotage == Sabotage::ServeNothingAfterRestart && self.incarnation.0 > 1 {
            return;
        }
        group.serving = Serving::Open;
        self.take_up(shard);
        self.news = true;
    }

    /// Serves shards that only waited for their ranges to be known.
    pub(super) fn try_open_all(&mut self) {
        let opening = self.groups.iter().filter(|(_, group)| group.serving == Serving::Opening);
        for shard in opening.map(|(shard, _)| *shard).collect::<Vec<_>>() {
            self.try_open(shard);
        }
    }

    pub(super) fn end_to_lead(&mut self, shard: ShardId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard).filter(|group| group.leads) else { return };
        group.leads = false;
        group.wanted = None;
        group.serving = Serving::Closing;
        group.handing_to = None;
        group.evicting = true;
        group.lease = Instant::ZERO;
        out.push(Effect::Lease { shard, until: Instant::ZERO, epoch: group.config.epoch });
        let lost = format!("shard {shard} lost its leader");
        end_waiting(group, &lost, out);
        group.unsettled.retain(|_, unsettled| {
            unsettled.undecided = 0;
            unsettled.applied_at > group.persisted_to
        });
        group.views.clear();
        group.givings.clear();
        self.leave_outputs(shard);
        out.push(Effect::LostLeadership(shard));
        out.push(Effect::Evict { shard, leads: false });
    }

    /// Begins to make another replica the leader: calls wait from now on, and the actors leave memory first.
    pub(super) fn hand_over(&mut self, now: Instant, shard: ShardId, to: NodeId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        if group.serving != Serving::Open || group.handing_to.is_some() {
            return;
        }
        group.serving = Serving::Closing;
        group.evicting = true;
        group.handing_to = Some(Handing { to, until: now + self.limits.engine.hand_over, begun: false });
        out.push(Effect::Evict { shard, leads: true });
        self.wake_by(now + self.limits.engine.hand_over);
    }

    pub(super) fn evicted(&mut self, shard: ShardId) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        group.evicting = false;
        self.dirty.insert(shard);
        match group.leads {
            // It is handed over when it is pumped.
            true if group.handing_to.is_some() => {}
            true => self.try_open(shard),
            false => {
                group.serving = Serving::Closed;
                self.news = true;
            }
        }
    }

    /// Hands the leadership over once nothing of this node waits to be committed.
    pub(super) fn transfer_when_settled(&mut self, now: Instant, shard: ShardId) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let settled = !group.evicting && group.waiting.is_empty() && group.queued.is_empty();
        let Some(handing) = group.handing_to.as_mut().filter(|handing| settled && !handing.begun) else {
            return;
        };
        handing.begun = true;
        if let Err(error) = group.replica.transfer(now, handing.to) {
            tracing::debug!(%shard, %error, "a leadership cannot be handed over for now");
            handing.until = now;
        }
    }

    /// Serves shards again that were to be handed over to a node which is gone.
    pub(super) fn give_up_handing_to(&mut self, now: Instant, peer: NodeId) {
        for group in self.groups.values_mut() {
            if let Some(handing) = group.handing_to.as_mut().filter(|handing| handing.to == peer) {
                handing.until = now;
            }
        }
        self.expire_handing_over(now);
    }

    /// Serves shards again that nobody took over in time.
    pub(super) fn expire_handing_over(&mut self, now: Instant) {
        let late = |group: &Group| group.handing_to.as_ref().is_some_and(|handing| handing.until <= now);
        let late: Vec<ShardId> =
            self.groups.iter().filter(|(_, group)| late(group)).map(|(shard, _)| *shard).collect();
        for shard in late {
            let Some(group) = self.groups.get_mut(&shard) else { continue };
            group.handing_to = None;
            // Whoever wants it says so again; until then the shard is served.
            group.wanted = None;
            group.serving = Serving::Opening;
            group.opens_at = group.applied_to;
            self.leave_outputs(shard);
            self.dirty.insert(shard);
            self.try_open(shard);
        }
    }

    /// The configuration of a shard that this node leads has changed.
    pub(super) fn describe_own(&self, shard: ShardId, out: &mut Vec<Effect>) {
        if let Some(group) = self.groups.get(&shard).filter(|group| group.leads) {
            out.push(Effect::Lease { shard, until: group.lease, epoch: group.config.epoch });
            out.push(Effect::Own(describe(shard, group, self.me)));
        }
    }
}

fn describe(shard: ShardId, group: &Group, me: NodeId) -> Descriptor {
    let voters = group.config.members.iter().filter(|member| member.role == MemberRole::Voter);
    let mut replicas: Vec<NodeId> = voters.map(|member| member.node).collect();
    replicas.sort_unstable();
    let version = Version { term: group.replica.status().term, epoch: group.config.epoch };
    Descriptor { shard, version, leader: Some(me), replicas }
}
