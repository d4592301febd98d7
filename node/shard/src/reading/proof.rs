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

/// Walks the history of an actor back to its first step, or over `limit` steps, and proves it: every object is what
/// its id says and in its canonical form, numbers have no gap, epochs never fall, every step is this actor's; and
/// everything that the newest step refers to is there.
///
/// # Errors
/// The first break: damaged objects as [`StateError::Damaged`], sound ones that do not fit as
/// [`StateError::Broken`]; [`StateError::NotFound`] if the actor has no step.
pub fn verify_actor(
    reads: &dyn Reads,
    address: &ActorAddress,
    limit: u64,
) -> Result<HistoryProof, StateError> {
    let actor = ActorKey::of(address);
    let head = read_head(&actor, reads)?.ok_or(StateError::NotFound)?;
    check_references(&StepObjects::of_head(reads, &actor, &head)?)?;
    let mut proof = HistoryProof { head, steps: 0, oldest: head.id, bytes: 0, is_whole: false };
    let (mut next, mut number, mut epoch) = (head.id, head.number, head.epoch);
    while proof.steps < limit {
        let row = reads.get(Table::Object, &keys::object(actor.token(), &next))?;
        let damaged = |missing| StateError::Damaged { token: actor.token(), id: next, missing };
        let row = row.ok_or_else(|| damaged(true))?;
        let (id, pack, _) = check_pack(actor.token(), &row).map_err(|_| damaged(false))?;
        if id != next {
            return Err(damaged(false));
        }
        let step = pack.step().expect("the pack was checked");
        let broken = |what| Err(StateError::Broken { id: next, what });
        if step.actor_key() != address.as_key() {
            return broken("it is a step of another actor");
        }
        if step.number() != number {
            return broken("its number is not the one before");
        }
        if step.epoch() > epoch {
            return broken("its epoch is above a later one");
        }
        proof = HistoryProof {
            steps: proof.steps + 1,
            oldest: id,
            bytes: proof.bytes + row.len() as u64,
            is_whole: step.previous().is_none(),
            ..proof
        };
        let Some(previous) = step.previous() else { break };
        // The first step has none before it, so the number stays above zero.
        (next, number, epoch) = (previous, number - 1, step.epoch());
    }
    Ok(proof)
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
