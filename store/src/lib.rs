//! Grit: content-addressed objects, the memory of durable actors.
//!
//! **Problem.** The history of an actor must be provable, cheap to share between nodes and impossible to fork in
//! silence. State that grows must cost what changed, not what there is.
//!
//! **Design.** Every object is named by the hash of what it is: BLAKE3 over its kind and its canonical bytes. Equal
//! content has one id however it came about, and a copy from anywhere can be checked.
//!
//! ```text
//! step ──previous──► step ──► …                  a chain: one actor's history         step, chain
//!  ├─ core ────► tree: name → bytes, blob, tree   a map cut into nodes by content      map
//!  ├─ inbox ───► mailbox: peer → last read        the same map with other values       map
//!  ├─ outbox ──► mailbox: peer → last sent ──► message ──previous──► message           message
//!  └─ journal ─► blob, cut into 64 KiB leaves if it is big                             blob, chunks
//! ```
//!
//! Whoever has objects implements [`Objects`]; nothing that is read through it is believed before its hash was
//! compared. The objects of one step travel together as a [`Pack`]. `docs/format.md` writes every byte form down.
//!
//! **Deliberately absent.** Refs, which are the shard's; disks, which are `runtime`'s and behind it RocksDB; and
//! any decision about what to keep. This crate is arithmetic over bytes.

mod archive;
mod blob;
mod chain;
mod chunks;
mod collect;
mod error;
mod id;
mod map;
mod message;
mod object;
mod objects;
mod pack;
mod step;
mod text;

pub use blob::{Blob, BlobBody, BlobView, LEAF_BYTES};
pub use chain::{CHAIN_STEPS_MAX, ChainError, ChainFault, ChainProof, Walk, verify_chain, walk};
pub use chunks::{BLOB_BYTES_MAX, BlobReader, BlobWriter, READ_BYTES_MAX, blob_of};
pub use collect::{COLLECT_OBJECTS_MAX, TREE_DEPTH_MAX, collect_step, collect_value};
pub use error::{GritError, ObjectError, ReadError};
pub use id::{ObjectId, ObjectKind, ParseObjectIdError};
pub use map::{
    Changes, Compared, Difference, Edited, Entries, INLINE_VALUE_BYTES_MAX, KEY_BYTES_MAX, MapKind,
    NODE_BYTES_LIMIT, SortedMap, Value, compare, diff,
};
pub use message::{CONTENT_BYTES_MAX, Content, Message, MessageView};
pub use object::{OBJECT_BYTES_MAX, Object};
pub use objects::{MemoryObjects, Objects, Overlay};
pub use pack::{PACK_BYTES_MAX, Pack, PackEntry, PackError};
pub use step::{Step, StepView};
pub use text::{HEADERS_BYTES_MAX, Headers};
