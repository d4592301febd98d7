//! What a durable handler does to the world while it runs: noted, and part of its step or of nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use futures::channel::oneshot;
use gritmesh_runtime::{ActorAddress, Failure, FailureCode};
use parking_lot::Mutex;

use crate::durable::keeping::Thread;
use crate::durable::{Origin, Outgoing, REMINDERS_MAX, ReminderChange, ReminderInfo, SENDS_PER_STEP_MAX};
use crate::host::Host;

/// Bytes of an invocation that has no name of its own: enough that no two of them ever meet.
const RANDOM_WORDS: usize = 2;

/// The notes of one turn, shared by its context and the references that the handler made. They are closed when the
/// turn ends: a reference that outlives it can send no more.
pub(crate) struct Notes {
    pub(crate) address: ActorAddress,
    pub(crate) origin: Origin,
    invocation: OnceLock<Arc<[u8]>>,
    record: Mutex<Option<Record>>,
}

pub(crate) struct Record {
    pub(crate) thread: Box<Thread>,
    pub(crate) sends: Vec<Outgoing>,
    pub(crate) reminders: Vec<ReminderChange>,
    /// A limit that the handler ran into, whatever it made of that.
    pub(crate) exceeded: Option<Failure>,
    query: bool,
    /// How many calls it has made.
    calls: u32,
    /// All reminders, as they will be after this step; read when first needed.
    listed: Option<BTreeMap<String, ReminderInfo>>,
}

/// A call that a durable handler makes.
pub(crate) struct Asking {
    /// Under which key, if the receiver is durable.
    pub(crate) key: Option<Arc<[u8]>>,
    /// Told when everything that the handler has built on is committed: until then nobody may see what follows
    /// from it.
    pub(crate) settled: oneshot::Receiver<Result<(), Failure>>,
}

impl Notes {
    pub(crate) fn new(address: ActorAddress, origin: Origin, thread: Box<Thread>, query: bool) -> Arc<Self> {
        let record = Record {
            thread,
            sends: Vec::new(),
            reminders: Vec::new(),
            exceeded: None,
            query,
            calls: 0,
            listed: None,
        };
        Arc::new(Self { address, origin, invocation: OnceLock::new(), record: Mutex::new(Some(record)) })
    }

    /// Ends the turn.
    pub(crate) fn close(&self) -> Record {
        self.record.lock().take().expect("a turn ends once")
    }

    /// What tells this run of this handler from all others, and is the same when it is repeated.
    pub(crate) fn invocation(&self, host: &dyn Host) -> &Arc<[u8]> {
        self.invocation.get_or_init(|| match &self.origin {
            Origin::Call => {
                let words: [_; RANDOM_WORDS] = std::array::from_fn(|_| host.random().to_be_bytes());
                words.concat().into()
            }
            Origin::Keyed { key } => Arc::clone(key),
            Origin::Message { from, sequence, .. } => {
                [from.as_key().as_bytes(), &[0], &sequence.to_be_bytes()].concat().into()
            }
            Origin::Reminder { name, due_unix_ms, .. } => {
                [name.as_bytes(), &[0], &due_unix_ms.to_be_bytes()].concat().into()
            }
        })
    }

    /// Notes a message.
    pub(crate) fn send(&self, message: Outgoing) -> Result<(), Failure> {
        let mut record = self.record.lock();
        let record = record.as_mut().ok_or_else(ended)?;
        if record.sends.len() >= SENDS_PER_STEP_MAX {
            let detail = format!(
                "a handler of {} sends more than {SENDS_PER_STEP_MAX} messages in one step: send the rest from \
                 another, as from a message to itself",
                self.address
            );
            return Err(record.exceed(detail));
        }
        record.sends.push(message);
        Ok(())
    }

    /// Begins a call to an actor that is `durable` or not.
    pub(crate) fn ask(&self, host: &dyn Host, durable: bool) -> Result<Asking, Failure> {
        let mut record = self.record.lock();
        let record = record.as_mut().ok_or_else(ended)?;
        let key = durable.then(|| {
            let (caller, number) = (self.address.as_key().as_bytes(), record.calls.to_le_bytes());
            [caller, &[0], self.invocation(host), &[0], &number].concat().into()
        });
        record.calls += 1;
        let (told, settled) = oneshot::channel();
        // A handler that was dropped does not want to know.
        record.thread.history.observe(Box::new(|result| drop(told.send(result))));
        Ok(Asking { key, settled })
    }

    /// Notes what becomes of a reminder.
    pub(crate) fn remind(&self, change: ReminderChange) -> Result<(), RemindFailure> {
        let mut record = self.record.lock();
        let record = record.as_mut().ok_or(RemindFailure::Ended)?;
        if record.query {
            return Err(RemindFailure::Query);
        }
        let listed = record.listed();
        match &change {
            ReminderChange::Set { name, due_unix_ms, every_ms, late, method, .. } => {
                if listed.len() >= REMINDERS_MAX && !listed.contains_key(name) {
                    let detail = format!(
                        "{} would have more than {REMINDERS_MAX} reminders: keep what is to come in a `Map`, and \
                         one reminder for the next of it",
                        self.address
                    );
                    return Err(RemindFailure::TooMany(record.exceed(detail)));
                }
                let info = ReminderInfo {
                    name: name.clone(),
                    due_unix_ms: *due_unix_ms,
                    every_ms: *every_ms,
                    late: *late,
                    method: method.clone(),
                };
                listed.insert(name.clone(), info);
            }
            ReminderChange::Cancel { name } => {
                // What is not set needs no step to be removed.
                if listed.remove(name).is_none() {
                    return Ok(());
                }
            }
        }
        record.reminders.push(change);
        Ok(())
    }

    /// The reminders as they will be after this step.
    pub(crate) fn reminders(&self) -> Vec<ReminderInfo> {
        let mut record = self.record.lock();
        record.as_mut().map_or_else(Vec::new, |record| record.listed().values().cloned().collect())
    }
}

/// Why a reminder was not noted.
pub(crate) enum RemindFailure {
    Ended,
    Query,
    TooMany(Failure),
}

impl Record {
    fn listed(&mut self) -> &mut BTreeMap<String, ReminderInfo> {
        let history = &self.thread.history;
        self.listed.get_or_insert_with(|| {
            history.reminders().into_iter().map(|info| (info.name.clone(), info)).collect()
        })
    }

    /// Fails the turn, even if the handler goes on.
    fn exceed(&mut self, detail: String) -> Failure {
        let failure = Failure::new(FailureCode::TooLarge, detail);
        self.exceeded.get_or_insert_with(|| failure.clone());
        failure
    }
}

fn ended() -> Failure {
    let detail = "the message for which this reference was made has ended: make one within the handler";
    Failure::new(FailureCode::NotDelivered, detail)
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notes({})", self.address)
    }
}
