//! `network` and `networks` of the fleet file: the networks that there are, each with what is derived of it.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::findings::Complaint;
use super::keys;
use super::network::{NetworkKeys, derived_subnets, overlap};
use super::node::Span;
use super::reader::{Reader, Section, Setting};
use super::scalar;
use crate::model::{FleetName, NetworkName, NetworkSpec, OuterNetwork};

/// A network that the fleet file names, or the default one.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) name: NetworkName,
    pub(super) keys: NetworkKeys,
    /// Where a finding about its subnet points.
    pub(super) place: Span,
}

/// Reads them from the fleet file's own `section`: the default one first, whether it is written or not.
pub(super) fn read(reader: &mut Reader, section: &Section<'_>) -> Vec<Declared> {
    let containers = section.entry("containers").map(|entry| entry.key.span).unwrap_or_default();
    let mut declared = vec![match section.entry("network") {
        Some(entry) => named(NetworkName::default(), NetworkKeys::read(reader, "`network`", entry), containers),
        None => named(NetworkName::default(), NetworkKeys::default(), containers),
    }];
    let Some(entry) = section.entry("networks") else { return declared };
    for network in reader.entries("`networks`", entry.key.span, &entry.node).unwrap_or_default() {
        let Some(name) = reader.accept(network.key.span, name(&network.key.value)) else { continue };
        let keys = NetworkKeys::read(reader, &format!("the network `{name}`"), network);
        let new = named(name, keys, network.key.span);
        if !new.name.is_default() {
            declared.push(new);
        } else if section.entry("network").is_none() {
            declared[0] = new;
        } else {
            let complaint =
                Complaint::new("the network `default` is there twice: it is the one that `network` describes");
            reader.complain(network.key.span, complaint.hint("leave one of them out"));
        }
    }
    declared
}

fn named(name: NetworkName, keys: NetworkKeys, otherwise: Span) -> Declared {
    let place = keys.subnet.given().map_or(otherwise, |subnet| subnet.span);
    Declared { name, keys, place }
}

/// The name of a network. `none` and `host` mean something else where a container names its networks.
pub(super) fn name(text: &str) -> Result<NetworkName, Complaint> {
    let bad = |why: String| {
        let complaint = Complaint::new(format!("`{text}` cannot be the name of a network: {why}"));
        Complaint { hint: scalar::nearest_name(text), ..complaint }
    };
    if matches!(text, "none" | "host") {
        return Err(bad("the word means something else in `networks` of a container".to_owned()));
    }
    text.parse().map_err(|error: crate::model::NameError| bad(error.to_string()))
}

/// The networks of a fleet.
pub(super) struct Resolved {
    /// Those that fleet makes.
    pub(super) own: Vec<NetworkSpec>,
    /// Those that the host has without it.
    pub(super) outer: Vec<OuterNetwork>,
}

/// The networks of the fleet `fleet`, all that is not given being derived. `used` are those that some container is on.
/// `None` if there is a finding about one.
pub(super) fn resolve(
    reader: &mut Reader,
    declared: &[Declared],
    fleet: &FleetName,
    scope: &str,
    used: &BTreeSet<&str>,
) -> Option<Resolved> {
    let outer = declared.iter().filter_map(|network| outer(reader, network)).collect();
    let declared = || declared.iter().filter(|network| network.keys.way.outer().is_none());
    let mut taken: Vec<(Ipv4Net, &Declared)> = Vec::new();
    for network in declared() {
        let Some(subnet) = network.keys.subnet.value() else { continue };
        if let Some((other, theirs)) = taken.iter().find(|(other, _)| overlap(*other, *subnet)) {
            let line = reader.line(theirs.place);
            let message = format!("{subnet} overlaps {other} of the network `{}` in line {line}", theirs.name);
            reader.complain(network.place, message);
        }
        taken.push((*subnet, network));
    }
    let mut specs: Vec<NetworkSpec> = Vec::new();
    for network in declared() {
        let subnet = match &network.keys.subnet {
            Setting::Wrong => return None,
            Setting::Given(subnet) => subnet.value,
            Setting::Absent => {
                let mut candidates = derived_subnets(fleet.as_str(), &network.name).peekable();
                let wish = candidates.peek().copied();
                let is_free = |subnet: &Ipv4Net| !taken.iter().any(|(other, _)| overlap(*other, *subnet));
                let free = candidates.find(is_free);
                if free.is_none() && used.contains(network.name.as_str()) {
                    let complaint = Complaint::new(format!("no subnet is left for the network `{}`", network.name));
                    reader.complain(network.place, complaint.hint("give it a `subnet`"));
                }
                // Of a network that nobody uses it does not matter.
                free.or(wish)?
            }
        };
        taken.push((subnet, network));
        let spec = network.keys.spec(fleet, &network.name, scope, subnet);
        if let Some(other) = specs.iter().find(|other| other.bridge == spec.bridge) {
            let message =
                format!("the networks `{}` and `{}` have the same bridge `{}`", other.name, spec.name, spec.bridge);
            reader.complain(network.keys.bridge_place().unwrap_or(network.place), message);
        }
        specs.push(spec);
    }
    Some(Resolved { own: specs, outer })
}

/// The network, if it is one that the host has without fleet.
fn outer(reader: &mut Reader, network: &Declared) -> Option<OuterNetwork> {
    let (way, parent) = network.keys.way.outer()?;
    let outer = network.keys.outer(reader, &network.name, way, parent);
    if let Some((gateway, place)) = network.keys.way.gateway_place() {
        let message = match outer.subnet {
            None => Some("a gateway is nothing without a `subnet`".to_owned()),
            Some(subnet) if !subnet.contains(&gateway) => Some(format!("{gateway} is outside the subnet {subnet}")),
            Some(_) => None,
        };
        if let Some(message) = message {
            reader.complain(place, message);
        }
    }
    Some(outer)
}

/// Finds networks of `wanted` that are not declared.
pub(super) fn check_name(reader: &mut Reader, declared: &[Declared], wanted: &str, place: Span) {
    if declared.iter().any(|network| network.name.as_str() == wanted) {
        return;
    }
    let known = || declared.iter().map(|network| network.name.as_str());
    let hint = keys::did_you_mean(wanted, known()).unwrap_or_else(|| {
        format!("the networks are {}; others go into `networks` of the file", keys::listed(known()))
    });
    reader.complain(place, Complaint::new(format!("there is no network `{wanted}`")).hint(hint));
}
