//! The node as durable actors see it: where their steps go, and what carries their messages.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{
    Chain, DynamicPayload, Gate, Header, History, Origin, Outgoing, Payload, Submission, WireReply,
};
use gritmesh_runtime::{ActorAddress, Failure, FailureCode, Reads, ShardId, Token};
use gritmesh_shard::{ActorKey, Damage, Histories, PendingMessage, PendingReminder, Proposal, Proposer};

use super::Node;
use crate::admin::{self, Question};
use crate::engine::{self, Commit};
use crate::options::Sabotage;

/// How long one try to deliver a message or a reminder may take. Delivery tries again by itself, so this only
/// bounds how long a call is kept for which nobody answers.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

impl Node {
    /// Opens a durable actor whose shard this node leads.
    pub(super) fn open_history(
        self: Arc<Self>,
        address: &ActorAddress,
        token: Token,
    ) -> Result<Box<dyn History>, Failure> {
        let disk: Arc<dyn Reads> = Arc::clone(&self.environment.disk) as _;
        admin::refuse_paused(&*disk, address)?;
        let limits = self.options.limits.shard.history;
        Histories::new(disk, self, limits).open(address, token)
    }

    fn shard_of(&self, token: Token) -> Option<ShardId> {
        self.routes.load().as_ref().map(|routes| routes.table.shard_of(token).id)
    }

    /// Carries a message of a committed step to its receiver, wherever that is, and tells the engine how it ended.
    pub(super) fn deliver_message(self: &Arc<Self>, shard: ShardId, message: Arc<PendingMessage>) {
        let node = self.weak.clone();
        let told = Arc::clone(&message);
        let reply = move |result: Result<Vec<u8>, Failure>| {
            if let Some(node) = node.upgrade() {
                let result = result.map(drop);
                node.post(shard, engine::Event::Delivered { shard, message: told, result });
            }
        };
        let call = Delivered {
            to: message.receiver.clone(),
            method: message.method.to_string(),
            arguments: message.arguments.to_vec(),
            origin: message.origin(),
        };
        self.submit_told(call, Box::new(reply));
    }

    /// Calls an actor of this node because it asked to be reminded.
    pub(super) fn fire(self: &Arc<Self>, shard: ShardId, reminder: Arc<PendingReminder>, skip: bool) {
        // The engine only knows what the wall clock showed up to a second ago, and how much time has passed since by
        // another clock. What counts is what the handler will see.
        let unix = self.environment.clock.unix_time();
        if unix.0 < reminder.due_unix_ms {
            return self.post(shard, engine::Event::Early { shard, reminder, unix });
        }
        let node = self.weak.clone();
        let told = Arc::clone(&reminder);
        let reply = move |result: Result<Vec<u8>, Failure>| {
            if let Some(node) = node.upgrade() {
                let result = result.map(drop);
                node.post(shard, engine::Event::Fired { shard, reminder: told, result });
            }
        };
        let call = Delivered {
            to: reminder.actor.clone(),
            method: reminder.method.to_string(),
            arguments: reminder.arguments.to_vec(),
            origin: reminder.origin(skip),
        };
        self.submit_told(call, Box::new(reply));
    }

    /// Sends what a committed step says to a volatile actor: at most once.
    pub(super) fn forward(self: &Arc<Self>, outgoing: Outgoing) {
        let Outgoing { to, method, arguments, .. } = outgoing;
        let payload = DynamicPayload::new(arguments, WireReply::None, self.as_host());
        let header = Header {
            token: to.token(),
            address: to,
            method,
            deadline: self.environment.clock.now() + self.options.call_timeout,
            chain: Chain::EMPTY,
            one_way: true,
            origin: Origin::Call,
        };
        gritmesh_actor::Host::submit(Arc::clone(self), Submission { header, payload: Box::new(payload) });
    }

    /// Pauses an actor that keeps failing.
    pub(super) fn pause(self: &Arc<Self>, actor: ActorAddress, reason: &str) {
        tracing::error!(%actor, reason, "an actor keeps failing and is paused; `gritmesh actor resume` continues it");
        let call = Delivered {
            to: actor,
            method: admin::PAUSE.to_owned(),
            arguments: admin::pause_arguments(reason),
            origin: Origin::Call,
        };
        self.submit_told(call, Box::new(|_| {}));
    }

