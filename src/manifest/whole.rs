//! What only shows when all layers of a container lie on each other, or when containers are seen together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::container::Group;
use super::findings::Complaint;
use super::layer::Layer;
use super::links::LinkKeys;
use super::networks::Declared;
use super::node::{Span, Value};
use super::reader::{Reader, Section};
use super::resolve::mac;
use crate::guest;
use crate::model::{
    ContainerName, ContainerSpec, FleetName, ImageSource, Init, IpFamily, LinkWay, MacAddress, NetworkSpec,
    OuterNetwork, native_architecture,
};

/// Finds templates that are none, or ask for what there is not. Replicas differ in nothing that would matter here.
pub(super) fn check_templates(
    reader: &mut Reader,
    section: &Section<'_>,
    fleet: &FleetName,
    groups: &[Group],
    containers: &[ContainerSpec],
) {
    let places: BTreeMap<&str, Span> = match section.entry("templates").map(|entry| &entry.node.value) {
        Some(Value::Mapping(entries)) => entries.iter().map(|entry| (&*entry.key.value, entry.place())).collect(),
        _ => return,
    };
    let first: BTreeSet<&ContainerName> = groups.iter().filter_map(|group| group.names.first()).collect();
    for container in containers.iter().filter(|container| first.contains(&container.name)) {
        for error in guest::wrong_templates(fleet, container) {
            let place = places.get(error.name()).copied().unwrap_or_default();
            reader.complain(place, error.to_string());
        }
    }
}

/// Finds what only shows when all layers of a container lie on each other.
pub(super) fn check_groups(reader: &mut Reader, groups: &[Group]) {
    for group in groups {
        let (key, keys) = (&group.key, &group.keys);
        keys.security.check(reader, group.is_on_host_network);
        check_entrypoint(reader, keys);
        check_arch(reader, keys);
        if keys.image.is_absent() {
            let complaint = Complaint::new(format!("the container `{}` has neither `distro` nor `image`", key.value));
            reader.complain(key.span, complaint.hint("write `distro: debian/12` or `image: file:PATH`"));
        }
        if group.names.len() > 1 {
            let macs = group.links.iter().map(|link| ("mac", link.mac.given().map(|mac| mac.span)));
            let hostname = ("hostname", keys.hostname.given().map(|name| name.span));
            for (name, span) in macs.chain([hostname]) {
                if let Some(span) = span {
                    let complaint =
                        Complaint::new(format!("`{}` has replicas, which cannot share one `{name}`", key.value));
                    reader.complain(span, complaint.hint(format!("leave `{name}` out: each replica gets its own")));
                }
            }
        }
    }
}

/// Finds host names that two containers have, or that are the name of another one. Replicas with a given one are a finding
/// already.
pub(super) fn check_hostnames(reader: &mut Reader, groups: &[Group]) {
    let mut owners: HashMap<&str, &ContainerName> =
        groups.iter().flat_map(|group| &group.names).map(|name| (name.as_str(), name)).collect();
    let mut found: BTreeSet<Span> = BTreeSet::new();
    for group in groups {
        let (Some(hostname), [name]) = (group.keys.hostname.given(), group.names.as_slice()) else { continue };
        let owner = *owners.entry(&hostname.value).or_insert(name);
        // One that came from `defaults` may be that of all.
        if owner != name && found.insert(hostname.span) {
            let message = format!("`{name}` and `{owner}` would both be called `{}`", hostname.value);
            reader.complain(hostname.span, Complaint::new(message).hint("leave `hostname` out: each gets its own"));
        }
    }
}

