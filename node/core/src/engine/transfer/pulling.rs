//! The follower's side: what it asks for, has checked, and takes in.

use std::collections::VecDeque;

use gritmesh_runtime::{Change, Instant, NodeId, ShardId};
use gritmesh_shard::{Assembly, StateError, TransferRequest};
use gritmesh_sharding::SnapshotMeta;

use super::loading::bytes_of;
use crate::engine::Engine;
use crate::engine::event::{Counted, Effect, Part};
use crate::engine::groups::Installing;
use crate::wire::Bulk;

/// A state that comes from the leader.
pub(in crate::engine) struct Incoming {
    meta: SnapshotMeta,
    from: NodeId,
    /// Up to where the log had been applied when it began: what is pulled is the difference to that.
    applied: u64,
    /// Which pull of this engine it is: what was begun for another one does not count.
    pub(super) pull: u64,
    /// `None` while a part is being checked.
    pub(super) assembly: Option<Assembly>,
    /// The stream that was asked for last, how many of its parts have come, and how many may.
    stream: u64,
    arrived: u32,
    up_to: u32,
    /// Parts that wait to be checked.
    waiting: VecDeque<Vec<u8>>,
    /// Objects that were checked and are not being loaded.
    pub(super) rows: Vec<Change>,
    pub(super) rows_bytes: usize,
    /// Loads that are under way.
    pub(super) loading: u32,
    /// A later state that was offered meanwhile.
    newer: Option<(NodeId, SnapshotMeta)>,
    /// Whether the leader has the state no more. What was pulled serves for a later one.
    gone: bool,
    ask_at: Instant,
    asked: u32,
}

/// What comes of checking a part.
pub(crate) struct Checked {
    pub(crate) assembly: Assembly,
    /// Objects to be loaded.
    pub(crate) rows: Vec<Change>,
    /// What is to be asked for, if a new stream is needed.
    pub(crate) request: Option<TransferRequest>,
}

impl Incoming {
    pub(super) const fn deadline(&self) -> Instant {
        self.ask_at
    }

    fn checked_rows(&mut self, rows: Vec<Change>) {
        self.rows_bytes += bytes_of(&rows);
        self.rows.extend(rows);
    }

    /// Whether nothing happens unless the leader does something.
    fn waits_for_leader(&self) -> bool {
        self.assembly.is_some() && self.loading == 0
    }
}

impl Engine {
    /// The leader has told this replica that it lacks so much that it needs the state as a whole.
    pub(in crate::engine) fn begin_transfer(
        &mut self,
        now: Instant,
        shard: ShardId,
        from: NodeId,
        meta: SnapshotMeta,
        out: &mut Vec<Effect>,
    ) {
        let Some(range) = self.range(shard) else { return };
        let Some(group) = self.groups.get_mut(&shard) else { return };
        match group.incoming.as_mut() {
            Some(incoming)
                if incoming.from == from && !incoming.gone && incoming.meta.index >= meta.index => {}
            Some(incoming) => {
                incoming.newer = Some((from, meta));
                self.begin_newer(now, shard, out);
            }
            // What is pulled is the difference to what is on the disk. The offer comes again.
            None if group.persisted_to < group.applied_to => self.writer.hurry(),
            None => {
                self.loads.pulls += 1;
                group.incoming = Some(Incoming {
                    meta,
                    from,
                    applied: group.applied_to,
                    pull: self.loads.pulls,
                    assembly: Some(Assembly::new((range.start, range.end), self.limits.shard.transfer)),
                    stream: 0,
                    arrived: 0,
                    up_to: 0,
                    waiting: VecDeque::new(),
                    rows: Vec::new(),
                    rows_bytes: 0,
                    loading: 0,
                    newer: None,
                    gone: false,
                    ask_at: now + self.limits.pulls.again,
                    asked: 0,
                });
                self.check(now, shard, None, out);
            }
        }
    }

