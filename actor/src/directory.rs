//! The actors that are in memory on one node.

use std::fmt;
use std::sync::Arc;

use gritmesh_runtime::{ActorAddress, Token};
use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::any_activation::AnyActivation;
use crate::durable::watch::Watch;

/// Parts of the directory, each with a lock of its own: callers on all cores look up at once, and a growing
/// table moves few entries at a time. A part is a contiguous range of tokens.
const PARTITIONS: usize = 256;

type Partition = RwLock<HashTable<Arc<dyn AnyActivation>>>;

/// Finds activations by address. Shared by everyone who calls; changed only by activation and deactivation.
pub struct Directory {
    partitions: Vec<Partition>,
    /// Here because there is one for each host.
    watch: Arc<Watch>,
}

impl Directory {
    /// An empty directory.
    pub fn new() -> Self {
        let partitions = (0..PARTITIONS).map(|_| RwLock::new(HashTable::new())).collect();
        Self { partitions, watch: Arc::default() }
    }

    /// The activation of an actor.
    pub fn get(&self, token: Token, address: &ActorAddress) -> Option<Arc<dyn AnyActivation>> {
        let partition = self.partition(token).read();
        partition.find(hash(token), |entry| entry.address() == address).cloned()
    }

    /// The activation of an actor whose address is at hand as a key.
    pub fn get_by_key(&self, token: Token, key: &str) -> Option<Arc<dyn AnyActivation>> {
        let partition = self.partition(token).read();
        partition.find(hash(token), |entry| entry.address().as_key() == key).cloned()
    }

    /// The activation of an actor, created if there is none. Returns whether it was created. `create` runs under
    /// a lock of the directory, and must use neither it nor an activation.
    pub fn get_or_create(
        &self,
        token: Token,
        address: &ActorAddress,
        create: impl FnOnce() -> Arc<dyn AnyActivation>,
    ) -> (Arc<dyn AnyActivation>, bool) {
        let mut partition = self.partition(token).write();
        if let Some(found) = partition.find(hash(token), |entry| entry.address() == address) {
            return (Arc::clone(found), false);
        }
        let created = create();
        partition.insert_unique(hash(token), Arc::clone(&created), |entry| hash(entry.token()));
        (created, true)
    }

    /// Removes one particular activation of an actor; a newer one stays.
    pub(crate) fn remove(&self, token: Token, address: &ActorAddress, activation: *const ()) {
        let mut partition = self.partition(token).write();
        let is_it = |entry: &Arc<dyn AnyActivation>| {
            std::ptr::eq(Arc::as_ptr(entry).cast(), activation) && entry.address() == address
        };
        if let Ok(entry) = partition.find_entry(hash(token), is_it) {
            let (activation, _) = entry.remove();
            drop(partition);
            drop(activation);
        }
    }

    /// Drops every activation without a word to it, as a crash does. Activations hold their host and a host holds
    /// its directory, so a node that goes away without this or without closing them is never freed.
    pub fn clear(&self) {
        for partition in &self.partitions {
            let dropped = std::mem::take(&mut *partition.write());
            drop(dropped);
        }
        self.watch.clear();
    }

    /// The deadlines of those who wait for commits.
    pub(crate) const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// How many parts there are to [`Self::visit`].
    pub const fn partitions(&self) -> usize {
        PARTITIONS
    }

    /// The activations of one part, in the order of their addresses.
    pub fn visit(&self, partition: usize) -> Vec<Arc<dyn AnyActivation>> {
        let mut found: Vec<_> = self.partitions[partition].read().iter().cloned().collect();
        found.sort_by(|a, b| a.address().cmp(b.address()));
        found
    }

    /// The activations between two tokens, both included, in the order of their tokens and addresses.
    pub fn range(&self, start: Token, end: Token) -> Vec<Arc<dyn AnyActivation>> {
        let mut found = Vec::new();
        for partition in index(start)..=index(end) {
            let inside = |entry: &&Arc<dyn AnyActivation>| (start..=end).contains(&entry.token());
            found.extend(self.partitions[partition].read().iter().filter(inside).cloned());
        }
        found.sort_by(|a, b| (a.token(), a.address()).cmp(&(b.token(), b.address())));
        found
    }

    /// How many actors are in memory.
    pub fn len(&self) -> usize {
        self.partitions.iter().map(|partition| partition.read().len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn partition(&self, token: Token) -> &Partition {
        &self.partitions[index(token)]
    }
}

const fn index(token: Token) -> usize {
    (token.0 >> 56) as usize
}

/// A table tells entries apart by the first bits of their hashes and places them by the last. The first bits of
/// tokens are alike within a part, so they go to the middle.
const fn hash(token: Token) -> u64 {
    token.0.rotate_left(u64::BITS / 2)
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({} actors)", self.len())
    }
}
