//! The class of bulk: states of shards for replicas that lag behind, and objects that were lost.
//!
//! Reading and hashing a part takes a millisecond or more, so it is done where the envelope is read or after an
//! engine was given back, and never while one is held.

use std::sync::Arc;

use gritmesh_runtime::{NodeId, Reads, ShardId, Token, TrafficClass};
use gritmesh_shard::{TransferRequest, next_chunk, repair, spare};
use gritmesh_store::ObjectId;

use super::Node;
use crate::engine::Event;
use crate::wire::Bulk;

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
            Bulk::Pull { shard, index, request } => {
                let shard = ShardId(shard);
                self.post(shard, Event::Pull { from, shard, index, request });
            }
            Bulk::Chunk { shard, index, chunk } => {
                let shard = ShardId(shard);
                self.metrics.transferred_bytes.inc_by(chunk.len() as u64);
                self.post(shard, Event::Chunk { from, shard, index, chunk });
            }
            Bulk::Gone { shard, index } => {
                let shard = ShardId(shard);
                self.post(shard, Event::StateGone { shard, index });
            }
            Bulk::Fetch { shard, token, id } => self.fetch(from, shard, token, id),
            Bulk::Found { shard, token, id, pack } => self.found_object(from, shard, token, id, &pack),
        }
    }

    pub(super) fn send_chunk(
        &self,
        to: NodeId,
        (shard, index): (ShardId, u64),
        request: Vec<u8>,
        snapshot: &dyn Reads,
    ) {
        let chunk = TransferRequest::decode(request.into())
            .and_then(|request| next_chunk(snapshot, &request))
            .map(|chunk| chunk.encode());
        let bulk = match chunk {
            Ok(chunk) => Bulk::Chunk { shard: shard.0, index, chunk },
            Err(error) => {
                self.metrics.bad_transfers.inc();
                tracing::warn!(peer = %to.short(), %shard, %error, "a part of a shard's state cannot be sent");
                Bulk::Gone { shard: shard.0, index }
            }
        };
        self.network_send(TrafficClass::Bulk, to, &bulk.to_bytes());
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
