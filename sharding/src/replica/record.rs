//! What a replica keeps on the disk.
//!
//! | table | key | value |
//! |---|---|---|
//! | Group | shard, u32 │ field, u8 | version, u8 │ content │ checksum, 8 bytes |
//! | Log | shard, u32 │ index, u64 | version, u8 │ term, u64 │ kind, u8 │ what the [`LogCodec`] kept │ checksum |
//!
//! The checksum is the start of a BLAKE3 hash over table, key, version and content, so a record at the wrong place
//! is found like a flipped bit. Numbers are big-endian, also in keys, which therefore sort as they should.

mod left;

use std::fmt;

use bytes::Bytes;
use gritmesh_runtime::{Change, DiskError, Epoch, Reads, ShardId, Table};
use raft::prelude::{Entry, HardState};

use super::SnapshotMeta;
use super::bytes::{Cut, Reader, Writer};
use super::member::{Config, ReplicaId};
use super::message::LogEntry;
use super::options::NUMBER_MAX;
pub(super) use left::{Left, Lost, give_up};

/// The first byte of every record. Another layout gets another number.
const VERSION: u8 = 1;

/// Bytes of the checksum at the end of a record: a flipped bit goes unseen once in 2^64.
const CHECKSUM_BYTES: usize = 8;

/// Log records that are read at once.
const SCAN_RECORDS: usize = 256;

/// How commands lie in the log on the disk.
///
/// A command that carries what other tables hold as well is stripped of it, so that it is written once.
pub trait LogCodec: fmt::Debug + Send + Sync {
    /// What the log keeps of a command, and what goes to other tables, in the same batch.
    fn strip(&self, shard: ShardId, command: &[u8]) -> (Vec<u8>, Vec<Change>);

    /// The command again.
    ///
    /// # Errors
    /// If what was put elsewhere is not there any more, or not what it was.
    fn fill(&self, shard: ShardId, stub: &[u8], disk: &dyn Reads) -> Result<Bytes, FillError>;
}

/// Why a command could not be put together again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FillError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A part of it is missing, or is not what it was.
    #[error("{0}")]
    Damaged(String),
}

/// Commands lie in the log as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct WholeCommands;

impl LogCodec for WholeCommands {
    fn strip(&self, _shard: ShardId, command: &[u8]) -> (Vec<u8>, Vec<Change>) {
        (command.to_vec(), Vec::new())
    }

    fn fill(&self, _shard: ShardId, stub: &[u8], _disk: &dyn Reads) -> Result<Bytes, FillError> {
        Ok(Bytes::copy_from_slice(stub))
    }
}

/// Why a replica cannot go on after a restart. It has to be destroyed, and be added anew under another id.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RestoreError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A record is damaged, or of a newer format.
    #[error("shard {shard}: the record {record} is damaged: {what}")]
    Damaged {
        /// Whose.
        shard: ShardId,
        /// Which.
        record: String,
        /// In what way.
        what: String,
    },
    /// Records contradict each other.
    #[error("shard {shard}: {what}")]
    Inconsistent {
        /// Whose.
        shard: ShardId,
        /// In what way.
        what: &'static str,
    },
}

impl RestoreError {
    /// Whether records are damaged, and will be the next time, rather than that the disk refused.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Disk(error) if !error.is_damage())
    }
}

/// Fields of the Group table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    /// Which replica this is.
    Identity = 1,
    /// Term, vote and commit index.
    Hard = 2,
    /// Index and term of the last entry that was cut off.
    Base = 3,
    /// Index and term of the last entry whose effect is on the disk.
    Applied = 4,
    /// The configuration as of that entry.
    Config = 5,
    /// The last replica of the shard on this node that was destroyed.
    Tombstone = 6,
    /// The replica that has said that it is lost, and therefore is, whatever the other fields say.
    Lost = 7,
}

fn field_key(shard: ShardId, field: Field) -> Vec<u8> {
    let mut key = shard.0.to_be_bytes().to_vec();
    key.push(field as u8);
    key
}

/// The key of a log entry.
fn log_key(shard: ShardId, index: u64) -> Vec<u8> {
    let mut key = shard.0.to_be_bytes().to_vec();
    key.extend_from_slice(&index.to_be_bytes());
    key
}

fn checksum(table: Table, key: &[u8], sealed: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    // Keys of one table have one length, so nothing can move from one part into the next.
    hasher.update(&[table as u8]).update(key).update(sealed);
    hasher.finalize().as_bytes()[..CHECKSUM_BYTES].try_into().expect("a hash is longer")
}

fn seal(table: Table, key: Vec<u8>, content: &Writer) -> Change {
    let mut value = Vec::with_capacity(1 + content.0.len() + CHECKSUM_BYTES);
    value.push(VERSION);
    value.extend_from_slice(&content.0);
    let sum = checksum(table, &key, &value);
    value.extend_from_slice(&sum);
    Change::put(table, key, value)
}

