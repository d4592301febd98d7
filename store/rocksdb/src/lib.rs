//! The disk of a node in one RocksDB database.
//!
//! **Problem.** All shards of a node, its log entries, heads and objects want to be durable, each as soon as
//! possible. A sync costs the same whether it carries one record or a thousand; a disk that is given each wish
//! singly serves a few hundred of them in a second.
//!
//! **Design.** One database per node with a column family per [`Table`](gritmesh_runtime::Table), and two
//! threads that write in turns. One takes all batches that wait, makes one write of them, syncs once if any asks for
//! it, and tells all of them in their order; meanwhile the other writes. A write grows while the one before it is
//! being synced. Reads go past both.
//!
//! ```text
//!   engines ──write──► queue (bounded) ──► writer: one WriteBatch, one sync ──► done, done, done
//!      ├────load──► queue (bounded) ──► sorted file, taken over as it is ──► done
//!      └─────get, scan─────────────────────────────► RocksDB ◄──── snapshots
//! ```
//!
//! * **A full disk** is seen before it is hit: the writer asks the file system for its free space, and whoever wants to
//!   begin something asks [`has_room`](gritmesh_runtime::Disk::has_room), which says no as soon as a reserve is begun. What
//!   is under way then may use half of the reserve, so that it comes to its end, and removals, which make room,
//!   a part of the rest. So RocksDB can always tidy up, reads go on, and there is nothing to repair when room comes back.
//! * **A crash** is recovered by opening: the write-ahead log is read up to its first torn record, which gives a
//!   prefix of the writes that holds all synced ones.
//! * **Damage** is found by the checksums of the database, on every read and by every compaction, and is told as
//!   [`Corrupt`](gritmesh_runtime::DiskError::Corrupt).
//!
//! **Deliberately absent.** Transactions, since the log of a shard orders all changes; merge operators; backups,
//! since replicas are the backup; and any knowledge of what the records mean, except the data directory's format.

mod budget;
mod directory;
mod disk;
mod failure;
mod ingest;
mod legacy;
mod open;
mod options;
mod private;
mod snapshot;
mod space;
mod writer;

pub use budget::Options;
pub use disk::{RocksDisk, Written};
pub use open::OpenError;
