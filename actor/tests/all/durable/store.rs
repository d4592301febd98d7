//! The seam of durable actors, implemented as simply as it can be.
//!
//! A [`Head`] is everything that the newest step of an actor refers to. A history writes on top of the newest head,
//! committed or not; the store keeps what is not committed in one queue, and the test says what becomes of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gritmesh_actor::{
    Admission, Collection, Draft, Entries, Flushed, FlushedObject, Gate, History, Origin, Outgoing,
    ReminderChange, ReminderInfo, codec,
};
use gritmesh_runtime::{ActorAddress, Failure, FailureCode};

#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// As of the newest step, committed or not.
    newest: BTreeMap<ActorAddress, Head>,
    committed: BTreeMap<ActorAddress, Head>,
    pending: VecDeque<Pending>,
    holds: bool,
    /// What reading anything fails with.
    unreadable: Option<Failure>,
    /// Messages of committed steps, which are there to be delivered.
    outbox: Vec<Outgoing>,
    broken: BTreeMap<ActorAddress, Arc<AtomicBool>>,
}

#[derive(Clone, Default)]
pub(crate) struct Head {
    pub(crate) state: Option<Arc<[u8]>>,
    pub(crate) collections: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) cursors: BTreeMap<ActorAddress, u64>,
    pub(crate) answers: BTreeMap<Arc<[u8]>, Result<Vec<u8>, Failure>>,
    pub(crate) reminders: BTreeMap<String, ReminderInfo>,
    pub(crate) fired: Vec<(String, u64)>,
    pub(crate) steps: Vec<Draft>,
}

struct Pending {
    actor: ActorAddress,
    /// What it commits, or nothing if it only waits for what is before it.
    step: Option<Head>,
    sends: Vec<Outgoing>,
    gate: Gate,
}

impl Shelf {
    /// Opens an actor, as the host does when its activation loads.
    pub(crate) fn open(&self, actor: &ActorAddress) -> Result<Box<dyn History>, Failure> {
        let mut inner = self.0.lock().unwrap();
        if let Some(failure) = &inner.unreadable {
            return Err(failure.clone());
        }
        let broken = Arc::new(AtomicBool::new(false));
        inner.broken.insert(actor.clone(), Arc::clone(&broken));
        Ok(Box::new(Thread { store: self.clone(), actor: actor.clone(), broken }))
    }

    /// From now on nothing is committed until [`Self::release`] says so.
    pub(crate) fn hold(&self) {
        self.0.lock().unwrap().holds = true;
    }

    /// Commits the oldest step, and opens what waited for nothing else.
    pub(crate) fn release(&self) {
        let pending = self.0.lock().unwrap().pending.pop_front().expect("something is pending");
        self.open_gate(pending);
        while self.0.lock().unwrap().pending.front().is_some_and(|next| next.step.is_none()) {
            let next = self.0.lock().unwrap().pending.pop_front().expect("it was just there");
            self.open_gate(next);
        }
    }

    /// Refuses the oldest step, and with it every later one of its actor.
    pub(crate) fn refuse(&self, code: FailureCode) {
        let mut inner = self.0.lock().unwrap();
        let actor = inner.pending.front().expect("something is pending").actor.clone();
        let pending = std::mem::take(&mut inner.pending);
        let (refused, kept): (VecDeque<_>, VecDeque<_>) =
            pending.into_iter().partition(|one| one.actor == actor);
        inner.pending = kept;
        let head = inner.committed.get(&actor).cloned().unwrap_or_default();
        inner.newest.insert(actor.clone(), head);
        inner.broken[&actor].store(true, Ordering::SeqCst);
        drop(inner);
        refused.into_iter().for_each(|one| (one.gate)(Err(Failure::new(code, "the step was refused"))));
    }

    pub(crate) fn is_pending(&self) -> bool {
        !self.0.lock().unwrap().pending.is_empty()
    }

    pub(crate) fn fail_reads(&self, failure: Option<Failure>) {
        self.0.lock().unwrap().unreadable = failure;
    }

    pub(crate) fn committed(&self, actor: &str) -> Head {
        let actor: ActorAddress = actor.parse().unwrap();
        self.0.lock().unwrap().committed.get(&actor).cloned().unwrap_or_default()
    }

    pub(crate) fn put_state(&self, actor: &str, state: &[u8]) {
        let actor: ActorAddress = actor.parse().unwrap();
        let head = Head { state: Some(state.into()), ..Head::default() };
        self.0.lock().unwrap().newest.insert(actor, head);
    }

    /// How many steps an actor has, committed or not.
    pub(crate) fn steps(&self, actor: &str) -> usize {
        let actor: ActorAddress = actor.parse().unwrap();
        self.0.lock().unwrap().newest.get(&actor).map_or(0, |head| head.steps.len())
    }

    /// Takes the messages of committed steps.
    pub(crate) fn take_outbox(&self) -> Vec<Outgoing> {
        std::mem::take(&mut self.0.lock().unwrap().outbox)
    }

    fn open_gate(&self, pending: Pending) {
        if let Some(step) = pending.step {
            let mut inner = self.0.lock().unwrap();
            inner.committed.insert(pending.actor, step);
            inner.outbox.extend(pending.sends);
        }
        // Without a lock: a gate may answer callers, who may call again.
        (pending.gate)(Ok(()));
    }
}

struct Thread {
    store: Shelf,
    actor: ActorAddress,
    broken: Arc<AtomicBool>,
}

