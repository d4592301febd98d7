//! The seam between durable actors and the store that keeps them.
//!
//! **Problem.** An actor's handlers, state and mailbox belong here; steps, heads, logs and disks belong to the node.
//! Neither should know the other, or neither can be tested alone.
//!
//! **Design.** What crosses is bytes. An activation that comes into memory asks its [`Host`](crate::Host) to open
//! the actor's [`History`], and owns it until it leaves. Each message is one turn:
//!
//! ```text
//!   admit(origin) ──► Run ──► handler ──► Ok: state and collections, by difference ──► commit(draft, gate)
//!       │                        │                                                         │ the next message
//!       │ ran before             └─► Err: the state as it was ──► commit or observe        ▼ starts at once
//!       ▼                                                                             gate: committed?
//!    observe(gate) ──────────────────────────────────────────────────────────────►  the answer leaves
//! ```
//!
//! A [`Gate`] holds back everything that a turn wants to show: its answer, its messages, its reminders. Steps
//! follow each other without waiting for their gates; if one is refused, the activation is undone, and with it
//! everything after that step.
//!
//! **Deliberately absent.** Objects, trees, logs, leases, retries: a [`History`] has them behind it.

pub(crate) mod gate;
pub(crate) mod keeping;
pub(crate) mod letter;
pub(crate) mod notes;
pub(crate) mod reminder;
pub(crate) mod turn;
pub(crate) mod watch;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use gritmesh_runtime::{ActorAddress, Failure};

/// Told whether what waited for a commit may be seen. `Err`: the step surely or perhaps did not happen; the failure
/// says which. Whoever calls it holds no lock: it may answer callers, and submit calls to the host.
pub type Gate = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// Most messages that one step may send. One step is one log entry and one index of what is to be delivered.
pub const SENDS_PER_STEP_MAX: usize = 1_000;

/// Most reminders that one actor may have set: they are listed in its state's own step.
pub const REMINDERS_MAX: usize = 1_000;

/// Most bytes of an actor's plain fields, which are written whole by every step that changes one of them.
pub const STATE_BYTES_MAX: usize = 1 << 20;

/// Longest idempotency key that a caller may give. It is stored with the answer.
pub const KEY_BYTES_MAX: usize = 1_024;

/// Why a message runs; decides what a durable actor remembers of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A caller that gave no key: runs at most once, and nothing is remembered of it.
    #[default]
    Call,
    /// A caller with an idempotency key: from outside, or derived for a call that a durable handler makes. Its
    /// answer is recorded.
    Keyed {
        /// The key.
        key: Arc<[u8]>,
    },
    /// A message from a durable actor's outbox.
    Message {
        /// Who sent it.
        from: ActorAddress,
        /// Its number among those from there to here.
        sequence: u64,
        /// Its object.
        id: [u8; 32],
    },
    /// A reminder of the actor's own.
    Reminder {
        /// Its name.
        name: Arc<str>,
        /// When it was due.
        due_unix_ms: u64,
        /// The step that set it.
        set_by: [u8; 32],
        /// It comes too late to run: there is a step all the same, which moves the reminder on.
        skip: bool,
    },
}

impl Origin {
    /// Whether the node delivers it and nobody waits for an answer: what counts is that it was read.
    pub const fn is_delivery(&self) -> bool {
        matches!(self, Self::Message { .. } | Self::Reminder { .. })
    }

    /// Whether it makes a step although no handler runs.
    pub(crate) const fn is_skipped(&self) -> bool {
        matches!(self, Self::Reminder { skip: true, .. })
    }
}

/// What becomes of a message before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Run it.
    Run,
    /// It ran before, and this was the answer. That may still wait for its commit: it is passed through
    /// [`History::observe`].
    Answered(Result<Vec<u8>, Failure>),
    /// It was read before, and nobody needs the answer.
    Repeated,
    /// A message before it has not been read; it will come again.
    Early,
}

/// One durable actor's thread through its node's store, as of its newest step, committed or not. Owned by the
/// activation, dropped with it.
pub trait History: Send {
    /// MessagePack of the plain fields; `None` before the first step that had some.
    fn state(&self) -> Option<Arc<[u8]>>;

    /// A collection field; empty if it never was changed.
    ///
    /// # Errors
    /// If it cannot be read.
    fn collection(&self, name: &str) -> Result<Box<dyn Collection>, Failure>;

    /// What becomes of a message that is about to run.
    fn admit(&mut self, origin: &Origin) -> Admission;

    /// The reminders that are set.
    fn reminders(&self) -> Vec<ReminderInfo>;

