//! The objects of one history: those that are not on the disk yet, above those that are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gritmesh_runtime::{DiskError, Failure, Reads, Table, Token};
use gritmesh_store::{GritError, Object, ObjectId, Objects, ReadError};
use parking_lot::Mutex;

use super::{HistoryLimits, Proposer};
use crate::StateError;
use crate::keys;
use crate::objects::DiskObjects;

/// The objects that a history and its collections see.
pub(super) struct Pool {
    pub(super) limits: HistoryLimits,
    pub(super) reads: Arc<dyn Reads>,
    pub(super) proposer: Arc<dyn Proposer>,
    pub(super) token: Token,
    above: Mutex<Above>,
}

#[derive(Default)]
struct Above {
    /// Not known to be on the disk: objects with the number of steps that wrote them.
    fresh: BTreeMap<ObjectId, (usize, Arc<[u8]>)>,
    /// Which steps wrote which, oldest first.
    steps: VecDeque<(ObjectId, Vec<ObjectId>)>,
    /// Flushed by a collection, and in no step yet.
    loose: BTreeMap<ObjectId, Object>,
    recent: BTreeMap<ObjectId, Arc<[u8]>>,
    recent_bytes: usize,
}

impl Pool {
    pub(super) fn new(
        reads: Arc<dyn Reads>,
        proposer: Arc<dyn Proposer>,
        token: Token,
        limits: HistoryLimits,
    ) -> Self {
        Self { limits, reads, proposer, token, above: Mutex::default() }
    }

    pub(super) fn disk(&self) -> DiskObjects<'_> {
        DiskObjects::new(&*self.reads, self.token)
    }

    /// Objects that a collection wrote, which a step may take over.
    pub(super) fn add_loose(&self, objects: &[Object]) {
        let mut above = self.above.lock();
        above.loose.extend(objects.iter().map(|object| (object.id(), object.clone())));
    }

    /// An object that a collection wrote.
    pub(super) fn loose(&self, id: &ObjectId) -> Option<Object> {
        self.above.lock().loose.get(id).cloned()
    }

    /// Objects of a step that later ones may refer to.
    pub(super) fn add_step(&self, step: ObjectId, objects: impl Iterator<Item = (ObjectId, Arc<[u8]>)>) {
        let mut above = self.above.lock();
        above.loose.clear();
        let mut ids = Vec::new();
        for (id, bytes) in objects {
            above.fresh.entry(id).or_insert((0, bytes)).0 += 1;
            ids.push(id);
        }
        if !ids.is_empty() {
            above.steps.push_back((step, ids));
        }
        if above.steps.len() > self.limits.steps_before_look {
            self.drop_persisted(&mut above);
        }
    }

    /// Drops the objects of steps whose packs are on the disk. Packs reach it in their order.
    fn drop_persisted(&self, above: &mut Above) {
        while let Some((step, ids)) = above.steps.pop_front() {
            let is_there = self.reads.get(Table::Object, &keys::object(self.token, &step));
            if !matches!(is_there, Ok(Some(_))) {
                above.steps.push_front((step, ids));
                break;
            }
            for id in ids {
                let (count, _) = above.fresh.get_mut(&id).expect("an object stays as long as its steps");
                *count -= 1;
                if *count == 0 {
                    above.fresh.remove(&id);
                }
            }
        }
    }

    /// Reports what can be repaired, and says it as a caller is told.
    pub(super) fn failed(&self, error: StateError) -> Failure {
        if let Some(damage) = error.damage() {
            self.proposer.damaged(damage);
        } else if let StateError::Disk(DiskError::Corrupt { detail }) = &error {
            self.proposer.found_damage(self.token, detail);
        }
        error.into_failure()
    }

    /// As [`Self::failed`], for a walk over these objects.
    pub(super) fn walk_failed(&self, error: GritError) -> Failure {
        self.failed(self.disk().explain(error))
    }
}

impl Objects for Pool {
    fn read(&self, id: &ObjectId) -> Result<Arc<[u8]>, ReadError> {
        let above = self.above.lock();
        let fresh = || above.fresh.get(id).map(|(_, bytes)| bytes);
        let loose = || above.loose.get(id).map(Object::bytes);
        if let Some(bytes) = fresh().or_else(loose).or_else(|| above.recent.get(id)) {
            return Ok(Arc::clone(bytes));
        }
        drop(above);
        let bytes = self.disk().read(id)?;
        let mut above = self.above.lock();
        if above.recent_bytes + bytes.len() > self.limits.recent_bytes {
            above.recent.clear();
            above.recent_bytes = 0;
        }
        above.recent_bytes += bytes.len();
        above.recent.insert(*id, Arc::clone(&bytes));
        Ok(bytes)
    }
}
