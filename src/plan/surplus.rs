//! Containers of the fleet that its file no longer names, and volumes of a fleet that is destroyed.

use std::collections::BTreeSet;

use super::Scene;
use super::handover::Handover;
use super::steps::Draft;
use crate::model::{Action, Consequence, ContainerName, ContainerRecord, Ownership, RunState};

/// They carry the fleet's mark and are not in its file; in the order of their names.
pub(super) fn surplus<'a>(
    scene: &Scene<'a>,
) -> impl Iterator<Item = (&'a ContainerName, &'a ContainerRecord, &'a RunState)> {
    let (fleet, host) = (scene.fleet, scene.host);
    let wanted: BTreeSet<&ContainerName> = fleet.containers.iter().map(|spec| &spec.name).collect();
    host.containers.iter().filter_map(move |(name, container)| match &container.ownership {
        Ownership::Ours(record) if record.fleet == fleet.name && !wanted.contains(name) => {
            Some((name, &**record, &container.run))
        }
        Ownership::Ours(_) | Ownership::Foreign => None,
    })
}

/// Why they go.
pub(super) fn reason(scene: &Scene) -> &'static str {
    if scene.fleet.containers.is_empty() { "the fleet is destroyed" } else { "not in the fleet file" }
}

/// Adds the steps that delete the fleet's volumes, after all that may use them.
pub(super) fn delete_volumes(scene: &Scene, draft: &mut Draft) {
    if scene.fleet.keeps_volumes {
        return;
    }
    let leaving = draft.places(|action| matches!(action, Action::Stop { .. } | Action::Delete(_)));
    for name in &scene.host.volumes {
        let delete = draft.add(Action::DeleteVolume(name.clone()), reason(scene), Consequence::Destroy);
        draft.wait(delete, leaving.iter().copied());
    }
}

/// Adds the steps that delete them.
pub(super) fn delete(scene: &Scene, draft: &mut Draft, handover: &mut Handover) {
    for (name, record, run) in surplus(scene) {
        let runs = match run {
            RunState::Stopped => false,
            // Of an incomplete one, parts may still run.
            RunState::Running(_) | RunState::Restarting(_) | RunState::Incomplete(_) => true,
        };
        // Killed at once: a shutdown would save data that is deleted in the next step.
        let stop = runs.then(|| {
            let stop = Action::Stop { name: name.clone(), timeout_s: 0 };
            draft.add(stop, reason(scene), Consequence::Destroy)
        });
        let delete = draft.add(Action::Delete(name.clone()), reason(scene), Consequence::Destroy);
        draft.wait(delete, stop);
        if let Some(stop) = stop {
            handover.stops(name, &record.spec, stop);
        }
    }
}
