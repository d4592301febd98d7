//! Who may be a peer: a pure decision, the same over libp2p and in the simulator.
//!
//! Each side of a fresh connection says [`Hello`] and judges the other's. Knowledge of the cluster's secret is
//! proven, not sent: the proof is a keyed hash over both keys and both nonces, so that it serves once only.
//!
//! Whoever has a proof can try secrets against it without asking anybody. So the one who dialled proves first, and
//! the one who listens proves nothing before; and a key is made of a secret in a way that takes long.

#![expect(missing_docs, reason = "rkyv's derive adds a public item with an undocumented field")]

mod secret;

use rkyv::{Archive, Deserialize, Serialize};

pub use self::secret::{SECRET_LETTERS_MAX, SECRET_LETTERS_MIN, SECRETS_MAX, Secret, Secrets};
use crate::{ClusterId, NodeInfo, WIRE_VERSION_MIN};

/// What a node says of itself when a connection opens.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Hello {
    /// The node. Its wire version is the highest that it speaks.
    pub info: NodeInfo,
    /// The lowest wire version that it speaks.
    pub wire_version_min: u16,
    /// The cluster it belongs to, if it has joined or founded one.
    pub cluster: Option<ClusterId>,
    /// What its operator calls the cluster; empty if it has no name.
    pub cluster_name: String,
    /// Names of the actor types it hosts, sorted.
    pub types: Vec<String>,
}

impl Hello {
    /// What a node of this build says that belongs to no cluster and hosts nothing.
    pub fn new(info: NodeInfo) -> Self {
        let (cluster_name, types) = (String::new(), Vec::new());
        Self { info, wire_version_min: WIRE_VERSION_MIN, cluster: None, cluster_name, types }
    }

    /// The highest wire version that both speak, if there is one.
    pub fn common_wire_version(&self, other: &Self) -> Option<u16> {
        let highest = self.info.wire_version.min(other.info.wire_version);
        (self.wire_version_min.max(other.wire_version_min) <= highest).then_some(highest)
    }
}

/// Why a node was turned down.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The proof does not hold.
    #[error("the cluster secrets differ; give every node the same `--secret`")]
    WrongSecret,
    /// The nodes belong to different clusters.
    #[error(
        "the nodes belong to different clusters, {ours} and {theirs}; use an empty data directory to join another cluster"
    )]
    OtherCluster {
        /// The refuser's cluster.
        ours: ClusterId,
        /// The refused node's cluster.
        theirs: ClusterId,
    },
    /// Their operators gave the clusters different names.
    #[error(
        "the clusters have different names, {ours:?} and {theirs:?}; give every node the same `--cluster`"
    )]
    OtherName {
        /// The refuser's name for its cluster; empty if it has none.
        ours: String,
        /// The refused node's.
        theirs: String,
    },
    /// The builds do not understand each other.
    #[error("no wire version is common to builds of {ours} and {theirs}; run builds of one version")]
    WireVersion {
        /// The highest version of the refuser.
        ours: u16,
        /// The highest version of the refused node.
        theirs: u16,
    },
    /// Another live process has the same identity.
    #[error("another running node has the same identity; every node needs a data directory of its own")]
    DuplicateIdentity,
    /// The peer does not keep to the protocol of admission.
    #[error("the handshake is malformed: {detail}")]
    Malformed {
        /// What was wrong.
        detail: String,
    },
}

impl Refusal {
    /// The code as it stands in logs and metrics. Never changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::WrongSecret => "wrong_secret",
            Self::OtherCluster { .. } => "other_cluster",
            Self::OtherName { .. } => "other_cluster_name",
            Self::WireVersion { .. } => "wire_version",
            Self::DuplicateIdentity => "duplicate_identity",
            Self::Malformed { .. } => "malformed_handshake",
        }
    }
}

