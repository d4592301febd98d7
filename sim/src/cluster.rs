//! Real nodes in a simulated world: what tests of users' actors and our own runs are made of.

mod boot;
mod leave;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{Actor, Registry};
use gritmesh_core::{Node, NodeOptions, Watcher};
use gritmesh_runtime::{Instant, Seed};

use crate::faults::Intervention;
use crate::options::WorldOptions;
use crate::world::{BlockError, NodeIndex, NodeSlot, Notes, Partition, World};

use self::boot::Boot;
use self::leave::Leaving;

/// How long [`SimBuilder::start`] waits for the cluster, in virtual time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often the simulation looks after nodes that are being started.
const BOOT_POLL: Duration = Duration::from_millis(1);

/// A cluster of real nodes in a simulated world.
///
/// ```
/// use gritmesh_actor::{actor, handlers};
/// use gritmesh_sim::Sim;
/// use serde::{Deserialize, Serialize};
/// use std::time::Duration;
///
/// #[actor(crate = gritmesh_actor)]
/// #[derive(Default, Serialize, Deserialize)]
/// struct Cart {
///     items: Vec<String>,
/// }
///
/// #[handlers(crate = gritmesh_actor)]
/// impl Cart {
///     async fn put(&mut self, item: String) -> usize {
///         self.items.push(item);
///         self.items.len()
///     }
/// }
///
/// let mut sim = Sim::new(7).nodes(3).register::<Cart>().start();
/// let cart = sim.node(0).unwrap().actor::<Cart>("ann");
/// assert_eq!(sim.block_on(async { cart.put("tea".into()).await }).unwrap().unwrap(), 1);
///
/// // Pull the plug of the node that leads the cart's shard.
/// let place = sim.node(0).unwrap().locate(&"cart/ann".parse().unwrap()).unwrap();
/// let leader: u16 = place.name[1..].parse().unwrap();
/// sim.crash(leader);
/// sim.advance(Duration::from_secs(2));
///
/// // Another one leads it now, and the tea is still in it.
/// let cart = sim.node((leader + 1) % 3).unwrap().actor::<Cart>("ann");
/// assert_eq!(sim.block_on(async { cart.put("jam".into()).await }).unwrap().unwrap(), 2);
/// ```
pub struct Sim {
    world: World,
    members: Vec<Member>,
    registry: Arc<OfNode>,
    seeds: u16,
    name: Option<String>,
    options: NodeOptions,
    watcher: Option<Arc<WatcherOf>>,
}

/// Who hears what a process of one node claims.
type WatcherOf = dyn Fn(NodeIndex, Notes) -> Arc<dyn Watcher>;

/// The types and resources of one node.
type OfNode = dyn Fn(NodeIndex, Notes) -> Registry;

struct Member {
    node: Option<Arc<Node>>,
    boot: Option<Boot>,
    leaving: Option<Leaving>,
}

impl Member {
    /// Whether its process is being started or is about to end.
    const fn changes(&self) -> bool {
        self.boot.is_some() || self.leaving.is_some()
    }
}

/// A cluster that has not been started: how many nodes, which actors, which faults.
pub struct SimBuilder {
    seed: Seed,
    nodes: u16,
    seeds: u16,
    registry: Registry,
    per_node: Option<Arc<OfNode>>,
    name: Option<String>,
    options: NodeOptions,
    watcher: Option<Arc<WatcherOf>>,
    world: WorldOptions,
}

impl SimBuilder {
    /// How many nodes the cluster has; 3 if this is not called.
    #[must_use]
    pub const fn nodes(mut self, nodes: u16) -> Self {
        self.nodes = nodes;
        self
    }

    /// How many nodes, the first ones, stand in the seed list of every node; all of them if this is not called.
    #[must_use]
    pub const fn seeds(mut self, seeds: u16) -> Self {
        self.seeds = seeds;
        self
    }

    /// The only seed of every node is this name, if there is one. What it stands for is said by [`World::set_name`]; nothing before that.
    #[must_use]
    pub fn named(mut self, name: Option<&str>) -> Self {
        self.name = name.map(str::to_owned);
        self
    }

    /// Lets every node host an actor type.
    ///
    /// # Panics
    /// If the type cannot be registered, as when its name is taken.
    #[must_use]
    pub fn register<A: Actor>(mut self) -> Self {
        self.registry.register::<A>().expect("the actor type can be registered");
        self
    }

    /// Provides something to the actors of every node.
    #[must_use]
    pub fn provide<T: std::any::Any + Send + Sync>(mut self, resource: Arc<T>) -> Self {
        self.registry.provide(resource);
        self
    }

    /// Gives each node its own types and resources, among them a way to write into the trace.
    #[must_use]
    pub fn registry(mut self, of_node: impl Fn(NodeIndex, Notes) -> Registry + 'static) -> Self {
        self.per_node = Some(Arc::new(of_node));
        self
    }

    /// Changes the settings of all nodes. Seeds and own addresses are filled in.
    #[must_use]
    pub fn node_options(mut self, options: NodeOptions) -> Self {
        self.options = options;
        self
    }

    /// Gives each process of a node somebody who hears what it claims.
    #[must_use]
    pub(crate) fn watched(
        mut self,
        of_node: impl Fn(NodeIndex, Notes) -> Arc<dyn Watcher> + 'static,
    ) -> Self {
        self.watcher = Some(Arc::new(of_node));
        self
    }

    /// Changes the world: latencies, losses, drift, trace.
    #[must_use]
    pub fn world(mut self, world: WorldOptions) -> Self {
        self.world = world;
        self
    }

