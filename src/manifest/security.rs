//! The keys of a container that say what it may do.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Complaint;
use super::keys::{self, did_you_mean};
use super::node::{Entry, Placed, Value};
use super::reader::{Reader, Section, Setting, item_place};
use super::scalar;
use crate::model::{Capability, CapabilityChanges, Resource, ResourceLimit, Seccomp, SecuritySpec};

/// Where the kernel parameters lie that each namespace has for itself (namespaces(7)): a name, or its beginning with
/// the dot. An unprivileged container may set no others.
const OWN_SYSCTLS: [&str; 12] = [
    "net.",
    "user.",
    "fs.mqueue.",
    "kernel.domainname",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The keys of one layer.
#[derive(Debug, Clone, Default)]
pub(super) struct SecurityKeys {
    privileged: Setting<bool>,
    nesting: Setting<bool>,
    capabilities: Setting<CapabilityChanges>,
    seccomp: Setting<Seccomp>,
    sysctls: Setting<Vec<(Placed<String>, String)>>,
    rlimits: Setting<BTreeMap<Resource, ResourceLimit>>,
}

impl SecurityKeys {
    /// Reads them from the layer that `section` is.
    pub(super) fn read(reader: &mut Reader, section: &Section<'_>) -> SecurityKeys {
        SecurityKeys {
            privileged: section.scalar(reader, "privileged", scalar::truth),
            nesting: section.scalar(reader, "nesting", scalar::truth),
            capabilities: section.setting(reader, "capabilities", capabilities),
            seccomp: section.scalar(reader, "seccomp", |text| scalar::one_of("filter", text, &Seccomp::ALL)),
            sysctls: section.setting(reader, "sysctls", sysctls),
            rlimits: section.setting(reader, "rlimits", rlimits),
        }
    }

    /// These keys on top of those `below`.
    pub(super) fn over(&self, below: &SecurityKeys) -> SecurityKeys {
        SecurityKeys {
            privileged: self.privileged.or(&below.privileged),
            nesting: self.nesting.or(&below.nesting),
            capabilities: self.capabilities.or(&below.capabilities),
            seccomp: self.seccomp.or(&below.seccomp),
            sysctls: self.sysctls.or(&below.sysctls),
            rlimits: self.rlimits.or(&below.rlimits),
        }
    }

    /// Finds what only shows when all layers of a container lie on each other.
    pub(super) fn check(&self, reader: &mut Reader, is_on_host_network: bool) {
        if !matches!(&self.privileged, Setting::Absent | Setting::Given(Placed { value: false, .. })) {
            return;
        }
        for (name, _) in self.sysctls.value().into_iter().flatten() {
            let is_hosts = is_on_host_network && name.value.starts_with("net.");
            if is_hosts || !is_own_sysctl(&name.value) {
                let complaint = Complaint::new(format!("`{}` belongs to the whole host", name.value));
                reader.complain(
                    name.span,
                    complaint.hint("set it on the host, or give the container `privileged: true`"),
                );
            }
        }
    }

    /// Whether they ask for a container whose root is the host's.
    pub(super) fn is_privileged(&self) -> bool {
        self.privileged.value() == Some(&true)
    }

    /// What they ask for.
    pub(super) fn security(&self) -> SecuritySpec {
        let sysctls = self.sysctls.value().into_iter().flatten();
        SecuritySpec {
            privileged: self.privileged.value().copied().unwrap_or_default(),
            nesting: self.nesting.value().copied().unwrap_or_default(),
            capabilities: self.capabilities.value().cloned().unwrap_or_default(),
            seccomp: self.seccomp.value().copied().unwrap_or_default(),
            sysctls: sysctls.map(|(name, value)| (name.value.clone(), value.clone())).collect(),
            rlimits: self.rlimits.value().cloned().unwrap_or_default(),
        }
    }
}

fn is_own_sysctl(name: &str) -> bool {
    OWN_SYSCTLS.iter().any(|own| if own.ends_with('.') { name.starts_with(own) } else { name == *own })
}

fn capabilities(reader: &mut Reader, entry: &Entry) -> Option<CapabilityChanges> {
    let section = reader.section("`capabilities`", entry.key.span, &entry.node, &keys::CAPABILITIES)?;
    let add = section.setting(reader, "add", capability_list);
    let drop = section.setting(reader, "drop", capability_list);
    let of = |list: &Setting<Vec<Placed<Capability>>>| -> BTreeSet<Capability> {
        list.value().into_iter().flatten().map(|capability| capability.value).collect()
    };
    let changes = CapabilityChanges { add: of(&add), drop: of(&drop) };
    for both in drop.value().into_iter().flatten().filter(|capability| changes.add.contains(&capability.value)) {
        let complaint = Complaint::new(format!("`{}` is in `add` and in `drop`", both.value));
        reader.complain(both.span, complaint.hint("leave one of them out"));
    }
    Some(changes)
}

fn capability_list(reader: &mut Reader, entry: &Entry) -> Option<Vec<Placed<Capability>>> {
    let mut capabilities = Vec::new();
    for node in reader.list(entry)? {
        let span = item_place(entry.key.span, node);
        let text = reader.item("a capability", entry.key.span, node);
        let found = text.and_then(|text| reader.accept(span, capability(text)));
        capabilities.extend(found.map(|value| Placed { value, span }));
    }
    Some(capabilities)
}

fn capability(text: &str) -> Result<Capability, Complaint> {
    text.parse().map_err(|error: crate::model::UnknownWord| {
        let word = text.to_ascii_lowercase();
        let word = word.strip_prefix("cap_").unwrap_or(&word);
        Complaint { hint: did_you_mean(word, Capability::NAMES.into_iter()), message: error.to_string() }
    })
}

fn sysctls(reader: &mut Reader, entry: &Entry) -> Option<Vec<(Placed<String>, String)>> {
    let mut sysctls = Vec::new();
    for parameter in reader.entries("`sysctls`", entry.key.span, &entry.node)? {
        let name = reader.accept(parameter.key.span, sysctl_name(&parameter.key.value));
        let value = reader.text(parameter);
        let value = value.and_then(|value| reader.accept(parameter.place(), sysctl_value(value)));
        if let (Some(()), Some(value)) = (name, value) {
            sysctls.push((parameter.key.clone(), value));
        }
    }
    Some(sysctls)
}

/// A name is turned into a path below `/proc/sys`: no part of it may lead elsewhere.
fn sysctl_name(name: &str) -> Result<(), Complaint> {
    if name == "kernel.hostname" {
        return Err(Complaint::new("the host name is no business of `sysctls`").hint("write `hostname: NAME`"));
    }
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    if name.contains('.') && name.split('.').all(is_word) {
        return Ok(());
    }
    let hint = "names are written with dots, as in `net.ipv4.ip_forward`";
    Err(Complaint::new(format!("`{}` is not the name of a kernel parameter", name.escape_debug())).hint(hint))
}

fn sysctl_value(text: &str) -> Result<String, Complaint> {
    if text.is_empty() || text.contains(|c: char| c.is_control() && c != '\t') {
        return Err(Complaint::new("the value of a kernel parameter is one line"));
    }
    Ok(text.to_owned())
}

fn rlimits(reader: &mut Reader, entry: &Entry) -> Option<BTreeMap<Resource, ResourceLimit>> {
    let section = reader.section("`rlimits`", entry.key.span, &entry.node, &keys::RLIMITS)?;
    let mut limits = BTreeMap::new();
    for name in keys::RLIMITS.known() {
        let limit = section.setting(reader, name, rlimit);
        if let (Some(limit), Ok(resource)) = (limit.value(), name.parse()) {
            limits.insert(resource, *limit);
        }
    }
    Some(limits)
}

/// One number for both values, or a mapping of the two.
fn rlimit(reader: &mut Reader, entry: &Entry) -> Option<ResourceLimit> {
    if !matches!(entry.node.value, Value::Mapping(_)) {
        let text = reader.text(entry)?;
        let both = reader.accept(entry.place(), limit_value(text))?;
        return Some(ResourceLimit { soft: both, hard: both });
    }
    let name = &entry.key.value;
    let section = reader.section(&format!("`{name}`"), entry.key.span, &entry.node, &keys::RLIMIT)?;
    let soft = section.scalar(reader, "soft", limit_value);
    let hard = section.scalar(reader, "hard", limit_value);
    if soft.is_absent() || hard.is_absent() {
        let complaint = Complaint::new(format!("`{name}` needs both `soft` and `hard`"));
        reader.complain(entry.key.span, complaint.hint("write one number for both"));
    }
    let limit = ResourceLimit { soft: *soft.value()?, hard: *hard.value()? };
    let unlimited = u64::MAX;
    if limit.soft.unwrap_or(unlimited) > limit.hard.unwrap_or(unlimited) {
        reader.complain(soft.given()?.span, format!("the soft limit of `{name}` is above the hard one"));
    }
    Some(limit)
}

/// A number, or none for `unlimited`.
fn limit_value(text: &str) -> Result<Option<u64>, Complaint> {
    if text == "unlimited" {
        return Ok(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    // The largest number is how the kernel spells "unlimited" (RLIM_INFINITY).
    number.filter(|number| *number < u64::MAX).map(Some).ok_or_else(|| {
        Complaint::new(format!("`{text}` is not a resource limit")).hint("write a whole number or `unlimited`")
    })
}
