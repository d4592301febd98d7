//! One actor's history, as its activation sees it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use gritmesh_actor::{Admission, Collection, Draft, Gate, History, Origin, ReminderInfo};
use gritmesh_runtime::{ActorAddress, Failure, FailureCode, Table};
use gritmesh_store::{ObjectId, SortedMap, Value};

use super::HistoryLimits;
use super::Proposal;
use super::collection::TreeCollection;
use super::pool::Pool;
use super::reminding::{self, Reminders};
use crate::StateError;
use crate::command::Command;
use crate::keys::{self, ANSWER_KEY_BYTES_MAX, ActorKey};
use crate::objects::StepObjects;
use crate::rows::AnswerRow;
use crate::state::read_head;

/// The name of the plain fields in the core. Empty bytes there mean that no step has had any yet.
pub(crate) const STATE: &[u8] = b"state";
/// What stands in front of the name of a collection in the core.
pub(crate) const FIELD: &[u8] = b"fields/";

/// The last message of a peer: its number, and its id.
pub(super) type Last = (u64, ObjectId);

/// A step that is the newest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) id: ObjectId,
    pub(super) number: u64,
}

/// The history of one activation.
pub(super) struct ActorHistory {
    pub(super) pool: Arc<Pool>,
    pub(super) address: ActorAddress,
    pub(super) actor: ActorKey,
    pub(super) newest: Option<Newest>,
    /// What the core of the newest step says.
    pub(super) core: BTreeMap<Vec<u8>, Value>,
    pub(super) state: Option<Arc<[u8]>>,
    pub(super) inbox: Mailbox,
    pub(super) outbox: Mailbox,
    pub(super) reminders: OnceCell<Reminders>,
    /// Answers that may not be on the disk yet.
    pub(super) answers: BTreeMap<Vec<u8>, Result<Vec<u8>, Failure>>,
    /// In which order they were given, each with the number of its step.
    pub(super) answered: VecDeque<(u64, Vec<u8>)>,
    /// Whether a step was refused, or something stands in the way of the next.
    pub(super) broken: Arc<AtomicBool>,
    /// Steps that are not decided.
    undecided: Arc<AtomicU32>,
}

/// A mailbox of the newest step.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) root: Option<ObjectId>,
    recent: BTreeMap<Vec<u8>, Option<Last>>,
}

impl Mailbox {
    /// The last message of a peer.
    pub(super) fn last(&mut self, pool: &Pool, peer: &ActorAddress) -> Result<Option<Last>, Failure> {
        let key = peer.as_key().as_bytes();
        if let Some(last) = self.recent.get(key) {
            return Ok(*last);
        }
        let found = SortedMap::mailbox(pool, self.root).get(key).map_err(|error| pool.walk_failed(error))?;
        let last = match found {
            Some(Value::Message { sequence, id }) => Some((sequence, id)),
            Some(Value::Bytes(_) | Value::Blob(_) | Value::Tree(_)) | None => None,
        };
        self.keep(key, last, &pool.limits);
        Ok(last)
    }

    pub(super) fn keep(&mut self, peer: &[u8], last: Option<Last>, limits: &HistoryLimits) {
        if self.recent.len() >= limits.peers_kept {
            self.recent.clear();
        }
        self.recent.insert(peer.to_vec(), last);
    }
}

impl ActorHistory {
    pub(super) fn open(address: &ActorAddress, pool: Arc<Pool>) -> Result<Self, StateError> {
        let actor = ActorKey::at(address, pool.token);
        let mut history = Self {
            address: address.clone(),
            newest: None,
            core: BTreeMap::new(),
            state: None,
            inbox: Mailbox::default(),
            outbox: Mailbox::default(),
            reminders: OnceCell::new(),
            answers: BTreeMap::new(),
            answered: VecDeque::new(),
            broken: Arc::default(),
            undecided: Arc::default(),
            actor,
            pool,
        };
        if let Some(head) = read_head(&history.actor, &*history.pool.reads)? {
            let pool = Arc::clone(&history.pool);
            let objects = StepObjects::of_head(&*pool.reads, &history.actor, &head)?;
            let step = objects.step();
            history.newest = Some(Newest { id: head.id, number: head.number });
            history.inbox.root = step.inbox();
            history.outbox.root = step.outbox();
            let core = SortedMap::tree(&objects, Some(step.core()));
            let entries: Result<_, _> = core.iter().collect();
            history.core = entries.map_err(|error| objects.explain(error))?;
            let state = core.get_bytes(STATE).map_err(|error| objects.explain(error))?;
            history.state = state.filter(|state| !state.is_empty()).map(Arc::from);
        }
        Ok(history)
    }

    /// The reminders as of the newest step, read when they are asked for first.
    pub(super) fn reminders(&self) -> &Reminders {
        self.reminders.get_or_init(|| match reminding::load(&*self.pool.reads, &self.actor) {
            Ok(reminders) => reminders,
            Err(error) => {
                // Nothing is said of reminders that cannot be read, and no step may be built on that.
                self.broken.store(true, Ordering::Release);
                let _ = self.pool.failed(error);
                Reminders::new()
            }
        })
    }