/// Judges a peer that has proven, or failed to prove, the secret.
///
/// # Errors
/// The reason to refuse it.
pub fn admit(ours: &Hello, theirs: &Hello, proof_holds: bool) -> Result<(), Refusal> {
    if ours.common_wire_version(theirs).is_none() {
        let (ours, theirs) = (ours.info.wire_version, theirs.info.wire_version);
        return Err(Refusal::WireVersion { ours, theirs });
    }
    if !proof_holds {
        return Err(Refusal::WrongSecret);
    }
    if theirs.info.node_id == ours.info.node_id {
        return Err(Refusal::DuplicateIdentity);
    }
    if ours.cluster_name != theirs.cluster_name {
        let (ours, theirs) = (ours.cluster_name.clone(), theirs.cluster_name.clone());
        return Err(Refusal::OtherName { ours, theirs });
    }
    match (ours.cluster, theirs.cluster) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(Refusal::OtherCluster { ours, theirs }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Incarnation, NodeId, TypesDigest, WIRE_VERSION};

    fn hello(node: u8, cluster: Option<u8>) -> Hello {
        let info = NodeInfo {
            node_id: NodeId([node; 32]),
            incarnation: Incarnation(1),
            peer_address: ([127, 0, 0, 1], 7946).into(),
            http_address: None,
            name: String::new(),
            zone: String::new(),
            weight: 1,
            wire_version: WIRE_VERSION,
            types: TypesDigest::of([]),
        };
        Hello { cluster: cluster.map(|byte| ClusterId([byte; 16])), ..Hello::new(info) }
    }

    #[test]
    fn judges_in_order() {
        let ours = hello(1, Some(1));
        assert_eq!(admit(&ours, &hello(2, Some(1)), true), Ok(()));
        assert_eq!(admit(&ours, &hello(2, None), true), Ok(()));
        assert_eq!(admit(&ours, &hello(2, Some(1)), false), Err(Refusal::WrongSecret));
        assert_eq!(admit(&ours, &hello(1, Some(1)), true), Err(Refusal::DuplicateIdentity));
        assert!(matches!(admit(&ours, &hello(2, Some(2)), true), Err(Refusal::OtherCluster { .. })));
        let mut newer = hello(2, Some(2));
        newer.wire_version_min = WIRE_VERSION + 1;
        newer.info.wire_version = WIRE_VERSION + 1;
        assert!(matches!(admit(&ours, &newer, false), Err(Refusal::WireVersion { .. })));
    }

    #[test]
    fn a_cluster_with_a_name_takes_neither_another_one_nor_none() {
        let named = |name: &str| Hello { cluster_name: name.into(), ..hello(2, None) };
        let ours = Hello { cluster_name: "shop".into(), ..hello(1, Some(1)) };
        assert_eq!(admit(&ours, &named("shop"), true), Ok(()));
        for other in ["test", ""] {
            assert!(matches!(admit(&ours, &named(other), true), Err(Refusal::OtherName { .. })), "{other}");
            assert!(matches!(admit(&named(other), &ours, true), Err(Refusal::OtherName { .. })), "{other}");
        }
        assert_eq!(
            admit(&ours, &named("test"), false),
            Err(Refusal::WrongSecret),
            "a stranger is told no name"
        );
    }

    #[test]
    fn two_builds_speak_the_highest_version_that_both_know() {
        let speaks = |least, most| {
            let mut hello = hello(1, None);
            (hello.wire_version_min, hello.info.wire_version) = (least, most);
            hello
        };
        for (ours, theirs, common) in [
            ((2, 2), (2, 2), Some(2)),
            ((2, 3), (2, 2), Some(2)),
            ((2, 4), (3, 5), Some(4)),
            ((2, 2), (3, 4), None),
            ((3, 2), (1, 9), None),
        ] {
            let (ours, theirs) = (speaks(ours.0, ours.1), speaks(theirs.0, theirs.1));
            assert_eq!(ours.common_wire_version(&theirs), common);
            assert_eq!(theirs.common_wire_version(&ours), common);
        }
    }
}
