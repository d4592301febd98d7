//! A node: everything wired together, as one value.

mod bulk;
mod counts;
mod dead_letters;
mod drain;
mod durable;
mod handler;
mod host;
mod orders;
mod outbound;
mod perform;
mod report;
mod requests;
mod sight;
mod stopping;
mod ticker;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures::channel::oneshot;
use gritmesh_actor::{
    Actor, ActorRef, AnyActivation, Chain, Directory, DynamicPayload, Header, Host, Origin, Registry,
    Submission, WireReply,
};
use gritmesh_membership as membership;
use gritmesh_membership::View;
use gritmesh_runtime::{
    ActorAddress, AddressError, ClusterId, Environment, Failure, FailureCode, NodeId, NodeInfo, Rng, ShardId,
};
use gritmesh_sharding as sharding;
use parking_lot::Mutex;

#[cfg(test)]
pub(crate) use bulk::check;

use crate::admin::{self, is_administrative};
use crate::control::{self, Control};
use crate::driver::Driver;
use crate::engine::{self, Engine, Routes};
use crate::events::{ClusterEvents, Subscribers};
use crate::inbound::Inbound;
use crate::latch::Latch;
use crate::leases::Leases;
use crate::metrics::Metrics;
use crate::options::{ANSWERS_KEPT_MIN, ENGINES_MAX, NodeOptions, StartError};
use crate::outages::Outages;
use crate::records::Remembered;
use crate::refusals::Refusals;
use crate::requests::Asked;
use crate::steady::SteadyClock;
use dead_letters::DeadLetters;

/// A node of a cluster: hosts actors, routes calls, and knows its peers. Made from an environment, real or
/// simulated; stops when the last `Arc` of it is dropped.
pub struct Node {
    weak: Weak<Self>,
    environment: Environment,
    info: NodeInfo,
    options: NodeOptions,
    registry: Registry,
    directory: Directory,
    control: Driver<Control>,
    engines: Vec<Driver<Engine>>,
    routes: ArcSwapOption<Routes>,
    view: ArcSwap<View>,
    cluster: ArcSwapOption<ClusterId>,
    leases: Leases,
    coarse_seconds: AtomicU32,
    /// Whether all shards were once where they belong, as seen from here: what moves later is no reason to wait.
    settled: AtomicBool,
    rng: Mutex<Rng>,
    inbound: Mutex<Inbound>,
    /// What this node has asked others.
    asked: Mutex<Asked>,
    /// Requests of others that are being answered.
    answering: AtomicUsize,
    subscribers: Subscribers,
    warned: Mutex<std::collections::BTreeSet<String>>,
    dead_letters: Mutex<DeadLetters>,
    refusals: Mutex<Refusals>,
    /// When somebody was last warned of nodes that do not answer this one.
    detours_warned: Mutex<std::collections::BTreeMap<NodeId, gritmesh_runtime::Instant>>,
    /// Whose replicas the disk holds, if that is another node: this one has lost its key.
    former: Option<NodeId>,
    pub(crate) metrics: Metrics,
    drain: drain::Drain,
    left: Latch<()>,
    fatal: Latch<String>,
    steady: Arc<SteadyClock>,
    /// Whether the disk was full when it was last looked at.
    disk_full: AtomicBool,
    /// Whether the node is about to stop.
    stopping: AtomicBool,
    /// Whether the node stops: then nothing that happens to it is an outage.
    leaving: AtomicBool,
    outages: Mutex<Outages>,
}

/// A call whose types are not known: from HTTP, from the command line.
#[derive(Clone, Debug)]
pub struct DynamicCall {
    /// Whom it is for.
    pub address: ActorAddress,
    /// Which method.
    pub method: String,
    /// Its arguments, a MessagePack array.
    pub arguments: Vec<u8>,
    /// How long the caller waits; `None` for the node's default.
    pub timeout: Option<Duration>,
    /// An idempotency key: a durable actor answers the same key the same way, and runs it once.
    pub key: Option<String>,
}

