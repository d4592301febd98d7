//! How foca's packets lie in bytes, and what is noted while they are read.
//!
//! The connection already says who sends and who receives, so a packet's header repeats neither: the receiver
//! is a fingerprint, which also makes foreign bytes fail early, and the sender lacks its node id.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{BroadcastHandler, Codec, Header, Invalidates, Message};
use gritmesh_runtime::{Instant, NodeId};

use super::witness::Witness;
use crate::identity::Identity;
use crate::message::{Member, put_member, read_member};
use crate::wire::{Reader, WireError, put_number};

/// Members that a node keeps, gone ones included. Four times the size that is tested.
pub const MEMBERS_MAX: usize = 4096;

/// Keys of broadcasts that a node remembers: a few per shard at most.
pub const BROADCAST_KEYS_MAX: usize = 16 * 1024;

/// Largest broadcast in bytes, so that several fit a packet.
pub const BROADCAST_BYTES_MAX: usize = 2048;

/// How long a broadcast keeps earlier versions from being passed on: longer than any is on its way. Not for ever, since
/// a peer may claim any version.
const VERSION_MEMORY: Duration = Duration::from_secs(30);

/// What codec and machine share: foca owns its codec and broadcast handler and gives no access to them.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) own: Identity,
    /// Who sent the packet that is being read.
    pub(crate) sender: NodeId,
    /// For whom the packet is that is being written.
    receiver: Option<NodeId>,
    /// What foca thinks of every member, as of the last time that was looked at.
    pub(crate) known: BTreeMap<NodeId, Member>,
    /// Whom the packets read so far spoke of.
    pub(crate) touched: Vec<NodeId>,
    /// Who has answered a probe of this node, and who passed that on, in the packets read so far.
    pub(crate) answers: Vec<(NodeId, Option<NodeId>)>,
    /// When what is being read came.
    pub(crate) now: Instant,
    /// What this node knows first-hand, and what became of the words of others that it has to look into.
    pub(crate) witness: Witness,
    /// Broadcasts from others that are new.
    pub(crate) arrived: Vec<(u64, u64, Vec<u8>)>,
    versions: BTreeMap<u64, (u64, Instant)>,
    pub(crate) overflowed: u64,
    /// Bytes are being written here before they are known to fit.
    scratch: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Exchange>>);

impl Shared {
    pub(crate) fn new(own: Identity) -> Self {
        Self(Arc::new(Mutex::new(Exchange {
            sender: own.node_id(),
            own,
            receiver: None,
            known: BTreeMap::new(),
            touched: Vec::new(),
            answers: Vec::new(),
            now: Instant::ZERO,
            witness: Witness::default(),
            arrived: Vec::new(),
            versions: BTreeMap::new(),
            overflowed: 0,
            scratch: Vec::new(),
        })))
    }

    /// Only the owner of the machine gets here, so this never waits.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    /// Notes a member that a peer speaks of.
    pub(crate) fn note(&mut self, member: &Member) -> Result<(), WireError> {
        let node_id = member.id().node_id();
        if node_id == self.own.node_id() {
            return Ok(());
        }
        if self.known.len() >= MEMBERS_MAX && !self.known.contains_key(&node_id) {
            self.overflowed += 1;
            return Err(WireError::MembersFull);
        }
        self.touched.push(node_id);
        Ok(())
    }

    fn identity_of(&self, node_id: &NodeId) -> Option<&Identity> {
        self.known.get(node_id).map(Member::id)
    }

    /// Whether a packet from this sender says nothing new about it, as almost every packet does.
    fn is_known_alive(&self, identity: &Identity, incarnation: foca::Incarnation) -> bool {
        self.known.get(&identity.node_id()).is_some_and(|known| {
            known.id() == identity
                && known.incarnation() >= incarnation
                && known.state() == foca::State::Alive
        })
    }