fn open<'a>(table: Table, key: &[u8], value: &'a [u8]) -> Result<Reader<'a>, Cut> {
    let sealed = value.len().checked_sub(CHECKSUM_BYTES).ok_or(Cut("it is too short"))?;
    let (sealed, sum) = value.split_at(sealed);
    if sum != checksum(table, key, sealed) {
        return Err(Cut("it does not match its checksum"));
    }
    match sealed.split_first() {
        Some((&VERSION, content)) => Ok(Reader(content)),
        _ => Err(Cut("its version is unknown")),
    }
}

/// A record of the Group table.
pub(super) fn put_field(
    shard: ShardId,
    field: Field,
    write: impl FnOnce(&mut Writer) -> &mut Writer,
) -> Change {
    let mut content = Writer::default();
    write(&mut content);
    seal(Table::Group, field_key(shard, field), &content)
}

/// The records of an entry, which may be several if the codec puts parts elsewhere.
pub(super) fn put_entry(shard: ShardId, codec: &dyn LogCodec, entry: &Entry, changes: &mut Vec<Change>) {
    let LogEntry { term, is_change, bytes } = LogEntry::from_raft(entry);
    let (stub, others) =
        if is_change || bytes.is_empty() { (bytes, Vec::new()) } else { codec.strip(shard, &bytes) };
    let mut content = Writer::with_capacity(9 + stub.len());
    content.u64(term).u8(u8::from(is_change)).bytes(&stub);
    changes.extend(others);
    changes.push(seal(Table::Log, log_key(shard, entry.index), &content));
}

/// Removes log records from the first index to the last, both included.
pub(super) fn delete_entries(shard: ShardId, from: u64, to: u64) -> Change {
    Change::DeleteRange { table: Table::Log, from: log_key(shard, from), to: log_key(shard, to + 1) }
}

/// A replica that was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Which it was. It never comes back.
    pub replica: ReplicaId,
    /// The newest epoch that it had heard of.
    pub epoch: Epoch,
    /// Index and term of the last entry that it had applied, so that it can still be said to be committed; zeros if
    /// that is not known.
    pub(super) applied: (u64, u64),
}

/// Removes everything of a shard's replica, and records that it was there.
pub(super) fn bury(shard: ShardId, tombstone: Tombstone) -> Vec<Change> {
    let fields = [Field::Identity, Field::Hard, Field::Base, Field::Applied, Field::Config, Field::Lost];
    let mut changes: Vec<Change> =
        fields.iter().map(|field| Change::delete(Table::Group, field_key(shard, *field))).collect();
    changes.push(delete_entries(shard, 0, u64::MAX - 1));
    changes.push(put_field(shard, Field::Tombstone, |writer| {
        let (index, term) = tombstone.applied;
        writer.u64(tombstone.replica.0).u64(tombstone.epoch.0).u64(index).u64(term)
    }));
    changes
}

/// What a restarted replica finds of itself.
#[derive(Debug)]
pub struct Stored {
    pub(super) replica: ReplicaId,
    pub(super) hard: HardState,
    pub(super) base: (u64, u64),
    pub(super) applied: (u64, u64),
    pub(super) config: Config,
    pub(super) entries: Vec<Entry>,
}

impl Stored {
    /// Which replica it is.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Up to where the effects of the log are on the disk.
    pub fn applied(&self) -> u64 {
        self.applied.0
    }

    /// The configuration as of that entry.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Reads the records of one shard.
struct Records<'a> {
    disk: &'a dyn Reads,
    shard: ShardId,
}

