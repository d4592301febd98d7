//! What members say to each other on the gossip stream.

use foca::State;
use gritmesh_runtime::{ClusterId, NAME_BYTES_MAX, NodeId, TypesDigest};

use crate::identity::Identity;
use crate::options::TYPES_MAX;
use crate::wire::{Reader, WireError, put_number, put_text};

/// Members in one message. A list of any length is sent in chunks of this size (about 20 KiB), far below the
/// largest frame.
pub(crate) const CHUNK_MEMBERS_MAX: usize = 256;

pub(crate) type Member = foca::Member<Identity>;

/// One envelope of the gossip class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message<'a> {
    /// Foca's own packet.
    Swim(&'a [u8]),
    /// Who the sender is and which cluster it belongs to. Said on every new connection and whenever it changes; a
    /// sender that does not know the receiver's cluster asks for the same in return.
    Introduce { cluster: Option<ClusterId>, asks: bool, member: Member },
    /// Asks for the whole member list.
    Pull,
    /// Members as the sender knows them: one chunk of its list.
    Members { members: Vec<Member>, last: bool },
    /// Something that the sender saw itself, with the same force as foca's own gossip.
    Verdict { members: Vec<Member> },
    /// A hash over the sender's active members; whoever has another one asks for the list.
    Digest(u64),
    /// Asks the receiver for the actor types it hosts.
    TypesRequest,
    /// The actor types that the sender hosts, sorted.
    Types(Vec<String>),
    /// How long ago the sender last heard of a member that it suspects, in milliseconds.
    Heard { node: NodeId, age_ms: u64 },
    /// Asks the receiver to tell a member that the sender believes this of it: the sender may not reach it.
    Tell { member: Member },
}

const SWIM: u8 = 1;
const INTRODUCE: u8 = 2;
const PULL: u8 = 3;
const MEMBERS: u8 = 4;
const DIGEST: u8 = 5;
const TYPES_REQUEST: u8 = 6;
const TYPES: u8 = 7;
const HEARD: u8 = 8;
const VERDICT: u8 = 9;
const TELL: u8 = 10;

impl<'a> Message<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(64);
        match self {
            Self::Swim(packet) => {
                buffer.reserve_exact(1 + packet.len());
                buffer.push(SWIM);
                buffer.extend_from_slice(packet);
            }
            Self::Introduce { cluster, asks, member } => {
                buffer.extend_from_slice(&[INTRODUCE, u8::from(*asks), u8::from(cluster.is_some())]);
                buffer.extend_from_slice(cluster.as_ref().map_or(&[], |cluster| &cluster.0));
                put_member(&mut buffer, member);
            }
            Self::Pull => buffer.push(PULL),
            Self::Members { members, last } => {
                buffer.extend_from_slice(&[MEMBERS, u8::from(*last)]);
                put_members(&mut buffer, members);
            }
            Self::Verdict { members } => {
                buffer.push(VERDICT);
                put_members(&mut buffer, members);
            }
            Self::Digest(hash) => {
                buffer.push(DIGEST);
                buffer.extend_from_slice(&hash.to_le_bytes());
            }
            Self::TypesRequest => buffer.push(TYPES_REQUEST),
            Self::Types(types) => {
                buffer.push(TYPES);
                put_number(&mut buffer, types.len() as u64);
                types.iter().for_each(|name| put_text(&mut buffer, name));
            }
            Self::Heard { node, age_ms } => {
                buffer.push(HEARD);
                buffer.extend_from_slice(&node.0);
                put_number(&mut buffer, *age_ms);
            }
            Self::Tell { member } => {
                buffer.push(TELL);
                put_member(&mut buffer, member);
            }
        }
        buffer
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let reader = &mut Reader::new(bytes);
        let message = match reader.byte()? {
            SWIM => Self::Swim(reader.rest()),
            INTRODUCE => Self::Introduce {
                asks: read_bool(reader)?,
                cluster: if read_bool(reader)? { Some(ClusterId(reader.array()?)) } else { None },
                member: read_member(reader, |_| None)?,
            },
            PULL => Self::Pull,
            MEMBERS => Self::Members { last: read_bool(reader)?, members: read_members(reader)? },
            VERDICT => Self::Verdict { members: read_members(reader)? },
            DIGEST => Self::Digest(reader.fixed_u64()?),
            TYPES_REQUEST => Self::TypesRequest,
            TYPES => Self::Types(read_types(reader)?),
            HEARD => Self::Heard { node: NodeId(reader.array()?), age_ms: reader.number()? },
            TELL => Self::Tell { member: read_member(reader, |_| None)? },
            tag => return Err(WireError::Tag { what: "message", tag }),
        };
        reader.finish()?;
        Ok(message)
    }
}

