//! A step: what one message, or one reminder, made of an actor.

use std::sync::Arc;

use gritmesh_runtime::{ActorAddress, UnixTime};

use crate::archive;
use crate::error::ObjectError;
use crate::id::{ObjectId, ObjectKind};
use crate::text::check_word;

use record::{ArchivedStepRecord, BUILD, INBOX, JOURNAL, OUTBOX, PREVIOUS, StepRecord};

/// One step of an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The step before, unless this is the first.
    pub previous: Option<ObjectId>,
    /// Counts the steps of the chain, from 1.
    pub number: u64,
    /// Whose step it is.
    pub actor: ActorAddress,
    /// Mailbox: what was read, by sender.
    pub inbox: Option<ObjectId>,
    /// Mailbox: what was sent last, by receiver.
    pub outbox: Option<ObjectId>,
    /// Tree: the state by name.
    pub core: ObjectId,
    /// The deployed code that ran. Names no object.
    pub build: Option<ObjectId>,
    /// The shard's epoch.
    pub epoch: u64,
    /// Which snapshot the step falls under.
    pub snapshot_epoch: u64,
    /// When the handler began.
    pub time: UnixTime,
    /// Which method ran.
    pub method: String,
    /// Blob: answers of others that the handler got, in order.
    pub journal: Option<ObjectId>,
    /// What the run cost.
    pub cost: u64,
}

impl Step {
    /// The canonical bytes.
    pub fn encode(&self) -> Arc<[u8]> {
        let mut present = 0;
        let mut ids = Vec::with_capacity(6);
        let optional = [
            (PREVIOUS, self.previous),
            (INBOX, self.inbox),
            (OUTBOX, self.outbox),
            (BUILD, self.build),
            (JOURNAL, self.journal),
        ];
        ids.push(*self.core.as_bytes());
        for (bit, id) in optional {
            if let Some(id) = id {
                present |= bit;
                ids.push(*id.as_bytes());
            }
        }
        let record = StepRecord {
            number: self.number,
            epoch: self.epoch,
            snapshot_epoch: self.snapshot_epoch,
            time_unix_ms: self.time.0,
            cost: self.cost,
            present,
            ids: &ids,
            actor: self.actor.as_key(),
            method: &self.method,
        };
        let varying = ids.len() * 32 + self.actor.as_key().len() + self.method.len();
        archive::encode(&record, size_of::<ArchivedStepRecord<'_>>() + varying)
    }

    /// The id.
    pub fn id(&self) -> ObjectId {
        ObjectId::of(ObjectKind::Step, &self.encode())
    }

    /// Reads a step from outside and checks that its bytes are canonical.
    ///
    /// # Errors
    /// If they are not.
    pub fn decode(bytes: &[u8]) -> Result<Self, ObjectError> {
        let step = Self::view(bytes)?.to_step()?;
        if *step.encode() != *bytes {
            return Err(ObjectError::NotCanonical { kind: ObjectKind::Step });
        }
        Ok(step)
    }

    /// Looks into a step without copying. Lengths and texts are checked, the canonical form is not.
    ///
    /// # Errors
    /// If the bytes are no step.
    pub fn view(bytes: &[u8]) -> Result<StepView<'_>, ObjectError> {
        let archived: &ArchivedStepRecord<'static> = archive::access(ObjectKind::Step, bytes)?;
        let expected = 1 + archived.present.count_ones() as usize;
        if archived.present & !(PREVIOUS | INBOX | OUTBOX | BUILD | JOURNAL) != 0
            || archived.ids.len() != expected
        {
            return Err(ObjectError::Malformed { kind: ObjectKind::Step });
        }
        let view = StepView { archived };
        if view.number() == 0 || (view.number() == 1) != view.previous().is_none() {
            return Err(ObjectError::Invalid { what: "a step's number" });
        }
        check_word("a step's method", view.method())?;
        Ok(view)
    }
}

/// A step in its bytes.
#[derive(Clone, Copy)]
pub struct StepView<'a> {
    archived: &'a ArchivedStepRecord<'static>,
}