    fn read_header(&mut self, reader: &mut Reader<'_>) -> Result<Header<Identity>, WireError> {
        let addressed_to_us = reader.fixed_u64()? == self.own.fingerprint();
        let dst = if addressed_to_us { self.own.clone() } else { self.own.stranger() };
        let src = Identity::read_body(reader, self.sender, self.identity_of(&self.sender))?;
        let src_incarnation = reader.small()?;
        let message = self.read_message(reader)?;
        match &message {
            Message::Ack(_) if addressed_to_us => self.answers.push((self.sender, None)),
            Message::ForwardedAck { origin, .. } if addressed_to_us => {
                self.answers.push((origin.node_id(), Some(self.sender)));
            }
            _ => {}
        }
        if !self.is_known_alive(&src, src_incarnation) {
            self.compare_with_known(&src);
            self.note(&Member::new(src.clone(), src_incarnation, foca::State::Alive))?;
        }
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn read_message(&self, reader: &mut Reader<'_>) -> Result<Message<Identity>, WireError> {
        let tag = reader.byte()?;
        match tag {
            ANNOUNCE => return Ok(Message::Announce),
            FEED => return Ok(Message::Feed),
            GOSSIP => return Ok(Message::Gossip),
            BROADCAST => return Ok(Message::Broadcast),
            TURN_UNDEAD => return Ok(Message::TurnUndead),
            _ => {}
        }
        let probe_number = reader.byte()?;
        match tag {
            PING => return Ok(Message::Ping(probe_number)),
            ACK => return Ok(Message::Ack(probe_number)),
            _ => {}
        }
        let node_id = NodeId(reader.array()?);
        let known = if node_id == self.own.node_id() { Some(&self.own) } else { self.identity_of(&node_id) };
        let other = Identity::read_body(reader, node_id, known)?;
        Ok(match tag {
            PING_REQ => Message::PingReq { target: other, probe_number },
            INDIRECT_PING => Message::IndirectPing { origin: other, probe_number },
            INDIRECT_ACK => Message::IndirectAck { target: other, probe_number },
            FORWARDED_ACK => Message::ForwardedAck { origin: other, probe_number },
            tag => return Err(WireError::Tag { what: "packet", tag }),
        })
    }

    fn read_update(&mut self, reader: &mut Reader<'_>) -> Result<Member, WireError> {
        let member = read_member(reader, |node_id| self.known.get(node_id).map(Member::id))?;
        let Some(member) = self.screen(member) else {
            // Foca has to be given something: that this node lives is no news to it.
            return Ok(Member::alive(self.own.clone()));
        };
        self.note(&member)?;
        Ok(member)
    }
}

const PING: u8 = 1;
const ACK: u8 = 2;
const PING_REQ: u8 = 3;
const INDIRECT_PING: u8 = 4;
const INDIRECT_ACK: u8 = 5;
const FORWARDED_ACK: u8 = 6;
const ANNOUNCE: u8 = 7;
const FEED: u8 = 8;
const GOSSIP: u8 = 9;
const BROADCAST: u8 = 10;
const TURN_UNDEAD: u8 = 11;

fn put_header(buffer: &mut Vec<u8>, header: &Header<Identity>) {
    buffer.extend_from_slice(&header.dst.fingerprint().to_le_bytes());
    header.src.put_body(buffer);
    put_number(buffer, u64::from(header.src_incarnation));
    let (tag, probe_number, other) = match &header.message {
        Message::Ping(number) => (PING, Some(number), None),
        Message::Ack(number) => (ACK, Some(number), None),
        Message::PingReq { target, probe_number } => (PING_REQ, Some(probe_number), Some(target)),
        Message::IndirectPing { origin, probe_number } => (INDIRECT_PING, Some(probe_number), Some(origin)),
        Message::IndirectAck { target, probe_number } => (INDIRECT_ACK, Some(probe_number), Some(target)),
        Message::ForwardedAck { origin, probe_number } => (FORWARDED_ACK, Some(probe_number), Some(origin)),
        Message::Announce => (ANNOUNCE, None, None),
        Message::Feed => (FEED, None, None),
        Message::Gossip => (GOSSIP, None, None),
        Message::Broadcast => (BROADCAST, None, None),
        Message::TurnUndead => (TURN_UNDEAD, None, None),
    };
    buffer.push(tag);
    buffer.extend(probe_number);
    if let Some(other) = other {
        buffer.extend_from_slice(&other.node_id().0);
        other.put_body(buffer);
    }
}

#[derive(Debug)]
pub(crate) struct SwimCodec(pub(crate) Shared);

impl SwimCodec {
    /// Writes all or nothing.
    fn write(&self, mut buf: impl BufMut, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), WireError> {
        let mut exchange = self.0.lock();
        exchange.scratch.clear();
        put(&mut exchange.scratch);
        if exchange.scratch.len() > buf.remaining_mut() {
            return Err(WireError::PacketFull);
        }
        buf.put_slice(&exchange.scratch);
        Ok(())
    }