pub(crate) fn put_member(buffer: &mut Vec<u8>, member: &Member) {
    buffer.extend_from_slice(&member.id().node_id().0);
    member.id().put_body(buffer);
    put_number(buffer, u64::from(member.incarnation()));
    buffer.push(match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
}

/// Reads one member. `known` may supply an identity so that an equal one is not built anew.
pub(crate) fn read_member<'k>(
    reader: &mut Reader<'_>,
    known: impl FnOnce(&NodeId) -> Option<&'k Identity>,
) -> Result<Member, WireError> {
    let node_id = NodeId(reader.array()?);
    let identity = Identity::read_body(reader, node_id, known(&node_id))?;
    let incarnation = reader.small()?;
    let state = match reader.byte()? {
        0 => State::Alive,
        1 => State::Suspect,
        2 => State::Down,
        tag => return Err(WireError::Tag { what: "member state", tag }),
    };
    Ok(Member::new(identity, incarnation, state))
}

fn put_members(buffer: &mut Vec<u8>, members: &[Member]) {
    put_number(buffer, members.len() as u64);
    members.iter().for_each(|member| put_member(buffer, member));
}

fn read_members(reader: &mut Reader<'_>) -> Result<Vec<Member>, WireError> {
    let count = reader.count(CHUNK_MEMBERS_MAX)?;
    (0..count).map(|_| read_member(reader, |_| None)).collect()
}

fn read_types(reader: &mut Reader<'_>) -> Result<Vec<String>, WireError> {
    let count = reader.count(TYPES_MAX)?;
    (0..count).map(|_| reader.text(NAME_BYTES_MAX).map(str::to_owned)).collect()
}

fn read_bool(reader: &mut Reader<'_>) -> Result<bool, WireError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        tag => Err(WireError::Tag { what: "flag", tag }),
    }
}

/// The digest of a list of types, and whether the list is sorted and without doubles.
pub(crate) fn digest_of(types: &[String]) -> Option<TypesDigest> {
    types.is_sorted_by(|a, b| a < b).then(|| TypesDigest::of(types.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::info;
    use proptest::prelude::*;

    #[test]
    fn every_message_round_trips_and_no_prefix_is_one() {
        let member = Member::new(Identity::new(info(1)), 3, State::Suspect);
        for message in [
            Message::Introduce { cluster: None, asks: true, member: member.clone() },
            Message::Introduce { cluster: Some(ClusterId([3; 16])), asks: false, member: member.clone() },
            Message::Pull,
            Message::Members { members: vec![member.clone(), member.clone()], last: true },
            Message::Verdict { members: vec![member.clone()] },
            Message::Tell { member },
            Message::Digest(9),
            Message::TypesRequest,
            Message::Types(vec!["a".into(), "b".into()]),
            Message::Heard { node: NodeId([2; 32]), age_ms: 1234 },
        ] {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes), Ok(message));
            for end in 0..bytes.len() {
                assert!(Message::decode(&bytes[..end]).is_err(), "{:?}", &bytes[..end]);
            }
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..12) {
            let _ = Message::decode(&[&[kind][..], &bytes].concat());
        }
    }
}
