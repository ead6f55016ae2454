//! The packet rules of the fleet's networks, and the host's passing on of packets.

use std::collections::btree_map::Entry;
use std::collections::{BTreeSet, HashSet};

use super::network::{Ground, unused_reason};
use super::steps::Draft;
use super::{Scene, conflict};
use crate::model::{
    Action, Chains, Consequence, Hook, IpFamily, LinkState, Listener, NetworkName, NetworkSpec, Ownership, PortForward,
    PortMode, Rule, RunState, Traffic, port_comment,
};

/// So many rules are named in a reason; of more, their number is told.
const MOST_NAMED: usize = 3;

/// Adds the steps that make the fleet's packets go where they should and nowhere else, to `ground`, which has those that
/// make the bridges.
pub(super) fn ensure(scene: &Scene, ground: &mut Ground, draft: &mut Draft) {
    if scene.fleet.networks_in_use().next().is_none() {
        return;
    }
    if let Some(conflict) = conflict::table(&scene.host.firewall.table) {
        draft.refuse(conflict);
        return;
    }
    for network in scene.fleet.networks_in_use() {
        set_rules(scene, network, ground, draft);
    }
    for family in IpFamily::ALL {
        set_forwarding(scene, family, ground, draft);
    }
}

/// A host that passes packets on forgets what routers told it by advertising themselves, and listens to them no more,
/// unless it is told to on each link (ip-sysctl.rst, `accept_ra`). Where it passed packets on without fleet that is how it
/// was meant to be.
fn set_forwarding(scene: &Scene, family: IpFamily, ground: &mut Ground, draft: &mut Draft) {
    let now = scene.host.forwarding.of(family);
    if !scene.fleet.needs_forwarding(family) || now.is_on && !now.is_recorded {
        return;
    }
    let routers = scene.host.links.iter().filter(|(_, link)| family == IpFamily::Ipv6 && link.follows_router);
    let followed: Vec<String> = routers.map(|(name, _)| name.clone()).collect();
    let mut reasons = Vec::new();
    if !now.is_on {
        reasons.push(forwarding_words(scene, family));
    }
    if !followed.is_empty() {
        reasons.push(format!("accept_ra of {} 1 → 2: it goes on listening to routers there", followed.join(", ")));
    }
    if reasons.is_empty() {
        return;
    }
    let action = Action::SetForwarding { family, followed };
    let step = draft.add(action, reasons.join(", "), Consequence::None);
    // Nothing is passed on that the rules do not know.
    draft.wait(step, ground.rules());
    ground.has_shared(step);
}

fn set_rules(scene: &Scene, network: &NetworkSpec, ground: &mut Ground, draft: &mut Draft) {
    let wanted = scene.fleet.chains_of(network);
    let found = chains_of(scene, &network.name);
    let mut reasons = Vec::new();
    reasons.extend(difference(&found, &wanted));
    let ports = ports(scene, network);
    reasons.extend(isolation_words(&ports));
    // With other reasons it goes without saying, as what follows does.
    if !ports.is_empty() && reasons.is_empty() {
        reasons.push("ports of the bridge are not as they were set".to_owned());
    }
    let loopback = scene.fleet.is_on_loopback(network);
    let takes_loopback = scene.host.links.get(&network.bridge).is_some_and(|link| link.loopback);
    if takes_loopback != loopback && reasons.is_empty() {
        let word = if loopback { "takes no" } else { "takes" };
        reasons.push(format!("bridge {word} packets of the host's loopback"));
    }
    if !reasons.is_empty() {
        let traffic = Traffic {
            fleet: scene.fleet.name.clone(),
            network: network.name.clone(),
            bridge: network.bridge.clone(),
            chains: wanted,
            loopback,
            ports: ports.into_iter().map(|port| (port.link, port.wanted)).collect(),
        };
        let step = draft.add(Action::SetRules(Box::new(traffic)), reasons.join(", "), consequence(scene));
        draft.wait(step, ground.bridge(&network.name));
        ground.has_rules(&network.name, step);
    }
}

