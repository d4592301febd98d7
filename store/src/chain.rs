//! An actor's history: from a step to the one before, back to the first.

use crate::error::{GritError, ObjectError, ReadError};
use crate::id::{ObjectId, ObjectKind};
use crate::objects::{Objects, read_checked};
use crate::step::Step;

/// Most steps that one proof walks. At a microsecond each that is ten seconds.
pub const CHAIN_STEPS_MAX: u64 = 10_000_000;

/// The steps from one back, newest first. Each is read when it is asked for, and checked against the one before
/// it was reached from; after an error nothing follows.
pub fn walk(objects: &dyn Objects, head: ObjectId) -> Walk<'_> {
    Walk { objects, next: Some(head), after: None }
}

/// Steps of a chain, newest first.
pub struct Walk<'a> {
    objects: &'a dyn Objects,
    next: Option<ObjectId>,
    /// What was walked last: the child of what comes next.
    after: Option<Step>,
}

impl Walk<'_> {
    fn step(&mut self, id: ObjectId) -> Result<Step, ChainError> {
        let fault = |fault| ChainError { id, after: self.after.as_ref().map(|step| step.number), fault };
        let bytes = read_checked(self.objects, ObjectKind::Step, &id);
        let bytes = bytes.map_err(|error| fault(ChainFault::from(error)))?;
        let step = Step::decode(&bytes).map_err(|error| fault(ChainFault::Object(error)))?;
        let Some(after) = &self.after else { return Ok(step) };
        if step.number.checked_add(1) != Some(after.number) {
            return Err(fault(ChainFault::Number {
                expected: after.number.saturating_sub(1),
                found: step.number,
            }));
        }
        if step.actor != after.actor {
            return Err(fault(ChainFault::Actor));
        }
        if step.epoch > after.epoch {
            return Err(fault(ChainFault::Epoch { found: step.epoch, after: after.epoch }));
        }
        Ok(step)
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(ObjectId, Step), ChainError>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next.take()?;
        let step = match self.step(id) {
            Ok(step) => step,
            Err(error) => return Some(Err(error)),
        };
        // Numbers fall by one with each step and the first has no previous, so the walk ends.
        self.next = step.previous;
        self.after = Some(step.clone());
        Some(Ok((id, step)))
    }
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("next", &self.next).finish_non_exhaustive()
    }
}

/// What a walk has proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainProof {
    /// How many steps were checked.
    pub steps: u64,
    /// The oldest of them.
    pub oldest: ObjectId,
    /// Its number: 1 if the whole history was checked.
    pub oldest_number: u64,
}

/// Walks a chain back to its first step, or over `limit` steps, and proves it: every hash and kind, numbers without a
/// gap, one actor, epochs that never fall.
///
/// # Errors
/// If the chain breaks; the error says where.
pub fn verify_chain(objects: &dyn Objects, head: ObjectId, limit: u64) -> Result<ChainProof, ChainError> {
    let mut proof = ChainProof { steps: 0, oldest: head, oldest_number: 0 };
    for step in walk(objects, head).take(limit.clamp(1, CHAIN_STEPS_MAX) as usize) {
        let (oldest, step) = step?;
        proof = ChainProof { steps: proof.steps + 1, oldest, oldest_number: step.number };
    }
    Ok(proof)
}

/// Where and why a chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chain breaks at step {id}{}: {fault}", .after.map(|after| format!(", before step number {after}")).unwrap_or_default())]
pub struct ChainError {
    /// The step that is wrong.
    pub id: ObjectId,
    /// The number of the step that names it as its previous one; none if it is where the walk began.
    pub after: Option<u64>,
    /// What is wrong.
    #[source]
    pub fault: ChainFault,
}

/// What is wrong with a step of a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// It cannot be had.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is no step, or another one.
    #[error(transparent)]
    Object(ObjectError),
    /// Its number is not that before the step after it.
    #[error("its number is {found}, not {expected}")]
    Number {
        /// One less than the step after it has.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// It is of another actor than the step after it.
    #[error("it is a step of another actor")]
    Actor,
    /// Its epoch is above that of the step after it.
    #[error("its epoch {found} is above the later epoch {after}")]
    Epoch {
        /// Its epoch.
        found: u64,
        /// That of the step after it.
        after: u64,
    },
}

impl From<GritError> for ChainFault {
    fn from(error: GritError) -> Self {
        match error {
            GritError::Read(error) => Self::Read(error),
            GritError::Object { error, .. } | GritError::Argument(error) => Self::Object(error),
        }
    }
}

impl ChainFault {
    /// The stable code of this fault.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Read(ReadError::Missing(_)) => "object_missing",
            Self::Read(ReadError::Unavailable { .. }) => "object_unavailable",
            Self::Object(error) => error.as_str(),
            Self::Number { .. } => "chain_number",
            Self::Actor => "chain_actor",
            Self::Epoch { .. } => "chain_epoch",
        }
    }
}
