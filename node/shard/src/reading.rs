//! What people ask about an actor: its log, its state, a proof of its history, its letters and what it waits for.
//!
//! **Problem.** An id alone must not open an object: whoever knows one of another tenant would read across tenants.
//!
//! **Design.** Everything here starts from an address. A step is shown only if it names that actor, tenant included;
//! one of another actor is not found, exactly as if it did not exist. Reads go to the disk as it is, on any replica,
//! and check hashes as all others do.
//!
//! **Deliberately absent.** Decoding of an actor's own values: they are MessagePack, and its users know what is in them.

mod proof;

use bytes::Bytes;
use gritmesh_runtime::{ActorAddress, Reads, Table};
use gritmesh_store::{BlobReader, Message, ObjectId, ObjectKind, SortedMap, Value, diff};

use crate::history::{FIELD, STATE};
use crate::keys::{self, ActorKey};
use crate::objects::StepObjects;
use crate::rows::{HeadRow, LetterRow, OutboxRow, PausedRow};
use crate::state::read_head;
use crate::{OutboxEntry, PendingMessage, StateError};

pub use proof::{HistoryProof, Verification, verify_actor};

/// Most steps, letters or messages that one answer lists. More is asked for from where it ended.
pub const LISTED_MAX: usize = 1000;

/// One step, as a line of an actor's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedStep {
    /// The step.
    pub id: ObjectId,
    /// The one before it.
    pub previous: Option<ObjectId>,
    /// Its number, from 1.
    pub number: u64,
    /// When it was made.
    pub time_unix_ms: u64,
    /// The method that ran.
    pub method: String,
    /// The shard's epoch.
    pub epoch: u64,
    /// Bytes of its pack.
    pub bytes: usize,
    /// Objects of its pack, the step among them.
    pub objects: usize,
    /// Messages that it sent.
    pub sent: usize,
    /// The message that it read: from whom, and its number.
    pub from: Option<(ActorAddress, u64)>,
}

/// The state of an actor after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The step.
    pub id: ObjectId,
    /// Its number.
    pub number: u64,
    /// MessagePack of the plain fields; `None` if no step had any yet.
    pub state: Option<Vec<u8>>,
    /// Collections by name, with how many entries they have.
    pub collections: Vec<(String, u64)>,
    /// How many actors it has read messages of, and sent messages to.
    pub peers: (u64, u64),
}

/// The head of an actor.
///
/// # Errors
/// If the disk cannot be read.
pub fn head(reads: &dyn Reads, address: &ActorAddress) -> Result<Option<HeadRow>, StateError> {
    read_head(&ActorKey::of(address), reads)
}

/// Steps of an actor, newest first, from one on or from its head, at most `limit` of them. The last one's `previous`
/// continues.
///
/// # Errors
/// [`StateError::NotFound`] if the actor has no step, or the step is not its own.
pub fn log(
    reads: &dyn Reads,
    address: &ActorAddress,
    from: Option<ObjectId>,
    limit: usize,
) -> Result<Vec<LoggedStep>, StateError> {
    let actor = ActorKey::of(address);
    let mut steps = Vec::new();
    let mut next = Some(start(reads, &actor, from)?);
    while let Some(id) = next {
        if steps.len() >= limit.min(LISTED_MAX) {
            break;
        }
        let objects = own_step(reads, &actor, &id, !steps.is_empty())?;
        let step = logged(reads, &actor, id, &objects)?;
        next = step.previous;
        steps.push(step);
    }
    Ok(steps)
}

