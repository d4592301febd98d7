//! Carries out what the machines want.

use std::sync::Arc;

use gritmesh_actor::{AnyActivation, Header, Payload, ReleaseGuard};
use gritmesh_runtime::{Clock, Failure, FailureCode, Instant, SendError, ShardId, Tag, TrafficClass};

use super::Node;
use crate::control::Control;
use crate::driver::Perform;
use crate::engine::{Caller, Counted, Engine, Routes};
use crate::metrics::StateLabel;
use crate::options::Sabotage;
use crate::wire::{Envelope, Place};
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
    /// Bring the actors of a shard out of memory.
    Evict(ShardId),
    /// Bring actors out of memory that another node hosts now.
    Reconcile(Arc<Routes>),
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
            Deferred::Evict(shard) => self.evict(shard),
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

    fn evict(self: &Arc<Self>, shard: ShardId) {
        let node = self.weak.clone();
        let guard = ReleaseGuard::new(move || {
            if let Some(node) = node.upgrade() {
                node.engines[node.engine_of(shard)].post(&node, engine::Event::Evicted(shard));
            }
        });
        let routes = self.routes.load_full();
        let Some(range) = routes.as_ref().and_then(|routes| routes.table.shard(shard)) else { return };
        for activation in self.directory.range(range.start, range.end) {
            if self.options.sabotage == Sabotage::KeepActors {
                break;
            }
            activation.close(Some(Arc::clone(&guard)));
        }
    }

    /// Whether this node was given a bug that shows once it was started again.
    fn fails_by(&self, sabotage: Sabotage) -> bool {
        self.options.sabotage == sabotage && self.info.incarnation.0 > 1
    }

    fn network_send(&self, class: TrafficClass, to: gritmesh_runtime::NodeId, body: &[u8]) {
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
            let control::Effect::Persist { records } = effect else { continue };
            let node = self.weak.clone();
            let done = Box::new(move |result| {
                if let Some(node) = node.upgrade() {
                    node.control.post(&node, control::Event::Persisted(result));
                }
            });
            self.environment.disk.write(records, done);
        }
    }

    fn perform(&self, effect: control::Effect, deferred: &mut Vec<Deferred>) {
        use control::Effect;
        let node = self.this();
        match effect {
            Effect::Persist { .. } => unreachable!("what is persisted was taken out before"),
            Effect::Send { .. } if self.fails_by(Sabotage::MuteAfterRestart) => {}
            Effect::Serve(_) if self.fails_by(Sabotage::ServeNothingAfterRestart) => {}
            Effect::Send { to, body } => self.network_send(TrafficClass::Gossip, to, &body),
            Effect::Dial(address) => self.environment.network.dial(&address),
            Effect::Learn(info) => self.environment.network.learn(&info),
            Effect::Forget(peer) => self.environment.network.forget(peer),
            Effect::SetHello(hello) => self.environment.network.set_hello(hello),
            Effect::View(view) => {
                self.show_members(&view);
                self.view.store(view);
            }
            Effect::Routes { routes, mixed } => {
                self.routes.store(Some(Arc::clone(&routes)));
                for engine in &self.engines {
                    engine.post(&node, engine::Event::Routes(Arc::clone(&routes)));
                }
                if mixed {
                    self.warn_of_types();
                    deferred.push(Deferred::Reconcile(routes));
                }
            }
            Effect::Serve(shard) => {
                self.engines[self.engine_of(shard)].post(&node, engine::Event::Serve(shard));
            }
            Effect::Release(shard) => {
                self.engines[self.engine_of(shard)].post(&node, engine::Event::Release(shard));
            }
            Effect::Gone(peer) => node.engines_lost(peer, &[]),
            Effect::Notify(event) => {
                self.metrics.events.inc();
                tracing::info!(?event, "cluster");
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
            Effect::Drained => self.drained.set(()),
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

    fn persist(&self, _: &mut Vec<engine::Effect>) {
        // Volatile actors leave nothing on the disk.
    }

    fn perform(&self, effect: engine::Effect, deferred: &mut Vec<Deferred>) {
        use engine::Effect;
        match effect {
            Effect::Send { to, slot, body } => self.send_call(to, slot, &body),
            Effect::Redirect { to, place } => self.send_redirect(to, place),
            Effect::Deliver(submission) => self.deliver(submission, deferred),
            Effect::Pass { call, shard } => {
                self.engines[self.engine_of(shard)].post(&self.this(), engine::Event::Passed(call));
            }
            Effect::Answer(submission, result) => {
                self.metrics.outcome(result.as_ref().err().map(|failure| failure.code));
                submission.payload.answer(result);
            }
            Effect::Evict(shard) => deferred.push(Deferred::Evict(shard)),
            Effect::Released(shard) => self.control.post(&self.this(), control::Event::Released(shard)),
            Effect::Learn { shard, epoch, leader } => {
                self.control.post(&self.this(), control::Event::Learn { shard, epoch, leader });
            }
            Effect::Count(Counted::Redirected) => {
                self.metrics.redirects.inc();
            }
            Effect::Count(Counted::UnknownType { actor_type }) => self.warn_unknown_type(&actor_type),
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
    /// Finds or creates the activation while the engine is held, so that an eviction that comes later sees it.
    fn deliver(&self, submission: gritmesh_actor::Submission, deferred: &mut Vec<Deferred>) {
        let gritmesh_actor::Submission { header, payload } = submission;
        let Some(actor_type) = self.registry.get(header.address.actor_type()) else {
            let detail = format!("this node does not host actor type `{}`", header.address.actor_type());
            return payload.answer(Err(Failure::new(FailureCode::UnknownType, detail)));
        };
        let (activation, new) = self.directory.get_or_create(header.token, &header.address, || {
            actor_type.create(header.address.clone(), header.token, self.as_host())
        });
        if new {
            self.metrics.activations.inc();
        }
        deferred.push(Deferred::Deliver { header, payload, activation, new });
    }

    fn send_call(&self, to: gritmesh_runtime::NodeId, slot: u64, body: &[u8]) {
        let Err(error) = self.send_call_class(to, Tag(slot), body) else { return };
        if slot == 0 {
            tracing::debug!(peer = %to.short(), %error, "a message without a waiting caller was not sent");
            return;
        }
        let failure = match error {
            SendError::UnknownPeer => None,
            SendError::QueueFull => {
                let detail = format!("the queue to node {} is full", self.name_of(to));
                Some(Failure { retry_after_ms: 50, ..Failure::new(FailureCode::Overloaded, detail) })
            }
            SendError::TooLarge { .. } => Some(Failure::new(FailureCode::TooLarge, error.to_string())),
            SendError::Closed => Some(Failure::new(FailureCode::NotDelivered, error.to_string())),
        };
        let engine = &self.engines[usize::from(engine::engine_of(slot))];
        engine.post(&self.this(), engine::Event::NotSent { slot, failure });
    }

    fn send_redirect(&self, to: Caller, place: Place) {
        let body = Envelope::Redirect { slot: to.slot, incarnation: to.incarnation.0, place }.to_bytes(0);
        self.network_send(TrafficClass::Calls, to.peer, &body);
    }

    fn show_members(&self, view: &gritmesh_membership::View) {
        for state in ["alive", "unreachable", "down", "left"] {
            let count = view.members.values().filter(|member| member.state.as_str() == state).count();
            self.metrics.members.get_or_create(&StateLabel { state }).set(count as i64);
        }
    }
}
