//! The engine: one or a few per node, for a subset of the node's shards. It runs their replicated logs, and finds the
//! way of every call that the fast path could not serve.
//!
//! **Problem.** Dozens of logs on one disk and one network, each with its own leader, would cost a sync and a packet
//! for every entry. And a call may meet a shard that moves, a node that dies, a table that is stale; its caller must
//! still get exactly one answer by the deadline, and be told truly whether the handler may have run.
//!
//! **Design.** All shards of an engine share what is expensive. Events are taken in batches; at the end of a batch
//! ([`Machine::flush`]) every shard that changed is advanced, its messages join one frame for each peer, and
//! its records join one batch for the disk. One such batch is on its way to the disk at a time: while it is being
//! synced the next one grows. That is the group commit, and nothing needs to be tuned for it.
//!
//! ```text
//!   calls ──► route ──► here: Deliver ──► handler ──► Commit ──► queued ─┐ flush, when the disk is free
//!               └─────► elsewhere: Send                                 ▼
//!   peers ──► Consensus ───────────────────────────────────────► replica (one log per shard)
//!   disk  ──► Persisted ──────────────────────────────────────────► │   │
//!                                              frames, Write ◄───────┘   └──► committed ──► state ──► gates open
//! ```
//!
//! What is where: `calls` routes, `groups` holds the shards, `pump` advances them, `writer` brings their records to
//! the disk, `lazy` keeps those that can wait, `commits` keeps what waits for a commit, `serving` decides when actors
//! of a shard may run, `moves` brings shards to where they should be, `transfer` brings lagging replicas up to date,
//! `damage` sets replicas aside whose records are damaged,
//! `takeover` reads what a new leader has to send, `outputs` sends what committed steps say, `retention` forgets
//! answers that were kept long enough by the time that `shard_time` counts, `room` refuses changes while disks are full, `stopping` ends all of it.
//!
//! **Deliberately absent.** Knowledge of membership and of where shards should be; that is Control's. The content of
//! commands; that is the shard's.

mod calls;
mod commits;
mod damage;
mod event;
mod groups;
mod lazy;
mod moves;
mod outputs;
mod parked;
mod pending;
mod pump;
mod retention;
mod room;
mod sending;
mod serving;
mod shard_time;
mod stopping;
mod takeover;
#[cfg(test)]
mod tests;
mod transfer;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::Submission;
use gritmesh_runtime::{Disk, Incarnation, Instant, NodeId, Seed, ShardId};
use gritmesh_shard::{Delivery, DeliveryEffect, ReminderEffect, Reminders};
use gritmesh_sharding::ReplicaOptions;

use damage::Quarantined;
pub(crate) use event::{Commit, Counted, Effect, Event, Part, Routes};
use groups::Group;
use parked::Parked;
use pending::Pending;
pub(crate) use pending::{Sent, engine_of};
use room::FullPeers;
use takeover::Takeover;
pub(crate) use transfer::Checked;
use transfer::Loads;
use writer::Writer;

use crate::limits::NodeLimits;
use crate::machine::Machine;
use crate::options::Sabotage;

/// One of a few: the shards whose number falls to it, and the calls for them.
pub(crate) struct Engine {
    me: NodeId,
    incarnation: Incarnation,
    index: u8,
    /// How many engines share the node's shards.
    engines: usize,
    routes: Option<Arc<Routes>>,
    groups: BTreeMap<ShardId, Group>,
    /// Shards whose replica here is damaged.
    quarantine: BTreeMap<ShardId, Quarantined>,
    /// Shards to be advanced at the end of the batch.
    dirty: BTreeSet<ShardId>,
    /// Not later than any shard wants to hear of the time.
    groups_due: Instant,
    writer: Writer,
    full_peers: FullPeers,
    loads: Loads,
    /// Streams of states to followers so far.
    givings: u64,
    delivery: Delivery,
    reminders: Reminders,
    takeover: Takeover,
    /// What the two want done next.
    delivering: Vec<DeliveryEffect>,
    reminding: Vec<ReminderEffect>,
    pending: Pending,
    parked: Parked,
    /// Whether a shard is served, or is no more: what is parked is tried again at the end of the batch.
    news: bool,
    /// Calls sent to each peer so far.
    numbers: BTreeMap<NodeId, u64>,
    disk: Arc<dyn Disk>,
    seed: Seed,
    replicas: ReplicaOptions,
    limits: NodeLimits,
    /// How long answers under an idempotency key are kept.
    answers_kept: Duration,
    /// The shard that was last looked at for older ones.
    looked_at: ShardId,
    draining: bool,
    /// Nothing happens here any more.
    stopped: bool,
    sabotage: Sabotage,
}

