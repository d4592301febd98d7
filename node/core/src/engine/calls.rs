//! The way of a call: here, to another node, or waiting.
//!
//! Every call is in one of three places until it ends: *parked*, because nobody is known to serve its shard;
//! *pending*, sent to another node; or *delivered* to an activation here. A call moves back to parked only if it
//! surely did not run: it was never sent, or it was redirected. A pending call whose connection breaks ends as
//! `Unknown`. One that is still queued at its deadline is taken out of the queue and ends as `NotDelivered`.
//!
//! Where two nodes do not reach each other and a third one reaches both, the call goes to the third, which takes it as
//! it would a call of its own, up to the answer; what it says of the end is as true as what it says to its own callers.
//!
//! ```text
//!              no route, shard in transit           route says another node
//!   Submit ──────► parked ◄────────────────────────► pending ──► Reply, Lost, deadline ─► Answer
//!      │             │ routing changed    redirect,
//!      └─────────────┴──► Deliver         unsent
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use gritmesh_actor::Submission;
use gritmesh_runtime::{Failure, FailureCode, Instant, NodeId, ShardId};
use gritmesh_sharding::{Route, Version};

use super::event::{Counted, Effect, Routes};
use super::parked::Reason;
use super::pending::Sent;
use super::serving::Serving;
use super::{Caller, Engine, Travelling, engine_of_shard};
use crate::admin::is_administrative;
use crate::options::Sabotage;
use crate::wire::Place;

/// Redirects that a call follows at once. More means that the nodes it meets disagree, and it waits.
pub(super) const REDIRECTS_MAX: u32 = 4;

