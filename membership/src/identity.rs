//! A member as foca knows it.
//!
//! Foca compares, clones and looks up identities all the time, so this one is a node id, a fingerprint of all
//! the rest, and a shared pointer to it. A node has one identity at a time and changes it when it is falsely
//! declared down, when what it says of itself changes, and when it leaves; the newer one always wins.

use std::cmp::Ordering;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use gritmesh_runtime::{Incarnation, NodeId, NodeInfo, TypesDigest};

use crate::wire::{Reader, WireError, put_ip, put_number, put_port, put_text};

/// Longest name or zone in bytes: both travel in every ping.
pub const LABEL_BYTES_MAX: usize = 64;

/// Largest form of an identity without its node id: two IPv6 addresses, two labels and the numbers fit.
const BODY_BYTES_MAX: usize = 255;

const PEER_V6: u8 = 1;
const HTTP: u8 = 2;
const HTTP_V6: u8 = 4;
const HTTP_SAME_IP: u8 = 8;
const LEAVING: u8 = 16;
const FLAGS: u8 = 31;

#[derive(Clone)]
pub(crate) struct Identity {
    node_id: NodeId,
    // Equal fingerprints, equal identities: it covers every byte of the body.
    fingerprint: u64,
    body: Arc<Body>,
}

struct Body {
    info: NodeInfo,
    renewals: u32,
    leaving: bool,
    encoded: Vec<u8>,
}

impl Identity {
    pub(crate) fn new(info: NodeInfo) -> Self {
        Self::from_parts(info, 0, false)
    }

    fn from_parts(info: NodeInfo, renewals: u32, leaving: bool) -> Self {
        let encoded = encode_body(&info, renewals, leaving);
        let fingerprint = fingerprint(info.node_id, &encoded);
        Self { node_id: info.node_id, fingerprint, body: Arc::new(Body { info, renewals, leaving, encoded }) }
    }

    /// A newer identity of the same process with changed information.
    pub(crate) fn changed(&self, info: NodeInfo) -> Option<Self> {
        Some(Self::from_parts(info, self.body.renewals.checked_add(1)?, false))
    }

    /// The last identity of this process: whoever sees it gone knows that it left of its own accord.
    pub(crate) fn leaving(&self) -> Self {
        Self::from_parts(self.body.info.clone(), self.body.renewals.saturating_add(1), true)
    }

    /// An identity of the same node that equals no real one.
    pub(crate) fn stranger(&self) -> Self {
        Self { node_id: self.node_id, fingerprint: !self.fingerprint, body: self.body.clone() }
    }

    pub(crate) const fn node_id(&self) -> NodeId {
        self.node_id
    }

    pub(crate) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(crate) fn info(&self) -> &NodeInfo {
        &self.body.info
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.body.leaving
    }

    pub(crate) fn renewals(&self) -> u32 {
        self.body.renewals
    }

    /// A newer identity of this process than one that was claimed for it. `None` if the claim cannot be surpassed.
    pub(crate) fn beyond(&self, claimed: u32) -> Option<Self> {
        let renewals = self.body.renewals.max(claimed).checked_add(1)?;
        Some(Self::from_parts(self.body.info.clone(), renewals, false))
    }

    fn rank(&self) -> (Incarnation, u32, bool, u64) {
        (self.body.info.incarnation, self.body.renewals, self.body.leaving, self.fingerprint)
    }

    /// Appends everything but the node id.
    pub(crate) fn put_body(&self, buffer: &mut Vec<u8>) {
        buffer.push(self.body.encoded.len() as u8);
        buffer.extend_from_slice(&self.body.encoded);
    }

    /// Reads what [`Self::put_body`] wrote. `known` is reused if it is the same identity.
    pub(crate) fn read_body(
        reader: &mut Reader<'_>,
        node_id: NodeId,
        known: Option<&Self>,
    ) -> Result<Self, WireError> {
        let length = reader.byte()?;
        let encoded = reader.take(usize::from(length))?;
        if let Some(known) = known.filter(|known| known.body.encoded == encoded) {
            return Ok(known.clone());
        }
        let identity = decode_body(node_id, encoded)?;
        if identity.body.encoded == encoded { Ok(identity) } else { Err(WireError::NotCanonical) }
    }
}

fn fingerprint(node_id: NodeId, encoded: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&node_id.0);
    hasher.update(encoded);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

