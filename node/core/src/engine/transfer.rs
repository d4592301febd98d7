//! Bringing replicas up to date whose log is too far behind, and getting lost objects back.
//!
//! The leader takes a snapshot of its disk and tells the follower, through the log, up to which entry that
//! snapshot goes. The follower then pulls, part by part, and takes the whole in with one batch. A leader keeps one
//! snapshot for each follower, and not for ever.

use std::time::Duration;

use gritmesh_runtime::{Change, Instant, NodeId, ShardId, Snapshot};
use gritmesh_shard::{Assembly, Chunk, Damage, StateError};
use gritmesh_sharding::{Replica, SnapshotMeta};

use super::Engine;
use super::event::{Counted, Effect};
use super::groups::{Group, Installing};
use crate::wire::Bulk;

/// How long a follower waits for a part before it asks again.
const PULL_AGAIN: Duration = Duration::from_secs(2);

/// How long a follower leaves its leader in peace whose own disk has too much to do.
const PULL_PAUSE: Duration = Duration::from_millis(20);

/// How many times it asks before it gives up, and the leader has to offer its state anew.
const PULLS_MAX: u32 = 10;

/// How long a leader keeps a snapshot that nobody pulls from. Snapshots keep the disk from reclaiming room.
const VIEW_KEPT: Duration = Duration::from_secs(60);

/// Snapshots of one shard that are kept at once: one for each replica that can be added at a time.
const VIEWS_MAX: usize = 4;

/// A state that comes from the leader.
pub(super) struct Incoming {
    meta: SnapshotMeta,
    from: NodeId,
    assembly: Assembly,
    ask_at: Instant,
    asked: u32,
}

/// A fixed state of the disk, for a follower to pull.
pub(super) struct View {
    index: u64,
    snapshot: Snapshot,
    until: Instant,
}

impl Group {
    pub(super) fn transfer_deadline(&self) -> Option<Instant> {
        let views = self.views.values().map(|view| view.until);
        views.chain(self.incoming.as_ref().map(|incoming| incoming.ask_at)).min()
    }
}

