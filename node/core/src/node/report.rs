//! What a node tells about itself and the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use gritmesh_actor::ActivationPhase;
use gritmesh_membership::Member;
use gritmesh_runtime::{ActorAddress, NodeId, ShardId};
use gritmesh_sharding::{Missing, Move, Route, Shard};

use super::Node;
use crate::engine::{Engine, ShardHere};
use crate::metrics::StateLabel;
use crate::options::Sabotage;
use crate::requests::LISTED_BYTES_MAX;
use crate::status::{
    ActorStatus, ClusterStatus, Location, NodeReport, NodeStatus, Readiness, ShardState, ShardStatus,
};

/// Types for which somebody was warned. A client that makes up names must not fill the memory.
const WARNED_MAX: usize = 1024;

/// Nodes that do not answer this one, of which as many are named.
const DETOURS_NOTED_MAX: usize = 8;

impl Node {
    /// Counts the members by state.
    pub(super) fn show_members(&self, view: &gritmesh_membership::View) {
        for state in ["alive", "unreachable", "down", "left"] {
            let count = view.members.values().filter(|member| member.state.as_str() == state).count();
            self.metrics.members.get_or_create(&StateLabel { state }).set(count as i64);
        }
    }

    /// Whether this node was given a bug that shows once it was started again.
    pub(super) fn fails_by(&self, sabotage: Sabotage) -> bool {
        self.options.sabotage == sabotage && self.info.incarnation.0 > 1
    }

