//! Who may be a peer: a pure decision, the same over libp2p and in the simulator.
//!
//! Each side of a fresh connection says [`Hello`] and judges the other's. Knowledge of the cluster's secret is
//! proven, not sent: the proof is a keyed hash over both keys and both nonces, so that it serves once only.

#![expect(missing_docs, reason = "rkyv's derive adds a public item with an undocumented field")]

use rkyv::{Archive, Deserialize, Serialize};

use crate::{ClusterId, NodeId, NodeInfo, WIRE_VERSION};

/// What a node says of itself when a connection opens.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Hello {
    /// The node.
    pub info: NodeInfo,
    /// The cluster it belongs to, if it has joined or founded one.
    pub cluster: Option<ClusterId>,
    /// Names of the actor types it hosts, sorted.
    pub types: Vec<String>,
}

/// The cluster's secret, or the lack of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret from its text. An empty text is the secret of clusters that were given none.
    pub fn from_text(text: &str) -> Self {
        Self(blake3::derive_key("gritmesh 2026 cluster secret", text.as_bytes()))
    }

    /// Proof that `prover` knows the secret, good only for this pair of nonces.
    pub fn proof(
        &self,
        prover: NodeId,
        verifier: NodeId,
        prover_nonce: u64,
        verifier_nonce: u64,
    ) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&prover.0);
        hasher.update(&verifier.0);
        hasher.update(&prover_nonce.to_le_bytes());
        hasher.update(&verifier_nonce.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Whether a proof holds, in constant time.
    pub fn verify(&self, expected: [u8; 32], proof: [u8; 32]) -> bool {
        blake3::Hash::from_bytes(expected) == blake3::Hash::from_bytes(proof)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
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
    /// The builds do not understand each other.
    #[error("wire versions differ, {ours} and {theirs}; run builds of one version")]
    WireVersion {
        /// The refuser's version.
        ours: u16,
        /// The refused node's version.
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
    if theirs.info.wire_version != WIRE_VERSION {
        return Err(Refusal::WireVersion { ours: WIRE_VERSION, theirs: theirs.info.wire_version });
    }
    if !proof_holds {
        return Err(Refusal::WrongSecret);
    }
    if theirs.info.node_id == ours.info.node_id {
        return Err(Refusal::DuplicateIdentity);
    }
    match (ours.cluster, theirs.cluster) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(Refusal::OtherCluster { ours, theirs }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Incarnation, TypesDigest};

    fn hello(node: u8, cluster: Option<u8>) -> Hello {
        Hello {
            info: NodeInfo {
                node_id: NodeId([node; 32]),
                incarnation: Incarnation(1),
                peer_address: ([127, 0, 0, 1], 7946).into(),
                http_address: None,
                name: String::new(),
                zone: String::new(),
                weight: 1,
                wire_version: WIRE_VERSION,
                types: TypesDigest::of([]),
            },
            cluster: cluster.map(|byte| ClusterId([byte; 16])),
            types: Vec::new(),
        }
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
        newer.info.wire_version += 1;
        assert!(matches!(admit(&ours, &newer, false), Err(Refusal::WireVersion { .. })));
    }

    #[test]
    fn a_proof_serves_one_pair_of_nonces_and_one_direction() {
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let secret = Secret::from_text("s");
        let proof = secret.proof(a, b, 10, 20);
        assert!(secret.verify(secret.proof(a, b, 10, 20), proof));
        for other in [
            secret.proof(b, a, 10, 20),
            secret.proof(a, b, 10, 21),
            Secret::from_text("t").proof(a, b, 10, 20),
        ] {
            assert!(!secret.verify(other, proof));
        }
    }
}
