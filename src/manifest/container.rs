//! Containers: layers laid on each other, replicas counted out, names given.

use std::collections::HashMap;

use super::findings::Complaint;
use super::keys::{did_you_mean, listed};
use super::layer::Layer;
use super::links::{LinkKeys, Networks};
use super::node::{Placed, Span};
use super::reader::{Reader, Section};
use super::scalar;
use crate::model::ContainerName;

/// What one key of `containers` stands for: a container, or as many as it has replicas.
#[derive(Debug)]
pub(super) struct Group {
    /// The key.
    pub(super) key: Placed<String>,
    /// Its keys, with those of profiles and `defaults` below.
    pub(super) keys: Layer,
    /// The names, those of replicas in ascending order.
    pub(super) names: Vec<ContainerName>,
    /// The links of each of them.
    pub(super) links: Vec<LinkKeys>,
    /// Whether they are in the host's network namespace.
    pub(super) is_on_host_network: bool,
}

/// Reads `containers` of the fleet file's own `section`, with the `defaults` and `profiles` that they stand on.
pub(super) fn groups(reader: &mut Reader, section: &Section<'_>, prefix: &str) -> Vec<Group> {
    let defaults = match section.entry("defaults") {
        Some(entry) => Layer::read(reader, "`defaults`", entry.key.span, &entry.node),
        None => Layer::default(),
    };
    let profiles = profiles(reader, section);
    let Some(containers) = section.entry("containers") else {
        let complaint = Complaint::new("the fleet file has no `containers`");
        reader.complain(Span::default(), complaint.hint("write `containers: {}` for an empty fleet"));
        return Vec::new();
    };
    let mut groups = Vec::new();
    let entries = reader.entries("`containers`", containers.key.span, &containers.node).unwrap_or_default();
    for entry in entries {
        let own = Layer::read(reader, &format!("the container `{}`", entry.key.value), entry.key.span, &entry.node);
        let keys = laid_on(reader, &own, &profiles, &defaults);
        let names = names(reader, &entry.key, prefix, keys.replicas.value().copied());
        let links = LinkKeys::of(reader, &keys, entry.key.span);
        let is_on_host_network = matches!(keys.networks.value(), Some(Networks::OfHost));
        groups.push(Group { key: entry.key.clone(), keys, names, links, is_on_host_network });
    }
    check_names(reader, &groups);
    groups
}

fn profiles(reader: &mut Reader, section: &Section<'_>) -> HashMap<String, Layer> {
    let Some(entry) = section.entry("profiles") else { return HashMap::new() };
    let mut profiles = HashMap::new();
    for profile in reader.entries("`profiles`", entry.key.span, &entry.node).unwrap_or_default() {
        let name = &profile.key.value;
        let layer = Layer::read(reader, &format!("the profile `{name}`"), profile.key.span, &profile.node);
        if let Some(inner) = layer.profiles.given() {
            reader.complain(inner.span, "a profile cannot stand on other profiles".to_owned());
        }
        profiles.insert(name.clone(), layer);
    }
    profiles
}

/// `own` over its profiles over `defaults`.
fn laid_on(reader: &mut Reader, own: &Layer, profiles: &HashMap<String, Layer>, defaults: &Layer) -> Layer {
    let listed_profiles = own.profiles.or(&defaults.profiles);
    let mut below = defaults.clone();
    for name in listed_profiles.value().into_iter().flatten() {
        if let Some(profile) = profiles.get(&name.value) {
            below = profile.over(&below);
        } else {
            let known = || profiles.keys().map(String::as_str);
            let complaint = Complaint::new(format!("there is no profile `{}`", name.value));
            let mut sorted: Vec<&str> = known().collect();
            sorted.sort_unstable();
            let hint = match did_you_mean(&name.value, known()) {
                Some(question) => question,
                None if sorted.is_empty() => "the fleet file has no `profiles`".to_owned(),
                None => format!("the profiles are {}", listed(sorted.into_iter())),
            };
            reader.complain(name.span, complaint.hint(hint));
        }
    }
    own.over(&below)
}

/// The names behind `key`. Only the first that cannot be one becomes a finding: the others are like it.
fn names(reader: &mut Reader, key: &Placed<String>, prefix: &str, replicas: Option<u32>) -> Vec<ContainerName> {
    let base = format!("{prefix}{}", key.value);
    let full = match replicas {
        None => vec![base],
        Some(replicas) => (1..=replicas).map(|number| format!("{base}-{number}")).collect(),
    };
    let mut names = Vec::with_capacity(full.len());
    for full in full {
        match full.parse() {
            Ok(name) => names.push(name),
            Err(error) => {
                let complaint = Complaint::new(format!("`{full}` cannot be the name of a container: {error}"));
                reader.complain(key.span, Complaint { hint: scalar::nearest_name(&key.value), ..complaint });
                break;
            }
        }
    }
    names
}

/// Finds names that two groups have. One finding for each group.
fn check_names(reader: &mut Reader, groups: &[Group]) {
    let mut seen: HashMap<&ContainerName, Span> = HashMap::new();
    for group in groups {
        let mut clash = None;
        for name in &group.names {
            if let Some(first) = seen.insert(name, group.key.span)
                && clash.is_none()
            {
                clash = Some((name, first));
            }
        }
        if let Some((name, first)) = clash {
            let line = reader.line(first);
            reader.complain(group.key.span, format!("the container `{name}` is there twice: first from line {line}"));
        }
    }
}
