//! The engine: finds the node for every call that the fast path could not serve, and answers its caller once.
//!
//! **Problem.** A call may meet a shard that moves, a node that dies, a table that is stale, an envelope that is
//! lost. Its caller must still get exactly one answer by the deadline, and be told truly whether the handler may
//! have run.
//!
//! **Design.** Every call is in one of three places until it ends: *parked*, because nobody is known to serve its
//! shard; *pending*, sent to another node; or *delivered* to an activation here. A call moves back to parked only
//! if it surely did not run: it was never sent, or it was redirected. A pending call whose connection breaks
//! ends as `Unknown`.
//!
//! ```text
//!              no route, shard in transit           route says another node
//!   Submit ──────► parked ◄────────────────────────► pending ──► Reply, Lost, deadline ─► Answer
//!      │             │ routing changed    redirect,
//!      └─────────────┴──► Deliver         unsent
//! ```
//!
//! **Deliberately absent.** Knowledge of membership and of why shards move; that is Control's. Durable shards: the
//! next layer puts a replicated log where [`Serving`] is.

mod event;
mod parked;
mod pending;
mod sending;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::Submission;
use gritmesh_runtime::{Epoch, Failure, FailureCode, Incarnation, Instant, NodeId, ShardId};
use gritmesh_sharding::Route;

pub(crate) use event::{Counted, Effect, Event, Routes};
use parked::{PARKED_MAX, Parked, Reason};
pub(crate) use pending::engine_of;
use pending::{Pending, Sent};

use crate::machine::Machine;
use crate::options::Sabotage;
use crate::wire::Place;

/// Redirects that a call follows at once. More means that the nodes it meets disagree, and it waits.
const REDIRECTS_MAX: u32 = 4;

/// First and longest pause before a call that found nobody tries again without news.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// One per core: calls of a subset of the node's shards.
#[derive(Debug)]
pub(crate) struct Engine {
    me: NodeId,
    incarnation: Incarnation,
    index: u8,
    /// How many engines share the node's shards.
    engines: usize,
    routes: Option<Arc<Routes>>,
    serving: BTreeMap<ShardId, Serving>,
    pending: Pending,
    parked: Parked,
    /// Calls sent to each peer so far.
    numbers: BTreeMap<NodeId, u64>,
    draining: bool,
    sabotage: Sabotage,
}

/// A shard that this node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serving {
    /// Calls are delivered.
    Open,
    /// Calls wait until what runs has ended; then they follow the shard.
    Releasing,
}

/// A call on its way, with what it has been through.
#[derive(Debug)]
pub(crate) struct Travelling {
    pub(crate) submission: Submission,
    pub(crate) attempts: u32,
    /// Nodes that it has passed through.
    pub(crate) hops: u8,
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
    pub(crate) fn new(
        me: NodeId,
        incarnation: Incarnation,
        (index, engines): (u8, usize),
        sabotage: Sabotage,
    ) -> Self {
        Self {
            me,
            incarnation,
            index,
            engines,
            routes: None,
            serving: BTreeMap::new(),
            pending: Pending::new(index),
            parked: Parked::new(),
            numbers: BTreeMap::new(),
            draining: false,
            sabotage,
        }
    }

