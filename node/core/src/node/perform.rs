//! Carries out what the machines want.

use std::sync::Arc;

use gritmesh_actor::{AnyActivation, Gate, Header, Outgoing, Payload, ReleaseGuard, Submission};
use gritmesh_runtime::{
    ActorAddress, Batch, Clock, Failure, FailureCode, Instant, NodeId, ShardId, Tag, TrafficClass,
};
use gritmesh_shard::{PendingMessage, PendingReminder};

use super::Node;
use super::bulk::BulkTask;
use crate::control::Control;
use crate::driver::Perform;
use crate::engine::{Engine, Routes};
use crate::options::Sabotage;
use crate::outages;
use crate::{control, engine};

/// Which driver a timer belongs to.
pub(super) const CONTROL_LANE: usize = 0;
pub(super) const ENGINE_LANES: usize = 1;

/// Longest chain of calls whose next link starts on the stack of the one before.
const INLINE_LINKS_MAX: usize = 8;

/// What runs code of the application, and so waits until no machine is held.
pub(crate) enum Deferred {
    /// Give a call to its activation, which has to be started first if it is new.
    Deliver { header: Header, payload: Box<dyn Payload>, activation: Arc<dyn AnyActivation>, new: bool },
    /// Answer a question about an actor, or carry out an order.
    Administer { shard: ShardId, submission: Submission },
    /// Bring the actors of a shard out of memory: to their end if this node still leads it, else without a word.
    Evict { shard: ShardId, leads: bool },
    /// Bring one actor out of memory without a word.
    EvictActor(ActorAddress),
    /// Tell somebody whether what was waited for is committed.
    Open { gate: Gate, result: Result<(), Failure> },
    /// Deliver a message of a committed step until it is acknowledged.
    Message { shard: ShardId, message: Arc<PendingMessage> },
    /// Send a message of a committed step at most once.
    Forward(Outgoing),
    /// Deliver a reminder.
    Fire { shard: ShardId, reminder: Arc<PendingReminder>, skip: bool },
    /// Pause an actor that keeps failing.
    Pause { actor: ActorAddress, reason: String },
    /// Read or check a part of a shard's state.
    Bulk(Box<BulkTask>),
    /// Bring actors out of memory that another node hosts now.
    Reconcile(Arc<Routes>),
    /// Drop all actors without a word.
    Clear,
}

impl Node {
    fn wake(self: &Arc<Self>, lane: usize, deadline: Instant) {
        let node = self.weak.clone();
        let sleep = self.environment.spawn.sleep_until(deadline);
        self.environment.spawn.spawn(Box::pin(async move {
            sleep.await;
            let Some(node) = node.upgrade() else { return };
            match lane {
                CONTROL_LANE => node.control.tick(&node, deadline),
                _ => node.engines[lane - ENGINE_LANES].tick(&node, deadline),
            }
        }));
    }

    fn break_down(&self) {
        tracing::error!("a protocol of this node broke an invariant and panicked; the node must stop");
        self.fatal
            .set("a protocol broke an invariant; this is a bug, please report the panic in the log".into());
    }

    fn run_deferred(self: &Arc<Self>, deferred: Deferred) {
        match deferred {
            Deferred::Deliver { header, payload, activation, new } => {
                let here = header.chain.len() < INLINE_LINKS_MAX && !header.one_way;
                payload.deliver(header, Arc::clone(&activation));
                if new {
                    activation.start(here);
                }
            }
            Deferred::Administer { shard, submission } => self.administer(shard, submission),
            Deferred::Evict { shard, leads } => self.evict(shard, leads),
            Deferred::EvictActor(address) => {
                if let Some(activation) = self.directory.get(address.token(), &address) {
                    activation.undo();
                }
            }
            Deferred::Open { gate, result } => gate(result),
            Deferred::Message { shard, message } => self.deliver_message(shard, message),
            Deferred::Forward(outgoing) => self.forward(outgoing),
            Deferred::Fire { shard, reminder, skip } => self.fire(shard, reminder, skip),
            Deferred::Pause { actor, reason } => self.pause(actor, &reason),
            Deferred::Bulk(task) => self.run_bulk(*task),
            Deferred::Clear => self.directory.clear(),
            Deferred::Reconcile(routes) => {
                let me = self.info.node_id;
                for part in 0..self.directory.partitions() {
                    for activation in self.directory.visit(part) {
                        let route = routes.routing.route(activation.token(), activation.info().name);
                        if !matches!(route, gritmesh_sharding::Route::Node { node, .. } if node == me) {
                            activation.close(None);
                        }
                    }
                }
            }
        }
    }

    /// Actors of a shard that this node leads no more have nothing to say any more: what they did not commit did
    /// not happen. Volatile ones are told good-bye either way; nothing else remembers them.
    fn evict(self: &Arc<Self>, shard: ShardId, leads: bool) {
        let node = self.weak.clone();
        let guard = ReleaseGuard::new(move || {
            if let Some(node) = node.upgrade() {
                node.post(shard, engine::Event::Evicted(shard));
            }
        });
        let routes = self.routes.load_full();
        let Some(range) = routes.as_ref().and_then(|routes| routes.table.shard(shard)) else { return };
        for activation in self.directory.range(range.start, range.end) {
            if self.options.sabotage == Sabotage::KeepActors {
                break;
            }
            self.metrics.direct_calls.inc_by(activation.untold_calls());
            if activation.info().durable && !leads {
                Arc::clone(&activation).undo();
            }
            activation.close(Some(Arc::clone(&guard)));
        }
    }