    /// Goes over to a later state, unless a part is being checked; then that is done when it is.
    fn begin_newer(&mut self, now: Instant, shard: ShardId, out: &mut Vec<Effect>) -> bool {
        let incoming = self.groups.get_mut(&shard).and_then(|group| group.incoming.as_mut());
        let Some(incoming) = incoming.filter(|incoming| incoming.assembly.is_some()) else { return false };
        let Some((from, meta)) = incoming.newer.take() else { return false };
        (incoming.from, incoming.meta) = (from, meta);
        (incoming.stream, incoming.gone, incoming.asked) = (0, false, 0);
        incoming.waiting.clear();
        incoming.assembly = incoming.assembly.take().map(Assembly::restart);
        self.check(now, shard, None, out);
        true
    }

    /// Has a part checked, or else what to ask for found out, beside the engine.
    fn check(&mut self, now: Instant, shard: ShardId, chunk: Option<Vec<u8>>, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(incoming) = group.incoming.as_mut() else { return };
        let Some(assembly) = incoming.assembly.take() else { return };
        incoming.ask_at = now + self.limits.pulls.again;
        out.push(Effect::Check { shard, pull: incoming.pull, assembly: Box::new(assembly), chunk });
        self.wake_by(now + self.limits.pulls.again);
    }

    pub(in crate::engine) fn chunk(
        &mut self,
        now: Instant,
        from: NodeId,
        part: Part,
        (number, chunk): (u32, Vec<u8>),
        out: &mut Vec<Effect>,
    ) {
        let Part { shard, index, stream } = part;
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(incoming) = group.incoming.as_mut() else { return };
        let is_asked = incoming.from == from && incoming.meta.index == index && incoming.stream == stream;
        // After a gap nothing of the stream is of use; it is asked for anew when no more comes.
        if !is_asked || number != incoming.arrived || number >= incoming.up_to {
            return;
        }
        incoming.arrived += 1;
        incoming.asked = 0;
        incoming.waiting.push_back(chunk);
        self.check_next(now, shard, out);
    }

    fn check_next(&mut self, now: Instant, shard: ShardId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(incoming) = group.incoming.as_mut() else { return };
        if incoming.assembly.is_some()
            && let Some(chunk) = incoming.waiting.pop_front()
        {
            self.check(now, shard, Some(chunk), out);
        }
    }

    pub(in crate::engine) fn checked(
        &mut self,
        now: Instant,
        shard: ShardId,
        pull: u64,
        result: Result<Checked, StateError>,
        out: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(incoming) = group.incoming.as_mut().filter(|incoming| incoming.pull == pull) else { return };
        let Checked { assembly, rows, request } = match result {
            Ok(checked) => checked,
            Err(error) => {
                let peer = incoming.from.short();
                tracing::warn!(%peer, %shard, %error, "a part of a shard's state cannot be used");
                group.incoming = None;
                out.push(Effect::Count(Counted::BadTransfer));
                // What the leader sends is no record of the own disk.
                if let StateError::Disk(error) = &error
                    && error.is_damage()
                {
                    self.quarantine(now, shard, &error.to_string(), out);
                }
                return;
            }
        };
        incoming.checked_rows(rows);
        let is_complete = assembly.is_complete();
        incoming.assembly = Some(assembly);
        if self.begin_newer(now, shard, out) {
            return;
        }
        self.load_rows(shard, is_complete, out);
        if let Some(request) = request {
            self.ask(now, shard, &request, out);
        } else {
            self.ask_more(now, shard, out);
            self.check_next(now, shard, out);
        }
        self.finish_transfer(now, shard);
    }

    /// Asks for a new stream.
    fn ask(&mut self, now: Instant, shard: ShardId, request: &TransferRequest, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(incoming) = group.incoming.as_mut() else { return };
        if incoming.gone {
            incoming.ask_at = now + self.limits.pulls.kept;
            return self.wake_by(now + self.limits.pulls.kept);
        }
        self.loads.streams += 1;
        (incoming.stream, incoming.arrived, incoming.up_to) =
            (self.loads.streams, 0, self.limits.pulls.parts);
        incoming.waiting.clear();
        incoming.ask_at = now + self.limits.pulls.again * 2_u32.pow(incoming.asked);
        let (index, stream, up_to) = (incoming.meta.index, incoming.stream, self.limits.pulls.parts);
        let bulk = Bulk::Pull { shard: shard.0, index, stream, up_to, request: request.encode() };
        out.push(Effect::SendBulk { to: incoming.from, bulk });
        self.wake_by(now + self.limits.pulls.again);
    }