    /// Calls sent to other nodes that have no answer yet.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Calls that wait for somebody to serve their shard.
    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }

    fn route(&mut self, now: Instant, call: Travelling, out: &mut Vec<Effect>) {
        let header = &call.submission.header;
        if header.deadline <= now {
            return refuse(call, FailureCode::NotDelivered, "the deadline passed on the way", out);
        }
        let Some(routes) = self.routes.clone() else {
            return self.park(now, call, Reason::NoCluster, out);
        };
        match routes.routing.route(header.token, header.address.actor_type()) {
            Route::Unhosted { actor_type } => {
                out.push(Effect::Count(Counted::UnknownType { actor_type: actor_type.clone() }));
                let detail = format!("no node of the cluster hosts actor type `{actor_type}`");
                refuse(call, FailureCode::UnknownType, detail, out);
            }
            Route::NoLeader { shard } => self.park(now, call, Reason::NoLeader(shard), out),
            Route::Node { node, shard, epoch } if node == self.me => {
                self.deliver(now, call, shard, epoch, &routes, out);
            }
            Route::Node { node, shard, epoch } => match call.from {
                Some(caller) if !call.submission.header.one_way => {
                    redirect(caller, &routes, shard, Some(node), out);
                }
                _ => self.send(now, call, node, shard, epoch, out),
            },
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        call: Travelling,
        shard: ShardId,
        epoch: Epoch,
        routes: &Routes,
        out: &mut Vec<Effect>,
    ) {
        if usize::from(self.index) != engine_of_shard(shard, self.engines) {
            // It came before there was a table to tell whose it is.
            return out.push(Effect::Pass { call, shard });
        }
        let leads = routes.leader(shard) == Some(self.me);
        match self.serving.get(&shard) {
            Some(Serving::Open) => out.push(Effect::Deliver(call.submission)),
            // The leader does not host the type, and this node is the first that does.
            None if !leads => out.push(Effect::Deliver(call.submission)),
            Some(Serving::Releasing) | None => self.park(now, call, Reason::Moving(shard, epoch), out),
        }
    }

    fn park(&mut self, now: Instant, call: Travelling, reason: Reason, out: &mut Vec<Effect>) {
        if self.draining && matches!(reason, Reason::NoLeader(_) | Reason::NoCluster) {
            return refuse(call, FailureCode::NotDelivered, "the node is shutting down", out);
        }
        if self.parked.len() >= PARKED_MAX {
            let detail = format!("{PARKED_MAX} calls already wait for their shard to be served");
            return refuse(call, FailureCode::Overloaded, detail, out);
        }
        let pause = RETRY_MIN.saturating_mul(1 << call.attempts.min(5)).min(RETRY_MAX);
        self.parked.insert(call, reason, now + pause);
    }

    /// Tries everything again that waited for news.
    fn unpark(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for call in self.parked.take_all() {
            self.route(now, call, out);
        }
    }

    /// A call that surely did not reach the peer looks for another way.
    fn again(&mut self, now: Instant, sent: Sent, out: &mut Vec<Effect>) {
        let call = Travelling { attempts: sent.call.attempts + 1, ..sent.call };
        self.park(now, call, Reason::Unreachable(sent.to), out);
    }

    fn redirected(&mut self, now: Instant, slot: u64, place: Place, out: &mut Vec<Effect>) {
        let shard = ShardId(place.shard);
        out.push(Effect::Learn { shard, epoch: Epoch(place.epoch), leader: place.leader });
        out.push(Effect::Count(Counted::Redirected));
        let Some(sent) = self.pending.remove(slot) else { return };
        let call = Travelling { attempts: sent.call.attempts + 1, ..sent.call };
        let known = self.routes.as_ref().map_or(Epoch(0), |routes| routes.epoch(shard));
        match place.names() {
            Some(node)
                if node != self.me
                    && node != sent.to
                    && call.attempts <= REDIRECTS_MAX
                    && Epoch(place.epoch) >= known =>
            {
                self.send(now, call, node, shard, Epoch(place.epoch), out);
            }
            _ => self.park(now, call, Reason::Moving(shard, known), out),
        }
    }

    /// A call from a peer. If the peer knows a newer epoch in which this node leads, that is news.
    fn received(
        &mut self,
        now: Instant,
        call: Travelling,
        shard: ShardId,
        epoch: Epoch,
        out: &mut Vec<Effect>,
    ) {
        let behind = self.routes.as_ref().is_some_and(|routes| routes.epoch(shard) < epoch);
        if behind && !self.serving.contains_key(&shard) {
            out.push(Effect::Learn { shard, epoch, leader: Some(self.me) });
            return self.park(now, call, Reason::Moving(shard, epoch), out);
        }
        self.route(now, call, out);
    }

    fn lost(&mut self, now: Instant, peer: NodeId, unsent: &[u64], out: &mut Vec<Effect>) {
        for slot in unsent {
            if let Some(sent) = self.pending.remove(*slot) {
                self.again(now, sent, out);
            }
        }
        for sent in self.pending.remove_peer(peer) {
            let detail = format!("the connection to node {} broke before the answer came", peer.short());
            let code = match self.sabotage {
                Sabotage::DenySent => FailureCode::NotDelivered,
                _ => FailureCode::Unknown,
            };
            refuse(sent.call, code, detail, out);
        }
    }

    fn expire(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for sent in self.pending.expire(now) {
            let detail = format!("no answer came from node {} by the deadline", sent.to.short());
            refuse(sent.call, FailureCode::Unknown, detail, out);
        }
        let (expired, again) = self.parked.take_due(now);
        for (call, reason) in expired {
            refuse(call, FailureCode::NotDelivered, reason.to_string(), out);
        }
        for call in again {
            let call = Travelling { attempts: call.attempts + 1, ..call };
            self.route(now, call, out);
        }
    }

    /// Stops serving a shard: calls for it wait from now on until the directory holds none of its actors.
    fn release(&mut self, shard: ShardId, out: &mut Vec<Effect>) {
        self.serving.insert(shard, Serving::Releasing);
        out.push(Effect::Evict(shard));
    }
}

