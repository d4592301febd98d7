//! The shards' logs, without the logs: what a quorum may decide, and when.

use super::*;

impl World {
    /// Whether a majority of these is there and hears the node.
    fn has_quorum(&self, node: usize, voters: &[usize]) -> bool {
        let present = self.reachable(node).into_iter().chain([node]);
        let votes = present.filter(|number| voters.contains(number)).count();
        self.nodes[node].is_some() && votes > voters.len() / 2
    }

    /// Deposes a leader without a quorum, and elects one where there is none and can be one.
    pub(super) fn elect(&mut self, shard: ShardId) {
        let group = &self.truth[shard.0 as usize];
        if let Some(leader) = group.leader {
            if self.has_quorum(leader, &group.voters) {
                return;
            }
            self.truth[shard.0 as usize].leader = None;
            self.feed(leader, Event::Lost(shard));
        }
        let voters = self.truth[shard.0 as usize].voters.clone();
        let able: Vec<usize> =
            voters.iter().copied().filter(|voter| self.has_quorum(*voter, &voters)).collect();
        if !able.is_empty() {
            let chosen = able[self.rng.below(able.len() as u64) as usize];
            self.elected(shard, chosen);
        }
    }

    fn elected(&mut self, shard: ShardId, leader: usize) {
        let group = &mut self.truth[shard.0 as usize];
        group.version.term += 1;
        let former = group.leader.replace(leader);
        self.elections += 1;
        if let Some(former) = former {
            self.feed(former, Event::Lost(shard));
        }
        self.tell_own(shard);
    }

    fn tell_own(&mut self, shard: ShardId) {
        let group = &self.truth[shard.0 as usize];
        let leader = group.leader.expect("a leader speaks");
        let mut replicas: Vec<NodeId> = group.voters.iter().map(|voter| id(*voter)).collect();
        replicas.sort_unstable();
        let descriptor = Descriptor { shard, version: group.version, leader: Some(id(leader)), replicas };
        self.feed(leader, Event::Own(descriptor));
    }

    /// Moves a shard as its leader was asked to: first the voters, then the leader.
    pub(super) fn step(&mut self, node: usize, shard: ShardId) {
        let Some((voters, leader)) = self.nodes[node].as_ref().unwrap().wanted.get(&shard).cloned() else {
            return;
        };
        assert!(voters.is_sorted() && voters.contains(&leader) && !voters.is_empty());
        let wanted: Vec<usize> = voters.iter().map(|voter| self.number(*voter)).collect();
        let leader = self.number(leader);
        let group = &self.truth[shard.0 as usize];
        let before: BTreeSet<usize> = group.voters.iter().copied().collect();
        let after: BTreeSet<usize> = wanted.iter().copied().collect();
        if group.leader != Some(node) || !self.has_quorum(node, &group.voters) {
            return;
        }
        if before == after {
            if leader != node && self.reachable(node).contains(&leader) {
                self.elected(shard, leader);
            }
            return;
        }
        let near: Vec<usize> = self.reachable(node).into_iter().chain([node]).collect();
        let caught_up = after.difference(&before).all(|joiner| near.contains(joiner));
        let quorum = near.iter().filter(|number| after.contains(number)).count() > after.len() / 2;
        if caught_up && quorum {
            self.change(shard, node, &before, wanted);
        }
    }

    fn change(&mut self, shard: ShardId, leader: usize, before: &BTreeSet<usize>, wanted: Vec<usize>) {
        let after: BTreeSet<usize> = wanted.iter().copied().collect();
        let group = &mut self.truth[shard.0 as usize];
        group.voters = wanted;
        group.version.epoch = Epoch(group.version.epoch.0 + 1);
        self.copies += after.difference(before).count();
        if after.contains(&leader) {
            self.tell_own(shard);
        } else {
            // It has removed itself: it steps down, and one of the others is elected.
            group.leader = None;
            self.feed(leader, Event::Lost(shard));
        }
        for joiner in after.difference(before) {
            self.holds(*joiner, shard, true);
        }
        for leaver in before.difference(&after) {
            self.holds(*leaver, shard, false);
        }
        self.views_change();
    }

    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|number| self.nodes[*number].is_some()).collect()
    }

    pub(super) fn machine(&self, number: usize) -> &Placement {
        &self.nodes[number].as_ref().unwrap().machine
    }

    /// All living nodes have one table, which says what the logs say, and that is what the proposal says.
    pub(super) fn check_converged(&self) {
        let living = self.living();
        let table = self.machine(living[0]).table().unwrap();
        for number in &living {
            let machine = self.machine(*number);
            assert_eq!(machine.table(), Some(table), "tables differ");
            assert!(machine.is_settled(), "{:?}", machine.moves().collect::<Vec<_>>());
        }
        let members = living.iter().map(|number| RingMember {
            node: id(*number),
            weight: self.nodes[*number].as_ref().unwrap().weight,
            zone: String::new(),
        });
        let shards = table.shards().iter().map(|shard| (shard.id, shard.start));
        let mut proposal = propose_replicas(shards, members.collect::<Vec<_>>(), 3);
        for (shard, group) in table.shards().iter().zip(&self.truth) {
            assert_eq!(shard.version(), group.version);
            assert_eq!(shard.leader, group.leader.map(id));
            let voters = proposal.get_mut(&shard.id).unwrap();
            assert_eq!(shard.leader, Some(voters[0]));
            voters.sort_unstable();
            assert_eq!(&shard.replicas, voters);
        }
    }
}
