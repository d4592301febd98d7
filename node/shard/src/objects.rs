//! Reading objects of one token from the disk.
//!
//! **Problem.** An object lies in the pack of the step that made it, and is asked for by its id alone.
//!
//! **Design.** A step's id leads to its pack. What later steps refer to has a row of its own that names the step
//! ([`located`] says which these are); what only its own step refers to, as the core and the messages, is found in
//! the pack that one has anyway. Nothing is believed before its hash was compared.

use std::sync::Arc;

use bytes::Bytes;
use gritmesh_runtime::{ActorAddress, Change, DiskError, Reads, Table, Token};
use gritmesh_store::{GritError, ObjectError, ObjectId, ObjectKind, Objects, Pack, ReadError};

use crate::codec::object_rows;
use crate::keys::{self, ActorKey, ID_BYTES};
use crate::{HeadRow, StateError};

/// The objects of one token on a disk.
#[derive(Clone, Copy)]
pub struct DiskObjects<'a> {
    reads: &'a dyn Reads,
    token: Token,
}

impl<'a> DiskObjects<'a> {
    /// The objects of a token.
    pub const fn new(reads: &'a dyn Reads, token: Token) -> Self {
        Self { reads, token }
    }

    /// The pack of a step, whose step has that id. The other objects are still to be compared.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn pack(&self, step: &ObjectId) -> Result<Pack, StateError> {
        let bytes = self.row(step)?.ok_or_else(|| self.damaged(step, true))?;
        let pack = Pack::open(bytes, false).map_err(|_| self.damaged(step, false))?;
        if pack.step_id() != *step || pack.step().is_err() {
            return Err(self.damaged(step, false));
        }
        Ok(pack)
    }

    /// The pack that an object is found in by its id: the object's own, if it is a step.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn pack_of(&self, id: &ObjectId) -> Result<Pack, StateError> {
        let row = self.row(id)?.ok_or_else(|| self.damaged(id, true))?;
        match <[u8; ID_BYTES]>::try_from(row.as_slice()) {
            // Whoever has the object whole gives the pack and its place: either of them may be what is wrong here.
            Ok(step) => self.pack(&ObjectId::from_bytes(step)).map_err(|error| match error {
                StateError::Damaged { missing, .. } => self.damaged(id, missing),
                other => other,
            }),
            Err(_) => self.pack(id),
        }
    }

    /// What a failure of a walk over these objects means.
    pub fn explain(&self, error: GritError) -> StateError {
        match error {
            GritError::Read(ReadError::Missing(id)) => self.damaged(&id, true),
            GritError::Object { id, .. } => self.damaged(&id, false),
            GritError::Read(ReadError::Unavailable { .. }) => {
                let source = Arc::new(std::io::Error::other(error.to_string()));
                StateError::Disk(DiskError::Io { operation: "reading", path: "objects".into(), source })
            }
            GritError::Argument(ObjectError::TooLarge { what, size, limit }) => {
                StateError::TooLarge { what, bytes: size as usize, limit: limit as usize }
            }
            GritError::Argument(_) => StateError::Malformed { what: "an object" },
        }
    }

    fn row(&self, id: &ObjectId) -> Result<Option<Vec<u8>>, StateError> {
        match self.reads.get(Table::Object, &keys::object(self.token, id)) {
            // The database has found out before anybody could compare the hash.
            Err(DiskError::Corrupt { .. }) => Err(self.damaged(id, false)),
            row => Ok(row?),
        }
    }

    const fn damaged(&self, id: &ObjectId, missing: bool) -> StateError {
        StateError::Damaged { token: self.token, id: *id, missing }
    }
}

impl Objects for DiskObjects<'_> {
    fn read(&self, id: &ObjectId) -> Result<Arc<[u8]>, ReadError> {
        let pack = self.pack_of(id).map_err(|error| match error {
            StateError::Damaged { .. } => ReadError::Missing(*id),
            other => ReadError::Unavailable { detail: other.to_string() },
        })?;
        pack.find(id).map(|entry| entry.bytes.into()).ok_or(ReadError::Missing(*id))
    }
}

impl std::fmt::Debug for DiskObjects<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskObjects").field("token", &self.token).finish_non_exhaustive()
    }
}

/// One step with its pack and the objects that it refers to.
pub(crate) struct StepObjects<'a> {
    disk: DiskObjects<'a>,
    pack: Pack,
}

impl<'a> StepObjects<'a> {
    /// Reads a step, which must be one of this actor.
    pub(crate) fn read(reads: &'a dyn Reads, actor: &ActorKey, id: &ObjectId) -> Result<Self, StateError> {
        let disk = DiskObjects::new(reads, actor.token());
        let pack = disk.pack(id)?;
        let step = pack.step().expect("the pack's step was looked into when it was read");
        if step.actor_key() != actor.address()?.as_key() {
            return Err(StateError::NotFound);
        }
        Ok(Self { disk, pack })
    }

    /// Reads the step of a head, which must be what the head says.
    pub(crate) fn of_head(
        reads: &'a dyn Reads,
        actor: &ActorKey,
        head: &HeadRow,
    ) -> Result<Self, StateError> {
        let objects = Self::read(reads, actor, &head.id).map_err(|error| match error {
            StateError::NotFound => StateError::Broken { id: head.id, what: "the head is another actor's" },
            other => other,
        })?;
        if objects.step().number() != head.number {
            return Err(StateError::Broken { id: head.id, what: "the head has another number" });
        }
        Ok(objects)
    }

