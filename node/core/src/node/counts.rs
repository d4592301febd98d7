//! What the node counts: as it happens, and when it is asked.

use std::collections::BTreeMap;

use gritmesh_runtime::{Instant, ShardId, Table, Token};

use super::Node;
use crate::engine::{Counted, Engine, ShardHere};
use crate::metrics::take_over;

/// Rows that are counted at most when metrics are read. Where there are more, something is wrong already.
const ROWS_COUNTED_MAX: usize = 1000;

/// Bytes of the token that a row of an actor begins with.
const TOKEN_BYTES: usize = 8;

impl Node {
    pub(super) fn count(&self, counted: Counted) {
        let metrics = &self.metrics;
        match counted {
            Counted::Redirected => metrics.redirects.inc(),
            Counted::Detoured => metrics.detoured.inc(),
            Counted::Relayed => metrics.relayed.inc(),
            Counted::UnknownType { actor_type } => {
                self.warn_unknown_type(&actor_type);
                0
            }
            Counted::MalformedConsensus => metrics.malformed.inc(),
            Counted::BadTransfer => metrics.bad_transfers.inc(),
            Counted::Damaged => metrics.damaged.inc(),
            Counted::Repaired => metrics.repaired.inc(),
            Counted::Committed(steps) => metrics.committed.inc_by(steps),
            Counted::Refused(steps) => metrics.refused_steps.inc_by(steps),
            Counted::Forgotten(answers) => metrics.forgotten_answers.inc_by(answers),
            Counted::Led => metrics.leaderships_won.inc(),
            Counted::Called(took) => {
                metrics.remote_calls.observe(took);
                0
            }
            Counted::Elected(took) => {
                metrics.elections.observe(took);
                0
            }
        };
    }

    /// A batch that was handed to the disk is there.
    pub(super) fn written(&self, begun: Instant, synced: bool) {
        if synced {
            self.metrics.syncs.observe(self.environment.clock.now().saturating_since(begun));
        }
    }

    pub(super) fn refresh_metrics(&self) {
        let metrics = &self.metrics;
        metrics.actors.set(self.directory.len() as i64);
        metrics.ready.set(i64::from(self.readiness().ready));
        let (pending, parked) = self.waiting_calls();
        metrics.calls_pending.set(pending as i64);
        metrics.calls_parked.set(parked as i64);
        let here = self.shards_here();
        metrics.shards_serving.set(here.values().filter(|own| own.serves).count() as i64);
        metrics.replicas.set(here.len() as i64);
        metrics.damaged_replicas.set(self.damaged_replicas().len() as i64);
        let pending = self.engines.iter().map(|engine| engine.peek(Engine::messages_pending)).sum::<u64>();
        metrics.messages_pending.set(pending as i64);
        let lag = self.engines.iter().map(|engine| engine.peek(Engine::replica_lag)).max().unwrap_or(0);
        metrics.replica_lag.set(lag as i64);
        metrics.paused_actors.set(self.rows_led(Table::Paused, &here));
        metrics.letters.set(self.rows_led(Table::Letter, &here));
        let (moves, counters, malformed) = self.control.peek(|control| {
            let moves = control.placement().moves().filter(|one| one.leader == Some(self.info.node_id));
            (moves.count(), control.membership_counters(), control.malformed())
        });
        metrics.moves.set(moves as i64);
        let disk_full = self.environment.disk.space().is_some_and(|space| space.is_full());
        metrics.disk_full.set(i64::from(disk_full));
        take_over(&metrics.malformed_gossip, malformed + counters.malformed);
        take_over(&metrics.stalls, counters.stalls);
        take_over(&metrics.rejoins, counters.rejoins);
    }

    /// Rows of actors whose shard this node leads: so a cluster's sum counts each once.
    fn rows_led(&self, table: Table, here: &BTreeMap<ShardId, ShardHere>) -> i64 {
        let Some(routes) = self.routes.load_full() else { return 0 };
        let (first, last): (&[u8], &[u8]) = (&[], &[u8::MAX; TOKEN_BYTES + 1]);
        // What cannot be read now is told by whoever needs it.
        let rows = self.environment.disk.scan(table, first..last, ROWS_COUNTED_MAX).unwrap_or_default();
        let is_led = |key: &[u8]| {
            let token = key.first_chunk::<TOKEN_BYTES>().map(|bytes| Token(u64::from_be_bytes(*bytes)));
            let shard = token.map(|token| routes.table.shard_of(token).id);
            shard.and_then(|shard| here.get(&shard)).is_some_and(|here| here.leads)
        };
        rows.iter().filter(|(key, _)| is_led(key)).count() as i64
    }
}