    /// Makes the next step. The gate opens when it is committed, here or on any other thread. After a failure of
    /// any gate the history is broken: every later commit fails too.
    fn commit(&mut self, draft: Draft, gate: Gate);

    /// Opens the gate when all steps so far are committed and this node surely still leads: at once, on this
    /// thread, when nothing is outstanding and the lease holds.
    fn observe(&mut self, gate: Gate);
}

/// A sorted map of bytes, kept by difference: a collection field of a durable actor.
pub trait Collection: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// If it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// Gives a key a value.
    fn put(&mut self, key: &[u8], value: Vec<u8>);

    /// Takes a key out.
    fn remove(&mut self, key: &[u8]);

    /// How many entries there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries with `from <= key < to`, in order, at most `limit`.
    ///
    /// # Errors
    /// If they cannot be read.
    fn range(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Entries, Failure>;

    /// Whether it differs from what the last flush wrote.
    fn is_changed(&self) -> bool;

    /// The tree's root (`None` when empty) and all objects that are new since the last flush.
    ///
    /// # Errors
    /// If a part that is needed cannot be read.
    fn flush(&mut self) -> Result<Flushed, Failure>;
}

/// Keys and values, in the order of the keys.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// A collection as a step refers to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// The tree; `None` when it is empty.
    pub root: Option<[u8; 32]>,
    /// How many entries it has.
    pub entries: u64,
    /// What the store does not have yet.
    pub objects: Vec<FlushedObject>,
}

/// A new object of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushedObject {
    /// Its id.
    pub id: [u8; 32],
    /// Its kind, in the words of the store.
    pub kind: u8,
    /// Its canonical bytes.
    pub bytes: Arc<[u8]>,
}

/// A step that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The method that ran.
    pub method: Cow<'static, str>,
    /// Why it ran.
    pub origin: Origin,
    /// The plain fields; `None` if they are unchanged.
    pub state: Option<Vec<u8>>,
    /// The collections that were changed.
    pub collections: Vec<(&'static str, Flushed)>,
    /// Messages, in the order in which they were sent.
    pub sends: Vec<Outgoing>,
    /// What becomes of reminders, in this order.
    pub reminders: Vec<ReminderChange>,
    /// The answer to record; present when the origin is [`Origin::Keyed`].
    pub answer: Option<Result<Vec<u8>, Failure>>,
    /// The message cannot be read, for an unknown method or bad arguments: it becomes a letter of its receiver.
    pub letter: Option<Failure>,
}

impl Draft {
    /// A step that only remembers that its message was read.
    pub const fn new(method: Cow<'static, str>, origin: Origin) -> Self {
        Self {
            method,
            origin,
            state: None,
            collections: Vec::new(),
            sends: Vec::new(),
            reminders: Vec::new(),
            answer: None,
            letter: None,
        }
    }

    /// Whether it changes anything at all, beside what its origin asks to be remembered.
    pub const fn is_empty(&self) -> bool {
        self.state.is_none()
            && self.collections.is_empty()
            && self.sends.is_empty()
            && self.reminders.is_empty()
            && self.letter.is_none()
    }
}

/// A message that a step sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// To whom.
    pub to: ActorAddress,
    /// Which method.
    pub method: Cow<'static, str>,
    /// Its arguments as a MessagePack array.
    pub arguments: Vec<u8>,
    /// Whether the receiver is durable: it is then delivered until it was read, else at most once.
    pub durable: bool,
}

/// What a step does to a reminder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReminderChange {
    /// Sets it, or sets it anew.
    Set {
        /// Its name, unique within the actor.
        name: String,
        /// When it is due first.
        due_unix_ms: u64,
        /// How often after that; `None` for once.
        every_ms: Option<u64>,
        /// What happens to times that were missed.
        late: Late,
        /// The method it calls.
        method: String,
        /// That method's arguments as a MessagePack array.
        arguments: Vec<u8>,
    },
    /// Removes it.
    Cancel {
        /// Its name.
        name: String,
    },
}

/// What happens to times of a reminder at which nobody could run it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Late {
    /// They are left out; it goes on with the next time that is still to come.
    Skip,
    /// They are made up for by one run.
    #[default]
    Once,
    /// Each is made up for.
    CatchUp,
}

/// A reminder that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReminderInfo {
    /// Its name.
    pub name: String,
    /// When it is due next.
    pub due_unix_ms: u64,
    /// How often after that; `None` for once.
    pub every_ms: Option<u64>,
    /// What happens to times that were missed.
    pub late: Late,
    /// The method it calls.
    pub method: String,
}

impl fmt::Debug for dyn History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("History")
    }
}

impl fmt::Debug for dyn Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collection({} entries)", self.len())
    }
}
