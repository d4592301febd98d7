//! Envelopes between nodes, as rkyv archives without alignment, checked when they arrive.

mod log;

use gritmesh_actor as actor;
use gritmesh_runtime::{ActorAddress, AddressError, Epoch, Failure, NodeId};
use gritmesh_sharding::Version;
use rkyv::rancor;

pub(crate) use archive::{
    Answer, ArchivedEnvelope, ArchivedOrigin, Bulk, Call, Envelope, Origin, Place, Reply, Request, Topic,
};
pub(crate) use log::LogMessages;

mod archive {
    use gritmesh_runtime::{Failure, NodeId};
    use rkyv::with::{InlineAsBox, Map};
    use rkyv::{Archive, Deserialize, Serialize};

    use crate::requests::{NodeAnswer, NodeRefusal, NodeRequest};

    /// What travels in the class of calls.
    #[derive(Debug, PartialEq, Archive, Serialize)]
    pub(crate) enum Envelope<'a> {
        Call(Call<'a>),
        Reply(Reply),
        Redirect { slot: u64, incarnation: u64, place: Place },
        Request(Request),
        Answer(Answer),
    }

    /// A message for an actor.
    #[derive(Debug, PartialEq, Archive, Serialize)]
    pub(crate) struct Call<'a> {
        /// The caller's number for the answer.
        pub(crate) slot: u64,
        /// Which start of the caller's node counts so.
        pub(crate) incarnation: u64,
        /// Counts the calls from one engine to one peer, so that a repeated envelope is recognised.
        pub(crate) number: u64,
        /// Which engine of the caller counts.
        pub(crate) engine: u8,
        pub(crate) token: u64,
        /// What the caller believes about the shard.
        pub(crate) shard: u32,
        pub(crate) term: u64,
        pub(crate) epoch: u64,
        #[rkyv(with = InlineAsBox)]
        pub(crate) key: &'a str,
        #[rkyv(with = InlineAsBox)]
        pub(crate) method: &'a str,
        #[rkyv(with = InlineAsBox)]
        pub(crate) arguments: &'a [u8],
        #[rkyv(with = Map<InlineAsBox>)]
        pub(crate) chain: Vec<&'a str>,
        /// How long the caller will still wait, in microseconds.
        pub(crate) timeout_us: u64,
        pub(crate) one_way: bool,
        /// Nodes that it has passed through.
        pub(crate) hops: u8,
        /// Whether the sender does not reach the node that serves the shard, and wants the call passed on.
        pub(crate) relayed: bool,
        pub(crate) origin: Origin<'a>,
    }

    /// Why the message runs; what a durable actor remembers of it.
    #[derive(Debug, PartialEq, Archive, Serialize)]
    pub(crate) enum Origin<'a> {
        Call,
        Keyed {
            #[rkyv(with = InlineAsBox)]
            key: &'a [u8],
        },
        Message {
            #[rkyv(with = InlineAsBox)]
            from: &'a str,
            sequence: u64,
            id: [u8; 32],
        },
    }

    /// How a call ended.
    #[derive(Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) struct Reply {
        pub(crate) slot: u64,
        pub(crate) incarnation: u64,
        pub(crate) result: Result<Vec<u8>, Failure>,
    }

    /// What one node is asked, or told to do.
    #[derive(Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) struct Request {
        /// The asker's number for the answer.
        pub(crate) number: u64,
        /// Which start of the asker's node counts so.
        pub(crate) incarnation: u64,
        /// Whom it is for. Any other node refuses it.
        pub(crate) node: NodeId,
        pub(crate) request: NodeRequest,
    }

    /// What that node answers.
    #[derive(Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) struct Answer {
        pub(crate) number: u64,
        pub(crate) incarnation: u64,
        pub(crate) result: Result<NodeAnswer, NodeRefusal>,
    }

    /// Where a shard is, in the eyes of the node that says so.
    #[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) struct Place {
        pub(crate) shard: u32,
        pub(crate) term: u64,
        pub(crate) epoch: u64,
        pub(crate) leader: Option<NodeId>,
        /// Whom to ask instead, which differs from the leader for types that it does not host.
        pub(crate) node: Option<NodeId>,
    }

    /// What travels in the class of bulk: the state of a shard, for a replica that lags behind.
    #[derive(Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) enum Bulk {
        /// Asks for the state after an entry of the log, in the words of the shard: a stream of parts, the first so
        /// many of them. The asker counts its streams.
        Pull { shard: u32, index: u64, stream: u64, up_to: u32, request: Vec<u8> },
        /// Asks for the stream's next parts, up to so many in all.
        More { shard: u32, index: u64, stream: u64, up_to: u32 },
        /// A part, and which one of the stream.
        Chunk { shard: u32, index: u64, stream: u64, number: u32, chunk: Vec<u8> },
        /// The state that was asked for is kept no longer.
        Gone { shard: u32, index: u64 },
        /// Asks for an object that is missing or damaged.
        Fetch { shard: u32, token: u64, id: [u8; 32] },
        /// The pack that has the object.
        Found { shard: u32, token: u64, id: [u8; 32], pack: Vec<u8> },
    }

    /// What travels in the class of gossip.
    #[derive(Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) enum Topic {
        Membership(Vec<u8>),
        Descriptor(Vec<u8>),
        Summary(u64),
        Table(Vec<u8>),
    }
}

