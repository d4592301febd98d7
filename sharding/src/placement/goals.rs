//! Where each shard should go from where it is.

use std::collections::{BTreeMap, BTreeSet};

use gritmesh_runtime::{Instant, NodeId, ShardId};

use super::absences::Absence;
use super::{Drain, Placement, is_alive};
use crate::proposal::propose_replicas;
use crate::ring::RingMember;
use crate::table::{REPLICAS_MAX, Shard};

/// What the ring proposes for the members of one moment.
#[derive(Debug)]
pub(super) struct Proposal {
    at: Instant,
    voters: BTreeMap<ShardId, Vec<NodeId>>,
}

/// Who should keep and who should lead a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    /// Sorted.
    pub(super) voters: Vec<NodeId>,
    pub(super) leader: NodeId,
}

/// A shard that is not where it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The shard.
    pub shard: ShardId,
    /// Its voters now.
    pub from: Vec<NodeId>,
    /// The voters that it should have.
    pub to: Vec<NodeId>,
    /// Who leads it now, if that is known.
    pub leader: Option<NodeId>,
    /// Who should lead it.
    pub successor: NodeId,
    /// What has to happen next.
    pub missing: Missing,
}

/// What a move waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A leader: nobody can move the shard until its voters have elected one.
    Leader,
    /// The right voters: new ones have to catch up, others to go.
    Voters,
    /// The right leader.
    Handover,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Voters => "voters",
            Self::Handover => "handover",
        })
    }
}

/// What is believed of a node, as far as it matters for keeping it as a voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Alive,
    Awaited,
    Lost,
    /// It lives and gives away what it has.
    Draining,
    Left,
}

impl Placement {
    /// Whether every shard is kept and led by the nodes that should, as far as this node knows.
    pub fn is_settled(&self) -> bool {
        self.table.is_some() && self.proposal.is_some() && self.moves().next().is_none()
    }