/// What is asked of the bridge of `network`, which is called `former`, until it has its name and its rules, unless it has
/// these already. Rules know a bridge by its name, and one that none of them names is open: there are some for both names
/// before it has another, and whatever keeps the step that makes its own from being done leaves these.
pub(super) fn while_renamed(scene: &Scene, network: &NetworkSpec, former: &str) -> Option<Traffic> {
    let wanted = scene.fleet.chains_of(network);
    if chains_of(scene, &network.name) == wanted {
        return None;
    }
    let mut chains = scene.fleet.chains_of(&NetworkSpec { bridge: former.to_owned(), ..network.clone() });
    for (name, chain) in wanted {
        // Those of one name see nothing of the other, but for those that translate: for a moment they may take a member for
        // somebody outside, and give it the host's address.
        match chains.entry(name) {
            Entry::Vacant(entry) => drop(entry.insert(chain)),
            Entry::Occupied(mut entry) => entry.get_mut().rules.extend(chain.rules),
        }
    }
    let (fleet, network_name) = (scene.fleet.name.clone(), network.name.clone());
    let (bridge, loopback) = (former.to_owned(), scene.fleet.is_on_loopback(network));
    Some(Traffic { fleet, network: network_name, bridge, chains, loopback, ports: Vec::new() })
}

/// Adds the steps that take away the rules of networks that nobody uses, after the last of those that may need them, and
/// what the last fleet of the host leaves.
pub(super) fn delete(scene: &Scene, draft: &mut Draft) {
    let leaving =
        draft.places(|action| matches!(action, Action::Stop { .. } | Action::Delete(_) | Action::SetLinks(_)));
    let used: BTreeSet<&NetworkName> = scene.fleet.networks_in_use().map(|network| &network.name).collect();
    let own = scene.fleet.name.as_str();
    let owners = scene.host.firewall.chains.keys().filter_map(|chain| Hook::owner_of(chain));
    let with_rules: BTreeSet<NetworkName> =
        owners.filter(|(fleet, _)| *fleet == own).map(|(_, network)| network).collect();
    for network in with_rules.into_iter().filter(|network| !used.contains(network)) {
        let (fleet, bridge) = (scene.fleet.name.clone(), bridge_of(scene, &network));
        let has_heir = scene.fleet.networks_in_use().any(|heir| heir.bridge == bridge);
        let reason = unused_reason(scene, &network);
        let action = Action::DeleteRules { fleet, network, bridge, has_heir };
        let delete = draft.add(action, reason, Consequence::None);
        draft.wait(delete, leaving.iter().copied());
    }
    for family in IpFamily::ALL {
        if scene.fleet.containers.is_empty() && scene.host.forwarding.of(family).is_recorded && is_last(scene) {
            let reason = "1 → 0: the last fleet goes";
            let restore = draft.add(Action::RestoreForwarding(family), reason, Consequence::None);
            let all = |action: &Action| {
                matches!(action, Action::Stop { .. } | Action::Delete(_) | Action::DeleteRules { .. })
            };
            draft.wait(restore, draft.places(all));
        }
    }
}

/// The bridge of the network `network`, which nobody uses, or what it would be called by.
fn bridge_of(scene: &Scene, network: &NetworkName) -> String {
    if let Some(known) = scene.fleet.network(network) {
        return known.bridge.clone();
    }
    let found = scene.host.links.iter().find(|(_, link)| scene.fleet.network_of(link).as_ref() == Some(network));
    found.map_or_else(|| network.to_string(), |(bridge, _)| bridge.clone())
}

/// Whether no other fleet is on the host.
fn is_last(scene: &Scene) -> bool {
    let own = scene.fleet.name.as_str();
    let has_rules =
        scene.host.firewall.chains.keys().any(|name| Hook::fleet_of(name).is_some_and(|fleet| fleet != own));
    let has_containers =
        scene.host.containers.values().any(
            |container| matches!(&container.ownership, Ownership::Ours(record) if record.fleet != scene.fleet.name),
        );
    !has_rules && !has_containers && !scene.host.firewall.is_shared
}

