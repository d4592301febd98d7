//! The class of bulk: states of shards for replicas that lag behind, and objects that were lost.
//!
//! Reading and hashing a part takes a millisecond or more, so it is done in tasks beside the engines, and never while
//! one is held.

use std::sync::Arc;

use gritmesh_runtime::{NodeId, Reads, ShardId, Snapshot, Token, TrafficClass};
use gritmesh_shard::{
    Assembly, Chunk, Cursor, Proposer, StateError, TransferRequest, next_chunk, repair, spare,
};
use gritmesh_store::ObjectId;

use super::Node;
use crate::engine::{Checked, Event, Part};
use crate::wire::Bulk;

/// Work on a part of a shard's state.
pub(crate) enum BulkTask {
    /// Read it and send it.
    Give {
        to: NodeId,
        part: Part,
        giving: u64,
        number: u32,
        request: Arc<TransferRequest>,
        cursor: Cursor,
        snapshot: Snapshot,
        careful: bool,
    },
    /// Check it.
    Check { shard: ShardId, pull: u64, assembly: Box<Assembly>, chunk: Option<Vec<u8>> },
}

/// Checks a part, if there is one, and finds out what to ask for next, if that must be.
///
/// # Errors
/// If anything about the part is wrong, or the own disk cannot be read.
pub(crate) fn check(
    mut assembly: Assembly,
    chunk: Option<Vec<u8>>,
    disk: &dyn Reads,
) -> Result<Checked, StateError> {
    let (mut rows, asks_anew) = (Vec::new(), chunk.is_none());
    if let Some(chunk) = chunk {
        rows = assembly.take(Chunk::decode(chunk.into())?, disk)?;
    }
    let request = if asks_anew || assembly.has_to_ask() { assembly.request(disk)? } else { None };
    Ok(Checked { assembly, rows, request })
}

impl Node {
    pub(super) fn bulk_received(self: &Arc<Self>, from: NodeId, body: &[u8]) {
        let bulk = match Bulk::from_bytes(body) {
            Ok(bulk) => bulk,
            Err(error) => {
                self.metrics.malformed.inc();
                tracing::warn!(peer = %from.short(), %error, "an envelope cannot be read");
                return;
            }
        };
        match bulk {
            Bulk::Pull { shard, index, stream, up_to, request } => {
                let part = Part { shard: ShardId(shard), index, stream };
                match TransferRequest::decode(request.into()) {
                    Ok(request) => self.post(part.shard, Event::Pull { from, part, up_to, request }),
                    Err(error) => {
                        self.metrics.bad_transfers.inc();
                        tracing::warn!(peer = %from.short(), %error, "a request for a state cannot be read");
                    }
                }
            }
            Bulk::More { shard, index, stream, up_to } => {
                let part = Part { shard: ShardId(shard), index, stream };
                self.post(part.shard, Event::More { from, part, up_to });
            }
            Bulk::Chunk { shard, index, stream, number, chunk } => {
                let part = Part { shard: ShardId(shard), index, stream };
                self.metrics.transferred_bytes.inc_by(chunk.len() as u64);
                self.post(part.shard, Event::Chunk { from, part, number, chunk });
            }
            Bulk::Gone { shard, index } => {
                let shard = ShardId(shard);
                self.post(shard, Event::StateGone { from, shard, index });
            }
            Bulk::Fetch { shard, token, id } => self.fetch(from, shard, token, id),
            Bulk::Found { shard, token, id, pack } => self.found_object(from, shard, token, id, &pack),
        }
    }

    /// Does such work in a task of its own, whoever's thread the engine has just run on: it takes a millisecond, and
    /// calls should not wait for it.
    pub(super) fn run_bulk(self: &Arc<Self>, task: BulkTask) {
        let node = self.weak.clone();
        self.environment.spawn.spawn(Box::pin(async move {
            let Some(node) = node.upgrade() else { return };
            match task {
                BulkTask::Give { to, part, giving, number, request, cursor, snapshot, careful } => {
                    let next = node.give_chunk(to, part, number, (&*snapshot, careful), (&request, &cursor));
                    node.post(part.shard, Event::Given { to, shard: part.shard, giving, next });
                }
                BulkTask::Check { shard, pull, assembly, chunk } => {
                    let result = Box::new(check(*assembly, chunk, &*node.environment.disk));
                    node.post(shard, Event::Checked { shard, pull, result });
                }
            }
        }));
    }

    /// Sends a part. Returns where the next one begins, if it does.
    fn give_chunk(
        &self,
        to: NodeId,
        Part { shard, index, stream }: Part,
        number: u32,
        (snapshot, careful): (&dyn Reads, bool),
        (request, cursor): (&TransferRequest, &Cursor),
    ) -> Option<Cursor> {
        let (bulk, next) = match next_chunk(
            snapshot,
            request,
            cursor,
            careful,
            &self.options.limits.shard.transfer,
        ) {
            Ok(chunk) => {
                let bytes = chunk.encode();
                (Bulk::Chunk { shard: shard.0, index, stream, number, chunk: bytes }, chunk.next)
            }
            Err(error) => {
                self.metrics.bad_transfers.inc();
                tracing::warn!(peer = %to.short(), %shard, %error, "a part of a shard's state cannot be sent");
                match error.damage() {
                    Some(damage) => Proposer::damaged(self, damage),
                    None if error.is_damage() => {
                        self.post(shard, Event::FoundDamage { shard, why: error.to_string() });
                    }
                    None => {}
                }
                (Bulk::Gone { shard: shard.0, index }, None)
            }
        };
        self.network_send(TrafficClass::Bulk, to, &bulk.to_bytes());
        next
    }

    /// A peer lost an object. It is given away only if it is whole here.
    fn fetch(&self, to: NodeId, shard: u32, token: u64, id: [u8; 32]) {
        let object = ObjectId::from_bytes(id);
        match spare(&*self.environment.disk, Token(token), &object) {
            Ok(pack) => {
                let found = Bulk::Found { shard, token, id, pack: pack.to_vec() };
                self.network_send(TrafficClass::Bulk, to, &found.to_bytes());
            }
            Err(error) => {
                tracing::debug!(%object, %error, "an object that a peer misses cannot be read here")
            }
        }
    }

    fn found_object(self: &Arc<Self>, from: NodeId, shard: u32, token: u64, id: [u8; 32], pack: &[u8]) {
        let object = ObjectId::from_bytes(id);
        match repair(Token(token), &object, pack) {
            Ok(rows) => {
                tracing::info!(%object, peer = %from.short(), "an object was repaired");
                let shard = ShardId(shard);
                self.post(shard, Event::Repaired { shard, rows });
            }
            Err(error) => {
                self.metrics.bad_transfers.inc();
                tracing::warn!(peer = %from.short(), %object, %error, "a peer sent a damaged object");
            }
        }
    }
}
