//! Questions and orders about one durable actor: its log, its state, its proof; to pause it and to let it go on.
//!
//! **Problem.** Whoever asks sits at any node; who knows is the node that leads the actor's shard.
//!
//! **Design.** They travel as calls do, by methods whose names begin with `$`, which no application's method can. The
//! engine of the leader lets them through to here instead of to the actor, which need not even be in memory, and
//! whose type this node need not know. Answers are MessagePack with field names, as those of handlers. Questions are
//! answered by tasks: what a history holds takes as long to read as it is long.

use std::task::Poll;

use gritmesh_runtime::{ActorAddress, Clock, Failure, FailureCode, Instant, Reads};
use gritmesh_shard::{ActorKey, Command, LISTED_MAX, PausedRow, StateError, Verification};
use gritmesh_store::ObjectId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::status::{HistoryStatus, LetterStatus, MessageStatus, PausedStatus, StateStatus, StepStatus};

/// What the names of all of these begin with.
const MARK: char = '$';
/// Whether a method is one of these, and so for the engine of the leader, never for the actor itself.
pub(crate) fn is_administrative(method: &str) -> bool {
    method.starts_with(MARK)
}

/// Steps, newest first. Arguments: from which step on (an id, or null for the head), how many at most.
pub const LOG: &str = "$log";
/// The state after a step. Arguments: the step's id, or null for the head.
pub const SHOW: &str = "$show";
/// Proves the chain. Arguments: how many steps at most, or null for all.
pub const VERIFY: &str = "$verify";
/// Messages that could not be read. No arguments.
pub const LETTERS: &str = "$letters";
/// Messages that are not acknowledged yet. No arguments.
pub const OUTBOX: &str = "$outbox";
/// Since when and why it is paused, or null. No arguments.
pub const PAUSED: &str = "$paused";
/// Pauses it. Arguments: why.
pub const PAUSE: &str = "$pause";
/// Lets it go on. No arguments.
pub const RESUME: &str = "$resume";
/// Gives up a message that could not be read. Arguments: who sent it, its number.
pub const DROP_LETTER: &str = "$drop_letter";
/// A message that the actor sent. Arguments: its id.
pub const SENT: &str = "$sent";

/// Whether it only asks. The others are orders.
pub(crate) fn is_question(method: &str) -> bool {
    [LOG, SHOW, VERIFY, LETTERS, OUTBOX, PAUSED, SENT].contains(&method)
}

/// Steps that one answer may look at to find a message. A message whose letter is older than that is looked for in
/// vain; letters are for people, who come sooner.
const SENT_STEPS_MAX: usize = 10_000;

/// Steps that are proven before others have their turn: some milliseconds.
const PROVEN_AT_ONCE: u64 = 128;

/// A question about an actor, on its way to be answered.
pub(crate) struct Question<'a> {
    pub(crate) address: &'a ActorAddress,
    pub(crate) method: &'a str,
    pub(crate) arguments: &'a [u8],
    /// When nobody waits for the answer any more.
    pub(crate) deadline: Instant,
}

/// What has to be committed for an order; `None` if it is a question.
pub(crate) fn order(
    address: &ActorAddress,
    method: &str,
    arguments: &[u8],
    now_unix_ms: u64,
) -> Option<Result<Command, Failure>> {
    let actor = ActorKey::of(address);
    let command = match method {
        PAUSE => read::<(String,)>(arguments)
            .map(|(reason,)| Command::Pause { actor, row: PausedRow { time_unix_ms: now_unix_ms, reason } }),
        RESUME => Ok(Command::Resume { actor }),
        DROP_LETTER => read::<(String, u64)>(arguments).and_then(|(sender, sequence)| {
            let sender: ActorAddress = sender.parse().map_err(bad)?;
            Ok(Command::DropLetter { receiver: actor, sender: ActorKey::of(&sender), sequence })
        }),
        _ => return None,
    };
    Some(command)
}

