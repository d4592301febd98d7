//! Messages on a connection's control stream: admission first, then signs of life and the goodbye.
//!
//! ```text
//! length, u32 little-endian │ wire version of the sender, u16 little-endian │ rkyv archive
//! ```
//!
//! The version stands outside of the archive so that a build can say "wire versions differ" even when it cannot
//! read the rest.

use std::io;

use futures::{AsyncReadExt, AsyncWriteExt};
use gritmesh_runtime::admission::{Hello, Refusal};
use gritmesh_runtime::{NAME_BYTES_MAX, WIRE_VERSION, is_unprintable};
use libp2p::swarm::Stream;
use rkyv::rancor::Error as ArchiveError;

use crate::options::CONTROL_BYTES_MAX;

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) enum ControlMessage {
    /// Who speaks.
    Greeting(Box<Greeting>),
    /// That the speaker knows a secret.
    Proof([u8; 32]),
    /// What the speaker thinks of the connection.
    Verdict(Verdict),
    /// A request for a sign of life.
    Ping(u64),
    /// The sign of life.
    Pong(u64),
    /// The speaker closes the connection on purpose.
    Goodbye,
}

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Greeting {
    pub(crate) hello: Hello,
    /// Makes the proof good for this connection only.
    pub(crate) nonce: u64,
    /// A random number of the speaker's process. Two processes with one key differ in it, even if one was made
    /// from a copy of the other's data directory.
    pub(crate) process: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) enum Verdict {
    /// The node with the higher id has no objection; the one with the lower id decides.
    Ready,
    /// The node with the lower id keeps this connection. It counts its decisions.
    Admitted(u64),
    /// The two are connected already.
    Redundant,
    /// No.
    Refused(Refusal),
}

/// A control stream. Receiving can be cancelled at any point without losing bytes.
#[derive(Debug)]
pub(crate) struct ControlStream {
    stream: Stream,
    received: Vec<u8>,
}

const LENGTH_BYTES: usize = 4;
const VERSION_BYTES: usize = 2;
const READ_BYTES: usize = 2048;

impl ControlStream {
    pub(crate) const fn new(stream: Stream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends a message as a build of the given wire version.
    pub(crate) async fn send(&mut self, version: u16, message: &ControlMessage) -> io::Result<()> {
        self.stream.write_all(&encode(version, message)?).await?;
        self.stream.flush().await
    }

    pub(crate) async fn receive(&mut self) -> Result<ControlMessage, ControlError> {
        loop {
            if let Some((message, used)) = decode(&self.received)? {
                self.received.drain(..used);
                return Ok(message);
            }
            let mut bytes = [0; READ_BYTES];
            match self.stream.read(&mut bytes).await? {
                0 => return Err(ControlError::Ended),
                count => self.received.extend_from_slice(&bytes[..count]),
            }
        }
    }

    /// Waits until the other side closes the stream.
    pub(crate) async fn closed(&mut self) {
        let mut bytes = [0; READ_BYTES];
        while matches!(self.stream.read(&mut bytes).await, Ok(count) if count > 0) {}
    }
}

fn encode(version: u16, message: &ControlMessage) -> io::Result<Vec<u8>> {
    let archive = rkyv::to_bytes::<ArchiveError>(message).map_err(io::Error::other)?;
    let length = VERSION_BYTES + archive.len();
    if length > CONTROL_BYTES_MAX {
        let detail = format!("a control message of {length} bytes; at most {CONTROL_BYTES_MAX} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
    }
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + length);
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&archive);
    Ok(bytes)
}

