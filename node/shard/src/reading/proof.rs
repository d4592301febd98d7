//! A proof of an actor's history: every pack from its head back to its first step.

use gritmesh_runtime::{ActorAddress, Reads, Table};
use gritmesh_store::{ObjectId, SortedMap, Value};

use crate::StateError;
use crate::keys::{self, ActorKey};
use crate::objects::{StepObjects, check_pack};
use crate::rows::HeadRow;
use crate::state::read_head;

/// What was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryProof {
    /// The newest step.
    pub head: HeadRow,
    /// Steps that were checked, the newest first.
    pub steps: u64,
    /// The oldest of them.
    pub oldest: ObjectId,
    /// Bytes of their packs.
    pub bytes: u64,
    /// Whether that is the whole history.
    pub is_whole: bool,
}

/// Walks the history of an actor back to its first step, or over some steps, and proves it: every object is what
/// its id says and in its canonical form, numbers have no gap, epochs never fall, every step is this actor's; and
/// everything that the newest step refers to is there.
///
/// A history may be long, so it is walked a part at a time, and whoever walks may rest in between.
#[derive(Debug)]
pub struct Verification {
    address: ActorAddress,
    actor: ActorKey,
    proof: HistoryProof,
    /// The step that is next, its number, and the epoch that it must not be above.
    next: Option<(ObjectId, u64, u64)>,
}

impl Verification {
    /// Begins at the newest step.
    ///
    /// # Errors
    /// As [`Self::walk`]; [`StateError::NotFound`] if the actor has no step.
    pub fn begin(reads: &dyn Reads, address: &ActorAddress) -> Result<Self, StateError> {
        let actor = ActorKey::of(address);
        let head = read_head(&actor, reads)?.ok_or(StateError::NotFound)?;
        check_references(&StepObjects::of_head(reads, &actor, &head)?)?;
        let proof = HistoryProof { head, steps: 0, oldest: head.id, bytes: 0, is_whole: false };
        let next = Some((head.id, head.number, head.epoch));
        Ok(Self { address: address.clone(), actor, proof, next })
    }

    /// Checks the next steps, at most so many. Returns whether there are more.
    ///
    /// # Errors
    /// The first break: damaged objects as [`StateError::Damaged`], sound ones that do not fit as
    /// [`StateError::Broken`].
    pub fn walk(&mut self, reads: &dyn Reads, steps: u64) -> Result<bool, StateError> {
        for _ in 0..steps {
            let Some(next) = self.next else { return Ok(false) };
            self.step(reads, next)?;
        }
        Ok(self.next.is_some())
    }

    /// What was proven so far.
    pub const fn proof(&self) -> HistoryProof {
        self.proof
    }

    fn step(
        &mut self,
        reads: &dyn Reads,
        (next, number, epoch): (ObjectId, u64, u64),
    ) -> Result<(), StateError> {
        let token = self.actor.token();
        let row = reads.get(Table::Object, &keys::object(token, &next))?;
        let damaged = |missing| StateError::Damaged { token, id: next, missing };
        let row = row.ok_or_else(|| damaged(true))?;
        let (id, pack, _) = check_pack(token, &row).map_err(|_| damaged(false))?;
        if id != next {
            return Err(damaged(false));
        }
        let step = pack.step().expect("the pack was checked");
        let broken = |what| Err(StateError::Broken { id: next, what });
        if step.actor_key() != self.address.as_key() {
            return broken("it is a step of another actor");
        }
        if step.number() != number {
            return broken("its number is not the one before");
        }
        if step.epoch() > epoch {
            return broken("its epoch is above a later one");
        }
        self.proof = HistoryProof {
            steps: self.proof.steps + 1,
            oldest: id,
            bytes: self.proof.bytes + row.len() as u64,
            is_whole: step.previous().is_none(),
            ..self.proof
        };
        // The first step has none before it, so the number stays above zero.
        self.next = step.previous().map(|previous| (previous, number - 1, step.epoch()));
        Ok(())
    }
}

/// Walks a history as [`Verification`] does, over at most `limit` steps at once.
///
/// # Errors
/// As [`Verification::begin`] and [`Verification::walk`].
pub fn verify_actor(
    reads: &dyn Reads,
    address: &ActorAddress,
    limit: u64,
) -> Result<HistoryProof, StateError> {
    let mut verification = Verification::begin(reads, address)?;
    verification.walk(reads, limit)?;
    Ok(verification.proof())
}

/// That everything a step refers to is there: its core, its collections, its mailboxes.
fn check_references(objects: &StepObjects<'_>) -> Result<(), StateError> {
    let explain = |error| objects.explain(error);
    let step = objects.step();
    let core = SortedMap::tree(objects, Some(step.core()));
    core.verify().map_err(explain)?;
    for entry in core.iter() {
        let (name, value) = entry.map_err(explain)?;
        match value {
            Value::Tree(root) => check_tree(objects, root)?,
            Value::Blob(_) => drop(core.get_bytes(&name).map_err(explain)?),
            Value::Bytes(_) | Value::Message { .. } => {}
        }
    }
    for mailbox in [step.inbox(), step.outbox()] {
        SortedMap::mailbox(objects, mailbox).verify().map_err(explain)?;
    }
    Ok(())
}

fn check_tree(objects: &StepObjects<'_>, root: ObjectId) -> Result<(), StateError> {
    let tree = SortedMap::tree(objects, Some(root));
    tree.verify().map_err(|error| objects.explain(error))?;
    for entry in tree.iter() {
        let (key, value) = entry.map_err(|error| objects.explain(error))?;
        if let Value::Blob(_) = value {
            tree.get_bytes(&key).map_err(|error| objects.explain(error))?;
        }
    }
    Ok(())
}