    pub(super) fn network_send(&self, class: TrafficClass, to: NodeId, body: &[u8]) {
        if let Err(error) = self.environment.network.send(to, class, Tag(0), body) {
            tracing::debug!(peer = %to.short(), %error, "a message was not sent");
        }
    }
}

impl Perform<Control> for Node {
    type Deferred = Deferred;

    fn clock(&self) -> &dyn Clock {
        &*self.environment.clock
    }

    fn persist(&self, effects: &mut Vec<control::Effect>) {
        for effect in effects.extract_if(.., |effect| matches!(effect, control::Effect::Persist { .. })) {
            let control::Effect::Persist { what, changes } = effect else { continue };
            let node = self.weak.clone();
            let done = Box::new(move |result| {
                if let Some(node) = node.upgrade() {
                    node.control.post(&node, control::Event::Persisted { what, result });
                }
            });
            self.environment.disk.write(Batch::synced(changes).into(), done);
        }
    }

    fn perform(&self, effect: control::Effect, deferred: &mut Vec<Deferred>) {
        use control::Effect;
        let node = self.this();
        match effect {
            Effect::Persist { .. } => unreachable!("what is persisted was taken out before"),
            Effect::Send { .. } if self.fails_by(Sabotage::MuteAfterRestart) => {}
            Effect::Send { to, body } => self.network_send(TrafficClass::Gossip, to, &body),
            Effect::Dial(address) => self.environment.network.dial(&address),
            Effect::Learn(info) => self.environment.network.learn(&info),
            Effect::Forget(peer) => self.environment.network.forget(peer),
            Effect::SetHello(hello) => self.environment.network.set_hello(hello),
            Effect::View(view) => {
                self.show_members(&view);
                self.view.store(view);
                self.call_off_last_drain();
            }
            Effect::Routes { routes, mixed } => {
                let before = self.routes.swap(Some(Arc::clone(&routes)));
                for engine in &self.engines {
                    engine.post(&node, engine::Event::Routes(Arc::clone(&routes)));
                }
                node.detours_changed(before.as_deref(), &routes);
                if mixed {
                    self.warn_of_types();
                    deferred.push(Deferred::Reconcile(routes));
                }
            }
            Effect::Found(shards) => {
                for engine in &self.engines {
                    engine.post(&node, engine::Event::Found(shards.clone()));
                }
            }
            Effect::Want { shard, voters, leader } => {
                self.post(shard, engine::Event::Want { shard, voters, leader });
            }
            Effect::Doubt(shard) => self.post(shard, engine::Event::Doubt(shard)),
            Effect::Gone(peer) => {
                node.withdraw_calls(peer);
                for engine in &self.engines {
                    engine.post(&node, engine::Event::Gone(peer));
                }
            }
            Effect::Notify(event) => {
                self.metrics.events.inc();
                self.tell(outages::Event::Member(&event));
                self.subscribers.notify(&event);
            }
            Effect::Member(cluster) => {
                tracing::info!(%cluster, "member of a cluster");
                self.cluster.store(Some(Arc::new(cluster)));
            }
            Effect::Fatal(reason) => {
                tracing::error!(reason, "the node must stop");
                self.fatal.set(reason);
            }
            Effect::Drained => self.drain.end(),
            Effect::Left => self.left.set(()),
        }
    }

    fn run(self: &Arc<Self>, deferred: Deferred) {
        self.run_deferred(deferred);
    }

    fn broken(&self) {
        self.break_down();
    }

    fn wake_at(self: &Arc<Self>, lane: usize, deadline: Instant) {
        self.wake(lane, deadline);
    }
}

impl Perform<Engine> for Node {
    type Deferred = Deferred;

    fn clock(&self) -> &dyn Clock {
        &*self.environment.clock
    }

    fn persist(&self, effects: &mut Vec<engine::Effect>) {
        use engine::Effect;
        let is_for_disk = |effect: &mut Effect| matches!(effect, Effect::Write { .. } | Effect::Load { .. });
        let done = |engine: u8, number, synced: bool| {
            let (node, begun) = (self.weak.clone(), self.environment.clock.now());
            Box::new(move |result| {
                if let Some(node) = node.upgrade() {
                    node.written(begun, synced);
                    let event = engine::Event::Persisted { number, result };
                    node.engines[usize::from(engine)].post(&node, event);
                }
            })
        };
        for effect in effects.extract_if(.., is_for_disk) {
            match effect {
                Effect::Write { engine, number, batch } => {
                    let synced = batch.sync;
                    self.environment.disk.write(batch, done(engine, number, synced));
                }
                Effect::Load { engine, number, rows } => {
                    self.environment.disk.load(rows, done(engine, number, false));
                }
                _ => unreachable!("only what is for the disk was taken out"),
            }
        }
    }

