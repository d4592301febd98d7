//! What an operator has to hear of, decided by what the node publishes anyway.
//!
//! **Problem.** What a node finds out about an outage must stand in its log: a member that is down, a majority that is
//! lost. But a cluster that is well says nothing, a moment's change of leaders is no outage, and a network that comes
//! and goes must not fill a disk with lines.
//!
//! **Design.** A machine. It hears of each change of a member, and once a second it is shown what callers and engines
//! see ([`Sight`]): who leads each shard, whether a majority of its replicas is there, whether the node is ready. Out
//! come [`Record`]s. Each condition is a [`Spell`]: it is told once it has lasted, told again now and then while
//! it lasts, and told when it is over; at most every ten seconds.
//!
//! **Deliberately absent.** What single calls meet: there are metrics for that.

mod members;
mod record;
mod spell;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gritmesh_membership::ClusterEvent;
use gritmesh_runtime::{Instant, NodeId, ShardId};

use members::Members;
pub(crate) use record::Record;
use spell::{Spell, Told};

/// How long a node that was never ready may look for the others before that is an outage. Whoever started it is told
/// by other lines what it waits for.
const STARTING_TIME: Duration = Duration::from_secs(30);

/// How long a majority must be away: a table and a view that do not fit each other for a moment are no loss.
const MAJORITY_PATIENCE: Duration = Duration::from_secs(1);

/// How long a node must be unready: longer than an election.
const READY_PATIENCE: Duration = Duration::from_secs(2);

/// How long a shard may be served by nobody though a majority is there. A handler that runs may hold up a handover
/// for a while.
const STUCK_TIME: Duration = Duration::from_secs(20);

/// Leaderships that are won or lost within this time are one line.
const BULK_TIME: Duration = Duration::from_secs(2);

/// Lines about leaders come at most this often, one of each kind.
const BULK_PAUSE: Duration = Duration::from_secs(10);

/// Fewer changes of leaders than this are no outage, unless the cluster has hardly more shards.
const BULK_MIN: usize = 4;

/// Shards that a line names. Of more it tells how many.
const SHARDS_NAMED_MAX: usize = 8;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// Something about a member.
    Member(&'a ClusterEvent),
    /// What the node sees now; once a second.
    Look(Sight),
}

/// What a node sees of its shards and of itself.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) me: NodeId,
    /// What the node waits for, if it is not ready.
    pub(crate) waits_for: Option<String>,
    /// Whether it hands over its shards and goes: then it has nothing to complain of.
    pub(crate) going: bool,
    /// Members that take part.
    pub(crate) active: BTreeSet<NodeId>,
    /// Members that said good-bye.
    pub(crate) left: BTreeSet<NodeId>,
    pub(crate) shards: Vec<ShardSight>,
}

/// What a node sees of one shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardSight {
    pub(crate) shard: ShardId,
    pub(crate) leader: Option<NodeId>,
    /// Whether no majority of its replicas is there.
    pub(crate) cut_off: bool,
    /// Whether this node runs its actors. Means something only where it leads.
    pub(crate) serves: bool,
}

/// Who was last seen to lead a shard, and whether that ended without another leader.
#[derive(Clone, Copy, Debug)]
struct Lead {
    leader: NodeId,
    lost: bool,
}

/// Decides what is told of outages.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    members: Members,
    been_ready: bool,
    unready: Spell,
    majority: Spell,
    stuck: Spell,
    /// Since when each shard that has a majority is served by nobody.
    unserved: BTreeMap<ShardId, Instant>,
    leads: BTreeMap<ShardId, Lead>,
    won: Bulk,
    inherited: Bulk,
    regained: Bulk,
    lost: Bulk,
}

/// Changes of leaders that are not told yet.
#[derive(Clone, Copy, Debug, Default)]
struct Bulk {
    since: Option<Instant>,
    shards: usize,
    told: Option<Instant>,
}

impl Outages {
    pub(crate) fn handle(&mut self, now: Instant, event: Event<'_>, out: &mut Vec<Record>) {
        match event {
            Event::Member(event) => self.members.changed(now, event, out),
            Event::Look(sight) => self.look(now, &sight, out),
        }
    }

    fn look(&mut self, now: Instant, sight: &Sight, out: &mut Vec<Record>) {
        self.members.look(now, out);
        if sight.going {
            return;
        }
        self.been_ready |= sight.waits_for.is_none();
        self.look_at_majorities(now, sight, out);
        self.look_for_stuck(now, sight, out);
        self.look_at_leaders(now, sight, out);
        self.look_at_readiness(now, sight, out);
    }

    fn patience(&self, usual: Duration) -> Duration {
        if self.been_ready { usual } else { STARTING_TIME }
    }

