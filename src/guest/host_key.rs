//! The SSH host key of a container.

use std::fmt;

use sha2::{Digest as _, Sha256};
use ssh_key::private::{Ed25519Keypair, KeypairData, PrivateKey};

use crate::model::stable_hash;

/// The SSH host key of a container, derived from the host's secret.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey {
    /// The private key in OpenSSH's format, with a line end.
    pub private: String,
    /// The public key as one line of the form `ssh-ed25519 AAAA… NAME`.
    pub public: String,
}

impl HostKey {
    /// The ed25519 key of container `container` of fleet `fleet` on the host whose secret is `secret`.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a plain ed25519 key always has a text")]
    pub fn derive(secret: &[u8], fleet: &str, container: &str) -> HostKey {
        let pair = Ed25519Keypair::from_seed(&seed(secret, fleet, container));
        let key = PrivateKey::new(KeypairData::Ed25519(pair), container).expect("the key is not encrypted");
        let private = key.to_openssh(ssh_key::LineEnding::LF).expect("an ed25519 key has a text").to_string();
        let public = key.public_key().to_openssh().expect("an ed25519 key has a text");
        HostKey { private, public }
    }
}

impl fmt::Debug for HostKey {
    /// Without the private key: what is debugged gets logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The seed of a container's key. Root of one container reads its own seed and must learn nothing of another's: the
/// hash is over two hashes of fixed length, so that no seed is the prefix of another's input.
fn seed(secret: &[u8], fleet: &str, container: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(Sha256::digest(secret));
    hash.update(stable_hash(&["ssh-host-key", fleet, container]));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    #[test]
    fn the_same_names_give_the_same_key_and_others_another() {
        let key = HostKey::derive(b"secret", "demo", "db");
        assert_eq!(key, HostKey::derive(b"secret", "demo", "db"));
        assert_ne!(key.public, HostKey::derive(b"secret", "demo", "web").public);
        assert_ne!(key.public, HostKey::derive(b"secret", "prod", "db").public);
        assert_ne!(key.public, HostKey::derive(b"other", "demo", "db").public);
        insta::assert_snapshot!(key.public, @"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKGp3PDcT1e5WLBEyPM5/oT8jP1c12NflihHbWirPZwe db");
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let key = HostKey::derive(b"secret", "demo", "db");
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }

    #[test]
    fn openssh_reads_the_private_key_and_finds_the_public_one_in_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("key");
        let key = HostKey::derive(b"secret", "demo", "db");
        std::fs::write(&path, &key.private).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        let output = Command::new("ssh-keygen").arg("-yf").arg(&path).output().expect("ssh-keygen is installed");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", key.public));
        assert!(key.private.ends_with("-----END OPENSSH PRIVATE KEY-----\n"));
    }
}
