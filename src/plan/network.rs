//! The bridges of the fleet's networks: made, mended, removed, or somebody else's.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::steps::{Draft, Place};
use super::{Scene, conflict, rules, segments};
use crate::model::{
    Action, BRIDGE_GROUP, Conflict, Consequence, ContainerSpec, FleetName, Host, Ipv6Use, LinkKind, LinkSpec,
    LinkState, LinkWay, NetworkName, NetworkSpec, NetworkState, OuterNetwork, Ownership, bridge_mark, overlap,
};

/// The steps that make the fleet's networks usable. What starts must wait for those of its own networks.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// Those that make or mend the bridge of each network.
    bridges: BTreeMap<NetworkName, Place>,
    /// Those that make or mend segments, by their bridges.
    segments: BTreeMap<String, Place>,
    /// Those that make the rules of each network.
    rules: BTreeMap<NetworkName, Place>,
    /// Those that have the host pass packets on, and know all its neighbours.
    shared: Vec<Place>,
}

impl Ground {
    /// The step that makes the bridge of the network `name`.
    pub(super) fn bridge(&self, name: &NetworkName) -> Option<Place> {
        self.bridges.get(name).copied()
    }

    /// Notes the step that makes the rules of the network `name`.
    pub(super) fn has_rules(&mut self, name: &NetworkName, step: Place) {
        self.rules.insert(name.clone(), step);
    }

    /// All steps that make rules.
    pub(super) fn rules(&self) -> impl Iterator<Item = Place> {
        self.rules.values().copied()
    }

    /// Notes the step that has the host pass packets on, or know all its neighbours.
    pub(super) fn has_shared(&mut self, step: Place) {
        self.shared.push(step);
    }

    /// Those that the start of a container waits for that is as `spec`.
    pub(super) fn needed_by(&self, spec: &ContainerSpec) -> impl Iterator<Item = Place> {
        let networks = spec.links.iter().map(|link| &link.network);
        let own = networks.flat_map(|name| [self.bridges.get(name), self.rules.get(name)]);
        let segments = spec.links.iter().filter_map(|link| self.segments.get(&link.parent));
        own.flatten().chain(segments).chain(&self.shared).copied()
    }
}

/// Adds the steps that make the bridges in use usable that are not so already.
pub(super) fn ensure(scene: &Scene, draft: &mut Draft) -> Ground {
    let mut ground = Ground::default();
    for network in scene.fleet.networks_in_use() {
        let bridge = ensure_one(scene, network, draft);
        ground.segments.extend(segments::ensure(scene, network, bridge, draft));
        ground.bridges.extend(bridge.map(|step| (network.name.clone(), step)));
    }
    ground
}

fn ensure_one(scene: &Scene, network: &NetworkSpec, draft: &mut Draft) -> Option<Place> {
    let former_owner = former_owner(scene, network);
    if let Some(other) = former_owner.as_ref().filter(|other| is_in_use(scene, other)) {
        draft.refuse(conflict::bridge_of_network(network, other));
        return None;
    }
    let (reason, consequence) = match state(scene, network) {
        NetworkState::Ready => return None,
        NetworkState::Foreign => {
            draft.refuse(conflict::foreign_bridge(network, &scene.fleet.name));
            return None;
        }
        NetworkState::Absent => match former_owner {
            None => ("bridge is absent".to_owned(), Consequence::None),
            Some(other) => (format!("bridge was that of the network `{other}`"), Consequence::None),
        },
        NetworkState::Broken => (what_is_broken(&scene.fleet.name, network, scene.host), Consequence::Live),
    };
    if let Some(conflict) = clash(scene, network) {
        draft.refuse(conflict);
        return None;
    }
    let former = former_name(network, scene.host);
    let meanwhile = former.and_then(|former| rules::while_renamed(scene, network, former)).map(Box::new);
    let (fleet, network) = (scene.fleet.name.clone(), Box::new(network.clone()));
    Some(draft.add(Action::EnsureNetwork { fleet, network, meanwhile }, reason, consequence))
}