/// Finds what asks for more than the networks of a container can do.
pub(super) fn check_reach(
    reader: &mut Reader,
    groups: &[Group],
    declared: &[Declared],
    own: &[NetworkSpec],
    outer: &[OuterNetwork],
) {
    // One that is not there at all is a finding already.
    let is_own = |link: &&LinkKeys| {
        let declared = declared.iter().find(|network| network.name.as_str() == link.network.value);
        declared.is_none_or(Declared::is_own)
    };
    for group in groups {
        let name = &group.key.value;
        if let Some(first) = group.keys.ports.value().and_then(|ports| ports.first())
            && !group.links.iter().any(|link| is_own(&link))
        {
            let complaint =
                Complaint::new(format!("no port of `{name}` can be published: fleet makes none of its networks"));
            let hint = if group.is_on_host_network {
                "leave `ports` out: what it listens on is the host's already"
            } else {
                "add a network of the fleet's own to `networks`"
            };
            reader.complain(first.span, complaint.hint(hint));
        }
        if let Some(published) = group.links.iter().find(is_own) {
            check_port_families(reader, group, published, own);
        }
        for link in &group.links {
            let shared = outer.iter().find(|network| network.name.as_str() == link.network.value);
            if let Some(OuterNetwork { way: LinkWay::Ipvlan(_), parent, .. }) = shared
                && let Some(mac) = link.mac.given()
            {
                let complaint = Complaint::new(format!("an ipvlan link has the MAC address of its parent `{parent}`"));
                reader.complain(mac.span, complaint.hint("leave `mac` out, or write `type: macvlan`"));
            }
        }
    }
}

/// Finds ports that are published for IPv6 alone and lead nowhere by the link `published`.
fn check_port_families(reader: &mut Reader, group: &Group, published: &LinkKeys, own: &[NetworkSpec]) {
    let network = own.iter().find(|network| network.name.as_str() == published.network.value);
    let Some(network) = network.filter(|network| network.subnet6.is_none()) else { return };
    let ports = group.keys.ports.value().into_iter().flatten();
    for port in ports.filter(|port| !port.value.is_of(IpFamily::Ipv4)) {
        let message = format!("`{}` has no IPv6 address on the network `{}`", group.key.value, network.name);
        reader.complain(port.span, Complaint::new(message).hint("give the network a `subnet6`"));
    }
}

/// Finds an architecture that is not the one in the image's name.
fn check_arch(reader: &mut Reader, keys: &Layer) {
    let Some(arch) = keys.arch.given() else { return };
    let named = keys.image.value().and_then(|image| match image {
        ImageSource::Bootstrap(request) if request.arch == native_architecture() => None,
        image => image.architecture(),
    });
    if let Some(named) = named.filter(|named| named != &arch.value) {
        let complaint = Complaint::new(format!("the image is named for {named}, and not for {}", arch.value));
        reader.complain(arch.span, complaint.hint("leave one of them out"));
    }
}

/// Finds what `init: entrypoint` does not go with.
fn check_entrypoint(reader: &mut Reader, keys: &Layer) {
    let Some(init) = keys.init.given().filter(|init| init.value == Init::Entrypoint) else { return };
    if keys.security.is_privileged() {
        let complaint = Complaint::new("`init: entrypoint` and `privileged: true` exclude each other");
        let hint = "leave one of them out: a privileged container could reach the init, which is fleet's own program";
        reader.complain(init.span, complaint.hint(hint));
    }
    let is_of_registry = |image: &ImageSource| match image {
        ImageSource::Distro(distro) => distro.name.repository().is_some(),
        ImageSource::Busybox | ImageSource::File { .. } | ImageSource::Https { .. } | ImageSource::Bootstrap(_) => {
            false
        }
    };
    if keys.image.value().is_some_and(|image| !is_of_registry(image)) {
        let complaint = Complaint::new("only an image of a registry names the program that it is made for");
        reader.complain(init.span, complaint.hint("name the program with `init: /path`, or leave `init` out"));
    }
}

/// Finds link-layer addresses that two links have: a bridge tells its ports apart by nothing else. Replicas with
/// a given one are a finding already.
pub(super) fn check_macs(reader: &mut Reader, fleet: &FleetName, groups: &[Group]) {
    let mut seen: HashMap<MacAddress, (&ContainerName, Option<Span>)> = HashMap::new();
    for (group, link) in groups.iter().flat_map(|group| group.links.iter().map(move |link| (group, link))) {
        let given = link.mac.given().map(|mac| mac.span);
        let names = if given.is_some() { group.names.get(..1).unwrap_or_default() } else { &group.names };
        for name in names {
            let mac = mac(fleet, link, name);
            let Some((other, other_given)) = seen.insert(mac, (name, given)) else { continue };
            // A clash of two derived ones is a name that is there twice, and a finding already.
            if let Some(place) = given.or(other_given) {
                reader.complain(place, format!("`{other}` and `{name}` have the same MAC address {mac}"));
            }
        }
    }
}