/// The state after a step, or after the newest.
///
/// # Errors
/// [`StateError::NotFound`] if the actor has no step, or the step is not its own.
pub fn show(reads: &dyn Reads, address: &ActorAddress, step: Option<ObjectId>) -> Result<Shown, StateError> {
    let actor = ActorKey::of(address);
    let id = start(reads, &actor, step)?;
    let objects = StepObjects::read(reads, &actor, &id)?;
    let explain = |error| objects.explain(error);
    let view = objects.step();
    let core = SortedMap::tree(&objects, Some(view.core()));
    let state = core.get_bytes(STATE).map_err(explain)?.filter(|state| !state.is_empty());
    let mut collections = Vec::new();
    for entry in core.entries_from(FIELD) {
        let (name, value) = entry.map_err(explain)?;
        if let (Some(name), Value::Tree(root)) = (name.strip_prefix(FIELD), value) {
            let entries = SortedMap::tree(&objects, Some(root)).len().map_err(explain)?;
            collections.push((String::from_utf8_lossy(name).into_owned(), entries));
        }
    }
    let peers = |root| SortedMap::mailbox(&objects, root).len().map_err(explain);
    let peers = (peers(view.inbox())?, peers(view.outbox())?);
    Ok(Shown { id, number: view.number(), state, collections, peers })
}

/// Messages that the actor could not read, in the order of senders: who sent them, their number, and why.
///
/// # Errors
/// If the disk cannot be read.
pub fn letters(
    reads: &dyn Reads,
    address: &ActorAddress,
) -> Result<Vec<(ActorAddress, u64, LetterRow)>, StateError> {
    let (from, to) = ActorKey::of(address).rows();
    let rows = reads.scan(Table::Letter, &from..&to, LISTED_MAX)?;
    let read = |(key, row): (Vec<u8>, Vec<u8>)| {
        let (_, sender, sequence) = keys::read_letter(&key.into())?;
        Ok((sender.address()?, sequence, LetterRow::decode(row)?))
    };
    rows.into_iter().map(read).collect()
}

/// Since when and why the actor is paused, if it is.
///
/// # Errors
/// If the disk cannot be read.
pub fn paused(reads: &dyn Reads, address: &ActorAddress) -> Result<Option<PausedRow>, StateError> {
    let row = reads.get(Table::Paused, ActorKey::of(address).as_bytes())?;
    row.map(PausedRow::decode).transpose()
}

/// Messages of the actor that are not acknowledged yet, by receiver.
///
/// # Errors
/// If the disk cannot be read.
pub fn outbox(reads: &dyn Reads, address: &ActorAddress) -> Result<Vec<PendingMessage>, StateError> {
    let (from, to) = ActorKey::of(address).rows();
    let rows = reads.scan(Table::Outbox, &from..&to, LISTED_MAX)?;
    let read = |(key, row): (Vec<u8>, Vec<u8>)| {
        let (sender, receiver, sequence) = keys::read_outbox(&key.into())?;
        OutboxEntry { receiver, sequence, row: row.into() }.pending(&sender)
    };
    rows.into_iter().map(read).collect()
}

/// A message that the actor sent, found in its history by going back from the newest step over at most `limit`
/// steps: what a letter of its receiver speaks of.
///
/// # Errors
/// [`StateError::NotFound`] if there is none.
pub fn sent_message(
    reads: &dyn Reads,
    sender: &ActorAddress,
    id: &ObjectId,
    limit: usize,
) -> Result<PendingMessage, StateError> {
    let actor = ActorKey::of(sender);
    let mut next = Some(start(reads, &actor, None)?);
    for _ in 0..limit {
        let Some(step) = next else { break };
        let objects = own_step(reads, &actor, &step, true)?;
        next = objects.step().previous();
        if objects.pack().iter().any(|entry| entry.kind == ObjectKind::Message && entry.id() == *id) {
            return message(&objects, &actor, id);
        }
    }
    Err(StateError::NotFound)
}

/// A message of a sender's step, as delivery takes it.
fn message(
    objects: &StepObjects<'_>,
    sender: &ActorKey,
    id: &ObjectId,
) -> Result<PendingMessage, StateError> {
    const MALFORMED: StateError = StateError::Malformed { what: "a message" };
    let entry = objects.pack().find(id).ok_or(StateError::NotFound)?;
    let view = Message::view(entry.bytes).map_err(|_| MALFORMED)?;
    let receiver = ActorAddress::from_key(view.receiver_key()).map_err(|_| MALFORMED)?;
    let content = match view.content_blob() {
        Some(blob) => {
            let blob = BlobReader::open(objects, blob).and_then(|blob| blob.read_all());
            Some(blob.map_err(|error| objects.explain(error))?.into())
        }
        None => None,
    };
    let row = OutboxRow { id: *id, message: Bytes::copy_from_slice(entry.bytes), content }.encode();
    OutboxEntry { receiver: ActorKey::of(&receiver), sequence: view.sequence(), row: row.into() }
        .pending(sender)
}

