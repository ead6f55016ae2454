//! What is set up inside a guest before its first start.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{MachineId, NetworkName, hex};

/// A user of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// Login name, `[a-z_][a-z0-9_-]*`, at most 32 characters (useradd(8)).
    pub name: String,
    /// The user id; the first free one from 1000 up when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Absolute path of the login shell; the best one the image has when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Whether the user may become root without a password.
    #[serde(default)]
    pub sudo: bool,
    /// Lines of `authorized_keys` (sshd(8)), each one key.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
}

/// What is written into a guest's root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSpec {
    /// The guest's host name; its first label stands in the fleet's host table.
    pub hostname: String,
    /// The content of `/etc/machine-id`.
    pub machine_id: MachineId,
    /// Users besides root.
    #[serde(default)]
    pub users: Vec<UserSpec>,
    /// Keys that may log in as root.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// Name servers; empty means those of the host.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Templates that stand in for the built-in ones: template name (such as `hosts`) to its text.
    #[serde(default)]
    pub templates: BTreeMap<String, String>,
}

/// A member of a fleet, as its fellows know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its names, the shortest first: `agent-1`, `agent-1.dev-cluster`.
    pub names: Vec<String>,
    /// Its addresses of both families, each with the network that it is on.
    pub addresses: Vec<(NetworkName, IpAddr)>,
}

/// The host table of a guest on `networks`: each of `members` by its addresses on the first of those networks that it is on
/// too. Who shares none with the guest could not be reached anyway.
#[must_use]
pub fn host_table(members: &[Member], networks: &[NetworkName]) -> Vec<HostEntry> {
    let mut entries = Vec::new();
    for member in members {
        let on = |network: &NetworkName| member.addresses.iter().any(|(name, _)| name == network);
        let Some(shared) = networks.iter().find(|network| on(network)) else { continue };
        let addresses = member.addresses.iter().filter(|(network, _)| network == shared);
        entries.extend(addresses.map(|(_, address)| HostEntry { address: *address, names: member.names.clone() }));
    }
    entries
}

/// One line of a guest's host table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostEntry {
    /// An address of the member's.
    pub address: IpAddr,
    /// Its names, the shortest first: `agent-1`, `agent-1.dev-cluster`.
    pub names: Vec<String>,
}

/// A digest of a host table, so that a container's record can tell whether the one in the guest is still right.
#[must_use]
pub fn hosts_digest(entries: &[HostEntry]) -> String {
    let mut hash = Sha256::new();
    for entry in entries {
        match entry.address {
            IpAddr::V4(address) => hash.update(address.octets()),
            IpAddr::V6(address) => hash.update(address.octets()),
        }
        for name in &entry.names {
            hash.update(name.as_bytes());
            hash.update([0]);
        }
        hash.update([1]);
    }
    hex(&hash.finalize()[..16])
}
