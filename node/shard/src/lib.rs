//! What a shard holds and does, apart from the log that orders it.
//!
//! **Problem.** An actor's steps must be committed by a majority before anybody sees what they did, must not be
//! forked by two activations, and must be found again by whichever replica leads next, objects, messages and
//! reminders included. All of that has to cost little more than the log entry that it needs anyway.
//!
//! **Design.** A shard is a deterministic state machine behind its log. The leader's activations make steps and
//! propose them; every replica applies what is committed to its own tables:
//!
//! ```text
//!   activation ── Draft ──► history ── Command::Step ──► log ──► strip: packs ──► table Object
//!        ▲                     ▲                          │ committed
//!        │ gate                │ head, objects            ▼
//!        └──── engine ◄── Outcome ◄── ShardState ──► Head, Outbox, Reminder, Answer, Letter, Paused
//!                                                          │ a replica lags
//!                             delivery, reminders ◄── rows ┴──► transfer: only the packs that it lacks
//! ```
//!
//! * `keys` and `rows` say where everything lies; `command` what the log says; `codec` keeps packs out of the log.
//! * `state` applies commands: a step is compared and set, so two children of one step cannot be committed.
//! * `history` is what an activation sees of its past, and how it makes its next step.
//! * `delivery` and `reminders` do what committed steps ask for, again and again, until it is done.
//! * `transfer` brings a replica to the leader's state; `reading` is for people.
//!
//! **Deliberately absent.** The log itself, leases, routes and disks: whoever drives a shard brings them. Nothing
//! here knows whether it leads.

mod backoff;
mod codec;
mod command;
mod delivery;
mod error;
mod flat;
#[cfg(test)]
mod golden;
mod history;
pub mod keys;
mod limits;
mod objects;
mod pending;
mod portion;
mod reading;
mod reminders;
mod retention;
mod rows;
#[cfg(test)]
mod scenario;
mod state;
mod transfer;

pub use backoff::{ATTEMPTS_BEFORE_PAUSE, BackoffLimits};
pub use codec::{fill, strip};
pub use command::{
    COMMANDS_BYTES_MAX, COMMANDS_MAX, Command, Commands, FORGET_MAX, LOCATED_MAX, LetterEntry, OutboxEntry,
    REMINDER_CHANGES_MAX, ReminderEntry, StepCommand,
};
pub use delivery::{Delivery, DeliveryCounters, DeliveryEffect, DeliveryLimits, PairName, PendingMessage};
pub use error::StateError;
pub use history::{Damage, Histories, HistoryLimits, Proposal, Proposer};
pub use keys::ActorKey;
pub use limits::ShardLimits;
pub use objects::{DiskObjects, repair, spare};
pub use pending::{Backlog, first_pending, pending_of_pair, pending_pairs, pending_reminders};
pub use portion::ReadLimits;
pub use reading::{
    HistoryProof, LISTED_MAX, LoggedStep, Shown, Verification, head, letters, log, object, outbox, paused,
    sent_message, show, verify_actor,
};
pub use reminders::{
    PendingReminder, ReminderCounters, ReminderEffect, ReminderLimits, ReminderName, Reminders,
    SKIP_AFTER_MS, is_skipped, next_due,
};
pub use retention::expired_answers;
pub use rows::{AnswerRow, DETAIL_BYTES_MAX, HeadRow, LetterRow, OutboxRow, PausedRow, ReminderRow};
pub use state::{Applied, Outcome, ShardState, StateLimits};
pub use transfer::{
    Assembly, CHUNK_BYTES_LIMIT, Chunk, Cursor, NextPack, ROWS_BYTES_MAX, TransferLimits, TransferRequest,
    WINDOW_HEADS_MAX, next_chunk,
};
