//! Envelopes between nodes, as rkyv archives without alignment, checked when they arrive.

use gritmesh_runtime::{Failure, NodeId};
use rkyv::rancor;

pub(crate) use archive::{ArchivedEnvelope, Call, Envelope, Place, Reply, Topic};

mod archive {
    use gritmesh_runtime::{Failure, NodeId};
    use rkyv::{Archive, Deserialize, Serialize};

    /// What travels in the class of calls.
    #[derive(Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) enum Envelope {
        Call(Call),
        Reply(Reply),
        Redirect { slot: u64, incarnation: u64, place: Place },
    }

    /// A message for an actor.
    #[derive(Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) struct Call {
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
        pub(crate) epoch: u64,
        pub(crate) key: String,
        pub(crate) method: String,
        pub(crate) arguments: Vec<u8>,
        pub(crate) chain: Vec<String>,
        /// How long the caller will still wait, in microseconds.
        pub(crate) timeout_us: u64,
        pub(crate) one_way: bool,
        /// Nodes that it has passed through.
        pub(crate) hops: u8,
    }

    /// How a call ended.
    #[derive(Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) struct Reply {
        pub(crate) slot: u64,
        pub(crate) incarnation: u64,
        pub(crate) result: Result<Vec<u8>, Failure>,
    }

    /// Where a shard is, in the eyes of the node that says so.
    #[derive(Clone, Copy, Debug, PartialEq, Archive, Serialize, Deserialize)]
    pub(crate) struct Place {
        pub(crate) shard: u32,
        pub(crate) epoch: u64,
        pub(crate) leader: Option<NodeId>,
        /// Whom to ask instead, which differs from the leader for types that it does not host.
        pub(crate) node: Option<NodeId>,
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

impl Envelope {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let bytes = rkyv::to_bytes::<rancor::Error>(self).expect("an envelope in memory can be written");
        bytes.into_vec()
    }

    /// Checks the bytes and looks into them without copying.
    pub(crate) fn access(bytes: &[u8]) -> Result<&ArchivedEnvelope, WireError> {
        rkyv::access::<ArchivedEnvelope, rancor::Error>(bytes).map_err(|error| malformed(&error))
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

    fn call() -> Envelope {
        Envelope::Call(Call {
            slot: 7,
            incarnation: 1,
            number: 3,
            engine: 1,
            token: 9,
            shard: 2,
            epoch: 4,
            key: "default\0counter\0alice".into(),
            method: "add".into(),
            arguments: vec![0x91, 5],
            chain: vec!["default\0a\0b".into()],
            timeout_us: 30_000_000,
            one_way: false,
            hops: 1,
        })
    }

    fn read(bytes: &[u8]) -> Envelope {
        let archived = Envelope::access(bytes).unwrap();
        rkyv::deserialize::<Envelope, rancor::Error>(archived).unwrap()
    }

    #[test]
    fn envelopes_round_trip_at_any_offset() {
        let reply = Reply::failed(1, 2, Failure::new(FailureCode::Overloaded, "full"));
        for envelope in [call(), Envelope::Reply(reply)] {
            let mut shifted = vec![0];
            shifted.extend(envelope.to_bytes());
            assert_eq!(read(&shifted[1..]), envelope);
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::access(&bytes);
            let _ = Topic::from_bytes(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in any::<prop::sample::Index>(), mask in 1u8..) {
            let mut bytes = call().to_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            if let Ok(archived) = Envelope::access(&bytes) {
                let _ = rkyv::deserialize::<Envelope, rancor::Error>(archived);
            }
        }
    }
}