/// The chains that the network `network` of the fleet has.
fn chains_of(scene: &Scene, network: &NetworkName) -> Chains {
    let owner = (scene.fleet.name.as_str(), network.clone());
    let is_own = |name: &str| Hook::owner_of(name).is_some_and(|found| found == owner);
    let own = scene.host.firewall.chains.iter().filter(|(name, _)| is_own(name));
    own.map(|(name, chain)| (name.clone(), chain.clone())).collect()
}

/// In what the rules that were found are not those that are wanted, in words; nothing if they are.
fn difference(found: &Chains, wanted: &Chains) -> Option<String> {
    if found == wanted {
        return None;
    }
    if found.values().all(|chain| chain.rules.is_empty()) {
        return Some("packet rules are missing".to_owned());
    }
    let of = |chains: &Chains| -> Vec<Rule> { chains.values().flat_map(|chain| chain.rules.clone()).collect() };
    let (found, wanted) = (of(found), of(wanted));
    // A large fleet has thousands.
    let comments = |rules: &[Rule], others: &[Rule], sign: char| {
        let others: HashSet<&Rule> = others.iter().collect();
        let mut told = HashSet::new();
        let mut words: Vec<String> = Vec::new();
        for rule in rules.iter().filter(|rule| !others.contains(rule)) {
            let comment = if rule.comment.is_empty() { "a rule of somebody else's" } else { &rule.comment };
            if told.insert(comment) {
                words.push(format!("{sign}{comment}"));
            }
        }
        words
    };
    let words = [comments(&wanted, &found, '+'), comments(&found, &wanted, '-')].concat();
    Some(match words.len() {
        0 => "packet rules are not as they were set".to_owned(),
        1..=MOST_NAMED => format!("packet rules {}", words.join(" ")),
        more => format!("packet rules {} and {} more", words[..MOST_NAMED].join(" "), more - MOST_NAMED),
    })
}

/// A port of a network's bridge that the bridge is to treat otherwise.
struct Port {
    link: String,
    /// Whose it is.
    owner: String,
    now: PortMode,
    wanted: PortMode,
}

/// Those of the network's bridge, and of its segments' bridges.
fn ports(scene: &Scene, network: &NetworkSpec) -> Vec<Port> {
    // One that is none now becomes it as it should be.
    let is_port = |link: &LinkState| link.controller.is_some();
    let mut ports = Vec::new();
    for spec in &scene.fleet.containers {
        let Some(wanted) = spec.link_to(&network.name) else { continue };
        let runs = scene.host.containers.get(&spec.name).is_some_and(|container| {
            match (&container.ownership, &container.run) {
                (Ownership::Ours(record), RunState::Running(_)) => {
                    let former = record.spec.link_to(&network.name);
                    record.fleet == scene.fleet.name && former.is_some_and(|link| link.host_name == wanted.host_name)
                }
                (Ownership::Ours(_) | Ownership::Foreign, _) => false,
            }
        });
        if let Some(found) = scene.host.links.get(&wanted.host_name).filter(|link| runs && is_port(link)) {
            let (link, owner) = (wanted.host_name.clone(), spec.name.to_string());
            ports.push(Port { link, owner, now: found.port, wanted: wanted.port });
        }
    }
    // A segment reaches only the host by its network's own bridge if its members do.
    for segment in scene.fleet.segments_of(network) {
        let found = scene.host.links.get(&segment.outer.name);
        if let Some(found) = found.filter(|link| segment.outer.is(&segment.outer.name, link) && is_port(link)) {
            let (link, owner) = (segment.outer.name, segment.bridge);
            ports.push(Port { link, owner, now: found.port, wanted: network.port_of_segment() });
        }
    }
    ports.retain(|port| port.now != port.wanted);
    ports
}

fn isolation_words(ports: &[Port]) -> Option<String> {
    let ports: Vec<&Port> = ports.iter().filter(|port| port.now.isolated != port.wanted.isolated).collect();
    let should = ports.first()?.wanted.isolated;
    let (is, not) = (if ports.len() == 1 { "is" } else { "are" }, if should { " not" } else { "" });
    let names: Vec<&str> = ports.iter().take(MOST_NAMED).map(|port| port.owner.as_str()).collect();
    let more = if ports.len() > MOST_NAMED { ", …" } else { "" };
    Some(format!("{}{more} {is}{not} kept from other members", names.join(", ")))
}