impl Node {
    /// Starts a node. Its network has to be given the node as its handler right after.
    ///
    /// `info` carries the address that is bound and the incarnation of this start, which must be durable
    /// already; `remembered` is what the disk held before.
    ///
    /// # Errors
    /// If a setting is out of range.
    pub fn start(
        environment: Environment,
        info: NodeInfo,
        remembered: Remembered,
        registry: Registry,
        options: NodeOptions,
    ) -> Result<Arc<Self>, StartError> {
        check_options(&options)?;
        let start = control::Start {
            membership: membership::Start {
                info: info.clone(),
                types: registry.names().map(str::to_owned).collect(),
                cluster: remembered.cluster,
                seeds: options.seeds.clone(),
                own_addresses: options.own_addresses.clone(),
            },
            membership_options: options.membership.clone(),
            sharding_options: options.sharding_options(),
            shards: options.shards,
            engines: options.engines,
            table: remembered.table,
            founding: remembered.founding,
        };
        let (environment, steady) = with_steady_clock(environment, &options);
        let former = remembered.owner.filter(|owner| *owner != info.node_id);
        let now = environment.clock.now();
        let control = Control::new(now, environment.seed.child("control").rng(), start)?;
        let engines = engines(&environment, &info, &options);
        let node = Arc::new_cyclic(|weak| Self {
            weak: weak.clone(),
            rng: Mutex::new(environment.seed.child("handlers").rng()),
            view: ArcSwap::from_pointee(View { version: 0, members: std::collections::BTreeMap::new() }),
            control: Driver::new(control, perform::CONTROL_LANE, options.limits.driver),
            engines,
            environment,
            info,
            options,
            registry,
            directory: Directory::new(),
            routes: ArcSwapOption::empty(),
            cluster: ArcSwapOption::empty(),
            leases: Leases::new(),
            coarse_seconds: AtomicU32::new(0),
            settled: AtomicBool::new(false),
            inbound: Mutex::new(Inbound::default()),
            asked: Mutex::default(),
            answering: AtomicUsize::new(0),
            subscribers: Subscribers::default(),
            warned: Mutex::default(),
            dead_letters: Mutex::default(),
            refusals: Mutex::default(),
            detours_warned: Mutex::default(),
            former,
            metrics: Metrics::new(),
            drain: drain::Drain::default(),
            left: Latch::new(),
            fatal: Latch::new(),
            steady,
            disk_full: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            outages: Mutex::default(),
        });
        for engine in &node.engines {
            engine.post(&node, engine::Event::Restore);
        }
        node.control.post(&node, control::Event::Start);
        ticker::start(&node);
        Ok(node)
    }

    /// A reference to an actor in the default tenant, wherever it lives.
    ///
    /// # Panics
    /// If `id` is not a valid id; use [`Self::try_actor`] for ids that come from outside.
    pub fn actor<A: Actor>(&self, id: &str) -> A::Ref {
        self.try_actor::<A>(gritmesh_runtime::DEFAULT_TENANT, id)
            .expect("an actor id written in code is valid")
    }

    /// A reference to an actor in a tenant.
    ///
    /// # Errors
    /// If the tenant or the id is not a valid name.
    pub fn try_actor<A: Actor>(&self, tenant: &str, id: &str) -> Result<A::Ref, AddressError> {
        let address = ActorAddress::in_tenant(tenant, A::TYPE, id)?;
        Ok(ActorRef::new(self.as_host(), address, Chain::EMPTY).into())
    }