impl Machine for Engine {
    type Event = Event;
    type Effect = Effect;

    fn handle(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Submit(submission) => {
                self.route(now, Travelling { submission, attempts: 0, hops: 0, from: None }, out);
            }
            Event::Passed(call) => self.route(now, call, out),
            Event::Received { from, submission, shard, epoch, hops } => {
                let call = Travelling { submission, attempts: 0, hops, from: Some(from) };
                self.received(now, call, shard, epoch, out);
            }
            Event::Reply { slot, result } => {
                if let Some(sent) = self.pending.remove(slot) {
                    out.push(Effect::Answer(sent.call.submission, result));
                }
            }
            Event::Redirect { slot, place } => self.redirected(now, slot, place, out),
            Event::NotSent { slot, failure } => {
                let Some(sent) = self.pending.remove(slot) else { return };
                match failure {
                    Some(failure) => out.push(Effect::Answer(sent.call.submission, Err(failure))),
                    None => self.again(now, sent, out),
                }
            }
            Event::Lost { peer, unsent } => self.lost(now, peer, &unsent, out),
            Event::Routes(routes) => {
                self.routes = Some(routes);
                self.unpark(now, out);
            }
            Event::Serve(shard) => {
                self.serving.insert(shard, Serving::Open);
                self.unpark(now, out);
            }
            Event::Release(shard) => self.release(shard, out),
            Event::Evicted(shard) => {
                self.serving.remove(&shard);
                out.push(Effect::Released(shard));
            }
            Event::Draining => self.draining = true,
            Event::Tick => self.expire(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.sabotage == Sabotage::ForgetDeadlines {
            return None;
        }
        [self.pending.next_deadline(), self.parked.next_deadline()].into_iter().flatten().min()
    }

    fn tick() -> Event {
        Event::Tick
    }
}

/// Which engine of a node serves a shard.
pub(crate) const fn engine_of_shard(shard: ShardId, engines: usize) -> usize {
    shard.0 as usize % engines
}

fn refuse(call: Travelling, code: FailureCode, detail: impl Into<String>, out: &mut Vec<Effect>) {
    out.push(Effect::Answer(call.submission, Err(Failure::new(code, detail))));
}

fn redirect(caller: Caller, routes: &Routes, shard: ShardId, node: Option<NodeId>, out: &mut Vec<Effect>) {
    let place = Place { shard: shard.0, epoch: routes.epoch(shard).0, leader: routes.leader(shard), node };
    out.push(Effect::Redirect { to: caller, place });
}
