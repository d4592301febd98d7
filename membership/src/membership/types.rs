//! Which actor types a member hosts. Gossip carries a digest only; lists come with the greeting of a connection
//! or are asked for, once per digest and not once per member, for most members host the same types.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::{Instant, NodeId, TypesDigest};

use super::{Alarm, Membership};
use crate::event::Effect;
use crate::message::{Message, digest_of};

/// Lists that are kept. Members of a cluster run a few different applications.
const LISTS_MAX: usize = 256;

/// Lists that are asked for at a time.
const ASKED_AT_ONCE: usize = 16;

/// Pause before a list that did not come is asked for again, first and longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How long a list may come by itself before it is asked for.
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct TypeLists {
    own: TypesDigest,
    lists: BTreeMap<TypesDigest, Arc<[String]>>,
    asking: bool,
    pause: Duration,
}

impl TypeLists {
    pub(super) fn new(digest: TypesDigest, own: Vec<String>) -> Self {
        let lists = BTreeMap::from([(digest, own.into())]);
        Self { own: digest, lists, asking: false, pause: RETRY.0 }
    }

    pub(super) fn own(&self) -> Arc<[String]> {
        self.lists[&self.own].clone()
    }

    pub(super) fn get(&self, digest: TypesDigest) -> Option<Arc<[String]>> {
        self.lists.get(&digest).cloned()
    }
}

impl Membership {
    /// Keeps a list and fills it in where it is missing.
    pub(super) fn learn_types(&mut self, names: &[String], out: &mut Vec<Effect>) -> bool {
        let Some(digest) = digest_of(names) else {
            self.counters.malformed += 1;
            return false;
        };
        if self.types.lists.contains_key(&digest) {
            return false;
        }
        if self.types.lists.len() >= LISTS_MAX {
            let used =
                |digest: &TypesDigest| self.view.members.values().any(|member| member.info.types == *digest);
            let own = self.types.own;
            self.types.lists.retain(|digest, _| *digest == own || used(digest));
        }
        if self.types.lists.len() >= LISTS_MAX {
            self.counters.overflowed += 1;
            return false;
        }
        let list: Arc<[String]> = names.into();
        self.types.lists.insert(digest, list.clone());
        let mut filled = false;
        for member in self.view.members.values_mut().filter(|member| member.info.types == digest) {
            member.types = Some(list.clone());
            filled = true;
        }
        if filled {
            self.view.version += 1;
            out.push(Effect::ViewChanged);
        }
        true
    }

    /// Some member's list is not known.
    pub(super) fn types_missing(&mut self, now: Instant) {
        if !self.types.asking {
            (self.types.asking, self.types.pause) = (true, RETRY.0);
            self.alarms.insert(now + PATIENCE, Alarm::Types);
        }
    }

    /// Asks one random member per unknown digest.
    pub(super) fn ask_for_types(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut hosts: BTreeMap<TypesDigest, Vec<NodeId>> = BTreeMap::new();
        for (node, member) in self.view.active().filter(|(_, member)| member.types.is_none()) {
            hosts.entry(member.info.types).or_default().push(*node);
        }
        self.types.asking = !hosts.is_empty();
        if hosts.is_empty() {
            return;
        }
        for nodes in hosts.values().take(ASKED_AT_ONCE) {
            let chosen = nodes[self.rng.below(nodes.len() as u64) as usize];
            self.send(chosen, &Message::TypesRequest, out);
        }
        self.alarms.insert(now + self.types.pause, Alarm::Types);
        self.types.pause = (self.types.pause * 2).min(RETRY.1);
    }

    pub(super) fn on_types(&mut self, from: NodeId, names: &[String], out: &mut Vec<Effect>) {
        let expected = self.known(from).map(|member| member.id().info().types);
        if expected.is_none() || digest_of(names) != expected {
            self.counters.unexpected += 1;
        } else if self.learn_types(names, out) {
            self.types.pause = RETRY.0;
        }
    }
}