/// What an engine does with a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardHere {
    pub(crate) leads: bool,
    pub(crate) serves: bool,
}

/// What an engine is made from.
pub(crate) struct Start {
    pub(crate) me: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) index: u8,
    pub(crate) engines: usize,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) seed: Seed,
    pub(crate) replicas: ReplicaOptions,
    pub(crate) limits: NodeLimits,
    pub(crate) answers_kept: Duration,
    pub(crate) tables_pause: Duration,
    pub(crate) sabotage: Sabotage,
}

/// A call on its way, with what it has been through.
#[derive(Debug)]
pub(crate) struct Travelling {
    pub(crate) submission: Submission,
    pub(crate) attempts: u32,
    /// Nodes that it has passed through.
    pub(crate) hops: u8,
    /// Whether it came from a node that does not reach the one it is for.
    pub(crate) relayed: bool,
    /// Who sent it here, if it came from a peer.
    pub(crate) from: Option<Caller>,
}

/// How a peer knows a call that it sent here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) peer: NodeId,
    pub(crate) slot: u64,
    pub(crate) incarnation: Incarnation,
}

impl Engine {
    pub(crate) fn new(start: Start) -> Self {
        let Start {
            me,
            incarnation,
            index,
            engines,
            disk,
            seed,
            replicas,
            limits,
            answers_kept,
            tables_pause,
            sabotage,
        } = start;
        Self {
            me,
            incarnation,
            index,
            engines,
            routes: None,
            groups: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            dirty: BTreeSet::new(),
            groups_due: Instant::MAX,
            writer: Writer::new(tables_pause, &limits.engine),
            full_peers: FullPeers::new(limits.engine.full_heard_for),
            loads: Loads::default(),
            givings: 0,
            delivery: Delivery::new(limits.shard.delivery, limits.shard.backoff),
            reminders: Reminders::new(limits.shard.reminders, limits.shard.backoff),
            takeover: Takeover::new(limits.engine),
            delivering: Vec::new(),
            reminding: Vec::new(),
            pending: Pending::new(index),
            parked: Parked::new(),
            news: false,
            numbers: BTreeMap::new(),
            disk,
            seed,
            replicas,
            limits,
            answers_kept,
            looked_at: ShardId(0),
            draining: false,
            stopped: false,
            sabotage,
        }
    }

    /// Calls sent to other nodes that have no answer yet.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether such a call was sent to another node and has no answer yet.
    pub(crate) fn has_pending(&self, is_such: impl Fn(&Sent) -> bool) -> bool {
        self.pending.any(is_such)
    }

    /// Calls that wait for somebody to serve their shard.
    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }

    /// What this engine does with the shards that have a replica here.
    pub(crate) fn shards_here(&self) -> Vec<(ShardId, ShardHere)> {
        let here = self.groups.iter().map(|(shard, group)| {
            (*shard, ShardHere { leads: group.leads, serves: group.serving == serving::Serving::Open })
        });
        here.collect()
    }

    /// Messages of actors led here that are not acknowledged.
    pub(crate) fn messages_pending(&self) -> u64 {
        self.groups.keys().map(|shard| self.delivery.pending(*shard)).sum()
    }

    /// Entries that the replica furthest behind lacks, of all shards that are led here.
    pub(crate) fn replica_lag(&self) -> u64 {
        let lag = |group: &Group| {
            let status = group.replica.status();
            status.followers.iter().map(|follower| status.last.saturating_sub(follower.matched)).max()
        };
        self.groups.values().filter(|group| group.leads).filter_map(lag).max().unwrap_or(0)
    }

    fn is_mine(&self, shard: ShardId) -> bool {
        engine_of_shard(shard, self.engines) == usize::from(self.index)
    }
}

