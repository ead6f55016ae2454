//! A place on a bridge that one container gives up and another one gets in the same plan.

use std::collections::{BTreeMap, BTreeSet};

use super::Scene;
use super::steps::{Draft, Place};
use crate::model::{ContainerName, ContainerSpec, LinkWay, NetworkName, NetworkSpec, Ownership, RunState, Segment};

/// A network's own bridge, by whatever name, or that of a segment.
type Bridge = (NetworkName, Option<String>);

/// The places that change hands. A bridge has no more ports than it has (`BR_MAX_PORTS`), not even for the moment in which
/// those who come are there and those who go still are.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// By containers that stop.
    given_up: BTreeMap<Bridge, Vec<(ContainerName, Place)>>,
    /// By containers that start, or that get a link there as they run.
    wanted: BTreeMap<Bridge, Vec<(ContainerName, Place)>>,
}

impl Room {
    /// The container `name`, which was made as `spec`, stops in the step `stop`.
    pub(super) fn stops(&mut self, name: &ContainerName, spec: &ContainerSpec, stop: Place) {
        for bridge in bridges(spec) {
            self.given_up.entry(bridge).or_default().push((name.clone(), stop));
        }
    }

    /// The container that is to be as `spec` starts in the step `start`.
    pub(super) fn starts(&mut self, spec: &ContainerSpec, start: Place) {
        for bridge in bridges(spec) {
            self.wanted.entry(bridge).or_default().push((spec.name.clone(), start));
        }
    }

    /// The container that was as `before` becomes `after` in the step `change`, and runs on.
    pub(super) fn changes(&mut self, before: &ContainerSpec, after: &ContainerSpec, change: Place) {
        for bridge in bridges(after).filter(|bridge| !bridges(before).any(|own| own == *bridge)) {
            self.wanted.entry(bridge).or_default().push((after.name.clone(), change));
        }
    }

    /// Makes whoever comes to a bridge that has no room for all at once wait for one who goes. No cycle can come of it: no
    /// stop waits for a change or a start.
    pub(super) fn settle(self, scene: &Scene, draft: &mut Draft) {
        let mut present: BTreeMap<Bridge, usize> = BTreeMap::new();
        for bridge in on_host(scene).flat_map(bridges) {
            *present.entry(bridge).or_default() += 1;
        }
        for (bridge, wanted) in self.wanted {
            let Some(network) = scene.fleet.network(&bridge.0) else { continue };
            let given_up = self.given_up.get(&bridge).map(Vec::as_slice).unwrap_or_default();
            hand_over(network, present.get(&bridge).copied().unwrap_or_default(), given_up, &wanted, draft);
        }
    }
}

/// Who stops and starts again has a place for itself.
fn hand_over(
    network: &NetworkSpec,
    present: usize,
    given_up: &[(ContainerName, Place)],
    wanted: &[(ContainerName, Place)],
    draft: &mut Draft,
) {
    let names = |steps: &[(ContainerName, Place)]| steps.iter().map(|(name, _)| name.clone()).collect();
    let (leaving, coming): (BTreeSet<ContainerName>, BTreeSet<ContainerName>) = (names(given_up), names(wanted));
    let free = (network.members_per_bridge as usize).saturating_sub(present);
    let heirs = wanted.iter().filter(|(name, _)| !leaving.contains(name)).skip(free);
    let former = given_up.iter().filter(|(name, _)| !coming.contains(name));
    for ((_, step), (_, stop)) in heirs.zip(former) {
        draft.wait(*step, [*stop]);
    }
}

/// What the containers of the fleet were made as that are, or may be, on bridges now.
fn on_host<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a ContainerSpec> {
    let (fleet, host) = (scene.fleet, scene.host);
    host.containers.values().filter_map(move |container| match (&container.ownership, &container.run) {
        (Ownership::Ours(_), RunState::Stopped) | (Ownership::Foreign, _) => None,
        (Ownership::Ours(record), RunState::Running(_) | RunState::Restarting(_) | RunState::Incomplete(_)) => {
            (record.fleet == fleet.name).then_some(&record.spec)
        }
    })
}

fn bridges(spec: &ContainerSpec) -> impl Iterator<Item = Bridge> {
    let ports = spec.links.iter().filter(|link| link.way == LinkWay::Bridge);
    ports.map(|link| (link.network.clone(), Segment::may_have(link).then(|| link.parent.clone())))
}
