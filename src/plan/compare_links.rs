//! Compares the links of a container with what is asked for.

use std::fmt::Display;

use super::compare::{Differences, Remedy};
use crate::model::{ContainerSpec, IpFamily, IpvlanMode, LinkSpec, LinkWay, MacvlanMode};

pub(super) fn compare(found: &mut Differences, before: &ContainerSpec, after: &ContainerSpec) {
    let (old, new) = (&before.links, &after.links);
    let networks = |spec: &ContainerSpec| -> Vec<(String, ())> {
        let host = spec.is_on_host_network.then(|| "host".to_owned());
        spec.links.iter().map(|link| link.network.to_string()).chain(host).map(|name| (name, ())).collect()
    };
    found.compare_named(Remedy::ConfigureAndRestart, "networks", &networks(before), &networks(after));
    for link in new {
        if let Some(old) = old.iter().find(|old| old.network == link.network) {
            compare_link(found, old, link);
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
        isolated,
    } = new;
    let remedy = Remedy::ConfigureAndRestart;
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
    // Of a running one it is set with the rules; this is for its next start.
    found.compare(Remedy::Configure, &field("isolated"), &old.isolated, isolated);
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
