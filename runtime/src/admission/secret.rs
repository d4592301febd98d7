//! What the nodes of a cluster know and strangers do not.

use argon2::{Algorithm, Argon2, Params, Version};

use crate::NodeId;

/// Fewest letters of a secret that somebody chose. Shorter ones are guessed, however slowly each guess is tried.
pub const SECRET_LETTERS_MIN: usize = 16;

/// Most letters of a secret. More add nothing.
pub const SECRET_LETTERS_MAX: usize = 1024;

/// Most secrets of one node: the new one, the old one, and a few that were forgotten on the way.
pub const SECRETS_MAX: usize = 8;

/// The second recommendation of RFC 9106, on one lane: 64 MiB, three times, once at start and for every guess of whoever
/// got hold of a proof.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// The same for all clusters: two nodes must make the same key before they have said anything to each other.
const SALT: &[u8] = b"gritmesh 2026 cluster secret";

/// The cluster's secret, or the lack of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// What clusters have that were given no secret.
    pub fn none() -> Self {
        Self(blake3::derive_key("gritmesh 2026 no cluster secret", &[]))
    }

    /// The secret from its text, by Argon2id. Takes long and 64 MiB of memory, on purpose.
    pub fn from_text(text: &str) -> Self {
        let params =
            Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are in Argon2's ranges");
        let mut key = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(text.as_bytes(), SALT, &mut key)
            .expect("a text of a few KiB, the salt and the key have lengths that Argon2 takes");
        Self(key)
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

/// The secrets of a node: it proves the first, and accepts all. So a cluster changes its secret node by node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    first: Secret,
    others: Vec<Secret>,
}

impl Secrets {
    /// The lack of a secret.
    pub fn none() -> Self {
        Secret::none().into()
    }

    /// From texts. Without any, it is [`Self::none`]. Takes as long as [`Secret::from_text`] for each; more than
    /// [`SECRETS_MAX`] are not taken.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets = texts.into_iter().take(SECRETS_MAX).map(Secret::from_text);
        match secrets.next() {
            Some(first) => Self { first, others: secrets.collect() },
            None => Self::none(),
        }
    }

    /// The one to prove.
    pub const fn first(&self) -> &Secret {
        &self.first
    }

    /// The one that a proof was made with, whose expected value is told by `expected`.
    pub fn matching(&self, proof: [u8; 32], expected: impl Fn(&Secret) -> [u8; 32]) -> Option<&Secret> {
        let mut all = std::iter::once(&self.first).chain(&self.others);
        all.find(|secret| secret.verify(expected(secret), proof))
    }
}

impl From<Secret> for Secrets {
    fn from(first: Secret) -> Self {
        Self { first, others: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);

    #[test]
    fn a_proof_serves_one_pair_of_nonces_and_one_direction() {
        let secret = Secret::none();
        let proof = secret.proof(A, B, 10, 20);
        assert!(secret.verify(secret.proof(A, B, 10, 20), proof));
        for other in [
            secret.proof(B, A, 10, 20),
            secret.proof(A, B, 10, 21),
            Secret::from_text("t").proof(A, B, 10, 20),
        ] {
            assert!(!secret.verify(other, proof));
        }
    }

    #[test]
    fn of_several_secrets_the_first_is_proven_and_all_are_accepted() {
        let secrets = Secrets::from_texts(["new", "old"]);
        let (new, old) = (Secret::from_text("new"), Secret::from_text("old"));
        assert_eq!(secrets.first(), &new);
        let matching = |secret: &Secret| {
            let proof = secret.proof(A, B, 1, 2);
            secrets.matching(proof, |secret| secret.proof(A, B, 1, 2)).cloned()
        };
        assert_eq!(matching(&new), Some(new.clone()));
        assert_eq!(matching(&old), Some(old.clone()));
        assert_eq!(matching(&Secret::none()), None);
        assert_eq!(Secrets::from_texts([]), Secrets::none());
    }
}
