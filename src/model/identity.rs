//! What is derived from names, the same way every time.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 over `parts`, each preceded by its length so that no two lists of parts give the same input.
#[must_use]
pub fn stable_hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// `bytes` as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The content of a guest's `/etc/machine-id`: 32 hexadecimal digits (machine-id(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineId(pub String);

impl MachineId {
    /// The id of container `container` of fleet `fleet`, with the version and variant bits of a random UUID
    /// (RFC 9562 §5.4), as machine-id(5) asks for.
    #[must_use]
    pub fn derive(fleet: &str, container: &str) -> MachineId {
        let mut id = [0; 16];
        id.copy_from_slice(&stable_hash(&["machine-id", fleet, container])[..16]);
        id[6] = (id[6] & 0x0f) | 0x40;
        id[8] = (id[8] & 0x3f) | 0x80;
        MachineId(hex(&id))
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