impl Engine {
    pub(super) fn route(&mut self, now: Instant, call: Travelling, out: &mut Vec<Effect>) {
        let header = &call.submission.header;
        if header.deadline <= now {
            return refuse(call, FailureCode::NotDelivered, "the deadline passed on the way", out);
        }
        let Some(routes) = self.routes.clone() else {
            return self.park(now, call, Reason::NoCluster, out);
        };
        match routes.route(header) {
            Route::Unhosted { actor_type } => {
                out.push(Effect::Count(Counted::UnknownType { actor_type: actor_type.clone() }));
                let detail = format!("no node of the cluster hosts actor type `{actor_type}`");
                refuse(call, FailureCode::UnknownType, detail, out);
            }
            Route::Node { shard, .. } | Route::NoLeader { shard } if routes.cut_off.contains(&shard) => {
                let detail = format!("too few replicas of shard {shard} can be reached");
                refuse(call, FailureCode::NoQuorum, detail, out);
            }
            Route::NoLeader { shard } => self.park(now, call, Reason::NoLeader(shard), out),
            Route::Node { node, shard, version } if node == self.me => {
                self.deliver(now, call, shard, version, &routes, out);
            }
            Route::Node { node, shard, version } => match call.from {
                Some(caller) if !passes_on(&call, caller, node, &routes) => {
                    redirect(caller, &routes, shard, Some(node), out);
                }
                _ => self.send(now, call, node, shard, version, out),
            },
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        call: Travelling,
        shard: ShardId,
        version: Version,
        routes: &Routes,
        out: &mut Vec<Effect>,
    ) {
        if usize::from(self.index) != engine_of_shard(shard, self.engines) {
            // It came before there was a table to tell whose it is.
            return out.push(Effect::Pass { call, shard });
        }
        match self.serving(shard) {
            Serving::Open if self.is_unsettled(shard, &call.submission.header) => {
                // Its newest step is on its way to the disk, from where the actor would be read.
                self.writer.hurry();
                self.park(now, call, Reason::Unsettled(shard), out);
            }
            Serving::Open if is_administrative(&call.submission.header.method) => {
                out.push(Effect::Administer { shard, submission: call.submission });
            }
            Serving::Open => out.push(Effect::Deliver(call.submission)),
            // The leader does not host the type, and this node is the first that does.
            Serving::Closed if routes.leader(shard) != Some(self.me) => {
                out.push(Effect::Deliver(call.submission));
            }
            Serving::Closed | Serving::Opening | Serving::Closing => {
                self.park(now, call, Reason::Moving(shard, version), out);
            }
        }
    }

    fn park(&mut self, now: Instant, call: Travelling, reason: Reason, out: &mut Vec<Effect>) {
        if self.draining && matches!(reason, Reason::NoLeader(_) | Reason::NoCluster) {
            return refuse(call, FailureCode::NotDelivered, "the node is shutting down", out);
        }
        if let Some(detail) = self.parked.is_full() {
            return refuse(call, FailureCode::Overloaded, detail, out);
        }
        let crate::limits::EngineLimits { retry_min, retry_max, .. } = self.limits.engine;
        let pause = retry_min.saturating_mul(1 << call.attempts.min(5)).min(retry_max);
        self.parked.insert(call, reason, now + pause);
    }

    /// Tries everything again that waited for news.
    pub(super) fn unpark(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for call in self.parked.take_all() {
            self.route(now, call, out);
        }
    }

    /// Tries those again that wait for steps to be on the disk.
    pub(super) fn unpark_unsettled(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for call in self.parked.take_unsettled() {
            self.route(now, call, out);
        }
    }

    /// A call that surely did not reach the peer looks for another way.
    fn again(&mut self, now: Instant, sent: Sent, out: &mut Vec<Effect>) {
        let call = Travelling { attempts: sent.call.attempts + 1, ..sent.call };
        self.park(now, call, Reason::Unreachable(sent.to), out);
    }

    pub(super) fn redirected(&mut self, now: Instant, slot: u64, place: Place, out: &mut Vec<Effect>) {
        let shard = ShardId(place.shard);
        let version = place.version();
        out.push(Effect::Learn { shard, version, leader: place.leader });
        out.push(Effect::Count(Counted::Redirected));
        let Some(sent) = self.pending.remove(slot) else { return };
        let call = Travelling { attempts: sent.call.attempts + 1, ..sent.call };
        let known = self.routes.as_ref().map_or(Version::ZERO, |routes| routes.version(shard));
        match place.names() {
            Some(node)
                if node != self.me
                    && node != sent.to
                    && call.attempts <= REDIRECTS_MAX
                    && version >= known
                    && !(call.relayed && self.is_cut_off_from(node)) =>
            {
                self.send(now, call, node, shard, version, out);
            }
            _ => self.park(now, call, Reason::Moving(shard, known), out),
        }
    }

    /// Whether a node does not answer this one itself.
    fn is_cut_off_from(&self, node: NodeId) -> bool {
        self.routes.as_ref().is_some_and(|routes| routes.detours.contains_key(&node))
    }

    /// A call from a peer. If the peer knows of a newer leadership than this node, it may be right or may have been
    /// overtaken; the call waits a moment for the news that must be on its way.
    pub(super) fn received(
        &mut self,
        now: Instant,
        call: Travelling,
        shard: ShardId,
        version: Version,
        out: &mut Vec<Effect>,
    ) {
        let behind = self.routes.as_ref().is_some_and(|routes| routes.version(shard) < version);
        if behind && self.serving(shard) != Serving::Open {
            return self.park(now, call, Reason::Moving(shard, version), out);
        }
        self.route(now, call, out);
    }

    pub(super) fn not_sent(
        &mut self,
        now: Instant,
        slot: u64,
        failure: Option<Failure>,
        out: &mut Vec<Effect>,
    ) {
        let Some(sent) = self.pending.remove(slot) else { return };
        match failure {
            Some(failure) => out.push(Effect::Answer(sent.call.submission, Err(failure))),
            None => self.again(now, sent, out),
        }
    }

    pub(super) fn routes_changed(&mut self, now: Instant, routes: Arc<Routes>, out: &mut Vec<Effect>) {
        self.routes = Some(routes);
        self.try_open_all();
        self.unpark(now, out);
        self.delivery.routes_changed(now, &mut self.delivering);
    }

    pub(super) fn lost(&mut self, now: Instant, peer: NodeId, unsent: &[u64], out: &mut Vec<Effect>) {
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

    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut expired: BTreeMap<NodeId, Vec<(u64, Submission)>> = BTreeMap::new();
        for (slot, sent) in self.pending.expire(now) {
            expired.entry(sent.to).or_default().push((slot, sent.call.submission));
        }
        out.extend(expired.into_iter().map(|(to, calls)| Effect::Expire { to, calls }));
        let (expired, again) = self.parked.take_due(now);
        for (call, reason) in expired {
            refuse(call, FailureCode::NotDelivered, reason.to_string(), out);
        }
        for call in again {
            let call = Travelling { attempts: call.attempts + 1, ..call };
            self.route(now, call, out);
        }
    }
}

/// Whether a call of a peer is for this node to send on. Nobody could follow a redirect for a message without a waiting
/// caller. One that the peer cannot send itself is sent for it, if this node reaches who serves the shard: so a call
/// passes through one other node at most, and that is enough, as a node that none of the others reaches for this one is
/// down for it.
fn passes_on(call: &Travelling, caller: Caller, node: NodeId, routes: &Routes) -> bool {
    let reaches = node != caller.peer && !routes.detours.contains_key(&node);
    call.submission.header.one_way || call.relayed && reaches
}

pub(super) fn refuse(call: Travelling, code: FailureCode, detail: impl Into<String>, out: &mut Vec<Effect>) {
    out.push(Effect::Answer(call.submission, Err(Failure::new(code, detail))));
}

fn redirect(caller: Caller, routes: &Routes, shard: ShardId, node: Option<NodeId>, out: &mut Vec<Effect>) {
    let Version { term, epoch } = routes.version(shard);
    let place = Place { shard: shard.0, term, epoch: epoch.0, leader: routes.leader(shard), node };
    out.push(Effect::Redirect { to: caller, place });
}