    /// Whether this node may be sent work, and what it waits for otherwise.
    pub fn readiness(&self) -> Readiness {
        let mut waits_for = Vec::new();
        let mut notes = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            waits_for.push("its end: the node is stopping".to_owned());
        } else if self.drain.is_begun() {
            waits_for.push("an order to take part again, or its end: the node is draining".to_owned());
        }
        if self.cluster().is_none() {
            waits_for.push("a cluster: it has neither founded nor joined one".to_owned());
        }
        match &*self.routes.load() {
            None => waits_for.push("the shard table".to_owned()),
            Some(routes) => {
                let view = self.view.load();
                let led =
                    |shard: &&Shard| shard.leader.is_some_and(|leader| is_active(&view.members, leader));
                let all = routes.table.shards().len();
                let led = routes.table.shards().iter().filter(led).count();
                if led < all {
                    waits_for.push(format!("leaders of {} of {all} shards", all - led));
                }
                if !self.has_settled() {
                    waits_for.push(self.awaited_share());
                }
                match view.active().count() {
                    0 | 1 => notes.push("this node is alone: nothing is replicated".to_owned()),
                    2 => notes.push("two nodes: no change is possible while one of them is away".to_owned()),
                    _ => {}
                }
                let detours = routes.detours.iter().take(DETOURS_NOTED_MAX);
                notes.extend(detours.map(|(peer, relays)| {
                    let over = relays.iter().map(|relay| self.name_of(*relay)).collect::<Vec<_>>();
                    let (peer, over) = (self.name_of(*peer), over.join(", "));
                    format!("{peer} does not answer this node: calls to it go over {over}; check the network")
                }));
                if !routes.cut_off.is_empty() {
                    let cut_off = routes.cut_off.len();
                    waits_for.push(format!("a majority of the replicas of {cut_off} of {all} shards"));
                }
            }
        }
        let damaged = self.damaged_replicas().len();
        if damaged > 0 {
            notes.push(format!("{damaged} replicas here are damaged and wait to be replaced"));
        }
        if let Some(space) = self.environment.disk.space().filter(|space| space.is_full()) {
            let [free, reserve] = [space.free_bytes, space.reserve_bytes].map(|bytes| bytes >> 20);
            notes.push(format!(
                "the disk is full: changes are refused until {reserve} MiB are free, and {free} MiB are"
            ));
        }
        if let Some(former) = self.former {
            let lost = format!(
                "the key of node {}, to whom the replicas here belong: `identity.key` was lost or replaced; restore it \
                 from a backup of the data directory, or start with an empty one",
                former.short()
            );
            if waits_for.is_empty() { notes.push(lost) } else { waits_for.push(lost) }
        }
        if !waits_for.is_empty() {
            notes.extend(self.refusals.lock().notes(self.environment.clock.now()));
        }
        Readiness { ready: waits_for.is_empty(), waits_for, notes }
    }

    /// Whether this node has had its share of the shards since it started. Until then a call may meet an actor
    /// that is about to move.
    fn has_settled(&self) -> bool {
        let settled = self.settled.load(Ordering::Relaxed)
            || self.control.peek(|control| control.placement().is_settled());
        self.settled.store(settled, Ordering::Relaxed);
        settled
    }

    /// The shards that are not yet where they should be, and what the first of them waits for.
    fn awaited_share(&self) -> String {
        self.control.peek(|control| {
            let mut moves = control.placement().moves();
            match moves.next() {
                None => "its share of the shards".to_owned(),
                Some(Move { shard, missing, .. }) => {
                    let more = moves.count();
                    format!("its share of the shards: shard {shard} waits for its {missing}, and {more} more are to move")
                }
            }
        })
    }

    /// The cluster as this node sees it.
    pub fn cluster_status(&self) -> ClusterStatus {
        let view = self.view.load();
        let routes = self.routes.load();
        let shards = routes.as_ref().map_or(&[][..], |routes| routes.table.shards());
        let led = |shard: &&Shard| shard.leader.is_some_and(|leader| is_active(&view.members, leader));
        ClusterStatus {
            cluster_id: self.cluster().map(|cluster| cluster.to_string()),
            node_id: self.info.node_id.to_string(),
            name: self.info.name.clone(),
            readiness: self.readiness(),
            members: view.members.values().map(|member| self.node_status(member, shards)).collect(),
            shards: shards.len(),
            shards_led: shards.iter().filter(led).count(),
        }
    }

    fn node_status(&self, member: &Member, shards: &[Shard]) -> NodeStatus {
        let info = &member.info;
        NodeStatus {
            node_id: info.node_id.to_string(),
            name: info.name.clone(),
            state: member.state.as_str().to_owned(),
            incarnation: info.incarnation.0,
            peer_address: info.peer_address.to_string(),
            http_address: info.http_address.map(|address| address.to_string()),
            zone: info.zone.clone(),
            weight: info.weight,
            shards: shards.iter().filter(|shard| shard.leader == Some(info.node_id)).count(),
            types: member.types.as_ref().map(|types| types.to_vec()),
            drain: (info.node_id == self.info.node_id).then(|| self.report().drain()).flatten(),
            this_node: info.node_id == self.info.node_id,
        }
    }

    /// The same as [`Self::cluster_status`], with how far other nodes are that drain, by their own word: who takes no
    /// shards may also be set up so.
    pub async fn cluster_status_asked(&self, timeout: Duration) -> ClusterStatus {
        let mut status = self.cluster_status();
        let ask = |member: NodeStatus| async move {
            let report = match member.node_id.parse() {
                Ok(node) if member.may_drain() => self.report_of(node, timeout).await.ok(),
                _ => None,
            };
            NodeStatus { drain: report.map_or(member.drain, |report| report.drain()), ..member }
        };
        status.members = join_all(status.members.into_iter().map(ask)).await;
        status
    }

    /// What this node says of itself, first hand.
    pub fn report(&self) -> NodeReport {
        let here = self.shards_here();
        // A leadership that engines and table do not agree on yet still has to be handed over.
        let routes = self.routes.load();
        let shards = routes.as_ref().map_or(&[][..], |routes| routes.table.shards());
        let me = self.info.node_id;
        let leads =
            |shard: &&Shard| shard.leader == Some(me) || here.get(&shard.id).is_some_and(|own| own.leads);
        let shards_led = shards.iter().filter(leads).count() as u32;
        let replicas = here.len() as u32;
        NodeReport {
            node_id: me.to_string(),
            name: self.info.name.clone(),
            readiness: self.readiness(),
            draining: self.drain.is_begun(),
            drained: self.drain.has_ended() && shards_led == 0 && replicas == 0,
            heirs: self.heirs() as u32,
            shards_led,
            replicas,
            actors: self.directory.len() as u64,
        }
    }

    /// All shards, as this node knows them.
    pub fn shard_statuses(&self) -> Vec<ShardStatus> {
        let routes = self.routes.load();
        let Some(routes) = &*routes else { return Vec::new() };
        let moves: BTreeMap<ShardId, String> = self.control.peek(|control| {
            let moves = control.placement().moves();
            moves.map(|one| (one.shard, self.describe_move(&one))).collect()
        });
        let (here, damaged) = (self.shards_here(), self.damaged_replicas());
        let status = |shard: &Shard| {
            let own = here.get(&shard.id);
            let state = match shard.leader {
                _ if own.is_some_and(|own| own.serves) => ShardState::Serving,
                _ if own.is_some_and(|own| own.leads) => ShardState::Changing,
                _ if damaged.contains(&shard.id) => ShardState::Damaged,
                Some(_) => ShardState::Remote,
                None => ShardState::Leaderless,
            };
            ShardStatus {
                shard: shard.id.0,
                start: shard.start.to_string(),
                end: shard.end.to_string(),
                epoch: shard.version().epoch.0,
                term: shard.version().term,
                leader: shard.leader.map(|leader| self.name_of(leader)),
                leader_id: shard.leader.map(|leader| leader.to_string()),
                replicas: shard.replicas.iter().map(|node| self.name_of(*node)).collect(),
                state,
                moving: own.filter(|own| own.leads).and_then(|_| moves.get(&shard.id).cloned()),
            }
        };
        routes.table.shards().iter().map(status).collect()
    }

    /// What has to happen to a shard next, as `one, two -> one, three`.
    fn describe_move(&self, one: &Move) -> String {
        let names =
            |nodes: &[NodeId]| nodes.iter().map(|node| self.name_of(*node)).collect::<Vec<_>>().join(", ");
        match one.missing {
            Missing::Leader => "waits for a leader".to_owned(),
            Missing::Voters => format!("{} -> {}", names(&one.from), names(&one.to)),
            Missing::Handover => format!("hand over to {}", self.name_of(one.successor)),
        }
    }

    /// Shards whose replica here is damaged.
    pub(super) fn damaged_replicas(&self) -> BTreeSet<ShardId> {
        let damaged = |engine: &Engine| engine.quarantined().collect::<Vec<_>>();
        self.engines.iter().flat_map(|engine| engine.peek(damaged)).collect()
    }

    /// What the engines do with the shards that have a replica here.
    pub(super) fn shards_here(&self) -> BTreeMap<ShardId, ShardHere> {
        self.engines.iter().flat_map(|engine| engine.peek(Engine::shards_here)).collect()
    }

    /// The node that hosts an actor, as far as this node knows; `None` if there is none for now.
    pub fn locate(&self, address: &ActorAddress) -> Option<Location> {
        let routes = self.routes.load();
        let routes = routes.as_ref()?;
        let token = address.token();
        let Route::Node { node, shard, version } = routes.routing.route(token, address.actor_type()) else {
            return None;
        };
        let view = self.view.load();
        let info = view.members.get(&node).map(|member| &member.info);
        let here = node == self.info.node_id;
        Some(Location {
            name: self.name_of(node),
            node_id: node.to_string(),
            http_address: info.and_then(|info| info.http_address).map(|address| address.to_string()),
            shard: shard.0,
            epoch: version.epoch.0,
            token: token.to_string(),
            active: here.then(|| self.directory.get(token, address).is_some()),
        })
    }

    /// Actors in memory on this node, of one type or of all, at most `limit` of them and no more than fit into an
    /// answer; and how many there are.
    pub fn actors(&self, actor_type: Option<&str>, limit: usize) -> (Vec<ActorStatus>, usize) {
        /// What one of them takes beside its texts.
        const FIXED_BYTES: usize = 64;
        let now_s = self.elapsed_seconds();
        let (mut found, mut bytes) = (Vec::new(), 0);
        for part in 0..self.directory.partitions() {
            if found.len() >= limit || bytes >= LISTED_BYTES_MAX {
                break;
            }
            for activation in self.directory.visit(part) {
                if actor_type.is_some_and(|wanted| wanted != activation.info().name) {
                    continue;
                }
                let status = activation.status();
                let address = activation.address().to_string();
                bytes += address.len() + self.info.name.len() + FIXED_BYTES;
                if bytes > LISTED_BYTES_MAX {
                    break;
                }
                found.push(ActorStatus {
                    address,
                    phase: phase_text(status.phase).to_owned(),
                    queued: status.queued,
                    idle_s: now_s.saturating_sub(status.last_used_s),
                    node: self.info.name.clone(),
                });
            }
        }
        found.truncate(limit);
        (found, self.directory.len())
    }

    /// Calls that this node sent to others or that wait here for their shard to be served.
    pub fn calls_under_way(&self) -> usize {
        let (pending, parked) = self.waiting_calls();
        pending + parked
    }

    pub(super) fn waiting_calls(&self) -> (usize, usize) {
        let counts =
            self.engines.iter().map(|engine| engine.peek(|engine| (engine.pending(), engine.parked())));
        counts.fold((0, 0), |(pending, parked), (sent, waiting)| (pending + sent, parked + waiting))
    }

    /// Says once for each type that others host and this node does not, so that a forgotten registration is
    /// noticed.
    pub(super) fn warn_of_types(&self) {
        let view = self.view.load();
        for member in view.members.values().filter(|member| member.state.is_active()) {
            for actor_type in member.types.iter().flat_map(|types| types.iter()) {
                if self.registry.get(actor_type).is_none() && self.warn_once(actor_type) {
                    let hosts = self.hosts_of(actor_type);
                    tracing::warn!(
                        actor_type,
                        hosts,
                        "this node does not host a type that others do; its calls are routed there"
                    );
                }
            }
        }
    }

    pub(super) fn warn_unknown_type(&self, actor_type: &str) {
        if self.warn_once(&format!("unhosted {actor_type}")) {
            let here: Vec<&str> = self.registry.names().collect();
            tracing::warn!(actor_type, here = here.join(", "), "a call names a type that no node hosts");
        }
    }

    fn hosts_of(&self, actor_type: &str) -> String {
        let routes = self.routes.load();
        let hosts = routes.as_ref().map(|routes| routes.routing.hosts_of(actor_type)).unwrap_or_default();
        hosts.into_iter().map(|node| self.name_of(node)).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn warn_once(&self, what: &str) -> bool {
        let mut warned = self.warned.lock();
        warned.len() < WARNED_MAX && warned.insert(what.to_owned())
    }
}

fn is_active(members: &BTreeMap<NodeId, Member>, node: NodeId) -> bool {
    members.get(&node).is_some_and(|member| member.state.is_active())
}

const fn phase_text(phase: ActivationPhase) -> &'static str {
    match phase {
        ActivationPhase::Idle => "idle",
        ActivationPhase::Busy => "busy",
        ActivationPhase::Closing => "closing",
    }
}
