//! The segments of the fleet's networks: made, mended, removed, or in somebody else's way.

use std::collections::BTreeMap;

use super::network::unused_reason;
use super::steps::{Draft, Place};
use super::{Scene, conflict};
use crate::model::{Action, Consequence, Host, Ipv6Use, LinkState, NetworkName, NetworkSpec, Segment};

/// Adds the steps that make the segments in use of `network` usable that are not so already, each with its bridge.
/// `bridge` makes the network's own.
pub(super) fn ensure(
    scene: &Scene,
    network: &NetworkSpec,
    bridge: Option<Place>,
    draft: &mut Draft,
) -> Vec<(String, Place)> {
    let mut steps = Vec::new();
    for segment in scene.fleet.segments_of(network) {
        if let Some(name) = foreign(&segment, scene.host) {
            draft.refuse(conflict::foreign_segment(&segment, name, &scene.fleet.name));
            continue;
        }
        let (is_there, lacks) = lacks(scene, network, &segment);
        if lacks.is_empty() {
            continue;
        }
        let consequence = if is_there { Consequence::Live } else { Consequence::None };
        let (fleet, name) = (scene.fleet.name.clone(), segment.bridge.clone());
        let action = Action::EnsureSegment { fleet, network: Box::new(network.clone()), segment: Box::new(segment) };
        let step = draft.add(action, lacks.join(", "), consequence);
        draft.wait(step, bridge);
        steps.push((name, step));
    }
    steps
}

/// The link of somebody else that has one of the segment's names.
fn foreign<'s>(segment: &'s Segment, host: &Host) -> Option<&'s str> {
    let names = [&segment.bridge, &segment.inner.name, &segment.outer.name];
    let is_foreign = |name: &&String| host.links.get(*name).is_some_and(|link| !segment.has(name, link));
    names.into_iter().find(is_foreign).map(String::as_str)
}

/// Whether its bridge is there, and in what the segment is not as it should be.
fn lacks(scene: &Scene, network: &NetworkSpec, segment: &Segment) -> (bool, Vec<String>) {
    let links = &scene.host.links;
    let Some(bridge) = links.get(&segment.bridge) else {
        let room = format!("`{}` has no room for more members", network.bridge);
        return (false, vec![format!("bridge is absent: {room}")]);
    };
    let mut lacks = Vec::new();
    if !bridge.up {
        lacks.push("bridge is down".to_owned());
    }
    if bridge.alias != Some(segment.mark(&scene.fleet.name, &network.name)) {
        lacks.push("its mark is missing".to_owned());
    }
    if bridge.speaks_arp {
        lacks.push("the host answers on it".to_owned());
    }
    if bridge.ipv6 != Ipv6Use::Off {
        lacks.push("the host speaks IPv6 on it".to_owned());
    }
    let is_port = |name: &str, of: &str| {
        let is_so = |link: &LinkState| link.up && link.controller.as_deref() == Some(of);
        links.get(name).is_some_and(is_so)
    };
    if !is_port(&segment.inner.name, &segment.bridge) || !is_port(&segment.outer.name, &network.bridge) {
        lacks.push(format!("its link to `{}` is missing", network.bridge));
    }
    let ends = [&segment.inner.name, &segment.outer.name].into_iter().filter_map(|name| links.get(name));
    if let Some(end) = ends.into_iter().find(|end| end.mtu != network.pair_mtu()) {
        lacks.push(format!("mtu of its link {} → {}", end.mtu, network.pair_mtu()));
    }
    (true, lacks)
}

/// Adds the steps that remove segments that no member is on, after the last of `leaving`.
pub(super) fn delete(scene: &Scene, leaving: &[Place], draft: &mut Draft) {
    let used: Vec<String> = scene
        .fleet
        .networks_in_use()
        .flat_map(|network| scene.fleet.segments_of(network))
        .map(|segment| segment.bridge)
        .collect();
    let mut unused: BTreeMap<String, (NetworkName, Segment)> = BTreeMap::new();
    for (name, link) in &scene.host.links {
        if let Some((network, segment)) = scene.fleet.segment_of(name, link)
            && !used.contains(&segment.bridge)
        {
            unused.insert(segment.bridge.clone(), (network, segment));
        }
    }
    for (network, segment) in unused.into_values() {
        let reason = match scene.fleet.networks_in_use().find(|used| used.name == network) {
            Some(network) => format!("`{}` has room for all members", network.bridge),
            None => unused_reason(scene, &network),
        };
        let delete = draft.add(Action::DeleteSegment(Box::new(segment)), reason, Consequence::None);
        draft.wait(delete, leaving.iter().copied());
    }
}