    /// Starts all nodes at once, without waiting for anything.
    pub fn launch(self) -> Sim {
        let shared = self.registry;
        let registry = self.per_node.unwrap_or_else(|| Arc::new(move |_, _| shared.clone()));
        let mut sim = Sim {
            world: World::new(self.seed, self.world),
            members: Vec::new(),
            registry,
            seeds: self.seeds,
            name: self.name,
            options: self.options,
            watcher: self.watcher,
        };
        for number in 0..self.nodes {
            sim.world.add_node(NodeSlot::numbered(u64::from(number)));
            sim.members.push(Member { node: None, boot: None, leaving: None });
        }
        for number in 0..self.nodes {
            sim.boot(NodeIndex(number));
        }
        sim
    }

    /// Starts all nodes and waits until every one is ready for work.
    ///
    /// # Panics
    /// If they are not ready within a minute of virtual time.
    pub fn start(self) -> Sim {
        let mut sim = self.launch();
        assert!(
            sim.run_until(START_LIMIT, |sim| sim.is_ready()),
            "the cluster is ready within {START_LIMIT:?}"
        );
        sim
    }
}

impl Sim {
    /// A cluster of 3 nodes in a healthy world; all that is random follows from the seed.
    #[expect(clippy::new_ret_no_self, reason = "a cluster is described before it is started")]
    pub fn new(seed: u64) -> SimBuilder {
        Self::from_seed(Seed::from_number(seed))
    }

    /// As [`Self::new`], from a whole seed.
    pub fn from_seed(seed: Seed) -> SimBuilder {
        SimBuilder {
            seed,
            nodes: 3,
            seeds: u16::MAX,
            registry: Registry::new(),
            per_node: None,
            name: None,
            options: NodeOptions::default(),
            watcher: None,
            world: WorldOptions::default(),
        }
    }

    /// A node, unless it is down or still starting.
    pub fn node(&self, node: u16) -> Option<&Arc<Node>> {
        self.members[usize::from(node)].node.as_ref()
    }

    /// The nodes that run, with their numbers.
    pub fn running(&self) -> impl Iterator<Item = (NodeIndex, &Arc<Node>)> {
        let numbered = self.members.iter().enumerate();
        numbered.filter_map(|(at, member)| Some((NodeIndex(at as u16), member.node.as_ref()?)))
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> u16 {
        self.members.len() as u16
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether every node runs and is ready, and sees all others.
    pub fn is_ready(&self) -> bool {
        let size = self.members.len();
        let sees_all = |node: &Node| node.view().active().count() == size;
        self.members
            .iter()
            .all(|member| member.node.as_ref().is_some_and(|node| node.readiness().ready && sees_all(node)))
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// The world around the nodes.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// The world around the nodes, to be changed.
    pub const fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Lets virtual time pass.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now() + by;
        self.look_after();
        while self.members.iter().any(Member::changes) && self.now() < until {
            let step = BOOT_POLL.min(until - self.now());
            self.world.advance(step);
            self.look_after();
        }
        self.world.run_until(until);
    }

    /// Goes to the next thing that happens. False if nothing will.
    pub fn advance_to_next(&mut self) -> bool {
        self.look_after();
        self.world.advance_to_next()
    }

    /// Lets time pass until a condition holds, looked at every few milliseconds, or until `limit` has passed. Tells
    /// whether it holds.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        let until = self.now() + limit;
        while !condition(self) {
            if self.now() >= until {
                return false;
            }
            self.advance(LOOK_EVERY.min(until - self.now()));
        }
        true
    }

    /// Lets time pass until no node has anything to do but to look after the others: no call is under way.
    /// Tells whether that was reached within `limit`.
    pub fn run_until_idle(&mut self, limit: Duration) -> bool {
        self.run_until(limit, |sim| sim.running().all(|(_, node)| node.calls_under_way() == 0))
    }

    /// Runs the world until a future is done: the client's side of a call. Waits for a minute of virtual time at
    /// most.
    ///
    /// # Errors
    /// If the future is not done by then.
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, BlockError> {
        const LIMIT: Duration = Duration::from_secs(60);
        self.look_after();
        self.world.block_on(future, LIMIT)
    }

    /// Ends a node as a power failure does.
    pub fn crash(&mut self, node: u16) {
        self.world.kill(NodeIndex(node));
        let member = &mut self.members[usize::from(node)];
        (member.boot, member.leaving) = (None, None);
        if let Some(node) = member.node.take() {
            node.stop();
        }
    }

    /// Does for the nodes what happens outside of them: starts, restarts and ends processes.
    fn look_after(&mut self) {
        self.look_after_leavers();
        self.look_after_boots();
    }

    /// Starts a node again on its old disk.
    pub fn restart(&mut self, node: u16) {
        self.crash(node);
        self.boot(NodeIndex(node));
    }

    /// Cuts the links between groups of nodes.
    pub fn partition(&mut self, groups: &[&[u16]]) {
        let groups = groups.iter().map(|group| group.iter().copied().map(NodeIndex).collect()).collect();
        self.world.partition(&Partition::Groups(groups));
    }

    /// Makes all links whole.
    pub fn heal(&mut self) {
        self.world.heal();
    }

    /// Does something to the world from outside.
    pub fn inject_failure(&mut self, failure: &Intervention) {
        match failure {
            Intervention::Crash(node) => self.crash(node.0),
            Intervention::Restart(node) => self.restart(node.0),
            Intervention::Reboot(node) if self.world.is_running(*node) => self.restart(node.0),
            Intervention::Reboot(_) => {}
            Intervention::Leave(node) => self.leave(node.0),
            Intervention::Return(node) => self.come_back(node.0),
            other => drop(self.world.apply(other)),
        }
    }
}

impl Drop for Sim {
    /// Actors and their node hold each other.
    fn drop(&mut self) {
        self.running().for_each(|(_, node)| node.stop());
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("nodes", &self.members.len())
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SimBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBuilder").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}
