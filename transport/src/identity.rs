//! The key pair that is a node's name.
//!
//! The file holds the secret key followed by the public key, 64 bytes. The second half is redundant on purpose:
//! any 32 bytes are a valid secret, so without it a flipped bit would silently make another node.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use gritmesh_runtime::{NodeId, Seed};
use libp2p::PeerId;
use libp2p::identity::{Keypair, ed25519};

const FILE_NAME: &str = "identity.key";

/// Readable and writable by the owner only.
const FILE_MODE: u32 = 0o600;
/// More than any key file has.
const FILE_BYTES_MAX: u64 = 4096;

/// A node's ed25519 key pair.
#[derive(Clone)]
pub struct Identity {
    pair: ed25519::Keypair,
}

impl Identity {
    /// The identity kept in `data_dir`; a fresh one is made and kept if there is none.
    ///
    /// # Errors
    /// If the key file cannot be read or written, is damaged, or is open to other users.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, IdentityError> {
        let path = data_dir.join(FILE_NAME);
        // Anything but a file may never end, or never begin.
        if let Ok(file) = fs::metadata(&path)
            && (!file.is_file() || file.len() > FILE_BYTES_MAX)
        {
            let bytes = usize::try_from(file.len()).unwrap_or(usize::MAX);
            return Err(IdentityError::Damaged { path, bytes });
        }
        match fs::read(&path) {
            Ok(bytes) => Self::from_file(&path, bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(data_dir, &path),
            Err(source) => Err(IdentityError::Io { operation: "reading", path, source }),
        }
    }

    /// A fresh identity that is kept nowhere.
    pub fn generate() -> Self {
        Self { pair: ed25519::Keypair::generate() }
    }

    /// The node's name: its public key.
    pub fn node_id(&self) -> NodeId {
        NodeId(self.pair.public().to_bytes())
    }

    pub(crate) fn keypair(&self) -> Keypair {
        self.pair.clone().into()
    }

    fn from_file(path: &Path, mut bytes: Vec<u8>) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::Io { operation: "inspecting", path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Exposed { path: path.to_owned(), mode });
        }
        let pair = ed25519::Keypair::try_from_bytes(&mut bytes)
            .map_err(|_| IdentityError::Damaged { path: path.to_owned(), bytes: bytes.len() })?;
        Ok(Self { pair })
    }

    fn create(data_dir: &Path, path: &Path) -> Result<Self, IdentityError> {
        let identity = Self::generate();
        // Written aside and linked into place: the file appears whole or not at all, and never replaces one.
        let fresh = data_dir.join(format!("{FILE_NAME}.{}.new", std::process::id()));
        let write = || {
            let _ = fs::remove_file(&fresh);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&fresh)?;
            file.write_all(&identity.pair.to_bytes())?;
            file.sync_all()?;
            let linked = fs::hard_link(&fresh, path);
            fs::remove_file(&fresh)?;
            linked?;
            File::open(data_dir)?.sync_all()
        };
        match write() {
            Ok(()) => Ok(identity),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load_or_create(data_dir),
            Err(source) => Err(IdentityError::Io { operation: "creating", path: path.to_owned(), source }),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.node_id()).finish()
    }
}

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The operating system refused.
    #[error("{operation} {} failed", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a key pair.
    #[error(
        "{} is damaged ({bytes} bytes, no valid key pair): restore it from a backup, or start with an empty directory",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How long it is.
        bytes: usize,
    },
    /// Others may read the secret key.
    #[error("{} is open to other users (mode {mode:o}): run `chmod 600` on it", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// The node behind a libp2p peer id. `None` if its key is not ed25519.
pub(crate) fn node_id(peer: &PeerId) -> Option<NodeId> {
    let key = libp2p::identity::PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    Some(NodeId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// The libp2p name of a node. `None` if the bytes are not a public key.
pub(crate) fn peer_id(node: NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&node.0).ok()?;
    Some(PeerId::from_public_key(&key.into()))
}

/// A seed from the operating system's entropy. A fresh secret key is exactly that.
pub(crate) fn entropy() -> Seed {
    let secret = ed25519::SecretKey::generate();
    Seed::new(secret.as_ref().try_into().expect("a secret key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_a_restart_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let first = Identity::load_or_create(directory.path()).unwrap();
        let second = Identity::load_or_create(directory.path()).unwrap();
        assert_eq!(first.node_id(), second.node_id());
        let mode = fs::metadata(directory.path().join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left aside");
    }

    #[test]
    fn a_damaged_file_is_named_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        Identity::load_or_create(directory.path()).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[3] ^= 1;
        for damaged in [&whole[..40], &flipped[..], b"", &[0xff; 4096]] {
            fs::write(&path, damaged).unwrap();
            let error = Identity::load_or_create(directory.path()).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("restore it from a backup"));
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn an_exposed_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        Identity::load_or_create(directory.path()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Identity::load_or_create(directory.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Exposed { mode: 0o644, .. }), "{error}");
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let error = Identity::load_or_create(&directory.path().join("missing")).unwrap_err();
        assert!(matches!(error, IdentityError::Io { operation: "creating", .. }), "{error}");
    }

    #[test]
    fn names_convert_both_ways() {
        let identity = Identity::generate();
        let peer = PeerId::from_public_key(&identity.keypair().public());
        assert_eq!(node_id(&peer), Some(identity.node_id()));
        assert_eq!(peer_id(identity.node_id()), Some(peer));
        assert_eq!(node_id(&PeerId::random()), None);
        assert!(!format!("{identity:?}").contains("Keypair"));
    }
}