impl Machine for Engine {
    type Event = Event;
    type Effect = Effect;

    fn handle(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        if self.stopped {
            return stopping::after_the_end(event, out);
        }
        match event {
            Event::Submit(submission) => {
                self.route(
                    now,
                    Travelling { submission, attempts: 0, hops: 0, relayed: false, from: None },
                    out,
                );
            }
            Event::Passed(call) => self.route(now, call, out),
            Event::Received { from, submission, shard, version, hops, relayed } => {
                let call = Travelling { submission, attempts: 0, hops, relayed, from: Some(from) };
                self.received(now, call, shard, version, out);
            }
            Event::Reply { slot, result } => {
                if let Some(sent) = self.pending.remove(slot) {
                    out.push(Effect::Count(Counted::Called(now.saturating_since(sent.since))));
                    out.push(Effect::Answer(sent.call.submission, result));
                }
            }
            Event::Redirect { slot, place } => self.redirected(now, slot, place, out),
            Event::NotSent { slot, failure } => self.not_sent(now, slot, failure, out),
            Event::Lost { peer, unsent } => self.lost(now, peer, &unsent, out),
            Event::Routes(routes) => self.routes_changed(now, routes, out),
            Event::Restore => self.restore(now, out),
            Event::Found(shards) => self.found(now, &shards, out),
            Event::Consensus { from, messages } => self.consensus(now, from, &messages, out),
            Event::Persisted { number, result } => self.persisted(now, number, result, out),
            Event::Commit { shard, commit } => self.queue_commit(now, shard, commit, out),
            Event::Observe { shard, gate } => self.queue_observer(shard, gate, out),
            Event::Want { shard, voters, leader } => self.want(now, shard, voters, leader, out),
            Event::Evicted(shard) => self.evicted(shard),
            Event::Gone(peer) => self.peer_gone(now, peer, out),
            Event::Doubt(shard) => self.doubt(now, shard),
            Event::Pull { from, part, up_to, request } => self.pull(now, from, part, (request, up_to), out),
            Event::More { from, part, up_to } => self.more(now, from, part, up_to, out),
            Event::Given { to, shard, giving, next } => self.given(to, (shard, giving), next, out),
            Event::Chunk { from, part, number, chunk } => self.chunk(now, from, part, (number, chunk), out),
            Event::Checked { shard, pull, result } => self.checked(now, shard, pull, *result, out),
            Event::Damaged { shard, damage } => self.damaged(shard, damage, out),
            Event::FoundDamage { shard, why } => self.found_damage(now, shard, &why, out),
            Event::Repaired { shard, rows } => self.repaired(shard, rows, out),
            Event::StateGone { from, shard, index } => self.state_gone(now, from, shard, index),
            Event::Delivered { shard, message, result } => self.delivered(now, shard, &message, result),
            Event::Fired { shard, reminder, result } => self.reminder_fired(now, shard, &reminder, result),
            Event::Early { shard, reminder, unix } => self.reminder_early(now, shard, &reminder, unix),
            Event::WallClock(unix) => {
                self.wall_clock(now, unix);
                self.times_go_on(now, unix);
                self.forget_answers(now, unix);
            }
            Event::Draining(is) => self.draining = is,
            Event::Stop => self.stop(out),
            Event::Tick => self.tick_all(now, out),
        }
    }

    fn flush(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.pump(now, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.stopped || self.sabotage == Sabotage::ForgetDeadlines {
            return None;
        }
        let deadlines = [
            self.pending.next_deadline(),
            self.parked.next_deadline(),
            self.delivery.next_deadline(),
            self.reminders.next_deadline(),
            self.takeover.next_deadline(),
            self.writer.next_deadline(),
            self.loads.next_deadline(),
            self.groups_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn tick() -> Event {
        Event::Tick
    }
}

/// Which engine of a node serves a shard.
pub(crate) const fn engine_of_shard(shard: ShardId, engines: usize) -> usize {
    shard.0 as usize % engines
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("index", &self.index)
            .field("shards", &self.groups.len())
            .finish_non_exhaustive()
    }
}