    fn read<T>(
        &self,
        mut buf: impl Buf,
        read: impl FnOnce(&mut Exchange, &mut Reader<'_>) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        // Foca promises that the bytes are contiguous.
        let mut reader = Reader::new(buf.chunk());
        let value = read(&mut self.0.lock(), &mut reader)?;
        let used = buf.chunk().len() - reader.remaining();
        buf.advance(used);
        Ok(value)
    }
}

impl Codec<Identity> for SwimCodec {
    type Error = WireError;

    fn encode_header(&mut self, header: &Header<Identity>, buf: impl BufMut) -> Result<(), WireError> {
        self.0.lock().receiver = Some(header.dst.node_id());
        self.write(buf, |bytes| put_header(bytes, header))
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, WireError> {
        self.read(buf, Exchange::read_header)
    }

    fn encode_member(&mut self, member: &Member, buf: impl BufMut) -> Result<(), WireError> {
        let known = {
            let exchange = self.0.lock();
            // What was only heard of a member says nothing to the member itself. Foca has to be given something.
            let (node, start) = (member.id().node_id(), member.id().info().incarnation);
            let is_hearsay = exchange.receiver == Some(node) && exchange.witness.is_unmet(node, start);
            is_hearsay.then(|| Member::alive(exchange.own.clone()))
        };
        self.write(buf, |bytes| put_member(bytes, known.as_ref().unwrap_or(member)))
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member, WireError> {
        self.read(buf, Exchange::read_update)
    }
}

/// Tells new broadcasts from known ones.
#[derive(Debug)]
pub(crate) struct Broadcasts(pub(crate) Shared);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BroadcastKey(u64);

impl Invalidates for BroadcastKey {
    fn invalidates(&self, other: &Self) -> bool {
        // Only newer versions get as far as being compared.
        self == other
    }
}

pub(crate) fn encode_broadcast(key: u64, version: u64, bytes: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(bytes.len() + 12);
    put_number(&mut buffer, key);
    put_number(&mut buffer, version);
    buffer.extend_from_slice(bytes);
    buffer
}

impl BroadcastHandler<Identity> for Broadcasts {
    type Key = BroadcastKey;
    type Error = WireError;

    fn receive_item(
        &mut self,
        data: &[u8],
        sender: Option<&Identity>,
    ) -> Result<Option<BroadcastKey>, WireError> {
        let mut reader = Reader::new(data);
        let (key, version) = (reader.number()?, reader.number()?);
        let bytes = reader.rest();
        if bytes.len() > BROADCAST_BYTES_MAX {
            return Err(WireError::TooMany { count: bytes.len(), limit: BROADCAST_BYTES_MAX });
        }
        let exchange = &mut *self.0.lock();
        let now = exchange.now;
        let remembered = |at: Instant| now - at < VERSION_MEMORY;
        if exchange.versions.get(&key).is_some_and(|(known, at)| *known >= version && remembered(*at)) {
            return Ok(None);
        }
        if exchange.versions.len() >= BROADCAST_KEYS_MAX && !exchange.versions.contains_key(&key) {
            exchange.versions.retain(|_, (_, at)| remembered(*at));
        }
        if exchange.versions.len() >= BROADCAST_KEYS_MAX && !exchange.versions.contains_key(&key) {
            exchange.overflowed += 1;
            return Ok(None);
        }
        exchange.versions.insert(key, (version, now));
        if sender.is_some() {
            exchange.arrived.push((key, version, bytes.to_vec()));
        }
        Ok(Some(BroadcastKey(key)))
    }
}
