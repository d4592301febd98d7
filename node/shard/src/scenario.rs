//! A disk in memory, a replica on it, and a node that collects what histories propose.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use gritmesh_actor::{Draft, Gate, History, Origin};
use gritmesh_runtime::{
    ActorAddress, Change, DiskError, Failure, FailureCode, KeyValue, Reads, Table, Token,
};
use parking_lot::Mutex;

use crate::{
    ActorKey, Applied, Command, Commands, Damage, Histories, Outcome, Proposal, Proposer, ShardState, strip,
};

/// All tokens.
pub(crate) const ALL: (Token, Token) = (Token(0), Token(u64::MAX));

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Tables in memory.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<Rows>);

impl Tables {
    pub(crate) fn write(&self, changes: &[Change]) {
        let mut rows = self.0.lock();
        for change in changes {
            match change {
                Change::Put { table, key, value } => {
                    rows.insert((*table, key.clone()), value.to_vec());
                }
                Change::Delete { table, key } => {
                    rows.remove(&(*table, key.clone()));
                }
                Change::DeleteRange { table, from, to } => {
                    rows.retain(|(of, key), _| of != table || key < from || key >= to);
                }
            }
        }
    }

    pub(crate) fn copy(&self) -> Self {
        Self(Mutex::new(self.rows()))
    }

    pub(crate) fn rows(&self) -> Rows {
        self.0.lock().clone()
    }

    pub(crate) fn rows_of(&self, table: Table) -> usize {
        self.0.lock().keys().filter(|(of, _)| *of == table).count()
    }

    pub(crate) fn alter(&self, alter: impl FnOnce(&mut Rows)) {
        alter(&mut self.0.lock());
    }
}

impl Reads for Tables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.0.lock().get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Vec<KeyValue>, DiskError> {
        let (from, to) = ((table, range.start.to_vec()), (table, range.end.to_vec()));
        let rows = self.0.lock();
        let found = rows.range(from..to).take(limit);
        Ok(found.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}

/// A replica that writes at once what it applies.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) tables: Arc<Tables>,
    pub(crate) state: ShardState,
}

impl Replica {
    pub(crate) fn new() -> Self {
        Self::on(Arc::default(), 0)
    }

    /// One whose tables have the state after this entry.
    pub(crate) fn on(tables: Arc<Tables>, applied: u64) -> Self {
        Self { tables, state: ShardState::at(applied, crate::StateLimits::PRODUCTION) }
    }

    /// Appends an entry: its objects are written, the stub is what is applied later.
    pub(crate) fn append(&self, commands: &[Command]) -> Bytes {
        let entry = Bytes::from(Commands::encode(commands));
        let (stub, objects) = strip(&entry).unwrap();
        self.tables.write(&objects);
        stub.into()
    }

    /// Applies a stub without writing it.
    pub(crate) fn apply(&mut self, stub: &Bytes) -> Applied {
        let index = self.state.applied();
        self.state.apply(index + 1, Commands::decode(stub).unwrap(), &*self.tables).unwrap()
    }

    pub(crate) fn commit(&mut self, commands: &[Command]) -> Vec<Outcome> {
        let stub = self.append(commands);
        let applied = self.apply(&stub);
        self.tables.write(&applied.changes);
        self.state.persisted(self.state.applied());
        applied.outcomes
    }
}

/// A node that leads, and commits when it is told to.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) queue: Mutex<Vec<Proposal>>,
    pub(crate) damages: Mutex<Vec<Damage>>,
    pub(crate) now: AtomicU64,
}

impl Proposer for Node {
    fn propose(&self, proposal: Proposal) {
        self.queue.lock().push(proposal);
    }

    fn observe(&self, _: Token, _: &ActorKey, gate: Gate) {
        gate(Ok(()));
    }

    fn is_certain(&self, _: Token) -> bool {
        false
    }

    fn now_unix_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn epoch(&self, _: Token) -> u64 {
        3
    }

    fn snapshot_epoch(&self) -> u64 {
        1
    }

    fn found_damage(&self, _: Token, _: &str) {}

    fn damaged(&self, damage: Damage) {
        self.damages.lock().push(damage);
    }
}

/// A shard of one replica with a node on it.
pub(crate) struct Shard {
    pub(crate) replica: Replica,
    pub(crate) node: Arc<Node>,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Self { replica: Replica::new(), node: Arc::default() }
    }

    pub(crate) fn try_open(&self, address: &str) -> Result<Box<dyn History>, Failure> {
        let reads: Arc<dyn Reads> = self.replica.tables.clone();
        let proposer: Arc<dyn Proposer> = self.node.clone();
        let address: ActorAddress = address.parse().unwrap();
        Histories::new(reads, proposer, crate::HistoryLimits::PRODUCTION).open(&address, address.token())
    }

    pub(crate) fn open(&self, address: &str) -> Box<dyn History> {
        self.try_open(address).unwrap()
    }

    /// Commits everything that was proposed, each in its own entry, and opens the gates.
    pub(crate) fn settle(&mut self) -> Vec<Outcome> {
        let proposals = std::mem::take(&mut *self.node.queue.lock());
        let mut outcomes = Vec::new();
        for proposal in proposals {
            let outcome = self.replica.commit(&[proposal.command]).pop().unwrap();
            let refused = matches!(outcome, Outcome::Refused { .. });
            let failure = || Failure::new(FailureCode::NotDelivered, "refused");
            (proposal.gate)(if refused { Err(failure()) } else { Ok(()) });
            outcomes.push(outcome);
        }
        outcomes
    }

    /// One step that sets the state.
    pub(crate) fn step(&mut self, address: &str, state: &[u8]) {
        let mut history = self.open(address);
        let (gate, told) = gate();
        history.commit(state_draft(state), gate);
        self.settle();
        assert_eq!(*told.lock(), Some(Ok(())));
    }
}

/// A draft that sets the state.
pub(crate) fn state_draft(state: &[u8]) -> Draft {
    Draft { state: Some(state.to_vec()), ..Draft::new("set".into(), Origin::Call) }
}

pub(crate) type Told = Arc<Mutex<Option<Result<(), Failure>>>>;

/// A gate, and what it was told.
pub(crate) fn gate() -> (Gate, Told) {
    let told = Told::default();
    let heard = Arc::clone(&told);
    (Box::new(move |result| *heard.lock() = Some(result)), told)
}
