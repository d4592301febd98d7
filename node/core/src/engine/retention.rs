//! Forgets answers that were given under an idempotency key and have been kept long enough.
//!
//! How long that is, the [time of the shard](super::shard_time) says, and no wall clock.
//!
//! The leader of a shard goes round its answers, a few rows at a time, and proposes that the old ones be forgotten. A
//! look and its proposal are one event, so that no key can be used anew in between. What is not proposed, because the
//! disk is full or the log is, is found again in the next round.

use std::ops::Bound;

use gritmesh_runtime::{Instant, ShardId, UnixTime};
use gritmesh_shard::{Command, expired_answers};

use super::Engine;
use super::serving::Serving;

/// Rounds that are begun while answers are kept: so none is kept longer than it must be by more than this part of it,
/// but for what the round itself takes.
const ROUNDS: u32 = 24;

/// Where a leader is on its round.
#[derive(Debug, Default)]
pub(super) struct Looking {
    /// The row that is next; `None` at the beginning.
    from: Option<Vec<u8>>,
    /// When the next round may begin.
    rests_until: Instant,
}

impl Engine {
    /// Looks at the shards whose turn it is. To be called each second.
    pub(super) fn forget_answers(&mut self, now: Instant, unix: UnixTime) {
        let kept_ms = u64::try_from(self.answers_kept.as_millis()).unwrap_or(u64::MAX);
        let after = self.groups.range((Bound::Excluded(self.looked_at), Bound::Unbounded));
        let turns = after.chain(self.groups.range(..=self.looked_at));
        let due =
            turns.filter(|(_, group)| group.serving == Serving::Open && group.looking.rests_until <= now);
        let due: Vec<ShardId> =
            due.map(|(shard, _)| *shard).take(self.limits.engine.looks_per_second).collect();
        for shard in due {
            self.looked_at = shard;
            if let Some(time_ms) = self.time_of(now, shard, unix.0) {
                self.look_for_old(now, shard, time_ms.saturating_sub(kept_ms));
            }
        }
    }

    fn look_for_old(&mut self, now: Instant, shard: ShardId, before_unix_ms: u64) {
        let Some(range) = self.range(shard) else { return };
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let from = group.looking.from.take();
        let rows = self.limits.engine.rows_per_look;
        let tokens = (range.start, range.end);
        let found = expired_answers(
            &*self.disk,
            tokens,
            from.as_deref(),
            before_unix_ms,
            rows,
            &self.limits.shard.read,
        );
        let (answers, next) = found.unwrap_or_else(|error| {
            tracing::warn!(%shard, %error, "answers that may be forgotten cannot be read");
            (Vec::new(), None)
        });
        if next.is_none() {
            group.looking.rests_until = now + self.answers_kept / ROUNDS;
        }
        group.looking.from = next;
        if !answers.is_empty() {
            self.queue_quietly(shard, Command::Forget { answers });
        }
    }
}
