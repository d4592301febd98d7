//! What is left of a run when all faults have ended and nothing moves any more.

use std::collections::BTreeMap;
use std::time::Duration;

use gritmesh_actor::Late;
use gritmesh_runtime::{Instant, Table};
use gritmesh_store::ObjectId;

use crate::world::NodeIndex;

/// What is left.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// When it was looked at.
    pub at: Instant,
    /// For how long nothing had been wrong when the alarms were silenced.
    pub calm_for: Duration,
    /// What the durable actors say of themselves, by id. One that could not be asked is missing.
    pub actors: BTreeMap<String, Left>,
    /// The rows of every replica.
    pub replicas: Vec<ReplicaRows>,
    /// The last step of every actor, by id, with the greatest number that any disk holds.
    pub heads: BTreeMap<String, u64>,
    /// Chains that could not be proven.
    pub broken_chains: Vec<String>,
}

/// What one durable actor says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// How often it ran which operation.
    pub ran: BTreeMap<u64, u32>,
    /// Of a vault.
    pub vault: Option<VaultLeft>,
    /// Of an alarm.
    pub alarm: Option<AlarmLeft>,
}

/// What a vault holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaultLeft {
    /// Money.
    pub balance: u64,
    /// How often it was sent the money of which transfer.
    pub credited: BTreeMap<u64, u32>,
    /// How often another pulled money out, by operation.
    pub drawn: BTreeMap<u64, u32>,
}

/// What became of an alarm's reminders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmLeft {
    /// The time of its node.
    pub now_unix_ms: u64,
    /// Reminders that were set, by the operation that set them.
    pub rings: BTreeMap<u64, Ring>,
    /// Those that are set now, and when they are due.
    pub pending: BTreeMap<u64, u64>,
}

/// What became of one reminder, as its actor wrote it down.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ring {
    /// When it was first due.
    pub due_unix_ms: u64,
    /// How often after that.
    pub every_ms: Option<u64>,
    /// What happens to times that were missed.
    #[serde(with = "late")]
    pub late: Late,
    /// When it was cancelled.
    pub cancelled_unix_ms: Option<u64>,
    /// How often it rang.
    pub count: u64,
    /// When it rang last.
    pub last_unix_ms: u64,
    /// How often it rang before it was due.
    pub early: u32,
    /// How often it rang after it was cancelled.
    pub after_cancel: u32,
}

impl Ring {
    /// A reminder that has not rung.
    pub const fn new(due_unix_ms: u64, every_ms: Option<u64>, late: Late) -> Self {
        let (cancelled_unix_ms, count, last_unix_ms, early, after_cancel) = (None, 0, 0, 0, 0);
        Self { due_unix_ms, every_ms, late, cancelled_unix_ms, count, last_unix_ms, early, after_cancel }
    }

    /// How many times it was due until a moment, that moment included.
    pub fn times_due(&self, until_unix_ms: u64) -> u64 {
        match (until_unix_ms.checked_sub(self.due_unix_ms), self.every_ms) {
            (None, _) => 0,
            (Some(_), None) => 1,
            (Some(past), Some(every)) => past / every.max(1) + 1,
        }
    }
}

/// All rows of one table in one shard's range.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// What one replica holds of its shard.
#[derive(Clone, Debug)]
pub struct ReplicaRows {
    /// The shard.
    pub shard: u32,
    /// The node.
    pub node: NodeIndex,
    /// The rows.
    pub tables: BTreeMap<Table, Rows>,
}

/// A step that was found on a disk as an actor's head or before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSeen {
    /// When.
    pub at: Instant,
    /// On whose disk.
    pub node: NodeIndex,
    /// Whose step.
    pub actor: String,
    /// Its number.
    pub number: u64,
    /// The step.
    pub id: ObjectId,
}

/// [`Late`] is not made to be stored; here it is.
mod late {
    use gritmesh_actor::Late;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(late: &Late, serializer: S) -> Result<S::Ok, S::Error> {
        (*late as u8).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Late, D::Error> {
        Ok(match u8::deserialize(deserializer)? {
            0 => Late::Skip,
            1 => Late::Once,
            _ => Late::CatchUp,
        })
    }
}
