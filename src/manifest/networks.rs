//! `network` and `networks` of the fleet file: the networks that there are, each with what is derived of it.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::findings::Complaint;
use super::keys;
use super::network::NetworkKeys;
use super::node::Span;
use super::reader::{Reader, Section, Setting};
use super::scalar;
use super::subnet::{Subnet6, derived_subnets, derived_subnets6, subnet_key};
use crate::model::{FleetName, IpFamily, NetworkName, NetworkSpec, OuterNetwork, PerFamily, overlap};

/// A network that the fleet file names, or the default one.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) name: NetworkName,
    pub(super) keys: NetworkKeys,
    /// Where a finding about its subnet points.
    pub(super) places: PerFamily<Span>,
}

impl Declared {
    /// Whether fleet makes it.
    pub(super) fn is_own(&self) -> bool {
        self.keys.way.outer().is_none()
    }

    /// Whether some subnet of it comes from the fleet's name.
    fn is_derived(&self) -> bool {
        self.keys.subnet.is_absent() || self.keys.subnet6.value().is_some_and(|subnet| *subnet == Subnet6::Auto)
    }
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
    let subnet = keys.subnet.given().map_or(otherwise, |subnet| subnet.span);
    let places = PerFamily { ipv4: subnet, ipv6: keys.subnet6.given().map_or(subnet, |subnet| subnet.span) };
    Declared { name, keys, places }
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
/// Without those that there is a finding about, or that nothing is known of because the fleet itself is not `is_named`.
pub(super) fn resolve(
    reader: &mut Reader,
    declared: &[Declared],
    fleet: &FleetName,
    scope: &str,
    used: &BTreeSet<&str>,
    is_named: bool,
) -> Resolved {
    let outer = declared.iter().filter_map(|network| outer(reader, network)).collect();
    let declared = || declared.iter().filter(|network| network.is_own());
    let mut taken = Taken::default();
    for network in declared() {
        let subnet6 = network.keys.subnet6.value().and_then(|subnet| match subnet {
            Subnet6::Auto => None,
            Subnet6::Given(subnet) => Some(IpNet::from(*subnet)),
        });
        let given = [network.keys.subnet.value().copied().map(IpNet::from), subnet6];
        for subnet in given.into_iter().flatten() {
            taken.take(reader, network, subnet);
        }
    }
    let mut specs: Vec<NetworkSpec> = Vec::new();
    for network in declared() {
        let is_used = used.contains(network.name.as_str());
        if !is_named && network.is_derived() {
            continue;
        }
        let subnet = taken.subnet(reader, fleet, network, is_used);
        let subnet6 = match &network.keys.subnet6 {
            Setting::Wrong => continue,
            Setting::Absent => None,
            Setting::Given(_) => match taken.subnet6(reader, fleet, network, is_used) {
                None => continue,
                some => some,
            },
        };
        let Some(subnet) = subnet else { continue };
        let spec = network.keys.spec(fleet, &network.name, scope, subnet, subnet6);
        if let Some(other) = specs.iter().find(|other| other.bridge == spec.bridge) {
            let message =
                format!("the networks `{}` and `{}` have the same bridge `{}`", other.name, spec.name, spec.bridge);
            reader.complain(network.keys.bridge_place().unwrap_or(network.places.ipv4), message);
        }
        specs.push(spec);
    }
    Resolved { own: specs, outer }
}

/// The subnets that networks of the fleet have.
#[derive(Debug, Default)]
struct Taken<'d>(Vec<(IpNet, &'d Declared)>);

impl<'d> Taken<'d> {
    /// Enters the subnet that is written for `network`.
    fn take(&mut self, reader: &mut Reader, network: &'d Declared, subnet: IpNet) {
        let family = IpFamily::of(subnet.addr());
        if let Some((other, theirs)) = self.0.iter().find(|(other, _)| overlap(*other, subnet)) {
            let line = reader.line(*theirs.places.of(family));
            let message = format!("{subnet} overlaps {other} of the network `{}` in line {line}", theirs.name);
            reader.complain(*network.places.of(family), message);
        }
        self.0.push((subnet, network));
    }

    /// The subnet of `network`, derived if none is written. `None` if there is a finding about it.
    fn subnet(
        &mut self,
        reader: &mut Reader,
        fleet: &FleetName,
        network: &'d Declared,
        is_used: bool,
    ) -> Option<Ipv4Net> {
        match &network.keys.subnet {
            Setting::Wrong => None,
            Setting::Given(subnet) => Some(subnet.value),
            Setting::Absent => self.free(reader, network, is_used, derived_subnets(fleet.as_str(), &network.name)),
        }
    }

    /// Its IPv6 subnet, if one is asked for.
    fn subnet6(
        &mut self,
        reader: &mut Reader,
        fleet: &FleetName,
        network: &'d Declared,
        is_used: bool,
    ) -> Option<Ipv6Net> {
        match network.keys.subnet6.value()? {
            Subnet6::Given(subnet) => Some(*subnet),
            Subnet6::Auto => self.free(reader, network, is_used, derived_subnets6(fleet.as_str(), &network.name)),
        }
    }

    /// Takes the first of `candidates` that no other network has.
    fn free<N: Copy + Into<IpNet>>(
        &mut self,
        reader: &mut Reader,
        network: &'d Declared,
        is_used: bool,
        candidates: impl Iterator<Item = N>,
    ) -> Option<N> {
        let mut candidates = candidates.peekable();
        let wish = *candidates.peek()?;
        let family = IpFamily::of(wish.into().addr());
        let free = candidates.find(|subnet| !self.0.iter().any(|(other, _)| overlap(*other, (*subnet).into())));
        if free.is_none() && is_used {
            let complaint = Complaint::new(format!("no subnet is left for the network `{}`", network.name));
            reader.complain(*network.places.of(family), complaint.hint(format!("give it a `{}`", subnet_key(family))));
        }
        // Of a network that nobody uses it does not matter.
        let subnet = free.unwrap_or(wish);
        self.0.push((subnet.into(), network));
        Some(subnet)
    }
}

/// The network, if it is one that the host has without fleet.
fn outer(reader: &mut Reader, network: &Declared) -> Option<OuterNetwork> {
    let (way, parent) = network.keys.way.outer()?;
    let outer = network.keys.outer(reader, &network.name, way, parent);
    for family in IpFamily::ALL {
        let Some((gateway, place)) = network.keys.way.gateway(family) else { continue };
        let message = match *outer.subnets.of(family) {
            // There is a finding about it.
            None if network.keys.has_wrong_subnet(family) => None,
            None => Some(format!("a gateway is nothing without a `{}`", subnet_key(family))),
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
    if matches!(wanted, "none" | "host") {
        let complaint = Complaint::new(format!("`{wanted}` is no network, and stands alone"));
        return reader.complain(place, complaint.hint(format!("write `networks: {wanted}`")));
    }
    let known = || declared.iter().map(|network| network.name.as_str());
    let hint = keys::did_you_mean(wanted, known()).unwrap_or_else(|| {
        format!("the networks are {}; others go into `networks` of the file", keys::listed(known()))
    });
    reader.complain(place, Complaint::new(format!("there is no network `{wanted}`")).hint(hint));
}
