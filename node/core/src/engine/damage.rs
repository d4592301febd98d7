//! Damaged records: what an engine does when it cannot read what a replica of its node has written.
//!
//! **Problem.** A replica whose records are damaged has forgotten something that it acknowledged, so it may not go on.
//! But the node is well: its other shards should not suffer, and this one's replica can be filled anew by its leader.
//!
//! **Design.** The replica is put into *quarantine*: it is no [`Group`](super::groups::Group) any more, and its records
//! stay as they are. What the node says for it is [`Remains`]' to know: only that it is lost, once it is written down that
//! it will never say anything else, until it is called under another id. Then, and not before, everything of it is
//! removed, and a new replica begins from nothing.
//!
//! Damage that is met while the replica runs takes back what the replica had not yet given to the disk, as a crash would.
//! Whatever it had said until then is true.
//!
//! **Deliberately absent.** Objects: each is repaired by itself, from any replica that has it whole. And failures of the
//! disk itself: a node that cannot read or write has to stop.

use gritmesh_runtime::{Change, Instant, NodeId, ShardId};
use gritmesh_shard::{Damage, StateError};
use gritmesh_sharding::{Called, MessageHeader, Remains, Replica, ReplicaId, Tombstone};

use super::Engine;
use super::event::{Counted, Effect};
use super::groups::Installing;
use crate::wire::{Bulk, LogMessages};

/// A damaged replica.
pub(super) struct Quarantined {
    /// None if not even its id could be read: then nothing can be said for it.
    remains: Option<Remains>,
    tell_at: Instant,
}

impl Engine {
    /// Shards whose replica here is damaged.
    pub(crate) fn quarantined(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.quarantine.keys().copied()
    }

    /// The replica that the disk holds cannot be brought back.
    pub(super) fn quarantine_stored(
        &mut self,
        now: Instant,
        shard: ShardId,
        why: &str,
        out: &mut Vec<Effect>,
    ) {
        match Remains::read(&*self.disk, shard, self.me) {
            Ok(remains) => self.isolate(now, shard, remains, why, out),
            Err(error) => self.halt(format!("what is left of shard {shard} cannot be read: {error}"), out),
        }
    }

    /// Something that the replica has written cannot be read any more. What it was about to write must have been taken
    /// back.
    pub(super) fn quarantine(&mut self, now: Instant, shard: ShardId, why: &str, out: &mut Vec<Effect>) {
        self.end_to_lead(shard, out);
        let Some(group) = self.groups.remove(&shard) else { return };
        self.dirty.remove(&shard);
        // The disk has the state after an earlier entry, and the log from there.
        let ranges = self.key_ranges(shard);
        self.writer.replace(shard, &ranges);
        out.push(Effect::Holds { shard, holds: false });
        self.isolate(now, shard, Some(group.replica.remains()), why, out);
    }

    fn isolate(
        &mut self,
        now: Instant,
        shard: ShardId,
        remains: Option<Remains>,
        why: &str,
        out: &mut Vec<Effect>,
    ) {
        out.push(Effect::Count(Counted::Damaged));
        match &remains {
            Some(_) => tracing::error!(
                %shard, why,
                "the records of a replica are damaged: it stands aside until the shard's leader replaces it; \
                 if no other replica is left, stop the node and restore a backup of its data directory"
            ),
            None => tracing::error!(
                %shard, why,
                "the records of a replica are damaged, even its id: nothing can replace it here; \
                 start the node with an empty data directory, as another node"
            ),
        }
        self.quarantine.insert(shard, Quarantined { remains, tell_at: now });
        self.promise_silence(shard);
        self.wake_by(now);
    }

    /// Writes down that a damaged replica will never speak again, if that is yet to be written.
    fn promise_silence(&mut self, shard: ShardId) {
        let remains = self.quarantine.get_mut(&shard).and_then(|damaged| damaged.remains.as_mut());
        if let Some((replica, change)) = remains.and_then(Remains::promise) {
            self.writer.promise(shard, replica, change);
        }
    }

    /// That is on the disk, so the others may be told.
    pub(super) fn promised(
        &mut self,
        now: Instant,
        promises: Vec<(ShardId, ReplicaId)>,
        out: &mut Vec<Effect>,
    ) {
        for (shard, replica) in promises {
            let Some(damaged) = self.quarantine.get_mut(&shard) else { continue };
            damaged.remains.iter_mut().for_each(|remains| remains.promised(replica));
            damaged.tell_at = now;
        }
        self.tell_of_damage(now, out);
    }

