//! Where a call goes: the table and the hosted types, prepared for looking up.
//!
//! **Problem.** Every call asks, so the answer must cost some tens of nanoseconds, take no lock and not
//! allocate; and not every node hosts every type.
//!
//! **Design.** Two immutable values. [`Hosting`] is built when the view changes: nodes with equal type lists
//! form a class, and each type knows which classes host it. [`Routing`] is built when the table changes,
//! which is more often and therefore cheap: it adds to each shard its leader's class. A call then costs two
//! binary searches.
//!
//! A type that the shard's leader does not host goes to the first node in ring order that does. Leaving nodes
//! out does not change the order of the others, so that node is looked up on a ring of the hosts alone.
//!
//! A node whose types are not known yet is believed to host everything where it leads: that is true in a
//! cluster of one application, and a wrong guess costs one refusal that names the right node. It is not
//! chosen in a leader's place while some node is known to host the type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gritmesh_runtime::{NodeId, ShardId, Token};

use crate::ring::{Ring, RingMember};
use crate::table::{ShardTable, Version, place_of};

/// A member of the cluster, as far as routing calls is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The node.
    pub node: NodeId,
    /// Its share of the types that it hosts and a shard's leader does not.
    pub weight: u16,
    /// Whether it is believed to live. A suspected member is.
    pub alive: bool,
    /// The actor types it hosts, in any order; `None` if that is not known yet.
    pub types: Option<Arc<[String]>>,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To this node.
    Node {
        /// The node.
        node: NodeId,
        /// The shard that the token falls into.
        shard: ShardId,
        /// How new what is known of it is.
        version: Version,
    },
    /// Nowhere: no living node hosts the type.
    Unhosted {
        /// The type.
        actor_type: String,
    },
    /// Nowhere for now: the shard's leader is gone and its successor is not known yet.
    NoLeader {
        /// The shard.
        shard: ShardId,
    },
}

/// Who hosts which types, for one view.
#[derive(Debug)]
pub struct Hosting {
    /// Living nodes and their classes.
    classes: BTreeMap<NodeId, Class>,
    /// Sorted by name.
    types: Vec<TypeHosts>,
    /// For types that no node is known to host: the nodes of which nothing is known.
    unlisted: TypeHosts,
}

/// Nodes with the same list of types. Class 0 holds those whose list is not known.
type Class = u16;

const UNKNOWN: Class = 0;

#[derive(Debug)]
struct TypeHosts {
    name: String,
    /// By class, whether its nodes host the type or may be believed to.
    hosted_by: Vec<bool>,
    /// Who is known to host it.
    nodes: Arc<[NodeId]>,
    /// `nodes` in ring order; `None` if every living node hosts the type, so that every leader does.
    ring: Option<Arc<Ring>>,
}

impl Hosting {
    /// What the hosts' lists amount to. Costs a millisecond for every ten nodes that host what others do not.
    pub fn new(hosts: impl IntoIterator<Item = Host>) -> Self {
        let hosts: BTreeMap<NodeId, Host> =
            hosts.into_iter().filter(|host| host.alive).map(|host| (host.node, host)).collect();
        let (classes, lists) = classify(&hosts);
        let mut rings = Rings { hosts: &hosts, built: BTreeMap::new() };
        let names: BTreeSet<&str> = lists.iter().flatten().copied().collect();
        let type_hosts = |name: &str| {
            let mut hosted_by: Vec<bool> = lists.iter().map(|list| list.contains(name)).collect();
            hosted_by[usize::from(UNKNOWN)] = true;
            let known = |class: &Class| *class != UNKNOWN && hosted_by[usize::from(*class)];
            let nodes: Vec<NodeId> =
                classes.iter().filter(|(_, class)| known(class)).map(|(node, _)| *node).collect();
            let ring = (nodes.len() < classes.len()).then(|| rings.of(&nodes, Ring::new));
            TypeHosts { name: name.to_owned(), hosted_by, nodes: nodes.into(), ring }
        };
        let types = names.into_iter().map(type_hosts).collect();
        let unknown: Vec<NodeId> =
            classes.iter().filter(|(_, class)| **class == UNKNOWN).map(|(node, _)| *node).collect();
        let unlisted = TypeHosts {
            name: String::new(),
            hosted_by: (0..lists.len()).map(|class| class == usize::from(UNKNOWN)).collect(),
            // Half of the cluster may be unknown for a moment, which is not worth an even ring.
            ring: Some(rings.of(&unknown, Ring::coarse)),
            nodes: Arc::new([]),
        };
        Self { classes, types, unlisted }
    }

