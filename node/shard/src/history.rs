//! An actor's thread through the store: what an activation reads of its past, and how it makes its next step.
//!
//! **Problem.** The next message shall run before the last step is committed, so the newest state is not on the disk
//! yet, and may never be.
//!
//! **Design.** [`Histories`] opens an [`ActorHistory`] for an activation. It loads the head's step with its core, and
//! mailboxes, collections and reminders only where they are asked for. A step is built on the newest one, committed
//! or not; its objects stay in the [`Pool`] of the history until they can be read from the disk. The step goes to the
//! [`Proposer`] with the gate; if any gate is closed, the history is broken and makes no more steps.
//!
//! ```text
//!   Draft ─► state, core, mailboxes, messages, step ─► pack ─► Command::Step ─► Proposer ─► log
//!                             ids of the new ones stay here            gate ◄── committed, or refused
//! ```
//!
//! **Deliberately absent.** Two histories of one actor at once: whoever opens one knows that the steps of the last
//! one are decided and on the disk; the engine keeps calls back until then.

mod actor;
mod collection;
mod drafting;
mod pool;
mod reminding;

use std::sync::Arc;

use gritmesh_actor::{Gate, History, Outgoing};
use gritmesh_runtime::{ActorAddress, Failure, Reads, Token, limits};
use gritmesh_store::ObjectId;

use crate::StateError;
use crate::command::Command;
use crate::keys::ActorKey;
use actor::ActorHistory;
use pool::Pool;

pub(crate) use actor::{FIELD, STATE};

limits! {
    /// Limits of what a history keeps in memory.
    pub struct HistoryLimits in "history" {
        /// Steps whose objects are kept before the oldest is looked for on the disk. A look costs a read, and a step
        /// reaches the disk within a few milliseconds.
        steps_before_look: usize = 16, small ["0", "1", "3"];
        /// Bytes of objects that were read and are kept. Enough for the paths to a few hundred entries of large maps;
        /// when it is full all of them go, which costs some reads.
        recent_bytes: usize = 256 * 1024, small ["0", "1000"];
        /// Peers whose last message is kept in memory. A bank's account has a few; the rest is looked up.
        peers_kept: usize = 64, small ["1", "2"];
        /// Answers that are kept before the oldest are looked for on the disk.
        answers_before_look: usize = 16, small ["0", "1", "3"];
    }
}

/// The node around histories.
pub trait Proposer: Send + Sync {
    /// Appends to the log of the token's shard, after everything that was proposed for that actor before.
    fn propose(&self, proposal: Proposal);

    /// Opens the gate when everything that was proposed for the actor is committed, and this node surely leads.
    fn observe(&self, token: Token, actor: &ActorKey, gate: Gate);

    /// Whether this node surely leads the token's shard at this moment: then nobody else has made a step there that is
    /// not known here.
    fn is_certain(&self, token: Token) -> bool;

    /// A bug to have on purpose, for tests of the checkers: whether messages that were read are run again.
    #[doc(hidden)]
    fn forgets_cursors(&self) -> bool {
        false
    }

    /// The wall clock.
    fn now_unix_ms(&self) -> u64;

    /// The epoch of the token's shard.
    fn epoch(&self, token: Token) -> u64;

    /// Under which snapshot steps and messages fall.
    fn snapshot_epoch(&self) -> u64;

    /// An object cannot be read here: a peer may have it.
    fn damaged(&self, damage: Damage);

    /// A record that is no object is damaged here.
    fn found_damage(&self, token: Token, why: &str);
}

/// A command for the log, and what waits for it.
pub struct Proposal {
    /// Where the actor falls on the ring, and with it which shard.
    pub token: Token,
    /// A [`Command::Step`].
    pub command: Command,
    /// Messages to volatile actors, to be sent once when the step is committed, and forgotten if it is not.
    pub volatile: Vec<Outgoing>,
    /// Called when it is decided.
    pub gate: Gate,
}

impl std::fmt::Debug for Proposal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proposal").field("command", &self.command).finish_non_exhaustive()
    }
}

/// An object that is missing, or is not what its id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// Where it belongs.
    pub token: Token,
    /// Which.
    pub id: ObjectId,
}

/// Opens histories.
#[derive(Clone)]
pub struct Histories {
    reads: Arc<dyn Reads>,
    proposer: Arc<dyn Proposer>,
    limits: HistoryLimits,
}

impl Histories {
    /// Histories on a disk.
    pub fn new(reads: Arc<dyn Reads>, proposer: Arc<dyn Proposer>, limits: HistoryLimits) -> Self {
        Self { reads, proposer, limits }
    }

    /// Opens the history of an actor that this node leads.
    ///
    /// # Errors
    /// If it cannot be read. Damage was reported.
    pub fn open(&self, address: &ActorAddress, token: Token) -> Result<Box<dyn History>, Failure> {
        let pool = Pool::new(Arc::clone(&self.reads), Arc::clone(&self.proposer), token, self.limits);
        let pool = Arc::new(pool);
        match ActorHistory::open(address, Arc::clone(&pool)) {
            Ok(history) => Ok(Box::new(history)),
            Err(error) => Err(pool.failed(error)),
        }
    }
}

impl std::fmt::Debug for Histories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Histories")
    }
}

impl StateError {
    /// The object that a peer might have, if that is what is wrong.
    pub const fn damage(&self) -> Option<Damage> {
        match self {
            Self::Damaged { token, id, .. } => Some(Damage { token: *token, id: *id }),
            Self::Disk(_)
            | Self::Malformed { .. }
            | Self::NotFound
            | Self::TooLarge { .. }
            | Self::Broken { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