    /// Makes a call whose types are not known, and waits for the answer in MessagePack.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn call_dynamic(&self, call: DynamicCall) -> Result<Vec<u8>, Failure> {
        let (sender, answer) = oneshot::channel();
        let is_query = self.is_query(&call);
        self.submit_dynamic(call, WireReply::Local(sender), false);
        let stopped = || Failure::new(FailureCode::Unknown, "the node stopped while the call was under way");
        let answer = answer.await.unwrap_or_else(|oneshot::Canceled| Err(stopped()));
        answer.map_err(|failure| match is_query {
            true => Failure { code: failure.code.of_query(), ..failure },
            false => failure,
        })
    }

    /// Whether a call is known to change nothing: by its method, if this node hosts the type.
    fn is_query(&self, call: &DynamicCall) -> bool {
        let actor_type = || self.registry.get(call.address.actor_type());
        admin::is_question(&call.method) || actor_type().is_some_and(|known| known.is_query(&call.method))
    }

    /// Refuses a call that is known to be refused before it is made: this node hosts the type, and it has no such
    /// method, or the arguments do not fit.
    ///
    /// # Errors
    /// What the call would end with.
    pub fn check_dynamic(&self, call: &DynamicCall) -> Result<(), Failure> {
        match self.registry.get(call.address.actor_type()) {
            Some(actor_type) => actor_type.check(&call.method, &call.arguments),
            None => Ok(()),
        }
    }

    /// Sends a message whose types are not known. It runs at most once; if it comes to nothing, it is kept where that is
    /// found out.
    pub fn send_dynamic(&self, call: DynamicCall) {
        self.submit_dynamic(call, WireReply::None, true);
    }

    fn submit_dynamic(&self, call: DynamicCall, reply: WireReply, one_way: bool) {
        let timeout = call.timeout.unwrap_or(self.options.call_timeout);
        let header = Header {
            token: call.address.token(),
            address: call.address,
            method: Cow::Owned(call.method),
            deadline: self.environment.clock.now() + timeout,
            chain: Chain::EMPTY,
            one_way,
            origin: call.key.map_or(Origin::Call, |key| Origin::Keyed { key: key.into_bytes().into() }),
        };
        let host = self.as_host();
        let payload = Box::new(DynamicPayload::new(call.arguments, reply, Arc::clone(&host)));
        match self.in_memory(&header) {
            Some(activation) => gritmesh_actor::Payload::deliver(payload, header, activation),
            None => host.submit(Submission { header, payload }),
        }
    }

    /// Where a call can run without asking an engine.
    fn in_memory(&self, header: &Header) -> Option<Arc<dyn AnyActivation>> {
        let asks_engine = is_administrative(&header.method);
        if asks_engine { None } else { self.directory.get(header.token, &header.address) }
    }

    /// What happens to the members of the cluster from now on.
    pub fn subscribe(&self) -> ClusterEvents {
        self.subscribers.subscribe()
    }

    /// The members, as this node sees them now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// What this node says of itself.
    pub const fn info(&self) -> &NodeInfo {
        &self.info
    }

    /// The cluster that this node belongs to.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster.load().as_deref().copied()
    }

    /// Waits until this node finds that it must stop, and tells why.
    pub async fn fatal(&self) -> String {
        self.fatal.wait().await
    }

    /// Whether this node has found that it must stop.
    pub fn must_stop(&self) -> bool {
        self.fatal.is_set()
    }

    /// The metrics of this node in Prometheus' text form.
    pub fn metrics_text(&self) -> String {
        self.refresh_metrics();
        self.metrics.to_text()
    }

    fn this(&self) -> Arc<Self> {
        self.weak.upgrade().expect("a node that is borrowed is alive")
    }

    fn as_host(&self) -> Arc<dyn Host> {
        self.this()
    }

    fn engine_of(&self, shard: ShardId) -> usize {
        engine::engine_of_shard(shard, self.engines.len())
    }

    fn elapsed_seconds(&self) -> u32 {
        self.coarse_seconds.load(Ordering::Relaxed)
    }

    fn name_of(&self, node: NodeId) -> String {
        match self.view.load().members.get(&node) {
            Some(member) => member.info.name.clone(),
            None => node.short(),
        }
    }
}

fn check_options(options: &NodeOptions) -> Result<(), StartError> {
    if !(1..=ENGINES_MAX).contains(&options.engines) {
        return Err(StartError::Engines { engines: options.engines });
    }
    if !(1..=sharding::SHARDS_MAX as u32).contains(&options.shards) {
        return Err(StartError::Shards { shards: options.shards });
    }
    if options.answers_kept < ANSWERS_KEPT_MIN {
        return Err(StartError::AnswersKept { kept: options.answers_kept });
    }
    Ok(())
}

/// All of a node goes by a clock that does not jump.
fn with_steady_clock(environment: Environment, options: &NodeOptions) -> (Environment, Arc<SteadyClock>) {
    let steady = Arc::new(SteadyClock::new(environment.clock, options.clock_believed_after));
    (Environment { clock: Arc::clone(&steady) as _, ..environment }, steady)
}

fn engines(environment: &Environment, info: &NodeInfo, options: &NodeOptions) -> Vec<Driver<Engine>> {
    let engine = |index: usize| {
        let engine = Engine::new(engine::Start {
            me: info.node_id,
            incarnation: info.incarnation,
            index: index as u8,
            engines: options.engines,
            disk: Arc::clone(&environment.disk),
            seed: environment.seed.child("replicas"),
            replicas: options.replicas.clone(),
            answers_kept: options.answers_kept,
            tables_pause: options.tables_pause,
            limits: options.limits,
            sabotage: options.sabotage,
        });
        Driver::new(engine, perform::ENGINE_LANES + index, options.limits.driver)
    };
    (0..options.engines).map(engine).collect()
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.info.name)
            .field("node_id", &self.info.node_id)
            .finish_non_exhaustive()
    }
}