impl Thread {
    fn head(&self) -> Head {
        self.store.0.lock().unwrap().newest.get(&self.actor).cloned().unwrap_or_default()
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }
}

fn broken() -> Failure {
    Failure::new(FailureCode::NotDelivered, "a step before it was refused")
}

impl History for Thread {
    fn state(&self) -> Option<Arc<[u8]>> {
        self.head().state
    }

    fn collection(&self, name: &str) -> Result<Box<dyn Collection>, Failure> {
        let entries = self.head().collections.remove(name).unwrap_or_default();
        Ok(Box::new(Sorted { store: self.store.clone(), entries, changed: false }))
    }

    fn admit(&mut self, origin: &Origin) -> Admission {
        let head = self.head();
        match origin {
            Origin::Call => Admission::Run,
            Origin::Keyed { key } => match head.answers.get(key) {
                Some(answer) => Admission::Answered(answer.clone()),
                None => Admission::Run,
            },
            Origin::Message { from, sequence, .. } => {
                let cursor = head.cursors.get(from).copied().unwrap_or(0);
                match *sequence {
                    seen if seen <= cursor => Admission::Repeated,
                    next if next == cursor + 1 => Admission::Run,
                    _ => Admission::Early,
                }
            }
            Origin::Reminder { name, due_unix_ms, .. } => {
                match head.fired.contains(&(name.to_string(), *due_unix_ms)) {
                    true => Admission::Repeated,
                    false => Admission::Run,
                }
            }
        }
    }

    fn reminders(&self) -> Vec<ReminderInfo> {
        self.head().reminders.into_values().collect()
    }

    fn commit(&mut self, draft: Draft, gate: Gate) {
        let mut inner = self.store.0.lock().unwrap();
        if self.is_broken() {
            drop(inner);
            return gate(Err(broken()));
        }
        let mut head = inner.newest.get(&self.actor).cloned().unwrap_or_default();
        head.apply(&draft);
        let (actor, sends) = (self.actor.clone(), draft.sends);
        inner.newest.insert(actor.clone(), head.clone());
        inner.pending.push_back(Pending { actor, step: Some(head), sends, gate });
        let holds = inner.holds;
        drop(inner);
        if !holds {
            self.store.release();
        }
    }

    fn observe(&mut self, gate: Gate) {
        let mut inner = self.store.0.lock().unwrap();
        if self.is_broken() {
            drop(inner);
            return gate(Err(broken()));
        }
        if !inner.pending.iter().any(|pending| pending.actor == self.actor) {
            drop(inner);
            return gate(Ok(()));
        }
        let (actor, sends) = (self.actor.clone(), Vec::new());
        inner.pending.push_back(Pending { actor, step: None, sends, gate });
    }
}

impl Head {
    fn apply(&mut self, draft: &Draft) {
        if let Some(state) = &draft.state {
            self.state = Some(state.as_slice().into());
        }
        for (name, flushed) in &draft.collections {
            let entries: Entries =
                flushed.objects.first().map_or_else(Vec::new, |object| codec::decode(&object.bytes).unwrap());
            assert_eq!(entries.len() as u64, flushed.entries);
            self.collections.insert((*name).to_owned(), entries.into_iter().collect());
        }
        match &draft.origin {
            Origin::Call => assert!(draft.answer.is_none()),
            Origin::Keyed { key } => {
                self.answers.insert(Arc::clone(key), draft.answer.clone().expect("it is recorded"));
            }
            Origin::Message { from, sequence, .. } => drop(self.cursors.insert(from.clone(), *sequence)),
            Origin::Reminder { name, due_unix_ms, .. } => self.fired.push((name.to_string(), *due_unix_ms)),
        }
        for change in &draft.reminders {
            match change.clone() {
                ReminderChange::Set { name, due_unix_ms, every_ms, late, method, .. } => {
                    let info = ReminderInfo { name: name.clone(), due_unix_ms, every_ms, late, method };
                    self.reminders.insert(name, info);
                }
                ReminderChange::Cancel { name } => drop(self.reminders.remove(&name)),
            }
        }
        self.steps.push(draft.clone());
    }
}

/// A collection that is written whole, as one object.
struct Sorted {
    store: Shelf,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    changed: bool,
}

impl Sorted {
    fn check(&self) -> Result<(), Failure> {
        self.store.0.lock().unwrap().unreadable.clone().map_or(Ok(()), Err)
    }
}

impl Collection for Sorted {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.check()?;
        Ok(self.entries.get(key).cloned())
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.changed = true;
        self.entries.insert(key.to_vec(), value);
    }

    fn remove(&mut self, key: &[u8]) {
        self.changed |= self.entries.remove(key).is_some();
    }

    fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    fn range(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Entries, Failure> {
        self.check()?;
        let inside = |key: &[u8]| from <= key && to.is_none_or(|to| key < to);
        let found = self.entries.iter().filter(|(key, _)| inside(key)).take(limit);
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn is_changed(&self) -> bool {
        self.changed
    }

    fn flush(&mut self) -> Result<Flushed, Failure> {
        self.check()?;
        self.changed = false;
        let entries: Entries = self.entries.clone().into_iter().collect();
        let bytes = codec::encode(&entries).unwrap().into();
        let objects = vec![FlushedObject { id: [1; 32], kind: 0, bytes }];
        Ok(Flushed { root: Some([1; 32]), entries: entries.len() as u64, objects })
    }
}