/// Adds the steps that remove bridges of this fleet that it has no more use for: those of networks without members.
pub(super) fn delete(scene: &Scene, ground: &Ground, draft: &mut Draft) {
    // Nobody is asked to shut down where everybody goes: the kernel takes the bridge apart meanwhile, which is most of
    // what a small fleet's end takes. Its rules stay until the last of its members is gone.
    let goes_with_all = scene.fleet.containers.is_empty();
    let stops = draft.places(|action| matches!(action, Action::Stop { .. } | Action::Delete(_)));
    let others = draft.places(|action| matches!(action, Action::SetLinks(_) | Action::DeleteRules { .. }));
    let used: BTreeMap<&NetworkName, &NetworkSpec> =
        scene.fleet.networks_in_use().map(|network| (&network.name, network)).collect();
    for (bridge, link) in &scene.host.links {
        let (Some(network), Some(mac)) = (scene.fleet.network_of(link), link.mac) else { continue };
        // One that has another name than it should is renamed.
        if used.contains_key(&network) {
            continue;
        }
        let reason = unused_reason(scene, &network);
        let delete = draft.add(Action::DeleteNetwork { bridge: bridge.clone(), mac }, reason, Consequence::None);
        if goes_with_all {
            continue;
        }
        draft.wait(delete, stops.iter().copied());
        // Another that gets its addresses or its name waits for it, and whoever moves there waits for that.
        let overlaps = |other: &NetworkSpec| {
            other.subnets().any(|subnet| link.addresses.iter().any(|taken| overlap(subnet, *taken)))
        };
        let heirs: Vec<Place> = ground
            .bridges
            .iter()
            .filter(|(name, _)| used.get(name).is_some_and(|other| other.bridge == *bridge || overlaps(other)))
            .map(|(_, ensure)| *ensure)
            .collect();
        if heirs.is_empty() {
            draft.wait(delete, others.iter().copied());
        }
        for ensure in heirs {
            draft.wait(ensure, [delete]);
        }
    }
    let leaving = if goes_with_all { Vec::new() } else { [stops, others].concat() };
    segments::delete(scene, &leaving, draft);
}

/// Why the network `network`, which no container has a link to, goes.
pub(super) fn unused_reason(scene: &Scene, network: &NetworkName) -> String {
    if scene.fleet.containers.is_empty() {
        format!("fleet `{}` has no containers", scene.fleet.name)
    } else {
        format!("no container uses the network `{network}`")
    }
}

/// The other network of the fleet whose bridge has the name that the bridge of `network` is to have.
fn former_owner(scene: &Scene, network: &NetworkSpec) -> Option<NetworkName> {
    let link = scene.host.links.get(&network.bridge)?;
    scene.fleet.network_of(link).filter(|other| *other != network.name)
}

fn is_in_use(scene: &Scene, network: &NetworkName) -> bool {
    scene.fleet.networks_in_use().any(|used| used.name == *network)
}

fn state(scene: &Scene, network: &NetworkSpec) -> NetworkState {
    let (fleet, host) = (&scene.fleet.name, scene.host);
    // One that the fleet has no more use for goes first.
    let link = host.links.get(&network.bridge).filter(|_| former_owner(scene, network).is_none());
    match link {
        None if former_name(network, host).is_some() => NetworkState::Broken,
        None => NetworkState::Absent,
        Some(link) if !is_ours(network, link) => NetworkState::Foreign,
        Some(link) if lacks(fleet, network, link).is_empty() => NetworkState::Ready,
        Some(_) => NetworkState::Broken,
    }
}

/// The name of the network's bridge, if it is there under another one than it should.
fn former_name<'h>(network: &NetworkSpec, host: &'h Host) -> Option<&'h String> {
    host.links.iter().find(|(name, link)| **name != network.bridge && is_ours(network, link)).map(|(name, _)| name)
}

fn is_ours(network: &NetworkSpec, link: &LinkState) -> bool {
    link.kind == LinkKind::Bridge && link.mac == Some(network.mac)
}

fn what_is_broken(fleet: &FleetName, network: &NetworkSpec, host: &Host) -> String {
    if let Some(link) = host.links.get(&network.bridge).filter(|link| is_ours(network, link)) {
        return lacks(fleet, network, link).join(", ");
    }
    let Some((former, link)) = former_name(network, host).and_then(|name| host.links.get_key_value(name)) else {
        return String::new();
    };
    let called = format!("bridge {former} → {}", network.bridge);
    std::iter::once(called).chain(lacks(fleet, network, link)).collect::<Vec<_>>().join(", ")
}