    fn perform(&self, effect: engine::Effect, deferred: &mut Vec<Deferred>) {
        use engine::Effect;
        match effect {
            Effect::Write { .. } | Effect::Load { .. } => {
                unreachable!("what is written was taken out before")
            }
            Effect::Send { to, slot, body } => self.send_call(to, slot, &body),
            Effect::SendConsensus { to, body } => self.network_send(TrafficClass::Consensus, to, &body),
            Effect::SendBulk { to, bulk } => self.network_send(TrafficClass::Bulk, to, &bulk.to_bytes()),
            Effect::GiveChunk { to, part, giving, number, request, cursor, snapshot, careful } => {
                let task = BulkTask::Give { to, part, giving, number, request, cursor, snapshot, careful };
                deferred.push(Deferred::Bulk(Box::new(task)));
            }
            Effect::Check { shard, pull, assembly, chunk } => {
                deferred.push(Deferred::Bulk(Box::new(BulkTask::Check { shard, pull, assembly, chunk })));
            }
            Effect::Redirect { to, place } => self.send_redirect(to, place),
            Effect::Deliver(submission) => self.deliver(submission, deferred),
            Effect::Administer { shard, submission } => {
                deferred.push(Deferred::Administer { shard, submission })
            }
            Effect::Pass { call, shard } => self.post(shard, engine::Event::Passed(call)),
            Effect::Expire { to, calls } => self.expire_calls(to, calls),
            Effect::Answer(submission, result) => self.end(submission, result),
            Effect::Open { gate, result } => deferred.push(Deferred::Open { gate, result }),
            Effect::Evict { shard, leads } => deferred.push(Deferred::Evict { shard, leads }),
            Effect::EvictActor(address) => deferred.push(Deferred::EvictActor(address)),
            Effect::Lease { shard, until, epoch } => {
                self.leases.set(shard, until, epoch);
                if let Some(watcher) = &self.options.watcher {
                    watcher.holds_lease(shard, until);
                }
            }
            Effect::Message { shard, message } => deferred.push(Deferred::Message { shard, message }),
            Effect::Fire { shard, reminder, skip } => deferred.push(Deferred::Fire { shard, reminder, skip }),
            Effect::Pause { actor, reason } => deferred.push(Deferred::Pause { actor, reason }),
            Effect::Forward(outgoing) => deferred.push(Deferred::Forward(outgoing)),
            Effect::Stopped => deferred.push(Deferred::Clear),
            Effect::Fatal(reason) => {
                tracing::error!(reason, "the node must stop");
                self.fatal.set(reason);
            }
            Effect::Own(_)
            | Effect::LostLeadership(_)
            | Effect::Holds { .. }
            | Effect::Founded
            | Effect::Learn { .. } => self.tell_control(effect),
            Effect::Count(counted) => self.count(counted),
        }
    }

    fn run(self: &Arc<Self>, deferred: Deferred) {
        self.run_deferred(deferred);
    }

    fn broken(&self) {
        self.break_down();
    }

    fn wake_at(self: &Arc<Self>, lane: usize, deadline: Instant) {
        self.wake(lane, deadline);
    }
}

impl Node {
    pub(super) fn post(&self, shard: ShardId, event: engine::Event) {
        self.engines[self.engine_of(shard)].post(&self.this(), event);
    }

    fn tell_control(&self, effect: engine::Effect) {
        let event = match effect {
            engine::Effect::Own(descriptor) => {
                if let Some(watcher) = &self.options.watcher {
                    watcher.leads(descriptor.shard, descriptor.version.term);
                }
                control::Event::Own(descriptor)
            }
            engine::Effect::LostLeadership(shard) => {
                self.metrics.leaderships_lost.inc();
                control::Event::LostLeadership(shard)
            }
            engine::Effect::Holds { shard, holds } => control::Event::Holds { shard, holds },
            engine::Effect::Founded => control::Event::Founded,
            engine::Effect::Learn { shard, version, leader } => {
                control::Event::Learn { shard, version, leader }
            }
            _ => unreachable!("only what Control wants to know comes here"),
        };
        self.control.post(&self.this(), event);
    }

    /// Finds or creates the activation while the engine is held, so that an eviction that comes later sees it.
    fn deliver(&self, submission: Submission, deferred: &mut Vec<Deferred>) {
        let Some(actor_type) = self.registry.get(submission.header.address.actor_type()) else {
            let actor_type = submission.header.address.actor_type();
            let detail = format!("this node does not host actor type `{actor_type}`");
            return self.refuse(submission, Failure::new(FailureCode::UnknownType, detail));
        };
        let Submission { header, payload } = submission;
        let (activation, new) = self.directory.get_or_create(header.token, &header.address, || {
            actor_type.create(header.address.clone(), header.token, self.as_host())
        });
        if new {
            self.metrics.activations.inc();
        }
        deferred.push(Deferred::Deliver { header, payload, activation, new });
    }
}
