//! Reminders: messages of a durable actor to itself, later.

use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::{NAME_BYTES_MAX, UnixTime};
use serde::{Deserialize, Serialize};

use crate::actor::{Actor, Handler, Message};
use crate::call::Call;
use crate::context::Context;
use crate::durable::notes::RemindFailure;
use crate::durable::{Late, ReminderChange, ReminderInfo};
use crate::turn::contained;

/// Implemented by `#[actor]` for durable actors: what only they can do.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not durable",
    label = "this needs a durable actor",
    note = "a volatile actor remembers neither keys nor reminders: write `#[actor]` without `volatile`"
)]
pub trait Durable: Actor {}

/// When a reminder is due.
///
/// ```
/// use std::time::Duration;
/// use gritmesh_actor::{Late, Schedule};
///
/// const HOUR: Duration = Duration::from_secs(3600);
/// let once = Schedule::after(HOUR);
/// let daily = Schedule::after(HOUR).every(24 * HOUR).late(Late::Skip);
/// # assert_ne!(once, daily);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a schedule is for `Call::remind`"]
pub struct Schedule {
    first: First,
    every: Option<Duration>,
    late: Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    After(Duration),
    At(UnixTime),
}

impl Schedule {
    /// Once, after some time. Milliseconds count.
    pub const fn after(delay: Duration) -> Self {
        Self { first: First::After(delay), every: None, late: Late::Once }
    }

    /// Once, at some time; at once, if that has passed.
    pub const fn at(time: UnixTime) -> Self {
        Self { first: First::At(time), every: None, late: Late::Once }
    }

    /// And again and again after that. Milliseconds count.
    pub const fn every(mut self, period: Duration) -> Self {
        self.every = Some(period);
        self
    }

    /// What happens to times that were missed; the default is [`Late::Once`].
    pub const fn late(mut self, late: Late) -> Self {
        self.late = late;
        self
    }
}

/// Why a reminder is not set. A handler may pass it on as its own error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ReminderError {
    /// Reminders are part of a step.
    #[error("only a handler of a durable actor has reminders, while it runs")]
    NotDurable,
    /// A query makes no step.
    #[error("a query cannot change reminders: it only reads")]
    Query,
    /// The call is to another.
    #[error("a reminder of {actor} cannot call {other}: take the call from `ctx.this()`")]
    OtherActor {
        /// Whose handler it is.
        actor: String,
        /// Whom the reminder would call.
        other: String,
    },
    /// The name is empty or too long.
    #[error("the name of a reminder has 1 to {NAME_BYTES_MAX} bytes, not {bytes}")]
    BadName {
        /// How many it has.
        bytes: usize,
    },
    /// The period is less than a millisecond.
    #[error("a reminder cannot be due more often than every millisecond")]
    TooOften,
    /// The arguments cannot be written.
    #[error("the arguments of the reminder cannot be encoded: {reason}")]
    BadArguments {
        /// Why.
        reason: String,
    },
    /// The actor has too many. The turn fails, whatever the handler makes of this.
    #[error("{detail}")]
    TooMany {
        /// How many it may have.
        detail: String,
    },
}

impl From<RemindFailure> for ReminderError {
    fn from(failure: RemindFailure) -> Self {
        match failure {
            RemindFailure::Ended => Self::NotDurable,
            RemindFailure::Query => Self::Query,
            RemindFailure::TooMany(failure) => Self::TooMany { detail: failure.detail },
        }
    }
}

impl<A: Handler<M>, M: Message> Call<'_, A, M> {
    /// Makes the call under an idempotency key: however often it is made under that key, within the time for which
    /// the cluster remembers it, it takes effect once, and all are given the one answer.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self
    where
        A: Durable,
    {
        self.key = Some(Arc::from(key.as_ref()));
        self
    }

    /// Has the actor make this call of itself later, as part of the step of the running handler. A reminder of the
    /// same name is replaced.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use gritmesh_actor::{Context, ReminderError, Schedule, actor, handlers};
    /// # use serde::{Deserialize, Serialize};
    /// #[actor(crate = gritmesh_actor)]
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Invoice { open: bool }
    ///
    /// #[handlers(crate = gritmesh_actor)]
    /// impl Invoice {
    ///     async fn issue(&mut self, ctx: &mut Context<'_>) -> Result<(), ReminderError> {
    ///         self.open = true;
    ///         let day = Duration::from_secs(24 * 60 * 60);
    ///         ctx.this::<Self>().collect().remind(ctx, "collect", Schedule::after(14 * day).every(day))
    ///     }
    ///
    ///     async fn collect(&mut self) { /* … */ }
    ///
    ///     async fn pay(&mut self, ctx: &mut Context<'_>) -> Result<(), ReminderError> {
    ///         self.open = false;
    ///         ctx.cancel_reminder("collect")
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If the reminder cannot be set.
    pub fn remind(self, ctx: &Context<'_>, name: &str, schedule: Schedule) -> Result<(), ReminderError>
    where
        A: Durable,
    {
        let (address, other) = (ctx.address(), self.reference.address());
        if address != other {
            return Err(ReminderError::OtherActor { actor: address.to_string(), other: other.to_string() });
        }
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
            return Err(ReminderError::BadName { bytes: name.len() });
        }
        let every_ms = schedule.every.map(milliseconds);
        if every_ms == Some(0) {
            return Err(ReminderError::TooOften);
        }
        let encoded = contained(|| self.message.encode().map_err(|error| error.to_string()));
        let arguments = encoded.and_then(|encoded| encoded);
        ctx.note(ReminderChange::Set {
            name: name.to_owned(),
            due_unix_ms: match schedule.first {
                First::After(delay) => ctx.unix_time().0.saturating_add(milliseconds(delay)),
                First::At(time) => time.0,
            },
            every_ms,
            late: schedule.late,
            method: M::METHOD.to_owned(),
            arguments: arguments.map_err(|reason| ReminderError::BadArguments { reason })?,
        })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Context<'_> {
    /// Removes a reminder, as part of the running handler's step. One that is not set is removed already.
    ///
    /// # Errors
    /// If the handler makes no step.
    pub fn cancel_reminder(&self, name: &str) -> Result<(), ReminderError> {
        self.note(ReminderChange::Cancel { name: name.to_owned() })
    }

    /// The reminders of this actor, as they will be after this step, by name.
    ///
    /// # Errors
    /// If this is not a handler of a durable actor.
    pub fn reminders(&self) -> Result<Vec<ReminderInfo>, ReminderError> {
        self.notes.map(|notes| notes.reminders()).ok_or(ReminderError::NotDurable)
    }

    fn note(&self, change: ReminderChange) -> Result<(), ReminderError> {
        let notes = self.notes.ok_or(ReminderError::NotDurable)?;
        Ok(notes.remind(change)?)
    }
}
