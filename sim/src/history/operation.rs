//! What clients want of durable actors, and what became of it.

use gritmesh_actor::Late;
use gritmesh_runtime::{FailureCode, Instant};

use super::Call;

/// What a client wants, once, however often it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Of which actor, by its id.
    pub actor: String,
    /// The actor's shard.
    pub shard: u32,
    /// What.
    pub action: Action,
    /// Whether it is asked for under an idempotency key, so that it may be asked again.
    pub keyed: bool,
}

/// What a durable actor of the load can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A vault takes money in.
    Deposit {
        /// How much.
        amount: u64,
    },
    /// A vault gives money out, or refuses.
    Withdraw {
        /// How much.
        amount: u64,
    },
    /// A vault sends money to another by a message, or refuses.
    Transfer {
        /// To which.
        to: String,
        /// How much.
        amount: u64,
    },
    /// A vault calls another for money and puts it in, or refuses.
    Pull {
        /// From which.
        from: String,
        /// How much.
        amount: u64,
    },
    /// A register says what it holds, in a query.
    Read,
    /// A register says what it holds, in a handler that might have changed it.
    Fetch,
    /// A register takes [`Operation::written`].
    Write,
    /// A register takes [`Operation::written`] and says what it held.
    Swap,
    /// A register takes [`Operation::written`] if it holds what is expected, and says what it held.
    CompareAndSet {
        /// What it must hold.
        expected: u64,
    },
    /// An alarm sets a reminder with the number of the operation.
    Remind {
        /// After how many milliseconds.
        after_ms: u64,
        /// How often after that.
        every_ms: Option<u64>,
        /// What happens to times that were missed.
        late: Late,
    },
    /// An alarm cancels a reminder.
    Cancel {
        /// The operation that set it.
        reminder: u64,
    },
    /// An actor that does something, refuses or panics, half way through.
    Try {
        /// Which of these.
        mood: Mood,
    },
}

/// What comes over an actor in the middle of its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Mood {
    /// Nothing.
    Good,
    /// It refuses.
    Bad,
    /// It panics.
    Furious,
}

/// What became of an operation, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was answered.
    Done {
        /// When it was asked for first.
        from: Instant,
        /// When the first answer was there.
        by: Instant,
        /// The answer.
        value: u64,
    },
    /// The handler refused: nothing has changed.
    Refused,
    /// It surely did not run, or panicked: nothing has changed.
    Never,
    /// It may have happened at any time since, or may still happen, or never.
    Perhaps {
        /// When it was asked for first.
        from: Instant,
    },
}

impl Fate {
    /// The fate of an operation that was attempted by these calls.
    pub(super) fn of(attempts: &[&Call]) -> Self {
        let ends = || attempts.iter().filter(|call| !call.one_way).flat_map(|call| &call.ends);
        let from = attempts.iter().map(|call| call.at).min();
        let done = ends().filter(|end| end.outcome.is_ok()).min_by_key(|end| end.at);
        if let (Some(from), Some(end)) = (from, done) {
            return Self::Done { from, by: end.at, value: end.value };
        }
        if ends().any(|end| end.outcome == Err(FailureCode::ActorError)) {
            return Self::Refused;
        }
        let no_effect = |call: &&Call| {
            let ended = call.ends.first().and_then(|end| end.outcome.err());
            !call.one_way && ended.is_some_and(|code| code.surely_not_run() || code == FailureCode::Panicked)
        };
        match from {
            Some(from) if !attempts.iter().all(no_effect) => Self::Perhaps { from },
            _ => Self::Never,
        }
    }

    /// Whether the operation may have had, or may still have, its effect.
    pub const fn may_have_run(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Perhaps { .. })
    }
}

impl Operation {
    /// What an operation writes into a register: never what another one writes, and never zero, with which registers
    /// begin.
    pub const fn written(number: u64) -> u64 {
        number + 1
    }

    /// Whether the actor's state tells that this operation ran, given how it was answered.
    pub fn leaves_a_trace(&self, value: u64) -> bool {
        match self.action {
            Action::Read | Action::Fetch => false,
            Action::CompareAndSet { expected } => value == expected,
            _ => true,
        }
    }
}
