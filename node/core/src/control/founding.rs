//! The beginning of a cluster: its shards are created by the node that founds it, and a crash in between is made up
//! for at the next start.

use gritmesh_runtime::Instant;
use gritmesh_sharding as sharding;
use gritmesh_sharding::ShardTable;

use super::{Control, Effect, Persisting};
use crate::records;

impl Control {
    /// The ranges of a new cluster. Nobody leads them before their logs exist.
    pub(super) fn initial_table(&self) -> ShardTable {
        ShardTable::initial(self.shards).expect("the number of shards was checked at start")
    }

    /// Creates the shards, or those of them that a crash has left out.
    pub(super) fn found(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let table = self.stored_table.take().unwrap_or_else(|| self.initial_table());
        self.founding = self.engines;
        // The routes go first: an engine must know the range of a shard that it leads.
        self.tell_placement(now, sharding::Event::Table(table.clone()));
        self.settle(now, out);
        out.push(Effect::Found(table.shards().to_vec()));
    }

    /// What the disk knew of the shards is better than nothing until somebody says it anew.
    pub(super) fn recall_table(&mut self, now: Instant) {
        if let Some(table) = self.stored_table.take() {
            self.tell_placement(now, sharding::Event::Table(table));
        }
    }

    /// All shards are on the disk: a restart has nothing more to found.
    pub(super) fn founded(&mut self, out: &mut Vec<Effect>) {
        self.founding = self.founding.saturating_sub(1);
        if self.founding == 0 {
            let changes = vec![records::founding(false)];
            out.push(Effect::Persist { what: Persisting::Table, changes });
        }
    }
}
