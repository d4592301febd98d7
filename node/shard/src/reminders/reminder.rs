//! What goes into reminders and what comes out.

use std::sync::Arc;

use gritmesh_actor::{Late, Origin};
use gritmesh_runtime::{ActorAddress, Failure, ShardId};

/// A reminder among all of a shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReminderName {
    /// Whose it is.
    pub actor: ActorAddress,
    /// Its name, unique within the actor.
    pub name: Arc<str>,
}

/// A reminder that is set: a row of the table of reminders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingReminder {
    /// Whose it is.
    pub actor: ActorAddress,
    /// Its name, unique within the actor.
    pub name: Arc<str>,
    /// When it is due, in milliseconds since 1970.
    pub due_unix_ms: u64,
    /// How often after that; `None` for once.
    pub every_ms: Option<u64>,
    /// What happens to times that were missed.
    pub late: Late,
    /// The method it calls.
    pub method: Arc<str>,
    /// That method's arguments.
    pub arguments: Arc<[u8]>,
    /// The step that set it or moved it on.
    pub set_by: [u8; 32],
}

impl PendingReminder {
    /// Its name among all of a shard.
    pub fn key(&self) -> ReminderName {
        ReminderName { actor: self.actor.clone(), name: Arc::clone(&self.name) }
    }

    /// What the actor recognises a repetition by, and whether it is too late to run.
    pub fn origin(&self, skip: bool) -> Origin {
        let (name, due_unix_ms) = (Arc::clone(&self.name), self.due_unix_ms);
        Origin::Reminder { name, due_unix_ms, set_by: self.set_by, skip }
    }
}

/// What reminders want done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReminderEffect {
    /// Call the actor with [`PendingReminder::origin`], and tell the result: fired or refused. The step that it
    /// makes removes the reminder or moves it to its next time, which comes back as cancelled or set.
    Fire {
        /// The actor's shard.
        shard: ShardId,
        /// The reminder as it is set.
        reminder: Arc<PendingReminder>,
        /// How long ago it was due.
        late_by_ms: u64,
        /// It is too late: the step is made without running the handler.
        skip: bool,
    },
    /// The handler panicked once more for the same time. After
    /// [`ATTEMPTS_BEFORE_PAUSE`](crate::ATTEMPTS_BEFORE_PAUSE) of these the actor should be paused.
    Failing {
        /// The actor's shard.
        shard: ShardId,
        /// Which reminder of which actor.
        reminder: ReminderName,
        /// How many times it has panicked in a row.
        attempts: u32,
        /// The last panic.
        failure: Failure,
    },
}
