//! Checked objects on their way to the disk, past the batches of the engine: nobody's commit waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use gritmesh_runtime::{Change, DiskError, Instant, ShardId, Table};
use gritmesh_shard::keys::token_range;

use crate::engine::Engine;
use crate::engine::event::Effect;

/// Objects on their way to the disk.
#[derive(Default)]
pub(in crate::engine) struct Loads {
    under_way: BTreeMap<u64, Load>,
    /// Pulls and streams so far.
    pub(super) pulls: u64,
    pub(super) streams: u64,
}

struct Load {
    shard: ShardId,
    pull: u64,
    rows: Arc<[Change]>,
    bytes: usize,
    /// When to try again, if the disk was full.
    retry_at: Option<Instant>,
}

impl Loads {
    pub(in crate::engine) fn next_deadline(&self) -> Option<Instant> {
        self.under_way.values().filter_map(|load| load.retry_at).min()
    }
}

impl Engine {
    pub(super) fn held_bytes(&self) -> usize {
        let waiting = self.groups.values().filter_map(|group| group.incoming.as_ref());
        let loading = self.loads.under_way.values().map(|load| load.bytes);
        waiting.map(|incoming| incoming.rows_bytes).chain(loading).sum()
    }

    /// Loads what was checked, if it is enough, or all, or too much.
    pub(super) fn load_rows(&mut self, shard: ShardId, all: bool, out: &mut Vec<Effect>) {
        let is_full = self.held_bytes() >= self.limits.pulls.held_bytes;
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(incoming) = group.incoming.as_mut() else { return };
        if incoming.rows.is_empty()
            || !(all || is_full || incoming.rows_bytes >= self.limits.pulls.load_bytes)
        {
            return;
        }
        incoming.loading += 1;
        let rows: Arc<[Change]> = std::mem::take(&mut incoming.rows).into();
        let bytes = std::mem::take(&mut incoming.rows_bytes);
        let number = self.writer.next_number();
        out.push(Effect::Load { engine: self.index, number, rows: Arc::clone(&rows) });
        let load = Load { shard, pull: incoming.pull, rows, bytes, retry_at: None };
        self.loads.under_way.insert(number, load);
    }

    /// Objects are on the disk, or are not.
    pub(in crate::engine) fn loaded(
        &mut self,
        now: Instant,
        number: u64,
        result: Result<(), DiskError>,
        out: &mut Vec<Effect>,
    ) {
        let Some(mut load) = self.loads.under_way.remove(&number) else { return };
        let (shard, pull) = (load.shard, load.pull);
        let group = self.groups.get_mut(&shard);
        let incoming =
            group.and_then(|group| group.incoming.as_mut().filter(|incoming| incoming.pull == pull));
        match (result, incoming) {
            (Ok(()), Some(incoming)) => incoming.loading -= 1,
            (Ok(()) | Err(DiskError::Full | DiskError::Overloaded), None) => self.sweep(shard),
            (Err(DiskError::Full | DiskError::Overloaded), Some(_)) => {
                load.retry_at = Some(now + self.limits.pulls.load_again);
                self.loads.under_way.insert(number, load);
                return;
            }
            (Err(error), _) => return self.halt(format!("the disk failed: {error}"), out),
        }
        let pulling = self.groups.iter().filter(|(_, group)| group.incoming.is_some());
        for shard in pulling.map(|(shard, _)| *shard).collect::<Vec<_>>() {
            self.ask_more(now, shard, out);
        }
        self.finish_transfer(now, shard);
    }

    /// Objects that came to the disk after the replica was removed are removed too.
    fn sweep(&mut self, shard: ShardId) {
        if self.groups.contains_key(&shard) || self.quarantine.contains_key(&shard) {
            return;
        }
        let Some(range) = self.range(shard) else { return };
        let range = token_range(range.start, range.end);
        self.writer.changes([Change::DeleteRange { table: Table::Object, from: range.start, to: range.end }]);
    }

    /// Tries loads again that found the disk full, unless nobody needs them any more.
    pub(in crate::engine) fn retry_loads(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let groups = &self.groups;
        let is_needed = |load: &Load| {
            let incoming = groups.get(&load.shard).and_then(|group| group.incoming.as_ref());
            incoming.is_some_and(|incoming| incoming.pull == load.pull)
        };
        self.loads.under_way.retain(|_, load| load.retry_at.is_none() || is_needed(load));
        for (number, load) in &mut self.loads.under_way {
            if load.retry_at.take_if(|at| *at <= now).is_some() {
                let (engine, number, rows) = (self.index, *number, Arc::clone(&load.rows));
                out.push(Effect::Load { engine, number, rows });
            }
        }
    }
}

pub(super) fn bytes_of(rows: &[Change]) -> usize {
    let of_row = |row: &Change| match row {
        Change::Put { key, value, .. } => key.len() + value.len(),
        Change::Delete { .. } | Change::DeleteRange { .. } => 0,
    };
    rows.iter().map(of_row).sum()
}
