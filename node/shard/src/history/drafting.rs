//! From a draft to a step: the objects of it, and the command that makes it the head.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gritmesh_actor::{Draft, Flushed, Origin, Outgoing, SENDS_PER_STEP_MAX};
use gritmesh_runtime::{Failure, FailureCode, NAME_BYTES_MAX, UnixTime};
use gritmesh_store::{
    CONTENT_BYTES_MAX, Changes, Content, GritError, INLINE_VALUE_BYTES_MAX, MemoryObjects, Message, Object,
    ObjectId, ObjectKind, Pack, PackError, SortedMap, Step, Value, blob_of,
};

use super::actor::{ActorHistory, Newest, STATE, field};
use super::reminding::Changed;
use crate::command::{LetterEntry, OutboxEntry, StepCommand};
use crate::keys::{self, ActorKey};
use crate::objects::located;
use crate::rows::{LetterRow, OutboxRow, encode_answer};

/// What a step may take in an entry of the log: its pack, and its rows, which repeat its messages.
const STEP_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A step that is being made.
struct Making {
    objects: Vec<Object>,
    outbox: Vec<OutboxEntry>,
    time_unix_ms: u64,
    epoch: u64,
    snapshot_epoch: u64,
}

impl ActorHistory {
    /// Makes the next step of a draft. It is the newest from here on, committed or not.
    pub(super) fn draft(&mut self, draft: Draft) -> Result<(StepCommand, Vec<Outgoing>), Failure> {
        let proposer = &self.pool.proposer;
        let mut making = Making {
            objects: Vec::with_capacity(4),
            outbox: Vec::new(),
            time_unix_ms: proposer.now_unix_ms(),
            epoch: proposer.epoch(self.pool.token),
            snapshot_epoch: proposer.snapshot_epoch(),
        };
        self.set_state(draft.state, &mut making);
        self.set_collections(draft.collections, &mut making)?;
        let core = self.core(&mut making)?;
        let (durable, volatile): (Vec<_>, Vec<_>) = draft.sends.into_iter().partition(|sent| sent.durable);
        self.send(durable, &mut making)?;
        self.read(&draft.origin, &mut making)?;
        let reminders = self.changed_reminders(&draft.origin, draft.reminders, &making)?;
        let (previous, number) = self.newest.map_or((None, 1), |newest| (Some(newest.id), newest.number + 1));
        let step = Step {
            previous,
            number,
            actor: self.address.clone(),
            inbox: self.inbox.root,
            outbox: self.outbox.root,
            core,
            build: None,
            epoch: making.epoch,
            snapshot_epoch: making.snapshot_epoch,
            time: UnixTime(making.time_unix_ms),
            method: method_name(&draft.method).to_owned(),
            journal: None,
            cost: 0,
        };
        let step = Object::new(ObjectKind::Step, step.encode());
        let head = step.id();
        making.objects.push(step);
        let pack = Pack::encode(&making.objects).map_err(too_large)?;
        let located = self.keep(head, core, &making.objects);
        self.newest = Some(Newest { id: head, number });
        let letter = draft.letter.and_then(|failure| letter(&draft.origin, &draft.method, failure, &making));
        let reminders = match (reminders, self.reminders.get_mut()) {
            (Some(changed), Some(reminders)) => changed.carry_out(head, reminders),
            _ => Vec::new(),
        };
        let command = StepCommand {
            actor: self.actor.clone(),
            expected: previous,
            number,
            head,
            time_unix_ms: making.time_unix_ms,
            epoch: making.epoch,
            located,
            outbox: making.outbox,
            reminders,
            answer: self.recorded_answer(number, &draft.origin, draft.answer, making.time_unix_ms),
            letter,
            pack: Bytes::from_owner(Arc::clone(pack.bytes())),
        };
        if command.size_hint() > STEP_BYTES_MAX {
            return Err(Failure::new(FailureCode::TooLarge, "the step with its messages is too large"));
        }
        Ok((command, volatile))
    }

