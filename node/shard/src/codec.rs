//! Steps are written once: their packs lie in the table of objects, and the log only names them.
//!
//! **Problem.** A step's objects cross the log, and they must lie where objects are looked for. Written in both
//! places they cost twice the disk.
//!
//! **Design.** An entry that is appended loses its packs by [`strip`], which gives the rows of objects to be written
//! in the same batch. An entry that is sent to a replica gets them back by [`fill`]. The entry is not decoded:
//! what both need stands at fixed places.
//!
//! A pack that was appended and never committed stays behind as an object that nothing refers to.

use bytes::Bytes;
use gritmesh_runtime::{Change, Reads, Table, Token};
use gritmesh_store::ObjectId;

use crate::StateError;
use crate::command::{self, LOCATED_MAX, STEP, VERSION};
use crate::flat::{Reader, Write};
use crate::keys::{self, ID_BYTES, TOKEN_BYTES};
use crate::objects::check_pack;

/// Takes the packs out of an entry: what is left is for the log, the changes are for the same batch.
///
/// # Errors
/// If the bytes are no entry.
pub fn strip(entry: &Bytes) -> Result<(Vec<u8>, Vec<Change>), StateError> {
    let mut stub = Vec::with_capacity(entry.len().min(512));
    let mut changes = Vec::new();
    if !entry.is_empty() {
        stub.u8(VERSION);
    }
    for body in command::bodies(entry)? {
        let (tag, body) = body?;
        if tag != STEP {
            stub.u8(tag);
            stub.long(&body);
            continue;
        }
        let step = Front::read(body)?;
        let pack_bytes = step.pack.as_ref().map_or(0, Bytes::len);
        let kept = &step.body[4..step.body.len() - pack_bytes];
        stub.u8(tag);
        stub.u32(kept.len() as u32 + 4);
        stub.u32(0);
        stub.extend_from_slice(kept);
        if let Some(pack) = &step.pack {
            changes.extend(object_rows(step.token, &step.head, step.located, pack.as_ref().into()));
        }
    }
    Ok((stub, changes))
}

/// Puts the packs back that [`strip`] took out. An entry that has them stays as it is.
///
/// # Errors
/// If the bytes are no entry, or a pack is missing from the disk or damaged.
pub fn fill(stub: &[u8], reads: &dyn Reads) -> Result<Bytes, StateError> {
    let stub = Bytes::copy_from_slice(stub);
    let mut entry = Vec::with_capacity(stub.len() * 2);
    if !stub.is_empty() {
        entry.u8(VERSION);
    }
    for body in command::bodies(&stub)? {
        let (tag, body) = body?;
        entry.u8(tag);
        if tag != STEP {
            entry.long(&body);
            continue;
        }
        let step = Front::read(body)?;
        if step.pack.is_some() {
            entry.long(&step.body);
            continue;
        }
        let missing = StateError::Damaged { token: step.token, id: step.head, missing: true };
        let pack = reads.get(Table::Object, &keys::object(step.token, &step.head))?.ok_or(missing)?;
        // From here it is sent to others as what was agreed on, and they do not compare it again.
        if !matches!(check_pack(step.token, &pack), Ok((id, ..)) if id == step.head) {
            return Err(StateError::Damaged { token: step.token, id: step.head, missing: false });
        }
        entry.u32((step.body.len() + pack.len()) as u32);
        entry.u32(pack.len() as u32);
        entry.extend_from_slice(&step.body[4..]);
        entry.extend_from_slice(&pack);
    }
    Ok(entry.into())
}

/// The rows of one step's objects: its pack, and where each object is that later steps refer to.
pub(crate) fn object_rows(
    token: Token,
    step: &ObjectId,
    located: impl IntoIterator<Item = ObjectId>,
    pack: std::sync::Arc<[u8]>,
) -> Vec<Change> {
    let mut rows = vec![Change::put(Table::Object, keys::object(token, step), pack)];
    let here = |id| Change::put(Table::Object, keys::object(token, &id), step.as_bytes().as_slice());
    rows.extend(located.into_iter().map(here));
    rows
}

/// The front of a step's body, which says where its objects go.
struct Front {
    body: Bytes,
    token: Token,
    head: ObjectId,
    located: Vec<ObjectId>,
    pack: Option<Bytes>,
}

impl Front {
    fn read(body: Bytes) -> Result<Self, StateError> {
        let mut reader = Reader::new(body.clone(), "a step of the log");
        let pack_bytes = reader.u32()? as usize;
        let head = ObjectId::from_bytes(reader.array()?);
        let actor = reader.short()?;
        let token = actor.first_chunk::<TOKEN_BYTES>().ok_or_else(|| reader.malformed())?;
        let token = Token(u64::from_be_bytes(*token));
        let count = usize::from(reader.u16()?).min(LOCATED_MAX);
        let ids = reader.take(count * ID_BYTES)?;
        let located = ids
            .chunks_exact(ID_BYTES)
            .map(|id| ObjectId::from_bytes(id.try_into().expect("the chunks have the size of an id")));
        let located = located.collect();
        let rest = reader.rest();
        if pack_bytes > rest.len() {
            return Err(reader.malformed());
        }
        let pack = (pack_bytes > 0).then(|| rest.slice(rest.len() - pack_bytes..));
        Ok(Self { body, token, head, located, pack })
    }
}

#[cfg(test)]
mod tests;