fn forwarding_words(scene: &Scene, family: IpFamily) -> String {
    let networks = || scene.fleet.networks_in_use().filter(|network| network.subnet_of(family).is_some());
    let why = if networks().any(|network| network.egress.reaches(family)) {
        "containers reach other hosts"
    } else if networks().any(|network| !network.nat) {
        "other hosts reach containers"
    } else {
        "published ports lead to containers"
    };
    format!("0 → 1: {why}")
}

fn consequence(scene: &Scene) -> Consequence {
    let runs = scene.host.containers.values().any(|container| {
        let is_own = matches!(&container.ownership, Ownership::Ours(record) if record.fleet == scene.fleet.name);
        is_own && matches!(container.run, RunState::Running(_))
    });
    if runs { Consequence::Live } else { Consequence::None }
}

/// Refuses what would not work: ports that are taken, and a host whose own rules let nothing through.
pub(super) fn check(scene: &Scene, draft: &mut Draft) {
    let changes = |action: &Action| {
        matches!(
            action,
            Action::EnsureNetwork { .. }
                | Action::EnsureSegment { .. }
                | Action::SetRules(_)
                | Action::SetForwarding { .. }
                | Action::SetLinks(_)
                | Action::Start(_)
        )
    };
    if draft.places(changes).is_empty() || scene.fleet.containers.is_empty() {
        return;
    }
    for network in scene.fleet.networks_in_use() {
        let families = || IpFamily::ALL.into_iter().filter(|family| scene.fleet.passes_on(network, *family));
        // Where bridges show their packets to the packet filter, it stands between members of a segment, too.
        let segments = scene.fleet.segments_of(network).into_iter().map(|segment| segment.bridge);
        for bridge in std::iter::once(network.bridge.clone()).chain(segments) {
            for barrier in scene.host.firewall.barriers.iter().filter(|barrier| !barrier.is_open_for(&bridge)) {
                if families().any(|family| barrier.family.is_none_or(|only| only == family)) {
                    draft.refuse(conflict::barrier(&bridge, barrier));
                }
            }
        }
    }
    let own = scene.fleet.name.as_str();
    let published = scene.host.firewall.chains.iter().filter(|(name, _)| Hook::fleet_of(name) == Some(own));
    let published: BTreeSet<&str> =
        published.flat_map(|(_, chain)| &chain.rules).map(|rule| rule.comment.as_str()).collect();
    let of_others: Vec<(String, &PortForward)> = ports_of_others(scene).collect();
    for spec in &scene.fleet.containers {
        for port in &spec.ports {
            for (name, other) in &of_others {
                if let Some(number) = port.clash(other) {
                    draft.refuse(conflict::port_of_container(&spec.name, port, number, name));
                }
            }
            // What came later is not in the way: the rules come before it.
            if published.contains(port_comment(spec, port).as_str()) {
                continue;
            }
            let has = |address| spec.addresses().any(|own| IpFamily::of(own) == IpFamily::of(address));
            let taken = |listener: &&Listener| {
                port.meets(listener.protocol, listener.address, listener.port) && listener.address.is_none_or(has)
            };
            if let Some(listener) = scene.host.listeners.iter().find(taken) {
                draft.refuse(conflict::port_of_process(&spec.name, port, *listener));
            }
        }
    }
}

/// The ports that containers of other fleets publish.
fn ports_of_others<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (String, &'a PortForward)> {
    let own = &scene.fleet.name;
    let records = scene.host.containers.values().filter_map(move |container| match &container.ownership {
        Ownership::Ours(record) if record.fleet != *own => Some(&**record),
        Ownership::Ours(_) | Ownership::Foreign => None,
    });
    records.flat_map(|record| {
        let name = format!("`{}` of fleet `{}`", record.spec.name, record.fleet);
        record.spec.ports.iter().map(move |port| (name.clone(), port))
    })
}