/// Bytes that are no envelope.
#[derive(Debug, thiserror::Error)]
#[error("malformed envelope: {detail}")]
pub(crate) struct WireError {
    detail: String,
}

fn malformed(error: &rancor::Error) -> WireError {
    WireError { detail: error.to_string() }
}

impl Envelope<'_> {
    /// The bytes, in one allocation if `size_hint` for what varies in size is not too small.
    pub(crate) fn to_bytes(&self, size_hint: usize) -> Vec<u8> {
        /// What an envelope takes beside its texts and arguments.
        const FIXED_BYTES: usize = 160;
        let buffer = Vec::with_capacity(FIXED_BYTES + size_hint);
        rkyv::api::high::to_bytes_in::<_, rancor::Error>(self, buffer)
            .expect("an envelope in memory can be written")
    }

    /// Checks the bytes and looks into them without copying.
    pub(crate) fn access(bytes: &[u8]) -> Result<&ArchivedEnvelope<'static>, WireError> {
        rkyv::access::<ArchivedEnvelope<'static>, rancor::Error>(bytes).map_err(|error| malformed(&error))
    }
}

impl<'a> From<&'a actor::Origin> for Origin<'a> {
    /// A reminder never leaves the node that leads its actor's shard.
    fn from(origin: &'a actor::Origin) -> Self {
        match origin {
            actor::Origin::Call | actor::Origin::Reminder { .. } => Self::Call,
            actor::Origin::Keyed { key } => Self::Keyed { key },
            actor::Origin::Message { from, sequence, id } => {
                Self::Message { from: from.as_key(), sequence: *sequence, id: *id }
            }
        }
    }
}

impl ArchivedOrigin<'_> {
    /// What an actor is told.
    ///
    /// # Errors
    /// If the sender's address is none.
    pub(crate) fn read(&self) -> Result<actor::Origin, AddressError> {
        Ok(match self {
            Self::Call => actor::Origin::Call,
            Self::Keyed { key } => actor::Origin::Keyed { key: (**key).into() },
            Self::Message { from, sequence, id } => actor::Origin::Message {
                from: ActorAddress::from_key(from)?,
                sequence: sequence.to_native(),
                id: *id,
            },
        })
    }
}

impl Bulk {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        /// What it takes beside its content.
        const FIXED_BYTES: usize = 128;
        let content = match self {
            Self::Pull { request: content, .. }
            | Self::Chunk { chunk: content, .. }
            | Self::Found { pack: content, .. } => content.len(),
            Self::More { .. } | Self::Gone { .. } | Self::Fetch { .. } => 0,
        };
        let buffer = Vec::with_capacity(FIXED_BYTES + content);
        rkyv::api::high::to_bytes_in::<_, rancor::Error>(self, buffer)
            .expect("an envelope in memory can be written")
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        rkyv::from_bytes::<Self, rancor::Error>(bytes).map_err(|error| malformed(&error))
    }
}