    /// Answers a question about an actor, or carries out an order.
    pub(super) fn administer(self: &Arc<Self>, shard: ShardId, submission: Submission) {
        let Submission { header, payload } = submission;
        let known = self.registry.get(header.address.actor_type());
        if known.is_some_and(|actor_type| !actor_type.info().durable) {
            return payload.answer(Err(admin::volatile(&header.address)));
        }
        let arguments = match payload.encode() {
            Ok(arguments) => arguments,
            Err(failure) => return payload.answer(Err(failure)),
        };
        let now = self.environment.clock.unix_time().0;
        match admin::order(&header.address, &header.method, &arguments, now) {
            None => self.look_up(header, arguments, payload),
            Some(Err(failure)) => payload.answer(Err(failure)),
            Some(Ok(command)) => {
                let gate: Gate = Box::new(move |result| {
                    payload.answer(result.map(|()| admin::done()));
                });
                let commit = Commit { command, volatile: Vec::new(), gate: Some(gate) };
                self.post(shard, engine::Event::Commit { shard, commit });
            }
        }
    }

    /// Answers a question about an actor beside everything else: whoever brought it here has other things to do.
    fn look_up(&self, header: Header, arguments: Vec<u8>, payload: Box<dyn Payload>) {
        let (disk, clock) = (Arc::clone(&self.environment.disk), Arc::clone(&self.environment.clock));
        self.environment.spawn.spawn(Box::pin(async move {
            let Header { address, method, deadline, .. } = &header;
            let question = Question { address, method, arguments: &arguments, deadline: *deadline };
            payload.answer(admin::ask(&*disk, &*clock, question).await);
        }));
    }

    fn submit_told(
        self: &Arc<Self>,
        call: Delivered,
        told: Box<dyn FnOnce(Result<Vec<u8>, Failure>) + Send>,
    ) {
        let header = Header {
            token: call.to.token(),
            address: call.to,
            method: Cow::Owned(call.method),
            deadline: self.environment.clock.now() + DELIVERY_TIMEOUT,
            chain: Chain::EMPTY,
            one_way: false,
            origin: call.origin,
        };
        let payload = Box::new(DynamicPayload::new(call.arguments, WireReply::Told(told), self.as_host()));
        match self.in_memory(&header) {
            Some(activation) => Payload::deliver(payload, header, activation),
            None => gritmesh_actor::Host::submit(Arc::clone(self), Submission { header, payload }),
        }
    }
}

impl Node {
    /// The gate, which tells how long it was closed when it opens.
    fn timed(&self, gate: Gate) -> Gate {
        let (steps, clock) = (self.metrics.steps.clone(), Arc::clone(&self.environment.clock));
        let begun = clock.now();
        Box::new(move |result| {
            if result.is_ok() {
                steps.observe(clock.now().saturating_since(begun));
            }
            gate(result);
        })
    }
}

/// A call that the node makes for an actor.
struct Delivered {
    to: ActorAddress,
    method: String,
    arguments: Vec<u8>,
    origin: Origin,
}

impl Proposer for Node {
    fn propose(&self, proposal: Proposal) {
        let Proposal { token, command, volatile, gate } = proposal;
        match self.shard_of(token) {
            Some(shard) => {
                let gate = self.timed(gate);
                let commit = Commit { command, volatile, gate: Some(gate) };
                self.post(shard, engine::Event::Commit { shard, commit });
            }
            None => gate(Err(Failure::new(FailureCode::NotDelivered, "this node knows of no shards"))),
        }
    }

    fn observe(&self, token: Token, _: &ActorKey, gate: Gate) {
        let Some(shard) = self.shard_of(token) else {
            return gate(Err(Failure::new(FailureCode::NotDelivered, "this node knows of no shards")));
        };
        self.post(shard, engine::Event::Observe { shard, gate });
    }

    fn is_certain(&self, token: Token) -> bool {
        let now = self.environment.clock.now();
        self.shard_of(token).is_some_and(|shard| self.leases.holds(shard, now))
    }

    fn forgets_cursors(&self) -> bool {
        self.options.sabotage == Sabotage::ForgetCursor
    }

    fn now_unix_ms(&self) -> u64 {
        self.environment.clock.unix_time().0
    }

    fn epoch(&self, token: Token) -> u64 {
        self.shard_of(token).map_or(0, |shard| self.leases.epoch(shard).0)
    }

    fn snapshot_epoch(&self) -> u64 {
        // Snapshots of a live cluster count it up; so far there are none.
        0
    }

    fn found_damage(&self, token: Token, why: &str) {
        if let Some(shard) = self.shard_of(token) {
            self.post(shard, engine::Event::FoundDamage { shard, why: why.to_owned() });
        }
    }

    fn damaged(&self, damage: Damage) {
        self.metrics.damaged.inc();
        tracing::error!(token = %damage.token, object = %damage.id, "an object is missing or damaged");
        if let Some(shard) = self.shard_of(damage.token) {
            self.post(shard, engine::Event::Damaged { shard, damage });
        }
    }
}