impl Engine {
    /// A follower needs state: a snapshot of the disk is kept for it.
    pub(super) fn offer_state(&mut self, now: Instant, shard: ShardId, to: NodeId) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        if group.views.len() >= VIEWS_MAX && !group.views.contains_key(&to) {
            return group.replica.snapshot_failed(to);
        }
        let taken = self.disk.snapshot().map_err(StateError::from).and_then(|snapshot| {
            let meta = Replica::read_snapshot(&*snapshot, shard)
                .map_err(|_| StateError::Malformed { what: "the configuration of a shard" })?;
            Ok((snapshot, meta))
        });
        match taken {
            Ok((snapshot, Some(meta))) => {
                group.views.insert(to, View { index: meta.index, snapshot, until: now + VIEW_KEPT });
                group.replica.snapshot_taken(meta.index, meta.term, meta.config);
            }
            Ok((_, None)) => group.replica.snapshot_failed(to),
            Err(error) => {
                tracing::warn!(%shard, %error, "no snapshot of the disk can be taken");
                group.replica.snapshot_failed(to);
            }
        }
        self.wake_by(now + VIEW_KEPT);
        self.dirty.insert(shard);
    }

    /// A peer asks for a part of a state that was offered to it.
    pub(super) fn pull(
        &mut self,
        now: Instant,
        from: NodeId,
        shard: ShardId,
        index: u64,
        request: Vec<u8>,
        out: &mut Vec<Effect>,
    ) {
        let view = self.groups.get_mut(&shard).and_then(|group| {
            // Every follower may pull from any snapshot of that entry: they are all alike.
            group.views.values_mut().find(|view| view.index == index)
        });
        match view {
            Some(view) => {
                view.until = now + VIEW_KEPT;
                let snapshot = view.snapshot.clone();
                out.push(Effect::SendChunk { to: from, shard, index, request, snapshot });
            }
            None => out.push(Effect::SendBulk { to: from, bulk: Bulk::Gone { shard: shard.0, index } }),
        }
    }

    /// The leader has told this replica that it lacks so much that it needs the state as a whole.
    pub(super) fn begin_transfer(
        &mut self,
        now: Instant,
        shard: ShardId,
        from: NodeId,
        meta: SnapshotMeta,
        out: &mut Vec<Effect>,
    ) {
        let Some(range) = self.range(shard) else { return };
        let Some(group) = self.groups.get_mut(&shard) else { return };
        if group
            .incoming
            .as_ref()
            .is_some_and(|incoming| incoming.meta.index >= meta.index && incoming.from == from)
        {
            return;
        }
        let assembly = Assembly::new((range.start, range.end));
        group.incoming = Some(Incoming { meta, from, assembly, ask_at: now, asked: 0 });
        self.ask(now, shard, out);
    }

    fn ask(&mut self, now: Instant, shard: ShardId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(incoming) = group.incoming.as_mut() else { return };
        if self.writer.is_behind() {
            // What has come already lies in memory until the disk takes it.
            incoming.ask_at = now + PULL_PAUSE;
            return self.wake_by(now + PULL_PAUSE);
        }
        incoming.asked += 1;
        incoming.ask_at = now + PULL_AGAIN;
        if incoming.asked > PULLS_MAX {
            group.incoming = None;
            return;
        }
        match incoming.assembly.request(&*self.disk) {
            Ok(Some(request)) => {
                let (index, request) = (incoming.meta.index, request.encode());
                let bulk = Bulk::Pull { shard: shard.0, index, request };
                out.push(Effect::SendBulk { to: incoming.from, bulk });
            }
            Ok(None) => self.finish_transfer(now, shard),
            Err(error) => self.halt(format!("shard {shard} cannot be read any more: {error}"), out),
        }
        self.wake_by(now + PULL_AGAIN);
    }

    pub(super) fn chunk(
        &mut self,
        now: Instant,
        from: NodeId,
        shard: ShardId,
        index: u64,
        chunk: Vec<u8>,
        out: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(incoming) = group.incoming.as_mut() else { return };
        if incoming.from != from || incoming.meta.index != index {
            return;
        }
        let taken = Chunk::decode(chunk.into()).and_then(|chunk| incoming.assembly.take(chunk, &*self.disk));
        match taken {
            Ok(changes) => {
                incoming.asked = 0;
                self.writer.changes(changes);
                self.ask(now, shard, out);
            }
            Err(error) => {
                tracing::warn!(peer = %from.short(), %shard, %error, "a part of a shard's state cannot be used");
                out.push(Effect::Count(Counted::BadTransfer));
                group.incoming = None;
            }
        }
    }

    /// All of it is here: the rows change at once, together with what the log makes of it.
    fn finish_transfer(&mut self, now: Instant, shard: ShardId) {
        let ranges = self.key_ranges(shard);
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(Incoming { meta, assembly, .. }) = group.incoming.take() else { return };
        let index = meta.index;
        if let Err(error) = group.replica.install(now, meta) {
            tracing::debug!(%shard, %error, "a state was pulled that nobody needs any more");
            return;
        }
        self.writer.replace(shard, &ranges);
        self.writer.changes(assembly.finish());
        group.applied_to = index;
        group.unsettled.clear();
        group.installing = Installing::Begun;
        self.dirty.insert(shard);
    }

    pub(super) fn state_gone(&mut self, _: Instant, shard: ShardId, index: u64) {
        if let Some(group) = self.groups.get_mut(&shard)
            && group.incoming.as_ref().is_some_and(|incoming| incoming.meta.index == index)
        {
            group.incoming = None;
        }
    }

    pub(super) fn expire_transfers(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut asking = Vec::new();
        for (shard, group) in &mut self.groups {
            group.views.retain(|_, view| view.until > now);
            if group.incoming.as_ref().is_some_and(|incoming| incoming.ask_at <= now) {
                asking.push(*shard);
            }
        }
        for shard in asking {
            self.ask(now, shard, out);
        }
    }

    /// An object that cannot be read here is asked of all other replicas: whoever has it whole sends it.
    pub(super) fn damaged(&mut self, shard: ShardId, damage: Damage, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get(&shard) else { return };
        let Damage { token, id } = damage;
        for member in group.config.members.iter().filter(|member| member.node != self.me) {
            let bulk = Bulk::Fetch { shard: shard.0, token: token.0, id: *id.as_bytes() };
            out.push(Effect::SendBulk { to: member.node, bulk });
        }
    }

    /// A peer had the object, and what it sent was checked.
    pub(super) fn repaired(&mut self, shard: ShardId, rows: Vec<Change>, out: &mut Vec<Effect>) {
        if self.groups.contains_key(&shard) {
            self.writer.changes(rows);
            out.push(Effect::Count(Counted::Repaired));
        }
    }
}