impl Topic {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let bytes = rkyv::to_bytes::<rancor::Error>(self).expect("a topic in memory can be written");
        bytes.into_vec()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        rkyv::from_bytes::<Self, rancor::Error>(bytes).map_err(|error| malformed(&error))
    }
}

impl Reply {
    /// A reply whose failure is kept short enough for any frame.
    pub(crate) const fn failed(slot: u64, incarnation: u64, failure: Failure) -> Self {
        Self { slot, incarnation, result: Err(failure) }
    }
}

impl Place {
    pub(crate) const fn version(&self) -> Version {
        Version { term: self.term, epoch: Epoch(self.epoch) }
    }

    /// A place that names somebody to ask.
    pub(crate) const fn names(&self) -> Option<NodeId> {
        match self.node {
            Some(node) => Some(node),
            None => self.leader,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gritmesh_runtime::FailureCode;
    use proptest::prelude::*;

    fn call() -> Envelope<'static> {
        Envelope::Call(Call {
            slot: 7,
            incarnation: 1,
            number: 3,
            engine: 1,
            token: 9,
            shard: 2,
            term: 1,
            epoch: 4,
            key: "default\0counter\0alice",
            method: "add",
            arguments: &[0x91, 5],
            chain: vec!["default\0a\0b"],
            timeout_us: 30_000_000,
            one_way: false,
            hops: 1,
            relayed: false,
            origin: Origin::Message { from: "default\0a\0c", sequence: 3, id: [7; 32] },
        })
    }

    #[test]
    fn calls_are_read_in_place_at_any_offset() {
        let mut shifted = vec![0];
        shifted.extend(call().to_bytes(64));
        let ArchivedEnvelope::Call(read) = Envelope::access(&shifted[1..]).unwrap() else { panic!("a call") };
        assert_eq!((read.slot.to_native(), &*read.key, &*read.method), (7, "default\0counter\0alice", "add"));
        assert_eq!((&*read.arguments, &*read.chain[0]), (&[0x91, 5][..], "default\0a\0b"));
    }

    #[test]
    fn replies_round_trip() {
        let reply = || Reply::failed(1, 2, Failure::new(FailureCode::Overloaded, "full"));
        let bytes = Envelope::Reply(reply()).to_bytes(0);
        let ArchivedEnvelope::Reply(read) = Envelope::access(&bytes).unwrap() else { panic!("a reply") };
        assert_eq!(rkyv::deserialize::<Reply, rancor::Error>(read).unwrap(), reply());
    }

    #[test]
    fn requests_round_trip_and_fit_into_their_limit() {
        use crate::requests::{NodeAnswer, NodeRequest, may_answer};
        let (me, longest) = (NodeId([1; 32]), "x".repeat(3 * 256));
        let request = || Request {
            number: 1,
            incarnation: 2,
            node: me,
            request: NodeRequest::InMemory { actor: longest.clone() },
        };
        let bytes = Envelope::Request(request()).to_bytes(0);
        assert_eq!(may_answer(me, me, bytes.len(), 0), Ok(()));
        let ArchivedEnvelope::Request(read) = Envelope::access(&bytes).unwrap() else { panic!("a request") };
        assert_eq!(rkyv::deserialize::<Request, rancor::Error>(read).unwrap(), request());
        let answer = || Answer { number: 1, incarnation: 2, result: Ok(NodeAnswer::InMemory(true)) };
        let bytes = Envelope::Answer(answer()).to_bytes(0);
        let ArchivedEnvelope::Answer(read) = Envelope::access(&bytes).unwrap() else { panic!("an answer") };
        assert_eq!(rkyv::deserialize::<Answer, rancor::Error>(read).unwrap(), answer());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::access(&bytes);
            let _ = Topic::from_bytes(&bytes);
            let _ = Bulk::from_bytes(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in any::<prop::sample::Index>(), mask in 1u8..) {
            let mut bytes = call().to_bytes(64);
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            let _ = Envelope::access(&bytes);
        }
    }
}