    /// Living nodes that are known to host a type, by key.
    pub fn hosts_of(&self, actor_type: &str) -> Vec<NodeId> {
        self.find(actor_type).nodes.to_vec()
    }

    fn find(&self, actor_type: &str) -> &TypeHosts {
        match self.types.binary_search_by(|hosts| hosts.name.as_str().cmp(actor_type)) {
            Ok(place) => &self.types[place],
            Err(_) => &self.unlisted,
        }
    }
}

/// Puts nodes into classes and returns the classes' lists.
fn classify(hosts: &BTreeMap<NodeId, Host>) -> (BTreeMap<NodeId, Class>, Vec<BTreeSet<&str>>) {
    let mut lists: Vec<BTreeSet<&str>> = vec![BTreeSet::new()];
    let mut numbers: BTreeMap<BTreeSet<&str>, Class> = BTreeMap::new();
    let mut classes = BTreeMap::new();
    for (node, host) in hosts {
        let class = host.types.as_ref().map_or(UNKNOWN, |types| {
            let list: BTreeSet<&str> = types.iter().map(String::as_str).collect();
            *numbers.entry(list).or_insert_with_key(|list| {
                lists.push(list.clone());
                // With more classes than numbers the rest is treated as unknown, which is only slower.
                Class::try_from(lists.len() - 1).unwrap_or(UNKNOWN)
            })
        });
        classes.insert(*node, class);
    }
    (classes, lists)
}

/// Rings of sets of nodes: types with the same hosts share one.
struct Rings<'a> {
    hosts: &'a BTreeMap<NodeId, Host>,
    built: BTreeMap<Vec<NodeId>, Arc<Ring>>,
}

impl Rings<'_> {
    fn of(&mut self, nodes: &[NodeId], build: fn(Vec<RingMember>) -> Ring) -> Arc<Ring> {
        if let Some(ring) = self.built.get(nodes) {
            return ring.clone();
        }
        let hosts = || nodes.iter().filter_map(|node| self.hosts.get(node));
        // Where all that host a type are draining, they still have to do it.
        let all_drain = hosts().all(|host| host.weight == 0);
        let member = |host: &Host| RingMember {
            node: host.node,
            weight: if all_drain { 1 } else { host.weight },
            zone: String::new(),
        };
        let ring = Arc::new(build(hosts().map(member).collect()));
        self.built.insert(nodes.to_vec(), ring.clone());
        ring
    }
}

/// The answer to every call's question, for one view and one table.
#[derive(Clone, Debug)]
pub struct Routing {
    hosting: Arc<Hosting>,
    starts: Vec<u64>,
    targets: Vec<Target>,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    shard: ShardId,
    version: Version,
    /// The leader, if it lives.
    leader: Option<(NodeId, Class)>,
}

impl Routing {
    /// Routes by this table.
    pub fn new(table: &ShardTable, hosting: Arc<Hosting>) -> Self {
        let living = |leader: NodeId| Some((leader, *hosting.classes.get(&leader)?));
        let targets = table.shards().iter().map(|shard| Target {
            shard: shard.id,
            version: shard.version(),
            leader: shard.leader.and_then(living),
        });
        let targets = targets.collect();
        Self { starts: table.shards().iter().map(|shard| shard.start.0).collect(), targets, hosting }
    }

    /// Where a call to an actor of this type at this token goes.
    pub fn route(&self, token: Token, actor_type: &str) -> Route {
        let Target { shard, version, leader } = self.targets[place_of(&self.starts, token)];
        let hosts = self.hosting.find(actor_type);
        match leader {
            Some((node, class)) if hosts.hosted_by[usize::from(class)] => {
                Route::Node { node, shard, version }
            }
            _ => self.route_elsewhere(token, shard, version, leader.is_some(), hosts, actor_type),
        }
    }

    /// Living nodes that are known to host a type, by key.
    pub fn hosts_of(&self, actor_type: &str) -> Vec<NodeId> {
        self.hosting.hosts_of(actor_type)
    }

    #[cold]
    fn route_elsewhere(
        &self,
        token: Token,
        shard: ShardId,
        version: Version,
        led: bool,
        hosts: &TypeHosts,
        actor_type: &str,
    ) -> Route {
        let host = match &hosts.ring {
            Some(ring) => ring.first(token),
            None => hosts.nodes.first().copied(),
        };
        match host {
            None => Route::Unhosted { actor_type: actor_type.to_owned() },
            // The next leader may host the type; an activation elsewhere would be stopped again at once.
            Some(_) if !led => Route::NoLeader { shard },
            Some(node) => Route::Node { node, shard, version },
        }
    }
}

#[cfg(test)]
mod tests;