fn encode_body(info: &NodeInfo, renewals: u32, leaving: bool) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(48);
    let same_ip = info.http_address.is_some_and(|http| http.ip() == info.peer_address.ip());
    let mut flags = 0;
    for (set, flag) in [
        (info.peer_address.is_ipv6(), PEER_V6),
        (info.http_address.is_some(), HTTP),
        (!same_ip && info.http_address.is_some_and(|http| http.is_ipv6()), HTTP_V6),
        (same_ip, HTTP_SAME_IP),
        (leaving, LEAVING),
    ] {
        flags |= if set { flag } else { 0 };
    }
    buffer.push(flags);
    put_number(&mut buffer, info.incarnation.0);
    put_number(&mut buffer, u64::from(renewals));
    put_ip(&mut buffer, info.peer_address.ip());
    put_port(&mut buffer, info.peer_address);
    if let Some(http) = info.http_address {
        if !same_ip {
            put_ip(&mut buffer, http.ip());
        }
        put_port(&mut buffer, http);
    }
    put_text(&mut buffer, &info.name);
    put_text(&mut buffer, &info.zone);
    put_number(&mut buffer, u64::from(info.weight));
    put_number(&mut buffer, u64::from(info.wire_version));
    buffer.extend_from_slice(&info.types.0.to_le_bytes());
    assert!(buffer.len() <= BODY_BYTES_MAX, "labels are checked before they come here");
    buffer
}

fn decode_body(node_id: NodeId, encoded: &[u8]) -> Result<Identity, WireError> {
    let reader = &mut Reader::new(encoded);
    let flags = reader.byte()?;
    if flags & !FLAGS != 0 {
        return Err(WireError::Tag { what: "identity flags", tag: flags });
    }
    let incarnation = Incarnation(reader.number()?);
    let renewals = reader.small()?;
    let peer_address = SocketAddr::new(reader.ip(flags & PEER_V6 != 0)?, reader.fixed_u16()?);
    let http_address = match (flags & HTTP != 0, flags & HTTP_SAME_IP != 0) {
        (false, _) => None,
        (true, true) => Some(SocketAddr::new(peer_address.ip(), reader.fixed_u16()?)),
        (true, false) => Some(SocketAddr::new(reader.ip(flags & HTTP_V6 != 0)?, reader.fixed_u16()?)),
    };
    let name = reader.text(LABEL_BYTES_MAX)?.to_owned();
    let zone = reader.text(LABEL_BYTES_MAX)?.to_owned();
    let weight = reader.small()?;
    let wire_version = reader.small()?;
    let types = TypesDigest(reader.fixed_u64()?);
    reader.finish()?;
    let info = NodeInfo {
        node_id,
        incarnation,
        peer_address,
        http_address,
        name,
        zone,
        weight,
        wire_version,
        types,
    };
    Ok(Identity::from_parts(info, renewals, flags & LEAVING != 0))
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        self.changed(self.body.info.clone())
    }

    fn addr(&self) -> NodeId {
        self.node_id
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.rank().cmp(&adversary.rank()) == Ordering::Greater
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.node_id == other.node_id
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}/{}", self.node_id, self.body.info.incarnation.0, self.body.renewals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::info;
    use foca::Identity as _;
    use proptest::prelude::*;

    fn round_trip(identity: &Identity) -> Result<Identity, WireError> {
        let mut buffer = Vec::new();
        identity.put_body(&mut buffer);
        Identity::read_body(&mut Reader::new(&buffer), identity.node_id(), None)
    }

    #[test]
    fn round_trips_in_few_bytes() {
        let mut info = info(7);
        info.http_address = Some("127.0.0.1:8080".parse().unwrap());
        for peer in ["10.0.0.1:1", "[::1]:65535"] {
            info.peer_address = peer.parse().unwrap();
            let identity = Identity::new(info.clone());
            let read = round_trip(&identity).unwrap();
            assert_eq!(read, identity);
            assert_eq!(read.info(), &info);
        }
        info.peer_address = "127.0.0.1:7946".parse().unwrap();
        let mut buffer = Vec::new();
        Identity::new(info).put_body(&mut buffer);
        assert!(buffer.len() <= 40, "an identity takes {} bytes", buffer.len());
    }

    #[test]
    fn a_newer_identity_wins_and_leaving_is_last() {
        let first = Identity::new(info(1));
        let renewed = first.renew().unwrap();
        assert!(renewed.win_addr_conflict(&first) && !first.win_addr_conflict(&renewed));
        assert!(renewed.leaving().win_addr_conflict(&renewed));
        let mut restarted = info(1);
        restarted.incarnation.0 += 1;
        assert!(Identity::new(restarted).win_addr_conflict(&renewed.leaving()));
        assert_ne!(first.stranger(), first);
    }

    #[test]
    fn the_largest_identity_fits() {
        let mut info = info(1);
        info.incarnation.0 = u64::MAX;
        (info.weight, info.wire_version) = (u16::MAX, u16::MAX);
        (info.name, info.zone) = ("n".repeat(LABEL_BYTES_MAX), "z".repeat(LABEL_BYTES_MAX));
        info.peer_address = "[fe80::1]:65535".parse().unwrap();
        info.http_address = Some("[fe80::2]:65535".parse().unwrap());
        let identity = Identity::from_parts(info, u32::MAX, true);
        assert_eq!(round_trip(&identity), Ok(identity));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Identity::read_body(&mut Reader::new(&bytes), NodeId([1; 32]), None);
        }
    }
}
