//! A node that hands over what it serves, to be stopped or to be left alone for a while.
//!
//! The last node that can serve is not drained unless that is forced: calls would go on, but no node would be ready any
//! more. Two nodes that are told at the same moment both see the other one as the one that stays. Whoever then finds
//! that nobody is left to take what it still leads calls its drain off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gritmesh_membership::{Member, MemberState};
use parking_lot::Mutex;

use super::Node;
use crate::latch::Latch;
use crate::options::Sabotage;
use crate::{control, engine};

/// How often a node that has handed over looks whether calls that it sent are answered.
const ANSWERS_LOOKED_FOR_EVERY: Duration = Duration::from_millis(5);

/// How long a node that has said good-bye still waits for answers to calls of others, which it has passed on.
const PASSED_ON_LIMIT: Duration = Duration::from_secs(5);

/// How far a node is with it.
#[derive(Default)]
pub(super) struct Drain(Mutex<Stage>);

#[derive(Default)]
enum Stage {
    #[default]
    No,
    Begun {
        /// Whether it goes on even if nobody takes over.
        forced: bool,
        /// Set when nothing is left, or nobody takes it.
        ended: Arc<Latch<()>>,
    },
}

impl Drain {
    fn begin(&self, force: bool) -> Arc<Latch<()>> {
        let mut stage = self.0.lock();
        if let Stage::Begun { forced, ended } = &mut *stage {
            *forced |= force;
            return Arc::clone(ended);
        }
        let ended = Arc::new(Latch::new());
        *stage = Stage::Begun { forced: force, ended: Arc::clone(&ended) };
        ended
    }

    fn call_off(&self) {
        *self.0.lock() = Stage::No;
    }

    pub(super) fn end(&self) {
        if let Stage::Begun { ended, .. } = &*self.0.lock() {
            ended.set(());
        }
    }

    pub(super) fn is_begun(&self) -> bool {
        matches!(&*self.0.lock(), Stage::Begun { .. })
    }

    /// Whether nothing was left at some time, or nobody took it.
    pub(super) fn has_ended(&self) -> bool {
        matches!(&*self.0.lock(), Stage::Begun { ended, .. } if ended.is_set())
    }

    fn may_be_called_off(&self) -> bool {
        matches!(&*self.0.lock(), Stage::Begun { forced: false, .. })
    }
}

impl Node {
    /// Hands over everything that this node serves because it is to stop, and waits until that is done. Calls are still
    /// routed. Has no end if no other node can take over; the caller sets the limit.
    pub async fn drain(&self) {
        if self.options.sabotage == Sabotage::LeaveAtOnce {
            return;
        }
        self.tell_engines(true);
        let ended = self.start_drain(true).wait();
        ended.await;
        self.outlast_calls().await;
    }

    /// Waits for the answers to calls that were sent to other nodes before now. Among them are those that waited here for
    /// an actor which was handed over: their callers are told by this node what became of them. Calls that come later are
    /// not waited for, or a node under load would never stop.
    async fn outlast_calls(&self) {
        let begun = self.environment.clock.now();
        self.outlast(|sent| sent.since < begun, Duration::MAX).await;
    }

    /// Waits for the answers to calls that this node passes on for others. The others know that it leaves, so there are
    /// soon no more.
    pub(super) async fn outlast_passed_on(&self) {
        self.outlast(|sent| sent.call.from.is_some(), PASSED_ON_LIMIT).await;
    }

    async fn outlast(&self, is_such: impl Fn(&engine::Sent) -> bool, limit: Duration) {
        let (clock, spawn) = (&self.environment.clock, &self.environment.spawn);
        let end = clock.now() + limit;
        while clock.now() < end
            && self.engines.iter().any(|engine| engine.peek(|engine| engine.has_pending(&is_such)))
        {
            spawn.sleep_until(clock.now() + ANSWERS_LOOKED_FOR_EVERY).await;
        }
    }

    /// Begins to hand over everything that this node serves. Calls are routed as before.
    pub(super) fn begin_drain(&self, forced: bool) {
        self.start_drain(forced);
    }

    fn start_drain(&self, forced: bool) -> Arc<Latch<()>> {
        let ended = self.drain.begin(forced);
        self.control.post(&self.this(), control::Event::Drain);
        ended
    }

    /// Takes part again after a drain.
    pub(super) fn end_drain(&self) {
        self.drain.call_off();
        self.tell_engines(false);
        self.control.post(&self.this(), control::Event::Undrain { weight: self.info.weight });
    }

    fn tell_engines(&self, draining: bool) {
        let node = self.this();
        for engine in &self.engines {
            engine.post(&node, engine::Event::Draining(draining));
        }
    }

    /// How many nodes could take over from this one now.
    pub(super) fn heirs(&self) -> usize {
        let alive = |member: &&Member| member.state == MemberState::Alive;
        self.takers(&self.view.load()).filter(alive).count()
    }

    fn takers<'a>(&self, view: &'a gritmesh_membership::View) -> impl Iterator<Item = &'a Member> {
        let me = self.info.node_id;
        let takers = view.active().filter(move |(node, member)| **node != me && member.info.weight > 0);
        takers.map(|(_, member)| member)
    }

    /// Calls a drain off that leaves the cluster without a node that takes shards. The view has changed. Who does not
    /// answer for a moment may take them in the next one.
    pub(super) fn call_off_last_drain(&self) {
        let is_last = || self.takers(&self.view.load()).next().is_none();
        if self.drain.may_be_called_off() && is_last() && self.leads_any() {
            tracing::warn!("no other node is left that could take over: this node does not drain any more");
            self.end_drain();
        }
    }

    fn leads_any(&self) -> bool {
        let routes = self.routes.load();
        let shards = routes.as_ref().map_or(&[][..], |routes| routes.table.shards());
        shards.iter().any(|shard| shard.leader == Some(self.info.node_id))
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed) || self.leaving.load(Ordering::Relaxed)
    }

    /// Whether work is better sent to another node, since this one drains or is about to stop.
    pub fn is_winding_down(&self) -> bool {
        self.drain.is_begun() || self.stopping.load(Ordering::Relaxed)
    }
}