    fn answer(&self, key: &[u8]) -> Result<Option<Result<Vec<u8>, Failure>>, StateError> {
        let suffix = keys::answer_suffix(key);
        if let Some(answer) = self.answers.get(&suffix) {
            return Ok(Some(answer.clone()));
        }
        let row = self.pool.reads.get(Table::Answer, &self.actor.with(&suffix))?;
        row.map(|row| AnswerRow::decode(row).map(|row| row.answer)).transpose()
    }

    /// Keeps the answer of a step until it is on the disk.
    pub(super) fn keep_answer(&mut self, step: u64, suffix: Vec<u8>, answer: Result<Vec<u8>, Failure>) {
        if self.answered.len() >= self.pool.limits.answers_before_look {
            // The head is written together with the answer of its step. Whether the answer itself is there says
            // less: one that was kept long enough is forgotten.
            let head = read_head(&self.actor, &*self.pool.reads);
            let written = head.ok().flatten().map_or(0, |head| head.number);
            while let Some((_, oldest)) = self.answered.pop_front_if(|(step, _)| *step <= written) {
                self.answers.remove(&oldest);
            }
        }
        self.answered.push_back((step, suffix.clone()));
        self.answers.insert(suffix, answer);
    }

    fn admit_message(&mut self, from: &ActorAddress, sequence: u64) -> Admission {
        if self.pool.proposer.forgets_cursors() {
            return Admission::Run;
        }
        match self.inbox.last(&self.pool, from) {
            Ok(last) => {
                let last = last.map_or(0, |(sequence, _)| sequence);
                match sequence {
                    _ if sequence <= last => Admission::Repeated,
                    _ if sequence - last == 1 => Admission::Run,
                    _ => Admission::Early,
                }
            }
            // Its sender keeps it, and the mailbox may be repaired meanwhile.
            Err(_) => Admission::Early,
        }
    }

    /// A gate behind which the history is broken if it stays closed.
    fn watched(&self, gate: Gate) -> Gate {
        let (broken, undecided) = (Arc::clone(&self.broken), Arc::clone(&self.undecided));
        undecided.fetch_add(1, Ordering::Relaxed);
        Box::new(move |result| {
            undecided.fetch_sub(1, Ordering::Release);
            if result.is_err() {
                broken.store(true, Ordering::Release);
            }
            gate(result);
        })
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

fn undone() -> Failure {
    Failure::new(FailureCode::NotDelivered, "a step before this one was refused")
}

impl History for ActorHistory {
    fn state(&self) -> Option<Arc<[u8]>> {
        self.state.clone()
    }

    fn collection(&self, name: &str) -> Result<Box<dyn Collection>, Failure> {
        let root = match self.core.get(&field(name)) {
            Some(Value::Tree(root)) => Some(*root),
            Some(Value::Bytes(_) | Value::Blob(_) | Value::Message { .. }) | None => None,
        };
        Ok(Box::new(TreeCollection::open(Arc::clone(&self.pool), root)?))
    }

    fn admit(&mut self, origin: &Origin) -> Admission {
        match origin {
            Origin::Call => Admission::Run,
            Origin::Keyed { key } if key.len() > ANSWER_KEY_BYTES_MAX => {
                let detail = format!("an idempotency key has at most {ANSWER_KEY_BYTES_MAX} bytes");
                Admission::Answered(Err(Failure::new(FailureCode::BadArguments, detail)))
            }
            Origin::Keyed { key } => match self.answer(key) {
                Ok(None) => Admission::Run,
                Ok(Some(answer)) => Admission::Answered(answer),
                Err(error) => Admission::Answered(Err(self.pool.failed(error))),
            },
            Origin::Message { from, sequence, .. } => self.admit_message(from, *sequence),
            Origin::Reminder { name, due_unix_ms, set_by, .. } => {
                match reminding::is_due(self.reminders(), name, *due_unix_ms, set_by) {
                    true => Admission::Run,
                    false => Admission::Repeated,
                }
            }
        }
    }

    fn reminders(&self) -> Vec<ReminderInfo> {
        reminding::infos(self.reminders())
    }

    fn commit(&mut self, draft: Draft, gate: Gate) {
        if self.is_broken() {
            return gate(Err(undone()));
        }
        match self.draft(draft) {
            Ok((step, volatile)) => {
                let (token, command) = (self.pool.token, Command::Step(Box::new(step)));
                let gate = self.watched(gate);
                self.pool.proposer.propose(Proposal { token, command, volatile, gate });
            }
            Err(failure) => {
                // What the handler did is in the activation's memory and in no step.
                self.broken.store(true, Ordering::Release);
                gate(Err(failure));
            }
        }
    }

    fn observe(&mut self, gate: Gate) {
        if self.is_broken() {
            return gate(Err(undone()));
        }
        // The usual case of a question asked of an actor at rest: nobody else need be asked.
        if self.undecided.load(Ordering::Acquire) == 0 && self.pool.proposer.is_certain(self.pool.token) {
            return gate(Ok(()));
        }
        // What was seen may rest on a step that is refused before the question is answered.
        let broken = Arc::clone(&self.broken);
        let gate: Gate = Box::new(move |result| match broken.load(Ordering::Acquire) {
            true => gate(result.and_then(|()| Err(undone()))),
            false => gate(result),
        });
        self.pool.proposer.observe(self.pool.token, &self.actor, gate);
    }
}

/// The name of a collection in the core.
pub(super) fn field(name: &str) -> Vec<u8> {
    [FIELD, name.as_bytes()].concat()
}