    /// The shards that are not where they should be, by range. Empty as long as this node is not a member.
    pub fn moves(&self) -> impl Iterator<Item = Move> + '_ {
        let shards = self.table.iter().flat_map(|table| table.shards());
        shards.filter_map(|shard| {
            let goal = self.goal(shard)?;
            let deposed = shard.leader == Some(self.me) && !self.own.contains_key(&shard.id);
            let leader = shard.leader.filter(|leader| is_alive(&self.candidates, leader) && !deposed);
            let missing = match leader {
                None => Missing::Leader,
                Some(_) if goal.voters != shard.replicas => Missing::Voters,
                Some(leader) if goal.leader != leader => Missing::Handover,
                Some(_) => return None,
            };
            Some(Move {
                shard: shard.id,
                from: shard.replicas.clone(),
                to: goal.voters,
                leader,
                successor: goal.leader,
                missing,
            })
        })
    }

    pub(super) fn refresh_proposal(&mut self, now: Instant) {
        let Some(table) = &self.table else { return };
        // Whoever has been down for too long since then is no member any more.
        let current = |proposal: &Proposal| self.absences.next_due(proposal.at).is_none_or(|due| due > now);
        if !self.proposal.as_ref().is_some_and(current) {
            let shards = table.shards().iter().map(|shard| (shard.id, shard.start));
            let members: Vec<RingMember> = self.ring_members(now).collect();
            self.proposal = Some(Proposal {
                at: now,
                voters: propose_replicas(shards, members, self.options.replication),
            });
        }
    }

    /// Who should keep and lead the shard; `None` if nothing is proposed.
    pub(super) fn goal(&self, shard: &Shard) -> Option<Goal> {
        let proposal = self.proposal.as_ref()?;
        let mut order: &[NodeId] = proposal.voters.get(&shard.id).map_or(&[], Vec::as_slice);
        if order.iter().all(|node| self.standing(proposal.at, node) == Standing::Draining) {
            // Nobody gives weight to anything: there is nowhere to go.
            order = &[];
        }
        let mut voters = self.wanted(proposal.at, shard, order);
        let votes = |node: &NodeId| shard.replicas.contains(node);
        let alive = |node: &NodeId| is_alive(&self.candidates, node);
        // Without a living majority the change could not be completed, and the shard would lose its leader.
        if voters.iter().filter(|node| alive(node)).count() <= voters.len() / 2 {
            voters.clone_from(&shard.replicas);
        }
        let first = order.first().filter(|first| alive(first) && votes(first) && voters.contains(first));
        let stays = shard.leader.as_ref().filter(|leader| alive(leader) && voters.contains(leader));
        let next = voters.iter().find(|node| alive(node) && votes(node));
        let leader = first.or(stays).or(next).or_else(|| voters.iter().find(|node| alive(node)));
        let leader = leader.or_else(|| voters.first()).copied()?;
        voters.sort_unstable();
        Some(Goal { voters, leader })
    }

    /// The voters that the shard should have, best first.
    fn wanted(&self, at: Instant, shard: &Shard, order: &[NodeId]) -> Vec<NodeId> {
        let standing = |node: &NodeId| self.standing(at, node);
        if order.is_empty() {
            return shard.replicas.clone();
        }
        // The dead cannot be made voters.
        let useful = |node: &&NodeId| match standing(node) {
            Standing::Alive => true,
            Standing::Awaited | Standing::Draining => shard.replicas.contains(node),
            Standing::Lost | Standing::Left => false,
        };
        let mut wanted: Vec<NodeId> = order.iter().filter(useful).copied().collect();
        let mut others: Vec<(Standing, NodeId)> =
            shard.replicas.iter().map(|node| (standing(node), *node)).collect();
        others.retain(|(_, node)| !wanted.contains(node));
        others.sort_unstable();
        for (_, awaited) in others.iter().filter(|(standing, _)| *standing == Standing::Awaited) {
            let newcomer = wanted.iter().rposition(|node| !shard.replicas.contains(node));
            match newcomer.filter(|_| wanted.len() >= order.len()) {
                Some(place) => wanted[place] = *awaited,
                None if wanted.len() < REPLICAS_MAX => wanted.push(*awaited),
                None => {}
            }
        }
        let stays = |standing: Standing| standing < Standing::Draining;
        let staying = shard.replicas.iter().filter(|node| stays(standing(node))).count();
        let fewest = staying.min(self.options.replication);
        for (standing, node) in others {
            // Where a node that should take over is not there, whoever has the data keeps it.
            let needed = wanted.len() < order.len() || (wanted.len() < fewest && stays(standing));
            if needed && standing != Standing::Left && !wanted.contains(&node) {
                wanted.push(node);
            }
        }
        wanted
    }

    fn standing(&self, at: Instant, node: &NodeId) -> Standing {
        match self.candidates.get(node).filter(|candidate| candidate.alive) {
            Some(_) if *node == self.me && self.drain != Drain::No => Standing::Draining,
            Some(candidate) if candidate.weight == 0 => Standing::Draining,
            Some(_) => Standing::Alive,
            None => match self.absences.of(at, node) {
                Absence::Awaited => Standing::Awaited,
                Absence::Lost => Standing::Lost,
                Absence::Left => Standing::Left,
            },
        }
    }

    /// Who keeps something, by the table.
    pub(super) fn keepers(&self) -> BTreeSet<NodeId> {
        let shards = self.table.iter().flat_map(|table| table.shards());
        shards.flat_map(|shard| shard.replicas.iter().copied()).collect()
    }

    /// Everybody who may keep something: who lives, and who keeps something and may be back in a moment. Nobody waits for
    /// others: a peer may have made them up, and then nodes would not agree on whom they wait for.
    fn ring_members(&self, now: Instant) -> impl Iterator<Item = RingMember> + '_ {
        let keepers = self.keepers();
        let counted =
            self.candidates.values().filter(move |candidate| match self.standing(now, &candidate.node) {
                Standing::Alive | Standing::Draining => true,
                Standing::Awaited => keepers.contains(&candidate.node),
                Standing::Lost | Standing::Left => false,
            });
        counted.map(|candidate| {
            let gives_all_away = candidate.node == self.me && self.drain != Drain::No;
            RingMember {
                node: candidate.node,
                weight: if gives_all_away { 0 } else { candidate.weight },
                zone: candidate.zone.clone(),
            }
        })
    }
}