    pub(crate) fn step(&self) -> gritmesh_store::StepView<'_> {
        self.pack.step().expect("the pack's step was looked into when it was read")
    }

    pub(crate) const fn pack(&self) -> &Pack {
        &self.pack
    }

    /// What a failure of a walk over these objects means. What only this step refers to lies in its pack alone, so where
    /// that is not whole it is the step that has to be repaired.
    pub(crate) fn explain(&self, error: GritError) -> StateError {
        match self.disk.explain(error) {
            StateError::Damaged { token, .. } if check_pack(token, self.pack.bytes().as_ref()).is_err() => {
                StateError::Damaged { token, id: self.pack.step_id(), missing: false }
            }
            other => other,
        }
    }
}

impl Objects for StepObjects<'_> {
    fn read(&self, id: &ObjectId) -> Result<Arc<[u8]>, ReadError> {
        match self.pack.find(id) {
            Some(entry) => Ok(entry.bytes.into()),
            None => self.disk.read(id),
        }
    }
}

/// The objects of a pack that later steps may refer to: all but the step, its messages and its core, which every
/// step brings along. Blobs of long messages are among them.
pub(crate) fn located<'o>(
    core: ObjectId,
    objects: impl IntoIterator<Item = (ObjectKind, ObjectId)> + 'o,
) -> impl Iterator<Item = ObjectId> + 'o {
    let is_referred_to = move |(kind, id): &(ObjectKind, ObjectId)| match kind {
        ObjectKind::Step | ObjectKind::Message => false,
        ObjectKind::Tree => *id != core,
        ObjectKind::Blob | ObjectKind::Mailbox => true,
    };
    objects.into_iter().filter(is_referred_to).map(|(_, id)| id)
}

/// Checks a pack from a peer, and gives the rows of its objects.
///
/// # Errors
/// If anything about it is wrong, or it is not a step of an actor with this token.
pub(crate) fn check_pack(token: Token, bytes: &[u8]) -> Result<(ObjectId, Pack, Vec<Change>), StateError> {
    const MALFORMED: StateError = StateError::Malformed { what: "a pack" };
    let pack = Pack::open(bytes, true).map_err(|_| MALFORMED)?;
    let step = pack.step().map_err(|_| MALFORMED)?;
    let address = ActorAddress::from_key(step.actor_key()).map_err(|_| MALFORMED)?;
    if address.token() != token {
        return Err(StateError::Malformed { what: "the token of a pack" });
    }
    let (id, core) = (pack.step_id(), step.core());
    let entries: Vec<_> = pack.iter().skip(1).map(|entry| (entry.kind, entry.id())).collect();
    if !entries.contains(&(ObjectKind::Tree, core)) || !are_referred_to(&pack, &entries) {
        return Err(StateError::Malformed {
            what: "the core of a pack, or an object that nothing refers to,",
        });
    }
    let rows = object_rows(token, &id, located(core, entries), Arc::clone(pack.bytes()));
    Ok((id, pack, rows))
}

/// Whether the id of each object occurs in another one. All that a step brings along hangs together, so one that was
/// damaged, and so has another id, is found out before anybody reads it.
fn are_referred_to(pack: &Pack, entries: &[(ObjectKind, ObjectId)]) -> bool {
    let mut wanted: Vec<&[u8; ID_BYTES]> = entries.iter().map(|(_, id)| id.as_bytes()).collect();
    wanted.sort_unstable();
    // Most places are told by their first two bytes that no id begins there.
    let mut beginnings = [0_u64; 1024];
    for id in &wanted {
        let beginning = usize::from(u16::from_le_bytes([id[0], id[1]]));
        beginnings[beginning / 64] |= 1 << (beginning % 64);
    }
    let mut found = vec![false; wanted.len()];
    // Most bytes lie in blobs, which refer to little, so they are searched only for what is not found elsewhere.
    let (blobs, others): (Vec<_>, Vec<_>) = pack.iter().partition(|entry| entry.kind == ObjectKind::Blob);
    for entry in others.into_iter().chain(blobs) {
        if !found.contains(&false) {
            break;
        }
        for place in entry.bytes.windows(ID_BYTES) {
            let beginning = usize::from(u16::from_le_bytes([place[0], place[1]]));
            if beginnings[beginning / 64] & (1 << (beginning % 64)) != 0
                && let Ok(at) = wanted.binary_search_by(|id| id.as_slice().cmp(place))
            {
                found[at] = true;
            }
        }
    }
    !found.contains(&false)
}

/// The pack that a peer needs to repair an object that it misses, or has damaged.
///
/// # Errors
/// If it is missing or damaged here too.
pub fn spare(reads: &dyn Reads, token: Token, id: &ObjectId) -> Result<Bytes, StateError> {
    let pack = DiskObjects::new(reads, token).pack_of(id)?;
    match pack.find(id) {
        Some(_) if check_pack(token, pack.bytes().as_ref()).is_ok() => {
            Ok(Bytes::copy_from_slice(pack.bytes()))
        }
        _ => Err(StateError::Damaged { token, id: *id, missing: false }),
    }
}

/// The rows that repair an object, from the pack that a peer had of it.
///
/// # Errors
/// If the pack is wrong, or has not that object.
pub fn repair(token: Token, id: &ObjectId, pack: &[u8]) -> Result<Vec<Change>, StateError> {
    let (_, pack, rows) = check_pack(token, pack)?;
    if pack.find(id).is_some() { Ok(rows) } else { Err(StateError::NotFound) }
}