    /// A read failed. If that is because of damage the replica is put into quarantine, else the node must stop.
    pub(super) fn unreadable(
        &mut self,
        now: Instant,
        shard: ShardId,
        what: &str,
        error: &StateError,
        out: &mut Vec<Effect>,
    ) {
        match error.is_damage() {
            true => self.quarantine(now, shard, &format!("{what}: {error}"), out),
            false => self.halt(format!("shard {shard}, {what}: {error}"), out),
        }
    }

    /// Somebody has met damage in what the replica has applied. The only voter goes on with what it has: nobody could
    /// take its place.
    pub(super) fn found_damage(&mut self, now: Instant, shard: ShardId, why: &str, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get(&shard) else { return };
        if group.config.is_sole_voter(group.replica.id()) {
            tracing::error!(%shard, why, "records of the only replica of a shard are damaged: restore a backup");
            return out.push(Effect::Count(Counted::Damaged));
        }
        // What is damaged is about to be replaced as a whole.
        if group.installing == Installing::No {
            self.quarantine(now, shard, why, out);
        }
    }

    /// A message for a shard whose replica here is damaged.
    pub(super) fn hear_for_damaged(&mut self, from: NodeId, header: &MessageHeader, out: &mut Vec<Effect>) {
        let shard = header.shard;
        let remains = self.quarantine.get_mut(&shard).and_then(|damaged| damaged.remains.as_mut());
        match remains.map_or(Called::No, |remains| remains.hear(from, header)) {
            Called::No => {}
            Called::Lost(answer) => send(from, answer, out),
            Called::Anew(tombstone) if self.range(shard).is_some() => {
                tracing::info!(%shard, "what is left of a damaged replica is removed: a new one takes its place");
                self.quarantine.remove(&shard);
                self.bury(shard, tombstone);
            }
            // Without its range nobody knows what to remove. The leader says it again.
            Called::Anew(_) => {}
        }
        // It may have learned just now who it is, or that somebody counts on it.
        self.promise_silence(shard);
    }

    /// It cannot be read which replica of a shard this node had last. Called by whoever has heard of the newest epoch,
    /// as far as is known here, it gives that one up, and joins with the next.
    pub(super) fn tombstone_is_damaged(
        &mut self,
        now: Instant,
        header: &MessageHeader,
        out: &mut Vec<Effect>,
    ) {
        let shard = header.shard;
        let Some(routes) = &self.routes else { return };
        if header.epoch >= routes.version(shard).epoch {
            let remains = Remains::unknown(shard, self.me);
            self.isolate(now, shard, Some(remains), "the memory of its last replica here", out);
        }
    }

    /// Tells the members of damaged replicas' shards: a leader that sleeps sends nothing that could be answered.
    pub(super) fn tell_of_damage(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for damaged in self.quarantine.values_mut().filter(|damaged| damaged.tell_at <= now) {
            damaged.tell_at = now + self.limits.engine.damage_told_every;
            for (to, message) in damaged.remains.iter().flat_map(Remains::tell) {
                send(to, message, out);
            }
        }
    }

    pub(super) fn damage_deadline(&self) -> Option<Instant> {
        let telling = self.quarantine.values().filter(|damaged| damaged.remains.is_some());
        telling.map(|damaged| damaged.tell_at).min()
    }

    /// Removes everything of a replica, but for the memory that it was one.
    pub(super) fn bury(&mut self, shard: ShardId, tombstone: Tombstone) {
        let ranges = self.key_ranges(shard);
        self.writer.bury(shard, &ranges);
        self.writer.changes(Replica::bury(shard, tombstone));
        self.writer.changes(ranges);
    }

    /// An object that cannot be read here is asked of all other replicas: whoever has it whole sends it.
    pub(super) fn damaged(&mut self, shard: ShardId, damage: Damage, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        group.objects_damaged = true;
        // Snapshots hold what is damaged; whoever pulls from one gets another.
        group.givings.clear();
        for to in std::mem::take(&mut group.views).into_keys() {
            group.replica.snapshot_failed(to);
        }
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

pub(super) fn send(to: NodeId, message: Vec<u8>, out: &mut Vec<Effect>) {
    out.extend(LogMessages::frames(vec![message], false).map(|body| Effect::SendConsensus { to, body }));
}