    /// Asks for as many more parts as there is room for.
    pub(super) fn ask_more(&mut self, now: Instant, shard: ShardId, out: &mut Vec<Effect>) {
        let is_full = self.held_bytes() >= self.limits.pulls.held_bytes;
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(incoming) = group.incoming.as_mut() else { return };
        if is_full || incoming.stream == 0 || incoming.gone {
            return;
        }
        let waiting = u32::try_from(incoming.waiting.len()).unwrap_or(u32::MAX);
        let up_to = incoming.arrived.saturating_add(self.limits.pulls.parts).saturating_sub(waiting);
        if up_to > incoming.up_to {
            (incoming.up_to, incoming.ask_at) = (up_to, now + self.limits.pulls.again);
            let (index, stream) = (incoming.meta.index, incoming.stream);
            let bulk = Bulk::More { shard: shard.0, index, stream, up_to };
            out.push(Effect::SendBulk { to: incoming.from, bulk });
        }
    }

    /// If all of it is here and on the disk, the rows change at once, together with what the log makes of it.
    pub(super) fn finish_transfer(&mut self, now: Instant, shard: ShardId) {
        let ranges = self.key_ranges(shard);
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let is_ready = |incoming: &mut Incoming| {
            let is_complete = incoming.assembly.as_ref().is_some_and(Assembly::is_complete);
            is_complete && incoming.rows.is_empty() && incoming.loading == 0
        };
        let Some(incoming) = group.incoming.take_if(is_ready) else { return };
        let Incoming { meta, assembly: Some(assembly), applied, .. } = incoming else { return };
        if applied != group.applied_to {
            // The rows that it was compared with have changed; the leader offers another one.
            return;
        }
        let index = meta.index;
        if let Err(error) = group.replica.install(now, meta) {
            tracing::debug!(%shard, %error, "a state was pulled that nobody needs any more");
            return;
        }
        self.writer.replace(shard, &ranges);
        self.writer.changes(group.time.replaced(now, shard, assembly.newest_answer_ms()));
        self.writer.changes(assembly.finish());
        group.applied_to = index;
        group.unsettled.clear();
        group.installing = Installing::Begun;
        self.dirty.insert(shard);
    }

    /// The leader does not keep the state any longer; it will offer another one.
    pub(in crate::engine) fn state_gone(&mut self, now: Instant, from: NodeId, shard: ShardId, index: u64) {
        if let Some(group) = self.groups.get_mut(&shard)
            && let Some(incoming) = group.incoming.as_mut()
            && (incoming.from, incoming.meta.index) == (from, index)
        {
            (incoming.gone, incoming.stream) = (true, 0);
            incoming.waiting.clear();
            incoming.ask_at = now + self.limits.pulls.kept;
            self.wake_by(now + self.limits.pulls.kept);
        }
    }

    pub(super) fn expire_pulls(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut asking = Vec::new();
        for (shard, group) in &mut self.groups {
            let Some(incoming) = group.incoming.as_mut().filter(|incoming| incoming.ask_at <= now) else {
                continue;
            };
            if !incoming.waits_for_leader() {
                incoming.ask_at = now + self.limits.pulls.again;
                continue;
            }
            incoming.asked += 1;
            if incoming.gone || incoming.asked > self.limits.pulls.asks {
                group.incoming = None;
                continue;
            }
            asking.push(*shard);
        }
        for shard in asking {
            // From the last place that was checked, so what has arrived since comes again.
            if let Some(incoming) = self.groups.get_mut(&shard).and_then(|group| group.incoming.as_mut()) {
                incoming.stream = 0;
                incoming.waiting.clear();
            }
            self.check(now, shard, None, out);
        }
    }
}
