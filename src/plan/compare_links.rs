//! Compares the links of a container with what is asked for.

use std::fmt::Display;

use super::compare::{Differences, Remedy};
use crate::model::{IpFamily, LinkSpec};

pub(super) fn compare(found: &mut Differences, old: &[LinkSpec], new: &[LinkSpec]) {
    let networks =
        |links: &[LinkSpec]| -> Vec<(String, ())> { links.iter().map(|link| (link.network.to_string(), ())).collect() };
    found.compare_named(Remedy::ConfigureAndRestart, "networks", &networks(old), &networks(new));
    for link in new {
        if let Some(old) = old.iter().find(|old| old.network == link.network) {
            compare_link(found, old, link);
        }
    }
}

fn compare_link(found: &mut Differences, old: &LinkSpec, new: &LinkSpec) {
    let LinkSpec { network, name, bridge, host_name, address: _, gateway, address6: _, gateway6, mac, isolated } = new;
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
    found.compare(remedy, &field("bridge"), &old.bridge, bridge);
    found.compare(remedy, &field("link"), &old.host_name, host_name);
    // Of a running one it is set with the rules; this is for its next start.
    found.compare(Remedy::Configure, &field("isolated"), &old.isolated, isolated);
}

fn or_none(value: Option<&impl Display>) -> String {
    value.map_or("none".to_owned(), ToString::to_string)
}
