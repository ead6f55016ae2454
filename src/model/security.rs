//! What a container may do that others may not, and the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a container differs from an ordinary unprivileged one. The default is an ordinary one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecuritySpec {
    /// Without a user namespace: its root is the host's.
    pub privileged: bool,
    /// Containers may be run inside.
    pub nesting: bool,
    /// Capabilities on top of the ordinary ones, and without some of them.
    pub capabilities: CapabilityChanges,
    /// Which system calls are refused.
    pub seccomp: Seccomp,
    /// Kernel parameters of its own namespaces, by dotted name: `net.ipv4.ip_forward`.
    pub sysctls: BTreeMap<String, String>,
    /// Resource limits of its init, which its other processes inherit.
    pub rlimits: BTreeMap<Resource, ResourceLimit>,
}

/// Capabilities on top of the ordinary ones, and without some of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CapabilityChanges {
    /// Those that an ordinary container has not.
    pub add: BTreeSet<Capability>,
    /// Those that an ordinary container has.
    pub drop: BTreeSet<Capability>,
}

impl CapabilityChanges {
    /// What a container gains and what it loses by having these changes instead of `old`.
    #[must_use]
    pub fn since(&self, old: &CapabilityChanges) -> CapabilityChanges {
        let add = &(&self.add - &old.add) | &(&old.drop - &self.drop);
        let drop = &(&self.drop - &old.drop) | &(&old.add - &self.add);
        CapabilityChanges { add, drop }
    }
}

/// Which system calls a container is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// Those that no system container needs and that reach beyond it.
    #[default]
    Default,
    /// None.
    Unconfined,
}

impl Seccomp {
    /// All of them, with the word that names each in a fleet file.
    pub const ALL: [(&'static str, Seccomp); 2] = [("default", Seccomp::Default), ("unconfined", Seccomp::Unconfined)];
}

/// One capability (capabilities(7)), written in lower case without `cap_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Capability(u8);

impl Capability {
    /// The names, at the place of each one's number (`linux/capability.h`).
    #[rustfmt::skip]
    pub const NAMES: [&'static str; 41] = [
        "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
        "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
        "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
        "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
        "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
        "checkpoint_restore",
    ];

    /// The kernel's number for it.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

/// A resource whose use by a process can be limited (getrlimit(2)), written in lower case without `RLIMIT_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resource(u8);

impl Resource {
    /// The names, at the place of each one's number (`asm-generic/resource.h`).
    #[rustfmt::skip]
    pub const NAMES: [&'static str; 16] = [
        "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending",
        "msgqueue", "nice", "rtprio", "rttime",
    ];

    /// The kernel's number for it.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

/// The two values of a resource limit; `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimit {
    /// The one in force.
    pub soft: Option<u64>,
    /// How far a process may raise it.
    pub hard: Option<u64>,
}

/// A word that is not in the kernel's list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} `{word}`")]
pub struct UnknownWord {
    kind: &'static str,
    word: String,
}

fn place_of(names: &[&str], kind: &'static str, word: &str) -> Result<u8, UnknownWord> {
    let place = names.iter().position(|name| *name == word).and_then(|place| u8::try_from(place).ok());
    place.ok_or_else(|| UnknownWord { kind, word: word.to_owned() })
}

impl FromStr for Capability {
    type Err = UnknownWord;

    /// In either case, with or without `cap_`.
    fn from_str(text: &str) -> Result<Capability, UnknownWord> {
        let word = text.to_ascii_lowercase();
        place_of(&Self::NAMES, "capability", word.strip_prefix("cap_").unwrap_or(&word)).map(Capability)
    }
}

impl FromStr for Resource {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Resource, UnknownWord> {
        place_of(&Self::NAMES, "resource limit", text).map(Resource)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::NAMES[usize::from(self.0)])
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Self::NAMES[usize::from(self.0)])
    }
}

impl TryFrom<String> for Capability {
    type Error = UnknownWord;

    fn try_from(text: String) -> Result<Capability, UnknownWord> {
        text.parse()
    }
}

impl TryFrom<String> for Resource {
    type Error = UnknownWord;

    fn try_from(text: String) -> Result<Resource, UnknownWord> {
        text.parse()
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> String {
        capability.to_string()
    }
}

impl From<Resource> for String {
    fn from(resource: Resource) -> String {
        resource.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_and_resources_have_the_kernels_names_and_numbers() {
        assert_eq!("CAP_SYS_ADMIN".parse::<Capability>().map(Capability::number), Ok(21));
        assert_eq!("nofile".parse::<Resource>().map(Resource::number), Ok(7));
        assert_eq!(
            "sys_root".parse::<Capability>().expect_err("none").to_string(),
            "there is no capability `sys_root`"
        );
        let record = serde_json::to_string(&SecuritySpec {
            capabilities: CapabilityChanges { add: ["sys_time".parse().expect("one")].into(), ..Default::default() },
            ..Default::default()
        });
        assert!(record.expect("JSON").contains(r#""add":["sys_time"]"#));
    }
}