/// Answers a question. Reads as much as there is, and so has no place on a thread that something else waits for.
pub(crate) async fn ask(
    reads: &dyn Reads,
    clock: &dyn Clock,
    question: Question<'_>,
) -> Result<Vec<u8>, Failure> {
    let Question { address, method, arguments, deadline } = question;
    match method {
        LOG => {
            let (from, limit): (Option<String>, Option<usize>) = read(arguments)?;
            let limit = limit.unwrap_or(LISTED_MAX).min(LISTED_MAX);
            let from = object_id(from)?;
            let steps = gritmesh_shard::log(reads, address, from, limit);
            let steps = steps.map_err(|error| missing(address, from, error))?;
            write(&steps.iter().map(StepStatus::of).collect::<Vec<_>>())
        }
        SHOW => {
            let (step,): (Option<String>,) = read(arguments)?;
            let step = object_id(step)?;
            let shown = gritmesh_shard::show(reads, address, step);
            write(&StateStatus::of(&shown.map_err(|error| missing(address, step, error))?))
        }
        VERIFY => {
            let (limit,): (Option<u64>,) = read(arguments)?;
            let mut left = limit.unwrap_or(u64::MAX);
            let begun = Verification::begin(reads, address);
            let mut verification = begun.map_err(|error| missing(address, None, error))?;
            while left > 0 && verification.walk(reads, left.min(PROVEN_AT_ONCE)).map_err(failed)? {
                left = left.saturating_sub(PROVEN_AT_ONCE);
                if clock.now() >= deadline {
                    let detail = "the deadline passed while the history was being proven";
                    return Err(Failure::new(FailureCode::NotDelivered, detail));
                }
                let_others_go_on().await;
            }
            write(&HistoryStatus::of(&verification.proof()))
        }
        LETTERS => {
            let letters = gritmesh_shard::letters(reads, address).map_err(failed)?;
            let letters =
                letters.iter().map(|(sender, sequence, row)| LetterStatus::of(sender, *sequence, row));
            write(&letters.collect::<Vec<_>>())
        }
        OUTBOX => {
            let pending = gritmesh_shard::outbox(reads, address).map_err(failed)?;
            write(&pending.iter().map(MessageStatus::of).collect::<Vec<_>>())
        }
        PAUSED => {
            let paused = gritmesh_shard::paused(reads, address).map_err(failed)?;
            write(&paused.map(|row| PausedStatus { since_unix_ms: row.time_unix_ms, reason: row.reason }))
        }
        SENT => {
            let (id,): (String,) = read(arguments)?;
            let id = id.parse::<ObjectId>().map_err(bad)?;
            let message =
                gritmesh_shard::sent_message(reads, address, &id, SENT_STEPS_MAX).map_err(failed)?;
            write(&MessageStatus::of(&message))
        }
        other => {
            let detail = format!("there is no administrative method `{other}`");
            Err(Failure::new(FailureCode::UnknownMethod, detail))
        }
    }
}

/// Gives the thread to whoever waits for it, once.
async fn let_others_go_on() {
    let mut has_waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Refuses to bring a paused actor into memory.
pub(crate) fn refuse_paused(reads: &dyn Reads, address: &ActorAddress) -> Result<(), Failure> {
    match gritmesh_shard::paused(reads, address) {
        Ok(None) => Ok(()),
        Ok(Some(row)) => {
            let detail =
                format!("{address} is paused: {}; `gritmesh actor resume` lets it go on", row.reason);
            Err(Failure::new(FailureCode::Paused, detail))
        }
        Err(error) => Err(failed(error)),
    }
}

/// The arguments of [`PAUSE`].
pub(crate) fn pause_arguments(reason: &str) -> Vec<u8> {
    gritmesh_actor::codec::encode(&(reason,)).expect("a text can be written")
}

/// The answer to an order that was carried out.
pub(crate) fn done() -> Vec<u8> {
    gritmesh_actor::codec::encode(&()).expect("nothing can be written")
}

fn object_id(text: Option<String>) -> Result<Option<ObjectId>, Failure> {
    text.map(|text| text.parse().map_err(bad)).transpose()
}

fn read<T: DeserializeOwned>(arguments: &[u8]) -> Result<T, Failure> {
    gritmesh_actor::codec::decode(arguments).map_err(bad)
}

fn write<T: Serialize>(answer: &T) -> Result<Vec<u8>, Failure> {
    let written = gritmesh_actor::codec::encode(answer);
    written.map_err(|error| Failure::new(FailureCode::BadAnswer, error.to_string()))
}

fn bad(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureCode::BadArguments, error.to_string())
}

/// Refuses what an actor cannot be asked that keeps nothing.
pub(crate) fn volatile(address: &ActorAddress) -> Failure {
    let detail = format!(
        "`{}` is volatile: {address} has no history and no messages that wait, and cannot be paused",
        address.actor_type()
    );
    Failure::new(FailureCode::UnknownMethod, detail)
}

/// Why a step cannot be read. The newest one is missing if nothing ever changed the actor.
fn missing(address: &ActorAddress, step: Option<ObjectId>, error: StateError) -> Failure {
    match (error, step) {
        (StateError::NotFound, None) => {
            let detail = format!("{address} never existed: there is no step in its history");
            Failure::new(FailureCode::BadArguments, detail)
        }
        (error, _) => failed(error),
    }
}

fn failed(error: StateError) -> Failure {
    match error {
        StateError::NotFound => {
            Failure::new(FailureCode::BadArguments, "the actor has no such step or message")
        }
        error => Failure::new(FailureCode::ActivationFailed, error.to_string()),
    }
}
