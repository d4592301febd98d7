//! What an engine hears and what it wants done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_actor::{Gate, Header, Outgoing, Submission};
use gritmesh_runtime::{
    ActorAddress, Batch, Change, DiskError, Epoch, Failure, Instant, NodeId, ShardId, Snapshot, UnixTime,
};
use gritmesh_shard::{
    Assembly, Command, Cursor, Damage, PendingMessage, PendingReminder, StateError, TransferRequest,
};
use gritmesh_sharding::{Descriptor, Route, Routing, Shard, ShardTable, Version};

use super::{Caller, Checked, Travelling};
use crate::admin::is_administrative;
use crate::wire::{Bulk, Place};

/// Where everything is, as Control last published it.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) routing: Routing,
    pub(crate) table: ShardTable,
    /// Shards of whose replicas no majority is alive, as seen from here.
    pub(crate) cut_off: BTreeSet<ShardId>,
    /// Nodes that do not answer this one, and those that reach them.
    pub(crate) detours: BTreeMap<NodeId, Vec<NodeId>>,
}

impl Routes {
    /// Where a call goes. Who hosts the type does not matter to questions about an actor: its leader has the answer.
    pub(crate) fn route(&self, header: &Header) -> Route {
        if !is_administrative(&header.method) {
            return self.routing.route(header.token, header.address.actor_type());
        }
        let shard = self.table.shard_of(header.token);
        match shard.leader {
            Some(node) => Route::Node { node, shard: shard.id, version: shard.version() },
            None => Route::NoLeader { shard: shard.id },
        }
    }

    /// Over whom a node is reached that does not answer this one: another one with each attempt.
    pub(crate) fn relay(&self, to: NodeId, attempts: u32) -> Option<NodeId> {
        let relays = self.detours.get(&to)?;
        relays.get(attempts as usize % relays.len().max(1)).copied()
    }

    pub(crate) fn leader(&self, shard: ShardId) -> Option<NodeId> {
        self.table.shard(shard)?.leader
    }

    pub(crate) fn version(&self, shard: ShardId) -> Version {
        self.table.shard(shard).map_or(Version::ZERO, Shard::version)
    }
}

/// A change of a shard that somebody on this node wants committed.
pub(crate) struct Commit {
    pub(crate) command: Command,
    /// Messages that leave once when it is, and are forgotten if it is not.
    pub(crate) volatile: Vec<Outgoing>,
    /// Opened when it is, or surely or perhaps is not.
    pub(crate) gate: Option<Gate>,
}

/// The state of a shard after an entry of its log, as a stream of parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) shard: ShardId,
    pub(crate) index: u64,
    pub(crate) stream: u64,
}

/// What happened.
pub(crate) enum Event {
    /// A call from this node, or one that came back from an activation that closed.
    Submit(Submission),
    /// A call that another engine had before the table told that it is this one's.
    Passed(Travelling),
    /// A call from a peer for an actor that is not in memory here.
    Received {
        from: Caller,
        submission: Submission,
        shard: ShardId,
        version: Version,
        hops: u8,
        /// Whether the peer does not reach the node that serves the shard, and wants the call passed on.
        relayed: bool,
    },
    /// A peer answered.
    Reply { slot: u64, result: Result<Vec<u8>, Failure> },
    /// A peer does not serve the shard; the call did not run.
    Redirect { slot: u64, place: Place },
    /// The network did not take the envelope. With a failure the caller is told so; else another way is sought.
    NotSent { slot: u64, failure: Option<Failure> },
    /// The connection to a peer is gone, or the peer is believed dead.
    Lost { peer: NodeId, unsent: Vec<u64> },
    /// Control has published where everything is.
    Routes(Arc<Routes>),
    /// The first event: bring back the replicas that the disk holds.
    Restore,
    /// This node founds the cluster: create the replicas of all these shards that the disk does not hold.
    Found(Vec<Shard>),
    /// Messages of logs from a peer.
    Consensus { from: NodeId, messages: Vec<Vec<u8>> },
    /// A batch, or a load, has reached the disk, or has failed.
    Persisted { number: u64, result: Result<(), DiskError> },
    /// Somebody wants a change of a shard that this node leads.
    Commit { shard: ShardId, commit: Commit },
    /// Somebody wants to know that everything before is committed and this node still leads.
    Observe { shard: ShardId, gate: Gate },
    /// Where a shard that this node leads should be.
    Want { shard: ShardId, voters: Vec<NodeId>, leader: NodeId },
    /// No actor of the shard is in memory any more.
    Evicted(ShardId),
    /// A peer is believed dead.
    Gone(NodeId),
    /// Others say that another node leads this shard: the replica finds out.
    Doubt(ShardId),
    /// A peer wants the state of a shard, the first so many parts of it.
    Pull { from: NodeId, part: Part, up_to: u32, request: TransferRequest },
    /// A peer has room for more parts.
    More { from: NodeId, part: Part, up_to: u32 },
    /// A part was read and sent; where the next one begins.
    Given { to: NodeId, shard: ShardId, giving: u64, next: Option<Cursor> },
    /// A part of the state of a shard.
    Chunk { from: NodeId, part: Part, number: u32, chunk: Vec<u8> },
    /// What [`Effect::Check`] came to.
    Checked { shard: ShardId, pull: u64, result: Box<Result<Checked, StateError>> },
    /// A peer does not keep the state any longer that was asked for.
    StateGone { from: NodeId, shard: ShardId, index: u64 },
    /// An object of a shard is missing or damaged on the disk.
    Damaged { shard: ShardId, damage: Damage },
    /// Records of a shard other than objects are damaged on the disk.
    FoundDamage { shard: ShardId, why: String },
    /// A peer had the object: these rows bring it back.
    Repaired { shard: ShardId, rows: Vec<Change> },
    /// How the delivery of a message ended.
    Delivered { shard: ShardId, message: Arc<PendingMessage>, result: Result<(), Failure> },
    /// How the firing of a reminder ended.
    Fired { shard: ShardId, reminder: Arc<PendingReminder>, result: Result<(), Failure> },
    /// The call of a reminder was not made: the wall clock shows this, which is before its time.
    Early { shard: ShardId, reminder: Arc<PendingReminder>, unix: UnixTime },
    /// The wall clock, told every second.
    WallClock(UnixTime),
    /// Whether the node is shutting down: nothing that cannot be routed now waits for it then.
    Draining(bool),
    /// The node is no more: whoever waits is told so, and whoever comes later.
    Stop,
    /// Time has passed.
    Tick,
}