    fn set_state(&mut self, state: Option<Vec<u8>>, making: &mut Making) {
        let Some(state) = state else {
            // Even a step without any state has a core.
            self.core.entry(STATE.to_vec()).or_insert_with(|| Value::Bytes(Vec::new()));
            return;
        };
        let value = if state.len() > INLINE_VALUE_BYTES_MAX {
            let (id, objects) = blob_of(&state);
            making.objects.extend(objects);
            Value::Blob(id)
        } else {
            Value::Bytes(state.clone())
        };
        self.core.insert(STATE.to_vec(), value);
        self.state = Some(state.into());
    }

    fn set_collections(
        &mut self,
        collections: Vec<(&'static str, Flushed)>,
        making: &mut Making,
    ) -> Result<(), Failure> {
        for (name, flushed) in collections {
            match flushed.root {
                Some(root) => self.core.insert(field(name), Value::Tree(ObjectId::from_bytes(root))),
                None => self.core.remove(&field(name)),
            };
            for object in flushed.objects {
                // Normally the collection's own object, hashed when it was made.
                let own = self.pool.loose(&ObjectId::from_bytes(object.id));
                making.objects.push(match own {
                    Some(own) => own,
                    None => checked(object.kind, object.bytes)?,
                });
            }
        }
        Ok(())
    }

    /// The core, whose objects every pack has.
    fn core(&self, making: &mut Making) -> Result<ObjectId, Failure> {
        let nothing = MemoryObjects::new();
        let entries: Changes =
            self.core.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        let edited = SortedMap::tree(&nothing, None).edit(entries).map_err(|error| self.failed(error))?;
        making.objects.extend(edited.new);
        Ok(edited.root.expect("a core has at least its state"))
    }

    /// Messages to durable actors: each the next one of its pair.
    fn send(&mut self, sends: Vec<Outgoing>, making: &mut Making) -> Result<(), Failure> {
        if sends.is_empty() {
            return Ok(());
        }
        if sends.len() > SENDS_PER_STEP_MAX {
            let detail = format!("a step sends at most {SENDS_PER_STEP_MAX} messages");
            return Err(Failure::new(FailureCode::BadArguments, detail));
        }
        let mut changes = Changes::new();
        for sent in sends {
            let last = self.outbox.last(&self.pool, &sent.to)?;
            let (sequence, previous) = last.map_or((1, None), |(sequence, id)| (sequence + 1, Some(id)));
            let (content, row_content) = if sent.arguments.len() > CONTENT_BYTES_MAX {
                let (id, objects) = blob_of(&sent.arguments);
                making.objects.extend(objects);
                (Content::Blob(id), Some(Bytes::from(sent.arguments)))
            } else {
                (Content::Bytes(sent.arguments), None)
            };
            let message = Message {
                sender: self.address.clone(),
                receiver: sent.to.clone(),
                sequence,
                previous,
                method: sent.method.into_owned(),
                snapshot_epoch: making.snapshot_epoch,
                headers: Vec::new(),
                content,
            };
            let message = Object::new(ObjectKind::Message, message.encode());
            let id = message.id();
            let bytes = Bytes::from_owner(Arc::clone(message.bytes()));
            let row = OutboxRow { id, message: bytes, content: row_content };
            let receiver = ActorKey::of(&sent.to);
            making.outbox.push(OutboxEntry { receiver, sequence, row: row.encode().into() });
            making.objects.push(message);
            let peer = sent.to.as_key().as_bytes();
            self.outbox.keep(peer, Some((sequence, id)), &self.pool.limits);
            changes.insert(peer.to_vec(), Some(Value::Message { sequence, id }));
        }
        self.outbox.root = self.edit_mailbox(self.outbox.root, changes, making)?;
        Ok(())
    }

    /// The cursor of the sender whose message was read.
    fn read(&mut self, origin: &Origin, making: &mut Making) -> Result<(), Failure> {
        let Origin::Message { from, sequence, id } = origin else { return Ok(()) };
        let (peer, id) = (from.as_key().as_bytes(), ObjectId::from_bytes(*id));
        self.inbox.keep(peer, Some((*sequence, id)), &self.pool.limits);
        let value = Value::Message { sequence: *sequence, id };
        let changes = BTreeMap::from([(peer.to_vec(), Some(value))]);
        self.inbox.root = self.edit_mailbox(self.inbox.root, changes, making)?;
        Ok(())
    }

    fn edit_mailbox(
        &self,
        root: Option<ObjectId>,
        changes: Changes,
        making: &mut Making,
    ) -> Result<Option<ObjectId>, Failure> {
        let edited = SortedMap::mailbox(&*self.pool, root).edit(changes);
        let edited = edited.map_err(|error| self.pool.walk_failed(error))?;
        making.objects.extend(edited.new);
        Ok(edited.root)
    }

    fn changed_reminders(
        &self,
        origin: &Origin,
        asked: Vec<gritmesh_actor::ReminderChange>,
        making: &Making,
    ) -> Result<Option<Changed>, Failure> {
        let mut changed = Changed::default();
        if let Origin::Reminder { name, .. } = origin {
            changed.fired(&self.address, self.reminders(), name, making.time_unix_ms);
        }
        changed.ask(asked)?;
        if changed.is_empty() {
            return Ok(None);
        }
        changed.check_count(self.reminders())?;
        match self.broken.load(std::sync::atomic::Ordering::Acquire) {
            true => Err(Failure::new(FailureCode::ActivationFailed, "the actor's reminders cannot be read")),
            false => Ok(Some(changed)),
        }
    }

    /// Keeps the objects that later steps may need, and names them.
    fn keep(&self, head: ObjectId, core: ObjectId, objects: &[Object]) -> Vec<ObjectId> {
        let mut kept: Vec<ObjectId> =
            located(core, objects.iter().map(|object| (object.kind(), object.id()))).collect();
        // Equal parts of a value are one object.
        kept.sort_unstable();
        kept.dedup();
        let bytes = |id: &ObjectId| {
            let object = objects.iter().find(|object| object.id() == *id);
            (*id, Arc::clone(object.expect("the ids are those of these objects").bytes()))
        };
        self.pool.add_step(head, kept.iter().map(bytes));
        kept
    }

    fn recorded_answer(
        &mut self,
        step: u64,
        origin: &Origin,
        answer: Option<Result<Vec<u8>, Failure>>,
        time_unix_ms: u64,
    ) -> Option<(Bytes, Bytes)> {
        let (Origin::Keyed { key }, Some(answer)) = (origin, answer) else { return None };
        let suffix = keys::answer_suffix(key);
        let row = encode_answer(time_unix_ms, &answer);
        self.keep_answer(step, suffix.clone(), answer);
        Some((suffix.into(), row.into()))
    }

    fn failed(&self, error: GritError) -> Failure {
        self.pool.walk_failed(error)
    }
}

fn letter(origin: &Origin, method: &str, failure: Failure, making: &Making) -> Option<LetterEntry> {
    let Origin::Message { from, sequence, id } = origin else { return None };
    let row = LetterRow {
        id: ObjectId::from_bytes(*id),
        time_unix_ms: making.time_unix_ms,
        method: method_name(method).to_owned(),
        failure,
    };
    Some(LetterEntry { sender: ActorKey::of(from), sequence: *sequence, row: row.encode().into() })
}

/// A method as a step may name it: of a letter it can be any text.
fn method_name(method: &str) -> &str {
    match &method[..method.floor_char_boundary(NAME_BYTES_MAX)] {
        "" => "?",
        name => name,
    }
}

fn checked(kind: u8, bytes: Arc<[u8]>) -> Result<Object, Failure> {
    let object = ObjectKind::from_number(kind).and_then(|kind| Object::check(kind, bytes).ok());
    object.ok_or_else(|| Failure::new(FailureCode::ActivationFailed, "a collection wrote no object"))
}

fn too_large(error: PackError) -> Failure {
    Failure::new(FailureCode::TooLarge, format!("the step cannot be written: {error}"))
}