impl<'a> StepView<'a> {
    /// The step before, unless this is the first.
    pub fn previous(&self) -> Option<ObjectId> {
        self.optional(PREVIOUS)
    }

    /// Counts the steps of the chain, from 1.
    pub fn number(&self) -> u64 {
        self.archived.number.into()
    }

    /// Whose step it is: tenant, type and id, with zero bytes between.
    pub fn actor_key(&self) -> &'a str {
        &self.archived.actor
    }

    /// Mailbox: what was read, by sender.
    pub fn inbox(&self) -> Option<ObjectId> {
        self.optional(INBOX)
    }

    /// Mailbox: what was sent last, by receiver.
    pub fn outbox(&self) -> Option<ObjectId> {
        self.optional(OUTBOX)
    }

    /// Tree: the state by name.
    pub fn core(&self) -> ObjectId {
        ObjectId::from_bytes(self.archived.ids[0])
    }

    /// The deployed code that ran.
    pub fn build(&self) -> Option<ObjectId> {
        self.optional(BUILD)
    }

    /// The shard's epoch.
    pub fn epoch(&self) -> u64 {
        self.archived.epoch.into()
    }

    /// Which snapshot the step falls under.
    pub fn snapshot_epoch(&self) -> u64 {
        self.archived.snapshot_epoch.into()
    }

    /// When the handler began.
    pub fn time(&self) -> UnixTime {
        UnixTime(self.archived.time_unix_ms.into())
    }

    /// Which method ran.
    pub fn method(&self) -> &'a str {
        &self.archived.method
    }

    /// Blob: answers of others that the handler got, in order.
    pub fn journal(&self) -> Option<ObjectId> {
        self.optional(JOURNAL)
    }

    /// What the run cost.
    pub fn cost(&self) -> u64 {
        self.archived.cost.into()
    }

    /// A copy that stands alone.
    ///
    /// # Errors
    /// If the actor's name is none.
    pub fn to_step(&self) -> Result<Step, ObjectError> {
        let actor = ActorAddress::from_key(self.actor_key());
        Ok(Step {
            previous: self.previous(),
            number: self.number(),
            actor: actor.map_err(|_| ObjectError::Invalid { what: "a step's actor" })?,
            inbox: self.inbox(),
            outbox: self.outbox(),
            core: self.core(),
            build: self.build(),
            epoch: self.epoch(),
            snapshot_epoch: self.snapshot_epoch(),
            time: self.time(),
            method: self.method().to_owned(),
            journal: self.journal(),
            cost: self.cost(),
        })
    }

    /// Absent ids take no room: those that are there lie behind the core's in the order of their bits.
    fn optional(&self, bit: u8) -> Option<ObjectId> {
        let before = (self.archived.present & (bit - 1)).count_ones() as usize;
        (self.archived.present & bit != 0).then(|| ObjectId::from_bytes(self.archived.ids[1 + before]))
    }
}

impl std::fmt::Debug for StepView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepView")
            .field("number", &self.number())
            .field("actor", &self.actor_key())
            .field("core", &self.core())
            .finish_non_exhaustive()
    }
}

mod record {
    use rkyv::with::InlineAsBox;
    use rkyv::{Archive, Serialize};

    pub(super) const PREVIOUS: u8 = 1;
    pub(super) const INBOX: u8 = 2;
    pub(super) const OUTBOX: u8 = 4;
    pub(super) const BUILD: u8 = 8;
    pub(super) const JOURNAL: u8 = 16;

    #[derive(Debug, Archive, Serialize)]
    pub(super) struct StepRecord<'a> {
        pub(super) number: u64,
        pub(super) epoch: u64,
        pub(super) snapshot_epoch: u64,
        pub(super) time_unix_ms: u64,
        pub(super) cost: u64,
        /// Which of the optional ids are there.
        pub(super) present: u8,
        /// The core's id, then those that are there.
        #[rkyv(with = InlineAsBox)]
        pub(super) ids: &'a [[u8; 32]],
        #[rkyv(with = InlineAsBox)]
        pub(super) actor: &'a str,
        #[rkyv(with = InlineAsBox)]
        pub(super) method: &'a str,
    }
}