/// What has to be done, in order.
pub(crate) enum Effect {
    /// Queue an envelope for a peer; tell [`Event::NotSent`] if that fails.
    Send { to: NodeId, slot: u64, body: Vec<u8> },
    /// Tell a peer where its call should have gone.
    Redirect { to: Caller, place: Place },
    /// Run a call here, bringing its actor into memory.
    Deliver(Submission),
    /// Answer a question about an actor, or carry out an order.
    Administer { shard: ShardId, submission: Submission },
    /// Give a call to the engine of its shard.
    Pass { call: Travelling, shard: ShardId },
    /// End calls to a node whose deadline has passed: those that are still queued surely did not run.
    Expire { to: NodeId, calls: Vec<(u64, Submission)> },
    /// End a call.
    Answer(Submission, Result<Vec<u8>, Failure>),
    /// Write a batch, then tell [`Event::Persisted`].
    Write { engine: u8, number: u64, batch: Arc<Batch> },
    /// Write objects of a state that is pulled, then tell [`Event::Persisted`].
    Load { engine: u8, number: u64, rows: Arc<[Change]> },
    /// Send messages of logs to a peer; what is lost is repeated by the logs.
    SendConsensus { to: NodeId, body: Vec<u8> },
    /// Send something large to a peer.
    SendBulk { to: NodeId, bulk: Bulk },
    /// Read a part of a shard's state and send it to a peer, then tell [`Event::Given`]. Carefully if the peer could
    /// not use what it got before.
    GiveChunk {
        to: NodeId,
        part: Part,
        giving: u64,
        number: u32,
        request: Arc<TransferRequest>,
        cursor: Cursor,
        snapshot: Snapshot,
        careful: bool,
    },
    /// Check a part of a state if there is one, find out what to ask for if that must be, then tell
    /// [`Event::Checked`].
    Check { shard: ShardId, pull: u64, assembly: Box<Assembly>, chunk: Option<Vec<u8>> },
    /// Tell those who wait that they may be seen, or may not.
    Open { gate: Gate, result: Result<(), Failure> },
    /// Bring all actors of the shard out of memory, then tell [`Event::Evicted`]. Whether this node still leads.
    Evict { shard: ShardId, leads: bool },
    /// Bring one actor out of memory without a word to it: it is paused.
    EvictActor(ActorAddress),
    /// Until when this node surely leads the shard alone, and in which epoch.
    Lease { shard: ShardId, until: Instant, epoch: Epoch },
    /// Tell Control what has become of a shard that this node leads.
    Own(Descriptor),
    /// Tell Control that this node leads the shard no more.
    LostLeadership(ShardId),
    /// Tell Control whether this node holds a replica of the shard.
    Holds { shard: ShardId, holds: bool },
    /// Tell Control that all shards of this engine that were to be founded are on the disk.
    Founded,
    /// Tell Control what a peer said of a shard.
    Learn { shard: ShardId, version: Version, leader: Option<NodeId> },
    /// Deliver a message that a committed step sends, then tell [`Event::Delivered`].
    Message { shard: ShardId, message: Arc<PendingMessage> },
    /// Deliver a reminder, then tell [`Event::Fired`]. It may be so late that only a step is made of it.
    Fire { shard: ShardId, reminder: Arc<PendingReminder>, skip: bool },
    /// Pause an actor, wherever it is: it keeps failing.
    Pause { actor: ActorAddress, reason: String },
    /// Send a message of a committed step that nobody keeps.
    Forward(Outgoing),
    /// The node cannot go on.
    Fatal(String),
    /// The engine has stopped: it delivers no more calls.
    Stopped,
    /// Add to a metric.
    Count(Counted),
}

/// What is counted.
#[derive(Debug)]
pub(crate) enum Counted {
    /// A call went to a node that did not serve its shard.
    Redirected,
    /// A call goes over another node, as its own does not answer this one.
    Detoured,
    /// A call of a peer is passed on to a node that the peer does not reach.
    Relayed,
    /// A call named a type that nobody hosts.
    UnknownType {
        /// The type.
        actor_type: String,
    },
    /// A message of a log could not be read.
    MalformedConsensus,
    /// A part of a state could not be used.
    BadTransfer,
    /// A record of the disk is damaged.
    Damaged,
    /// An object came back from a peer.
    Repaired,
    /// Entries were committed.
    Committed(u64),
    /// Steps were refused by the compare-and-set.
    Refused(u64),
    /// Answers were kept long enough.
    Forgotten(u64),
    /// This node became leader of a shard.
    Led,
    /// A call to another node was answered after this time.
    Called(Duration),
    /// A replica that knew no leader for this time knows one.
    Elected(Duration),
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Event")
    }
}
