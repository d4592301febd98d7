//! The leader's side: snapshots, and the streams of those who pull from them.

use std::sync::Arc;

use gritmesh_runtime::{Instant, NodeId, ShardId, Snapshot};
use gritmesh_shard::{Cursor, StateError, TransferRequest};
use gritmesh_sharding::{Replica, RestoreError};

use crate::engine::Engine;
use crate::engine::event::{Effect, Part};
use crate::engine::groups::Group;
use crate::wire::Bulk;

/// A fixed state of the disk, for a follower to pull.
pub(in crate::engine) struct View {
    pub(super) index: u64,
    snapshot: Snapshot,
    pub(super) until: Instant,
    /// Where somebody began to pull, who may begin there again because he could not use what he got.
    begun: Option<Cursor>,
    /// Whether that has happened: something in the snapshot may be damaged.
    careful: bool,
}

/// A stream of parts to one follower.
pub(in crate::engine) struct Giving {
    pub(super) index: u64,
    stream: u64,
    /// Which one of this engine it is: a repeated request begins another one with the same name.
    giving: u64,
    snapshot: Snapshot,
    request: Arc<TransferRequest>,
    /// Where the next part begins, and which one it is.
    cursor: Cursor,
    number: u32,
    /// How many parts the follower has asked for.
    up_to: u32,
    /// Whether a part is being read.
    busy: bool,
    /// Whether objects are compared with their ids.
    careful: bool,
}

impl Giving {
    /// The follower asks for so many in all. Nobody needs more of them at once than can be on their way.
    fn grant(&mut self, up_to: u32, parts_max: u32) {
        self.up_to = self.up_to.max(up_to.min(self.number.saturating_add(parts_max)));
    }
}

/// Whether there is room for a snapshot for this follower. If not, the oldest one goes whose follower needs it no more:
/// each is kept for some time, in which more followers may be added than there may be snapshots.
fn make_room(group: &mut Group, to: NodeId, views_max: usize) -> bool {
    if group.views.len() < views_max || group.views.contains_key(&to) {
        return true;
    }
    let status = group.replica.status();
    let needs = |node: &NodeId| {
        status.followers.iter().any(|follower| follower.node == *node && follower.needs_state)
    };
    let idle = group.views.iter().filter(|(node, _)| !needs(node)).min_by_key(|(_, view)| view.until);
    let idle = idle.map(|(node, _)| *node);
    idle.is_some_and(|node| group.views.remove(&node).is_some())
}

impl Engine {
    /// A follower needs state: a snapshot of the disk is kept for it.
    pub(in crate::engine) fn offer_state(
        &mut self,
        now: Instant,
        shard: ShardId,
        to: NodeId,
        out: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        if !make_room(group, to, self.limits.pulls.views) {
            return group.replica.snapshot_failed(to);
        }
        let taken = self.disk.snapshot().map_err(StateError::from).and_then(|snapshot| {
            let meta = Replica::read_snapshot(&*snapshot, shard).map_err(|error| match error {
                RestoreError::Disk(error) => StateError::Disk(error),
                _ => StateError::Malformed { what: "the configuration of a shard" },
            })?;
            Ok((snapshot, meta))
        });
        match taken {
            Ok((snapshot, Some(meta))) => {
                // Who needs a state again so soon may not have been able to use the last one.
                let careful = group.objects_damaged || group.views.contains_key(&to);
                let view = View {
                    index: meta.index,
                    snapshot,
                    until: now + self.limits.pulls.kept,
                    begun: None,
                    careful,
                };
                group.views.insert(to, view);
                group.replica.snapshot_taken(meta.index, meta.term, meta.config);
            }
            Ok((_, None)) => group.replica.snapshot_failed(to),
            Err(error) => {
                tracing::warn!(%shard, %error, "no snapshot of the disk can be taken");
                group.replica.snapshot_failed(to);
                if error.is_damage() {
                    self.found_damage(now, shard, &error.to_string(), out);
                }
            }
        }
        self.wake_by(now + self.limits.pulls.kept);
        self.dirty.insert(shard);
    }

    /// A peer asks for a state that was offered to it, from some place on.
    pub(in crate::engine) fn pull(
        &mut self,
        now: Instant,
        from: NodeId,
        part: Part,
        (request, up_to): (TransferRequest, u32),
        out: &mut Vec<Effect>,
    ) {
        let Part { shard, index, stream } = part;
        let gone = Effect::SendBulk { to: from, bulk: Bulk::Gone { shard: shard.0, index } };
        let Some(group) = self.groups.get_mut(&shard) else { return out.push(gone) };
        // Every follower may pull from any snapshot of that entry: they are all alike.
        let view = group.views.values_mut().find(|view| view.index == index);
        let is_new = !group.givings.contains_key(&from);
        let Some(view) = view.filter(|_| !is_new || group.givings.len() < self.limits.pulls.views) else {
            return out.push(gone);
        };
        view.until = now + self.limits.pulls.kept;
        view.careful |= view.begun.as_ref() == Some(&request.cursor);
        view.begun = Some(request.cursor.clone());
        let (cursor, snapshot) = (request.cursor.clone(), view.snapshot.clone());
        let (number, busy, careful, request) = (0, false, view.careful, Arc::new(request));
        self.givings += 1;
        let giving = self.givings;
        let mut giving =
            Giving { index, stream, giving, snapshot, request, cursor, number, up_to: 0, busy, careful };
        giving.grant(up_to, self.limits.pulls.parts);
        group.givings.insert(from, giving);
        self.give(from, shard, out);
    }

    /// A peer has room for more parts.
    pub(in crate::engine) fn more(
        &mut self,
        now: Instant,
        from: NodeId,
        part: Part,
        up_to: u32,
        out: &mut Vec<Effect>,
    ) {
        let Part { shard, index, stream } = part;
        let Some(group) = self.groups.get_mut(&shard) else { return };
        group
            .views
            .values_mut()
            .filter(|view| view.index == index)
            .for_each(|view| view.until = now + self.limits.pulls.kept);
        if let Some(giving) = group.givings.get_mut(&from)
            && (giving.index, giving.stream) == (index, stream)
        {
            giving.grant(up_to, self.limits.pulls.parts);
            self.give(from, shard, out);
        }
    }

    fn give(&mut self, to: NodeId, shard: ShardId, out: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(giving) = group.givings.get_mut(&to) else { return };
        if giving.busy || giving.number >= giving.up_to {
            return;
        }
        giving.busy = true;
        out.push(Effect::GiveChunk {
            to,
            part: Part { shard, index: giving.index, stream: giving.stream },
            giving: giving.giving,
            number: giving.number,
            request: Arc::clone(&giving.request),
            cursor: giving.cursor.clone(),
            snapshot: Arc::clone(&giving.snapshot),
            careful: giving.careful,
        });
    }

    /// A part was sent; where it goes on, if it does.
    pub(in crate::engine) fn given(
        &mut self,
        to: NodeId,
        (shard, number): (ShardId, u64),
        next: Option<Cursor>,
        out: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get_mut(&shard) else { return };
        let Some(giving) = group.givings.get_mut(&to).filter(|giving| giving.giving == number) else {
            return;
        };
        match next.filter(|next| giving.request.covers(next)) {
            Some(next) => {
                giving.cursor = next;
                giving.number = giving.number.saturating_add(1);
                giving.busy = false;
                self.give(to, shard, out);
            }
            // The next window of heads, or nothing more: the follower knows.
            None => drop(group.givings.remove(&to)),
        }
    }
}
