//! Compares what a container may do, and what it sees of the host, with what is asked for.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::compare::{Differences, Remedy};
use crate::model::{CapabilityChanges, DeviceSpec, Seccomp, SecuritySpec};

/// All of it is settled while a container starts.
const REMEDY: Remedy = Remedy::ConfigureAndRestart;

pub(super) fn security(found: &mut Differences, old: &SecuritySpec, new: &SecuritySpec) {
    let SecuritySpec { privileged, nesting, capabilities, seccomp, sysctls, rlimits } = new;
    let word = |truth: bool| if truth { "yes" } else { "no" };
    found.compare(REMEDY, "privileged", &word(old.privileged), &word(*privileged));
    found.compare(REMEDY, "nesting", &word(old.nesting), &word(*nesting));
    if old.capabilities != *capabilities {
        found.note(REMEDY, capability_words(&old.capabilities, capabilities));
    }
    found.compare(REMEDY, "seccomp", &seccomp_word(old.seccomp), &seccomp_word(*seccomp));
    found.compare_named(REMEDY, "sysctls", &named_by_key(&old.sysctls), &named_by_key(sysctls));
    found.compare_named(REMEDY, "rlimits", &named_by_key(&old.rlimits), &named_by_key(rlimits));
}

pub(super) fn devices(found: &mut Differences, old: &[DeviceSpec], new: &[DeviceSpec]) {
    found.compare_list(REMEDY, "devices", old, new);
}

/// What the container gains and loses: that one is no longer dropped is a gain.
fn capability_words(old: &CapabilityChanges, new: &CapabilityChanges) -> String {
    let CapabilityChanges { add, drop } = new.since(old);
    let signed = add.iter().map(|gained| format!("+{gained}")).chain(drop.iter().map(|lost| format!("-{lost}")));
    format!("capabilities {}", signed.collect::<Vec<_>>().join(" "))
}

fn named_by_key<K: Display, V>(map: &BTreeMap<K, V>) -> Vec<(String, &V)> {
    map.iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// The word for it in a fleet file.
fn seccomp_word(seccomp: Seccomp) -> &'static str {
    let word = Seccomp::ALL.iter().find(|(_, other)| *other == seccomp).map(|(word, _)| *word);
    word.expect("ALL has all of them")
}