/// The first message and how many bytes it takes, if it is there as a whole.
fn decode(bytes: &[u8]) -> Result<Option<(ControlMessage, usize)>, ControlError> {
    let Some((header, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*header) as usize;
    if length > CONTROL_BYTES_MAX {
        return Err(malformed(format!("a message of {length} bytes")));
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let Some((version, archive)) = body.split_first_chunk::<VERSION_BYTES>() else {
        return Err(malformed("a message without a version".into()));
    };
    let version = u16::from_le_bytes(*version);
    match rkyv::from_bytes::<ControlMessage, ArchiveError>(archive) {
        Ok(message) => {
            check(&message)?;
            Ok(Some((message, LENGTH_BYTES + length)))
        }
        Err(_) if version != WIRE_VERSION => {
            Err(ControlError::Refused(Refusal::WireVersion { ours: WIRE_VERSION, theirs: version }))
        }
        Err(_) => Err(malformed("a message that is not a valid archive".into())),
    }
}

/// What a valid archive may still get wrong. Names are spread by gossip and printed, so they are kept short and legible at
/// the door.
fn check(message: &ControlMessage) -> Result<(), ControlError> {
    let ControlMessage::Greeting(greeting) = message else { return Ok(()) };
    let hello = &greeting.hello;
    let info = &hello.info;
    for name in [&info.name, &info.zone, &hello.cluster_name].into_iter().chain(&hello.types) {
        if name.len() > NAME_BYTES_MAX {
            return Err(malformed(format!("a name of more than {NAME_BYTES_MAX} bytes")));
        }
        if let Some(letter) = name.chars().find(|c| is_unprintable(*c)) {
            return Err(malformed(format!("a name with {letter:?}")));
        }
    }
    if info.peer_address.port() == 0 {
        return Err(malformed("a peer address without a port".into()));
    }
    Ok(())
}

const fn malformed(detail: String) -> ControlError {
    ControlError::Refused(Refusal::Malformed { detail })
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("the peer closed the connection")]
    Ended,
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// What came is no message; this is the answer.
    #[error("{0}")]
    Refused(Refusal),
}

#[cfg(test)]
mod tests {
    use gritmesh_runtime::{Incarnation, NodeId, NodeInfo, TypesDigest};
    use proptest::prelude::*;

    use super::*;

    fn greeting() -> ControlMessage {
        let info = NodeInfo {
            node_id: NodeId([7; 32]),
            incarnation: Incarnation(3),
            peer_address: ([127, 0, 0, 1], 7946).into(),
            http_address: None,
            name: "a".into(),
            zone: String::new(),
            weight: 1,
            wire_version: WIRE_VERSION,
            types: TypesDigest::of([]),
        };
        let hello = Hello { types: vec!["counter".into()], ..Hello::new(info) };
        ControlMessage::Greeting(Box::new(Greeting { hello, nonce: 1, process: 2 }))
    }

    #[test]
    fn messages_round_trip_at_every_cut() {
        let bytes = encode(WIRE_VERSION, &greeting()).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).unwrap().is_none(), "{cut}");
        }
        assert_eq!(decode(&bytes).unwrap(), Some((greeting(), bytes.len())));
    }

    #[test]
    fn an_unreadable_message_of_another_version_names_the_version() {
        let mut bytes = vec![10, 0, 0, 0, 9, 0];
        bytes.extend_from_slice(&[0xff; 8]);
        let error = decode(&bytes).unwrap_err();
        assert!(matches!(error, ControlError::Refused(Refusal::WireVersion { theirs: 9, .. })), "{error}");
        bytes[4] = WIRE_VERSION as u8;
        let error = decode(&bytes).unwrap_err();
        assert!(matches!(error, ControlError::Refused(Refusal::Malformed { .. })), "{error}");
    }

    #[test]
    fn names_that_cannot_be_printed_are_refused() {
        let ControlMessage::Greeting(message) = greeting() else { unreachable!() };
        for bad in ["a\u{1b}[2J", "a\u{202e}b", "a\n"] {
            let mut named: [_; 4] = std::array::from_fn(|_| message.clone());
            named[0].hello.info.name = bad.into();
            named[1].hello.info.zone = bad.into();
            named[2].hello.cluster_name = bad.into();
            named[3].hello.types = vec![bad.into()];
            for message in named {
                let bytes = encode(WIRE_VERSION, &ControlMessage::Greeting(message)).unwrap();
                let error = decode(&bytes).unwrap_err();
                assert!(matches!(error, ControlError::Refused(Refusal::Malformed { .. })), "{error}");
                assert!(!error.to_string().chars().any(is_unprintable), "{error}");
            }
        }
    }

    #[test]
    fn oversized_messages_and_names_are_refused() {
        assert!(decode(&u32::MAX.to_le_bytes()).is_err());
        let ControlMessage::Greeting(mut message) = greeting() else { unreachable!() };
        let too_long = "z".repeat(NAME_BYTES_MAX + 1);
        for cluster_name in [false, true] {
            let mut message = message.clone();
            let name =
                if cluster_name { &mut message.hello.cluster_name } else { &mut message.hello.info.zone };
            name.clone_from(&too_long);
            let bytes = encode(WIRE_VERSION, &ControlMessage::Greeting(message)).unwrap();
            assert!(decode(&bytes).is_err());
        }
        message.hello.types = vec!["t".repeat(CONTROL_BYTES_MAX)];
        assert!(encode(WIRE_VERSION, &ControlMessage::Greeting(message)).is_err());
    }

    proptest! {
        #[test]
        fn random_and_flipped_bytes_never_panic(
            noise in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            flip in 1_u8..,
        ) {
            let _ = decode(&noise);
            let mut bytes = encode(WIRE_VERSION, &greeting()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let _ = decode(&bytes);
        }
    }
}
