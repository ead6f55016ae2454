//! The fleet's bridge: made, mended, removed, or somebody else's.

use ipnet::Ipv4Net;

use super::steps::{Draft, Place};
use super::{Scene, conflict};
use crate::model::{Action, Conflict, Consequence, Host, LinkKind, LinkState, NetworkSpec, NetworkState, Ownership};

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
    let leaving = draft.places(|action| matches!(action, Action::Stop { .. } | Action::Delete(_)));
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
        Some(link) if link.up && link.addresses.contains(&own_address(network)) => NetworkState::Ready,
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
    let (address, is_up) = (own_address(network), host.links.get(&network.bridge).is_some_and(|link| link.up));
    let missing = !host.links.get(&network.bridge).is_some_and(|link| link.addresses.contains(&address));
    match (is_up, missing) {
        (false, true) => format!("bridge is down, address {address} is missing"),
        (true, true) => format!("address {address} is missing"),
        (false | true, false) => "bridge is down".to_owned(),
    }
}

/// What else uses addresses of the subnet: a link, or a container of another fleet whose bridge is not there now.
fn overlap(scene: &Scene) -> Option<Conflict> {
    let network = &scene.fleet.network;
    let overlaps = |taken: &&Ipv4Net| taken.contains(&network.subnet) || network.subnet.contains(*taken);
    let of_links = scene.host.links.iter().filter(|(name, link)| **name != network.bridge && !is_ours(network, link));
    for (name, link) in of_links {
        if let Some(taken) = link.addresses.iter().find(overlaps) {
            return Some(conflict::subnet_of_link(network, name, *taken));
        }
    }
    scene.host.containers.values().find_map(|container| {
        let Ownership::Ours(record) = &container.ownership else { return None };
        let taken = record.spec.link.address;
        (record.fleet != scene.fleet.name && overlaps(&&taken))
            .then(|| conflict::subnet_of_fleet(network, &record.fleet, &container.name, taken))
    })
}
