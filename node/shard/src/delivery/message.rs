//! What goes into delivery and what comes out.

use std::sync::Arc;

use gritmesh_actor::Origin;
use gritmesh_runtime::{ActorAddress, Failure, ShardId};

/// A sender and a receiver: messages between them keep their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairName {
    /// Whose step sends. Its shard is the one that delivers.
    pub sender: ActorAddress,
    /// Whose step reads.
    pub receiver: ActorAddress,
}

/// A message of a committed step that its receiver has not acknowledged: a row of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMessage {
    /// Who sent it.
    pub sender: ActorAddress,
    /// Who is to read it.
    pub receiver: ActorAddress,
    /// Its number among those of this pair: the one after its predecessor's.
    pub sequence: u64,
    /// Its object.
    pub id: [u8; 32],
    /// The method to run.
    pub method: Arc<str>,
    /// That method's arguments.
    pub arguments: Arc<[u8]>,
    /// The snapshot epoch in which it was sent.
    pub snapshot_epoch: u64,
}

impl PendingMessage {
    /// Between whom it goes.
    pub fn pair(&self) -> PairName {
        PairName { sender: self.sender.clone(), receiver: self.receiver.clone() }
    }

    /// What the receiver recognises a repetition by.
    pub fn origin(&self) -> Origin {
        Origin::Message { from: self.sender.clone(), sequence: self.sequence, id: self.id }
    }

    /// Memory that its body takes, about.
    pub(crate) fn body_bytes(&self) -> usize {
        self.method.len() + self.arguments.len()
    }
}

/// What delivery wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryEffect {
    /// Route it as a call with [`PendingMessage::origin`], and tell the result: acknowledged or refused.
    Send {
        /// The shard of the sender.
        shard: ShardId,
        /// What to send.
        message: Arc<PendingMessage>,
    },
    /// Propose that rows of the outbox be removed. It may be lost: the next one covers it, or a new leader sends
    /// once more what was read, is told so, and prunes.
    Prune {
        /// The shard of the sender.
        shard: ShardId,
        /// Between whom.
        pair: PairName,
        /// The last sequence number to remove, with all before it.
        up_to: u64,
    },
    /// Read rows of the outbox and answer by `loaded`, always, if need be with none.
    Load {
        /// The shard of the sender.
        shard: ShardId,
        /// Between whom.
        pair: PairName,
        /// The first wanted.
        from_sequence: u64,
        /// How many at most.
        limit: usize,
    },
    /// The receiver's handler panicked once more on the same message. After
    /// [`ATTEMPTS_BEFORE_PAUSE`](crate::ATTEMPTS_BEFORE_PAUSE) of these it should be paused.
    Failing {
        /// The shard of the sender.
        shard: ShardId,
        /// Who cannot read it, from whom.
        pair: PairName,
        /// Which message.
        sequence: u64,
        /// How many times it has panicked in a row.
        attempts: u32,
        /// The last panic.
        failure: Failure,
    },
}