    fn look_at_majorities(&mut self, now: Instant, sight: &Sight, out: &mut Vec<Record>) {
        let shards = sight.shards.iter().filter(|shard| shard.cut_off).count();
        let (patience, of) = (self.patience(MAJORITY_PATIENCE), sight.shards.len());
        match self.majority.look(now, shards, patience) {
            Some(Told::Lasts { lasted }) => out.push(Record::MajorityLost { shards, of, lasted }),
            Some(Told::Over { lasted, worst }) => {
                out.push(Record::MajorityRegained { shards: worst, of, lasted });
            }
            None => {}
        }
    }

    fn look_for_stuck(&mut self, now: Instant, sight: &Sight, out: &mut Vec<Record>) {
        let is_served = |shard: &ShardSight| match shard.leader {
            Some(leader) if leader == sight.me => shard.serves,
            Some(leader) => sight.active.contains(&leader),
            None => false,
        };
        let unserved = sight.shards.iter().filter(|shard| !shard.cut_off && !is_served(shard));
        let since = |shard: &ShardSight| (shard.shard, *self.unserved.get(&shard.shard).unwrap_or(&now));
        self.unserved = unserved.map(since).collect();
        let patience = self.patience(STUCK_TIME);
        let stuck = self.unserved.iter().filter(|(_, since)| now.saturating_since(**since) >= patience);
        let stuck: Vec<(ShardId, Instant)> = stuck.map(|(shard, since)| (*shard, *since)).collect();
        match self.stuck.look(now, stuck.len(), Duration::ZERO) {
            Some(Told::Lasts { .. }) => {
                let first = stuck.iter().map(|(_, since)| *since).min().unwrap_or(now);
                let named = stuck.iter().take(SHARDS_NAMED_MAX).map(|(shard, _)| *shard).collect();
                let lasted = now.saturating_since(first);
                out.push(Record::Stuck { shards: stuck.len(), of: sight.shards.len(), named, lasted });
            }
            Some(Told::Over { lasted, worst }) => {
                out.push(Record::Unstuck { shards: worst, lasted: lasted + STUCK_TIME });
            }
            None => {}
        }
    }

    /// A leader that hands over in good order is followed by another at once. What is told is leadership that ended
    /// without one, and leadership that came from a node that is not there any more: whether it died or said good-bye
    /// is the difference between an outage and a restart.
    fn look_at_leaders(&mut self, now: Instant, sight: &Sight, out: &mut Vec<Record>) {
        let (mut won, mut inherited, mut regained, mut lost) = (0, 0, 0, 0);
        for shard in &sight.shards {
            let before = self.leads.get(&shard.shard).copied();
            let leader = shard.leader.filter(|leader| sight.active.contains(leader));
            match (before, leader) {
                (Some(before), Some(leader)) if leader == sight.me => {
                    if before.leader == sight.me {
                        regained += usize::from(before.lost);
                    } else if sight.left.contains(&before.leader) {
                        inherited += 1;
                    } else if !sight.active.contains(&before.leader) {
                        won += 1;
                    }
                }
                (Some(before), None) if before.leader == sight.me && !before.lost => {
                    self.leads.insert(shard.shard, Lead { leader: sight.me, lost: true });
                    lost += 1;
                }
                _ => {}
            }
            if let Some(leader) = leader {
                self.leads.insert(shard.shard, Lead { leader, lost: false });
            }
        }
        let of = sight.shards.len();
        if let Some(shards) = self.lost.add(now, lost, of) {
            out.push(Record::LeadershipLost { shards, of });
        }
        if let Some(shards) = self.won.add(now, won, of) {
            out.push(Record::LeadershipWon { shards, of });
        }
        if let Some(shards) = self.regained.add(now, regained, of) {
            out.push(Record::LeadershipRegained { shards, of });
        }
        if let Some(shards) = self.inherited.add(now, inherited, of) {
            out.push(Record::LeadershipInherited { shards, of });
        }
    }

    fn look_at_readiness(&mut self, now: Instant, sight: &Sight, out: &mut Vec<Record>) {
        if !self.been_ready {
            return;
        }
        match self.unready.look(now, usize::from(sight.waits_for.is_some()), READY_PATIENCE) {
            Some(Told::Lasts { lasted }) => {
                let waits_for = sight.waits_for.clone().unwrap_or_default();
                out.push(Record::NotReady { waits_for, lasted });
            }
            Some(Told::Over { lasted, .. }) => out.push(Record::ReadyAgain { lasted }),
            None => {}
        }
    }
}

impl Bulk {
    /// Adds changes, and returns how many there were once that is due and if they are many.
    fn add(&mut self, now: Instant, shards: usize, of: usize) -> Option<usize> {
        if shards > 0 {
            self.since.get_or_insert(now);
            self.shards += shards;
        }
        let rested = self.told.is_none_or(|told| now.saturating_since(told) >= BULK_PAUSE);
        if now.saturating_since(self.since?) < BULK_TIME || !rested {
            return None;
        }
        self.since = None;
        let shards = std::mem::take(&mut self.shards);
        let are_many = shards >= BULK_MIN.min(of.div_ceil(BULK_MIN));
        self.told = self.told.max(are_many.then_some(now));
        are_many.then_some(shards)
    }
}

#[cfg(test)]
mod tests;
