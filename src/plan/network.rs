//! The fleet's bridge: made, mended, removed, or somebody else's.

use ipnet::Ipv4Net;

use super::steps::{Draft, Place};
use super::{Scene, conflict};
use crate::model::{
    Action, BRIDGE_GROUP, Conflict, Consequence, Host, LinkKind, LinkState, NetworkSpec, NetworkState, Ownership,
};

/// Adds the step that makes the bridge usable, if it is not already.
pub(super) fn ensure(scene: &Scene, draft: &mut Draft) -> Option<Place> {
    let network = &scene.fleet.network;
    let (reason, consequence) = match state(network, scene.host) {
        NetworkState::Ready => return None,
        NetworkState::Foreign => {
            draft.refuse(conflict::foreign_bridge(network, &scene.fleet.name));
            return None;
        }
        NetworkState::Absent => ("bridge is absent".to_owned(), Consequence::None),
        NetworkState::Broken => (what_is_broken(network, scene.host), Consequence::Live),
    };
    if let Some(conflict) = overlap(scene) {
        draft.refuse(conflict);
        return None;
    }
    Some(draft.add(Action::EnsureNetwork(network.clone()), reason, consequence))
}

/// Adds the steps that remove bridges of this fleet that it has no more use for: its bridge if it has no containers,
/// and one that the fleet file gave another name before. `ensure` is the step that makes the new one.
pub(super) fn delete(scene: &Scene, ensure: Option<Place>, draft: &mut Draft) {
    let network = &scene.fleet.network;
    let empty = scene.fleet.containers.is_empty();
    let leaving =
        draft.places(|action| matches!(action, Action::Stop { .. } | Action::Delete(_) | Action::DeleteRules { .. }));
    for (name, _) in scene.host.links.iter().filter(|(_, link)| is_ours(network, link)) {
        if *name == network.bridge && !empty {
            continue;
        }
        let reason = if empty { empty_reason(scene) } else { format!("bridge is now `{}`", network.bridge) };
        let former = NetworkSpec { bridge: name.clone(), ..network.clone() };
        let delete = draft.add(Action::DeleteNetwork(former), reason, Consequence::None);
        draft.wait(delete, leaving.iter().copied());
        // Both have the same addresses.
        if let Some(ensure) = ensure {
            draft.wait(ensure, [delete]);
        }
    }
}

fn empty_reason(scene: &Scene) -> String {
    format!("fleet `{}` has no containers", scene.fleet.name)
}

fn state(network: &NetworkSpec, host: &Host) -> NetworkState {
    match host.links.get(&network.bridge) {
        None => NetworkState::Absent,
        Some(link) if !is_ours(network, link) => NetworkState::Foreign,
        Some(link) if lacks(network, link).is_empty() => NetworkState::Ready,
        Some(_) => NetworkState::Broken,
    }
}

fn is_ours(network: &NetworkSpec, link: &LinkState) -> bool {
    link.kind == LinkKind::Bridge && link.mac == Some(network.mac)
}

/// The bridge's address with its prefix length.
fn own_address(network: &NetworkSpec) -> Ipv4Net {
    Ipv4Net::new(network.gateway, network.subnet.prefix_len()).expect("the length comes from a subnet")
}

fn what_is_broken(network: &NetworkSpec, host: &Host) -> String {
    host.links.get(&network.bridge).map(|link| lacks(network, link).join(", ")).unwrap_or_default()
}

fn lacks(network: &NetworkSpec, link: &LinkState) -> Vec<String> {
    let address = own_address(network);
    let mut lacks = Vec::new();
    if !link.up {
        lacks.push("bridge is down".to_owned());
    }
    if !link.addresses.contains(&address) {
        lacks.push(format!("address {address} is missing"));
    }
    if link.group != BRIDGE_GROUP {
        lacks.push("it is not in the group of fleets' bridges".to_owned());
    }
    if link.ipv6 {
        lacks.push("the host speaks IPv6 on it".to_owned());
    }
    lacks
}

/// What else uses addresses of the subnet: a link, a route, or a container of another fleet whose bridge is not there
/// now.
fn overlap(scene: &Scene) -> Option<Conflict> {
    let network = &scene.fleet.network;
    let overlaps = |taken: &&Ipv4Net| taken.contains(&network.subnet) || network.subnet.contains(*taken);
    let of_links = scene.host.links.iter().filter(|(name, link)| **name != network.bridge && !is_ours(network, link));
    for (name, link) in of_links {
        if let Some(taken) = link.addresses.iter().find(overlaps) {
            return Some(conflict::subnet_of_link(network, name, *taken));
        }
    }
    // The bridge that is renamed has a route to the same subnet.
    let of_us = |name: &str| scene.host.links.get(name).is_some_and(|link| is_ours(network, link));
    let of_routes = scene.host.routes.iter().filter(|(_, link)| *link != network.bridge && !of_us(link));
    for (taken, link) in of_routes {
        if overlaps(&taken) {
            return Some(conflict::subnet_of_route(network, link, *taken));
        }
    }
    scene.host.containers.values().find_map(|container| {
        let Ownership::Ours(record) = &container.ownership else { return None };
        let taken = record.spec.link.address;
        (record.fleet != scene.fleet.name && overlaps(&&taken))
            .then(|| conflict::subnet_of_fleet(network, &record.fleet, &container.name, taken))
    })
}
