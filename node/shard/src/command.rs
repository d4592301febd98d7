//! What a shard's log says.
//!
//! **Problem.** All replicas must do the same with the same bytes, and what is written most, a step with its
//! objects, should lie on the disk once.
//!
//! **Design.** An entry of the log is a version and a list of [`Command`]s, each a tag, a length and a flat body.
//! The pack of a step stands at the end of its body, so that it can be cut off where it is stored elsewhere
//! ([`strip`](crate::strip)) and put back where it is sent ([`fill`](crate::fill)):
//!
//! ```text
//! entry    1, commands
//! command  tag u8 │ length u32 │ body
//! step     pack length u32 │ head 32 │ actor │ located ids │ expected │ number, time, epoch │ rows … │ pack
//! ```
//!
//! Numbers are little-endian. An actor and a key have a length of 16 bits in front, a row one of 32.
//!
//! **Deliberately absent.** Commands that read a clock or decide by what only a leader knows: whatever depends on
//! time was decided by whoever proposed it.

mod form;

use bytes::Bytes;
use gritmesh_actor::REMINDERS_MAX;
use gritmesh_runtime::frame::FRAME_BYTES_MAX;
use gritmesh_store::ObjectId;

use crate::keys::ActorKey;
use crate::rows::PausedRow;

pub(crate) use form::{STEP, VERSION, bodies};

/// Largest entry. It crosses to the other replicas in one frame, beside what the log adds to it.
pub const COMMANDS_BYTES_MAX: usize = FRAME_BYTES_MAX - 256 * 1024;
/// Most commands of one entry: as many as a full batch of acknowledgements has, far more than steps that fit.
pub const COMMANDS_MAX: usize = 16 * 1024;
/// Most answers that one command forgets: deleting them costs about as much as a large step.
pub const FORGET_MAX: usize = 512;
/// Most changes of reminders in one step: every one there may be is cancelled, and as many are set.
pub const REMINDER_CHANGES_MAX: usize = 2 * REMINDERS_MAX;
/// Most ids that a step makes findable: about as many as objects of the smallest size fit into its pack.
pub const LOCATED_MAX: usize = u16::MAX as usize;

/// One thing that happens to a shard, if it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// An actor takes a step.
    Step(Box<StepCommand>),
    /// A receiver has read messages: they leave the outbox.
    Acknowledged {
        /// Who sent them.
        sender: ActorKey,
        /// Who read them.
        receiver: ActorKey,
        /// The last of them, and with it all before.
        up_to: u64,
    },
    /// An actor stops reading until it is resumed.
    Pause {
        /// Which.
        actor: ActorKey,
        /// Since when and why.
        row: PausedRow,
    },
    /// A paused actor goes on.
    Resume {
        /// Which.
        actor: ActorKey,
    },
    /// Answers that were kept long enough are forgotten.
    Forget {
        /// Keys of the table Answer, at most [`FORGET_MAX`].
        answers: Vec<Bytes>,
    },
    /// A message that could not be read was replayed, or is given up.
    DropLetter {
        /// Who could not read it.
        receiver: ActorKey,
        /// Who sent it.
        sender: ActorKey,
        /// Which of that sender's messages.
        sequence: u64,
    },
}

/// The head of one actor moves on by one, with everything that this lets out. Compared and set: it happens only if
/// the head is the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCommand {
    /// Whose step.
    pub actor: ActorKey,
    /// The head that it builds on; `None` for the first.
    pub expected: Option<ObjectId>,
    /// Its number: one more than that of the step before.
    pub number: u64,
    /// The step, which becomes the head.
    pub head: ObjectId,
    /// When it was made.
    pub time_unix_ms: u64,
    /// The shard's epoch when it was made.
    pub epoch: u64,
    /// Objects of the pack that later steps refer to, beside those that every pack has.
    pub located: Vec<ObjectId>,
    /// Messages that are to be delivered.
    pub outbox: Vec<OutboxEntry>,
    /// Reminders that were set, moved on or removed.
    pub reminders: Vec<ReminderEntry>,
    /// The answer to record: what the idempotency key adds to the actor's, and the [`AnswerRow`](crate::AnswerRow).
    pub answer: Option<(Bytes, Bytes)>,
    /// The message that could not be read.
    pub letter: Option<LetterEntry>,
    /// The step's objects. Empty where they were written beside the log.
    pub pack: Bytes,
}

/// A message that a step sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// To whom.
    pub receiver: ActorKey,
    /// Its number among those to there.
    pub sequence: u64,
    /// The [`OutboxRow`](crate::OutboxRow).
    pub row: Bytes,
}

/// What a step does to a reminder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReminderEntry {
    /// Its name.
    pub name: Bytes,
    /// The [`ReminderRow`](crate::ReminderRow); `None` if it is gone.
    pub row: Option<Bytes>,
}

/// A message that a step could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterEntry {
    /// Who sent it.
    pub sender: ActorKey,
    /// Its number.
    pub sequence: u64,
    /// The [`LetterRow`](crate::LetterRow).
    pub row: Bytes,
}

/// The list of commands that is one entry of the log.
#[derive(Clone, Copy, Debug)]
pub struct Commands;
