//! Compares the links of a container with what is asked for.

use std::fmt::Display;

use super::compare::{Differences, Remedy};
use crate::model::{ContainerSpec, GuestNetwork, Host, IpFamily, IpvlanMode, LinkSpec, LinkWay, MacvlanMode, PortMode};

pub(super) fn compare(found: &mut Differences, before: &ContainerSpec, after: &ContainerSpec) {
    let (old, new) = (&before.links, &after.links);
    let networks = |spec: &ContainerSpec| -> Vec<(String, ())> {
        let host = spec.is_on_host_network.then(|| "host".to_owned());
        spec.links.iter().map(|link| link.network.to_string()).chain(host).map(|name| (name, ())).collect()
    };
    // A process does not change its network namespace while it runs.
    let is_moved = before.is_on_host_network != after.is_on_host_network;
    let remedy = if is_moved { Remedy::ConfigureAndRestart } else { Remedy::SetLinksAndConfigure };
    found.compare_named(remedy, "networks", &networks(before), &networks(after));
    for link in new {
        if let Some(old) = old.iter().find(|old| old.network == link.network) {
            compare_link(found, old, link);
        }
    }
}

/// Compares what a running container is found to have with what is asked for, unless its record differs from that anyway.
pub(super) fn compare_found(
    found: &mut Differences,
    host: &Host,
    before: &ContainerSpec,
    after: &ContainerSpec,
    running: Option<&GuestNetwork>,
) {
    let Some(network) = running else { return };
    let are_given = |given: &[LinkSpec]| {
        given.len() == after.links.len() && given.iter().zip(&after.links).all(|(one, other)| one.is_given_as(other))
    };
    if !are_given(&before.links) || before.is_on_host_network != after.is_on_host_network {
        return;
    }
    if !are_given(&network.given) {
        found.note(Remedy::SetLinks, "a change of its links was interrupted");
    }
    if !network.has_loopback() {
        found.note(Remedy::SetLinks, "link lo is down");
    }
    for link in &after.links {
        for fault in network.faults(link, &host.links) {
            found.note(Remedy::SetLinks, format!("link {} {fault}", link.name));
        }
    }
}

fn compare_link(found: &mut Differences, old: &LinkSpec, new: &LinkSpec) {
    let LinkSpec {
        network,
        name,
        way,
        parent,
        host_name,
        address: _,
        gateway,
        address6: _,
        gateway6,
        mac,
        mtu,
        port: PortMode { isolated, hairpin },
    } = new;
    let remedy = Remedy::SetLinksAndConfigure;
    let field = |field: &str| if network.is_default() { field.to_owned() } else { format!("{network}: {field}") };
    for (key, family) in [("ip", IpFamily::Ipv4), ("ip6", IpFamily::Ipv6)] {
        match (old.address_of(family), new.address_of(family)) {
            (Some(old), Some(new)) if old.addr() != new.addr() => {
                found.compare(remedy, &field(key), &old.addr(), &new.addr());
            }
            (old, new) => found.compare(remedy, &field(key), &or_none(old.as_ref()), &or_none(new.as_ref())),
        }
    }
    found.compare(remedy, &field("gateway"), &or_none(old.gateway.as_ref()), &or_none(gateway.as_ref()));
    found.compare(remedy, &field("gateway6"), &or_none(old.gateway6.as_ref()), &or_none(gateway6.as_ref()));
    found.compare(remedy, &field("mac"), &old.mac, mac);
    found.compare(remedy, &field("name"), &old.name, name);
    found.compare(remedy, &field("type"), &way_word(old.way), &way_word(*way));
    let what = if *way == LinkWay::Bridge { "bridge" } else { "parent" };
    found.compare(remedy, &field(what), &old.parent, parent);
    found.compare(remedy, &field("mtu"), &or_none(old.mtu.as_ref()), &or_none(mtu.as_ref()));
    found.compare(remedy, &field("link"), &old.host_name, host_name);
    // Of a running one these are set with the rules; this is for its next start.
    found.compare(Remedy::Configure, &field("isolated"), &old.port.isolated, isolated);
    found.compare(Remedy::Configure, &field("hairpin"), &old.port.hairpin, hairpin);
}

fn way_word(way: LinkWay) -> String {
    match way {
        LinkWay::Bridge => "bridge".to_owned(),
        LinkWay::Macvlan(mode) => format!("macvlan {}", word_of(&mode, &MacvlanMode::ALL)),
        LinkWay::Ipvlan(mode) => format!("ipvlan {}", word_of(&mode, &IpvlanMode::ALL)),
    }
}

/// The word for it in a fleet file.
fn word_of<T: PartialEq>(mode: &T, all: &[(&'static str, T)]) -> &'static str {
    all.iter().find(|(_, other)| other == mode).map_or("", |(word, _)| *word)
}

fn or_none(value: Option<&impl Display>) -> String {
    value.map_or("none".to_owned(), ToString::to_string)
}