fn start(reads: &dyn Reads, actor: &ActorKey, step: Option<ObjectId>) -> Result<ObjectId, StateError> {
    match step {
        Some(step) => {
            // One that is not there is not damage: somebody asked for an id.
            let row = reads.get(Table::Object, &keys::object(actor.token(), &step))?;
            row.filter(|row| row.len() != keys::ID_BYTES).map(|_| step).ok_or(StateError::NotFound)
        }
        None => read_head(actor, reads)?.map(|head| head.id).ok_or(StateError::NotFound),
    }
}

/// A step that was asked for, or that one of the actor names as the one before it.
fn own_step<'a>(
    reads: &'a dyn Reads,
    actor: &ActorKey,
    id: &ObjectId,
    is_named: bool,
) -> Result<StepObjects<'a>, StateError> {
    StepObjects::read(reads, actor, id).map_err(|error| match error {
        StateError::NotFound if is_named => {
            StateError::Broken { id: *id, what: "it is a step of another actor" }
        }
        other => other,
    })
}

fn logged(
    reads: &dyn Reads,
    actor: &ActorKey,
    id: ObjectId,
    objects: &StepObjects<'_>,
) -> Result<LoggedStep, StateError> {
    let step = objects.step();
    let from = match step.previous() {
        Some(previous) => {
            let before = own_step(reads, actor, &previous, true)?.step().inbox();
            read_between(objects, before, step.inbox())?
        }
        None => read_between(objects, None, step.inbox())?,
    };
    Ok(LoggedStep {
        id,
        previous: step.previous(),
        number: step.number(),
        time_unix_ms: step.time().0,
        method: step.method().to_owned(),
        epoch: step.epoch(),
        bytes: objects.pack().bytes().len(),
        objects: objects.pack().iter().count(),
        sent: objects.pack().iter().filter(|entry| entry.kind == ObjectKind::Message).count(),
        from,
    })
}

/// The message that was read between two mailboxes.
fn read_between(
    objects: &StepObjects<'_>,
    before: Option<ObjectId>,
    after: Option<ObjectId>,
) -> Result<Option<(ActorAddress, u64)>, StateError> {
    if before == after {
        return Ok(None);
    }
    let (before, after) = (SortedMap::mailbox(objects, before), SortedMap::mailbox(objects, after));
    let differences = diff(&before, &after).map_err(|error| objects.explain(error))?;
    let read = differences.into_iter().find_map(|difference| match difference.after {
        Some(Value::Message { sequence, .. }) => Some((difference.key, sequence)),
        _ => None,
    });
    let Some((peer, sequence)) = read else { return Ok(None) };
    let peer = std::str::from_utf8(&peer).ok().and_then(|peer| ActorAddress::from_key(peer).ok());
    let peer = peer.ok_or(StateError::Malformed { what: "a peer of a mailbox" })?;
    Ok(Some((peer, sequence)))
}

/// An object of the actor by its id, if a step of it that is still found leads there: what `grit get` shows.
///
/// # Errors
/// [`StateError::NotFound`] if the id is not that of a step of this actor, or of an object in the pack of one.
pub fn object(
    reads: &dyn Reads,
    address: &ActorAddress,
    id: &ObjectId,
) -> Result<(ObjectKind, Bytes), StateError> {
    let actor = ActorKey::of(address);
    let row = reads.get(Table::Object, &keys::object(actor.token(), id))?.ok_or(StateError::NotFound)?;
    let step = <[u8; keys::ID_BYTES]>::try_from(row.as_slice()).map_or(*id, ObjectId::from_bytes);
    let objects = StepObjects::read(reads, &actor, &step)?;
    let entry = objects.pack().find(id).ok_or(StateError::NotFound)?;
    Ok((entry.kind, Bytes::copy_from_slice(entry.bytes)))
}
