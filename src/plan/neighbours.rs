//! Room in the kernel's tables of neighbours for those of all containers.

use super::Scene;
use super::network::Ground;
use super::steps::Draft;
use crate::model::{
    Action, Consequence, ContainerSpec, IpFamily, LinkSpec, NeighbourLimits, NeighbourTable, Ownership,
};

/// Adds the steps that make room in the tables, to `ground`, and says where that cannot be done.
pub(super) fn ensure(scene: &Scene, ground: &mut Ground, draft: &mut Draft) {
    for family in IpFamily::ALL {
        let links = links(scene, family);
        let wanted = NeighbourLimits::for_links(links);
        let table = scene.host.neighbours.of(family);
        let Some(now) = table.limits else {
            if wanted.most() > NeighbourLimits::USUAL.most() {
                draft.note(cannot(family, wanted));
            }
            continue;
        };
        // One of the lesser numbers is the host's own affair as long as fleet has not changed them.
        let is_short = now.most() < wanted.most() || table.restored.is_some() && now.is_below(wanted);
        if !is_short || is_needless(table, wanted) {
            continue;
        }
        let limits = now.raised_to(wanted);
        let reason = format!("{}: room for the neighbours of {links} links", now.difference(limits));
        let step = draft.add(Action::SetNeighbours { family, limits }, reason, Consequence::None);
        ground.has_shared(step);
    }
}

/// Adds the steps that put back what was there before, if that is enough for all who stay, on the host.
pub(super) fn restore(scene: &Scene, draft: &mut Draft) {
    for family in IpFamily::ALL {
        let table = scene.host.neighbours.of(family);
        let (Some(now), Some(before)) = (table.limits, table.restored) else { continue };
        // How many containers other roots have is not known.
        if scene.host.firewall.is_shared || !is_needless(table, NeighbourLimits::for_links(links(scene, family))) {
            continue;
        }
        let difference = now.difference(before);
        let what = if difference.is_empty() { "somebody has set them meanwhile" } else { &difference };
        let reason = format!("{what}: no more is needed");
        let leaving =
            draft.places(|action| matches!(action, Action::Stop { .. } | Action::Delete(_) | Action::SetLinks(_)));
        let step = draft.add(Action::RestoreNeighbours(family), reason, Consequence::None);
        draft.wait(step, leaving);
    }
}

/// Whether what was there before fleet changed it is enough for who wants `wanted`.
fn is_needless(table: &NeighbourTable, wanted: NeighbourLimits) -> bool {
    table.restored.is_some_and(|before| wanted.most() <= before.most())
}

/// The links of all containers that are to be on the host that speak `family`.
fn links(scene: &Scene, family: IpFamily) -> usize {
    let others = scene.host.containers.values().filter_map(|container| match &container.ownership {
        Ownership::Ours(record) if record.fleet != scene.fleet.name => Some(&record.spec),
        Ownership::Ours(_) | Ownership::Foreign => None,
    });
    let speaks = |link: &&LinkSpec| match family {
        // Where fleet gives none the guest may ask for one.
        IpFamily::Ipv4 => true,
        IpFamily::Ipv6 => link.address6.is_some(),
    };
    let of_one = |spec: &ContainerSpec| spec.links.iter().filter(speaks).count();
    scene.fleet.containers.iter().chain(others).map(of_one).sum()
}

fn cannot(family: IpFamily, wanted: NeighbourLimits) -> String {
    let most = NeighbourLimits::NAMES[2];
    format!(
        "`{}.{most}` can only be seen and set in the kernel's first network namespace: if it is not {} there, \
         containers that speak with many may get no answer",
        family.neighbours(),
        wanted.most()
    )
}