impl Records<'_> {
    fn damaged(&self, record: impl fmt::Display, what: impl fmt::Display) -> RestoreError {
        RestoreError::Damaged { shard: self.shard, record: record.to_string(), what: what.to_string() }
    }

    fn field<T>(
        &self,
        field: Field,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Cut>,
    ) -> Result<Option<T>, RestoreError> {
        let key = field_key(self.shard, field);
        let Some(value) = self.disk.get(Table::Group, &key)? else { return Ok(None) };
        let parsed = open(Table::Group, &key, &value).and_then(|mut reader| {
            let parsed = read(&mut reader)?;
            reader.end()?;
            Ok(parsed)
        });
        parsed.map(Some).map_err(|cut| self.damaged(format_args!("{field:?}"), cut.0))
    }

    fn entry(&self, index: u64, value: &[u8], codec: &dyn LogCodec) -> Result<Entry, RestoreError> {
        let wrong = |cut: Cut| self.damaged(format_args!("log {index}"), cut.0);
        let mut reader = open(Table::Log, &log_key(self.shard, index), value).map_err(wrong)?;
        let term = read_number(&mut reader).map_err(wrong)?;
        let is_change = reader.u8().map_err(wrong)? == 1;
        let stub = reader.rest();
        let bytes = if is_change || stub.is_empty() {
            stub.to_vec()
        } else {
            let filled = codec.fill(self.shard, stub, self.disk);
            let wrong = |error| match error {
                FillError::Disk(error) => RestoreError::Disk(error),
                FillError::Damaged(what) => self.damaged(format_args!("log {index}"), what),
            };
            filled.map_err(wrong)?.into()
        };
        Ok(LogEntry { term, is_change, bytes }.into_raft(index))
    }

    fn entries(&self, base: (u64, u64), codec: &dyn LogCodec) -> Result<Vec<Entry>, RestoreError> {
        let (mut entries, mut next, mut term) = (Vec::<Entry>::new(), base.0 + 1, base.1);
        loop {
            let (from, to) = (log_key(self.shard, next), log_key(self.shard, u64::MAX));
            let records = self.disk.scan(Table::Log, &from..&to, SCAN_RECORDS)?;
            for (key, value) in &records {
                if *key != log_key(self.shard, next) {
                    return Err(self.damaged(format_args!("log {next}"), "it is missing"));
                }
                let entry = self.entry(next, value, codec)?;
                if entry.term < term {
                    return Err(self.damaged(format_args!("log {next}"), "its term is older than the last"));
                }
                (term, next) = (entry.term, next + 1);
                entries.push(entry);
            }
            if records.len() < SCAN_RECORDS {
                return Ok(entries);
            }
        }
    }

    fn place(&self, field: Field) -> Result<(u64, u64), RestoreError> {
        let read = |reader: &mut Reader<'_>| Ok((read_number(reader)?, read_number(reader)?));
        Ok(self.field(field, read)?.unwrap_or_default())
    }
}

fn read_number(reader: &mut Reader<'_>) -> Result<u64, Cut> {
    let number = reader.u64()?;
    if number > NUMBER_MAX { Err(Cut("a number is too great to be true")) } else { Ok(number) }
}

/// Reads everything of a replica, or nothing if there is none.
pub(super) fn read(
    disk: &dyn Reads,
    shard: ShardId,
    codec: &dyn LogCodec,
) -> Result<Option<Stored>, RestoreError> {
    let records = Records { disk, shard };
    if records.lost()? != Lost::No {
        return Err(records.damaged("Lost", "the replica has said that it will never speak again"));
    }
    let Some(replica) = records.field(Field::Identity, |reader| reader.u64().map(ReplicaId))? else {
        return Ok(None);
    };
    let hard = |reader: &mut Reader<'_>| {
        let (term, vote) = (read_number(reader)?, reader.u64()?);
        Ok(HardState { term, vote, commit: read_number(reader)? })
    };
    let mut hard = records.field(Field::Hard, hard)?.unwrap_or_default();
    let (base, applied) = (records.place(Field::Base)?, records.place(Field::Applied)?);
    // The commit index is as old as the last vote; what was applied had been committed.
    hard.commit = hard.commit.max(applied.0);
    let config = records.field(Field::Config, Config::read)?.unwrap_or_default();
    let entries = records.entries(base, codec)?;
    let stored = Stored { replica, hard, base, applied, config, entries };
    stored.check().map_err(|what| RestoreError::Inconsistent { shard, what })?;
    Ok(Some(stored))
}

impl Stored {
    fn check(&self) -> Result<(), &'static str> {
        let last = self.base.0 + self.entries.len() as u64;
        let commit = self.hard.commit.max(self.base.0);
        if self.replica == ReplicaId(0) {
            return Err("the replica has no id");
        }
        if self.applied.0 < self.base.0 || commit > last {
            return Err(
                "the ends of the log, of what is committed and of what is applied contradict each other",
            );
        }
        if self.applied.0 > 0 && self.hard.term == 0 {
            return Err("there is a log without a term");
        }
        if (self.base.0 > 0) != self.config.member(self.replica).is_some() {
            return Err("the replica is not in its own configuration");
        }
        Ok(())
    }
}

/// The state that a snapshot of the disk holds of a shard.
pub(super) fn read_meta(disk: &dyn Reads, shard: ShardId) -> Result<Option<SnapshotMeta>, RestoreError> {
    let records = Records { disk, shard };
    let (index, term) = records.place(Field::Applied)?;
    let config = records.field(Field::Config, Config::read)?;
    Ok(config.filter(|_| index > 0).map(|config| SnapshotMeta { index, term, config }))
}

/// The last replica of a shard that was destroyed.
pub(super) fn read_tombstone(disk: &dyn Reads, shard: ShardId) -> Result<Option<Tombstone>, RestoreError> {
    let read = |reader: &mut Reader<'_>| {
        let (replica, epoch) = (ReplicaId(reader.u64()?), Epoch(reader.u64()?));
        Ok(Tombstone { replica, epoch, applied: (reader.u64()?, reader.u64()?) })
    };
    Records { disk, shard }.field(Field::Tombstone, read)
}