fn lacks(fleet: &FleetName, network: &NetworkSpec, link: &LinkState) -> Vec<String> {
    let mut lacks = Vec::new();
    if !link.up {
        lacks.push("bridge is down".to_owned());
    }
    let missing = network.host_addresses().filter(|address| !link.addresses.contains(address));
    lacks.extend(missing.map(|address| format!("address {address} is missing")));
    let surplus = link.addresses.iter().filter(|address| !network.host_addresses().any(|own| own == **address));
    lacks.extend(surplus.map(|address| format!("address {address} is not of the network")));
    if link.group != BRIDGE_GROUP {
        lacks.push("it is not in the group of fleets' bridges".to_owned());
    }
    if network.bridge_mtu() != link.mtu {
        lacks.push(format!("mtu {} → {}", link.mtu, network.bridge_mtu()));
    }
    // The first version of fleet made bridges without, of the default network only.
    if !network.name.is_default() && link.alias.as_ref() != Some(&bridge_mark(fleet, &network.name)) {
        lacks.push("its mark is missing".to_owned());
    }
    match (link.ipv6, network.ipv6()) {
        (Ipv6Use::Off, Ipv6Use::Static | Ipv6Use::Listening) => lacks.push("IPv6 is off".to_owned()),
        (Ipv6Use::Static | Ipv6Use::Listening, Ipv6Use::Off) => lacks.push("the host speaks IPv6 on it".to_owned()),
        (Ipv6Use::Listening, Ipv6Use::Static | Ipv6Use::Listening) => {
            lacks.push("the host listens to routers on it".to_owned());
        }
        (Ipv6Use::Off, Ipv6Use::Off) | (Ipv6Use::Static, Ipv6Use::Static | Ipv6Use::Listening) => {}
    }
    lacks
}

/// What else uses addresses of the subnet: a link, a route, or a container of another fleet whose bridge is not there
/// now.
fn clash(scene: &Scene, network: &NetworkSpec) -> Option<Conflict> {
    // Those of the fleet itself are apart from each other, and those that it has no use for go first.
    let is_ours = |link: &LinkState| scene.fleet.network_of(link).is_some();
    let overlaps = |taken: IpNet| network.subnets().find(|subnet| overlap(*subnet, taken));
    let of_links = scene.host.links.iter().filter(|(name, link)| **name != network.bridge && !is_ours(link));
    for (name, link) in of_links {
        for taken in &link.addresses {
            if let Some(subnet) = overlaps(*taken) {
                return Some(conflict::subnet_of_link(network, subnet, name, *taken));
            }
        }
    }
    let of_us = |name: &str| scene.host.links.get(name).is_some_and(is_ours);
    let of_routes = scene.host.routes.iter().filter(|(_, link)| *link != network.bridge && !of_us(link));
    for (taken, link) in of_routes {
        if let Some(subnet) = overlaps(*taken) {
            return Some(conflict::subnet_of_route(network, subnet, link, *taken));
        }
    }
    scene.host.containers.values().find_map(|container| {
        let Ownership::Ours(record) = &container.ownership else { return None };
        if record.fleet == scene.fleet.name {
            return None;
        }
        let mut addresses = record.spec.links.iter().flat_map(LinkSpec::addresses);
        addresses.find_map(|taken| Some(conflict::subnet_of_fleet(network, overlaps(taken)?, record, taken)))
    })
}

/// Refuses to start or to link what would hang on links that the host does not have.
pub(super) fn check_parents(scene: &Scene, draft: &mut Draft) {
    if draft.places(|action| matches!(action, Action::Start(_) | Action::SetLinks(_))).is_empty() {
        return;
    }
    let used = |outer: &&OuterNetwork| scene.fleet.containers.iter().any(|spec| spec.link_to(&outer.name).is_some());
    for outer in scene.fleet.outer.iter().filter(used) {
        match scene.host.links.get(&outer.parent).map(|link| link.kind) {
            None => draft.refuse(conflict::no_parent(outer)),
            Some(LinkKind::Veth | LinkKind::Other) if outer.way == LinkWay::Bridge => {
                draft.refuse(conflict::no_bridge(outer));
            }
            Some(LinkKind::Bridge | LinkKind::Veth | LinkKind::Other) => {}
        }
    }
}
