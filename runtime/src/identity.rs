//! Who a node is, as every part of the system sees it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

/// The highest version of frames and envelopes that this build speaks. Two nodes speak the highest that both know.
pub const WIRE_VERSION: u16 = 2;

/// The lowest version that this build speaks. Nodes without a version in common refuse each other.
pub const WIRE_VERSION_MIN: u16 = 2;

/// A node's public key (ed25519), which is its name for as long as its data directory lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// The first eight hexadecimal digits, for logs and tables.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for NodeId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_hex(text).map(Self)
    }
}

/// The name of a cluster: made once, at founding, and kept by every member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ClusterId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_hex(text).map(Self)
    }
}

/// A text that should have been a fixed number of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} hexadecimal digits")]
pub struct ParseIdError {
    digits: usize,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let wrong = ParseIdError { digits: N * 2 };
    if text.len() != N * 2 || !text.is_ascii() {
        return Err(wrong);
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| wrong)?;
    }
    Ok(bytes)
}

/// Counts the starts of one node: a restarted process is a new incarnation of the same node.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// Counts the changes of one shard's replica set.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

/// Hash of the sorted list of actor types that a node hosts: equal digests, equal lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct TypesDigest(pub u64);

impl TypesDigest {
    /// The digest of a list of type names in any order.
    pub fn of<'a>(types: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sorted: Vec<&str> = types.into_iter().collect();
        sorted.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for name in sorted {
            hasher.update(name.as_bytes());
            hasher.update(&[0]);
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(u64::from_be_bytes(bytes))
    }
}

/// What a node says of itself, spread by gossip: all that others need to reach it and to place actors on it.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its key.
    pub node_id: NodeId,
    /// Which start of the node this is.
    pub incarnation: Incarnation,
    /// Where it listens for peers.
    pub peer_address: SocketAddr,
    /// Where it serves HTTP, if it does.
    pub http_address: Option<SocketAddr>,
    /// The name its operator gave it.
    pub name: String,
    /// Its failure zone; empty if none was given.
    pub zone: String,
    /// Its share of the ring relative to others; 0 takes no shards, as a draining node does.
    pub weight: u16,
    /// The [`WIRE_VERSION`] of its build, which is the highest that it speaks.
    pub wire_version: u16,
    /// Digest of the actor types it hosts.
    pub types: TypesDigest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_id_text_round_trips() {
        let node = NodeId([0xab; 32]);
        assert_eq!(node.to_string().parse(), Ok(node));
        assert_eq!(node.short(), "abababab");
        assert!("zz".parse::<NodeId>().is_err());
        assert!("é".repeat(32).parse::<NodeId>().is_err());
    }

    #[test]
    fn digest_ignores_order_but_not_boundaries() {
        assert_eq!(TypesDigest::of(["a", "b"]), TypesDigest::of(["b", "a"]));
        assert_ne!(TypesDigest::of(["ab"]), TypesDigest::of(["a", "b"]));
    }
}
