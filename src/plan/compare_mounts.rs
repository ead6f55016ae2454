//! Compares what is mounted in a container with what is asked for.

use super::compare::{Differences, Remedy};
use crate::model::{MountSpec, MountState};

/// Compares the mounts `old` that were asked for with the `new` ones, and with those in place if the container runs.
pub(super) fn compare(found: &mut Differences, old: &[MountSpec], new: &[MountSpec], running: Option<&[MountState]>) {
    if old != new {
        found.compare_list(Remedy::SetMounts, "mounts", old, new);
        return;
    }
    let Some(running) = running else { return };
    for mount in new {
        let words = match running.iter().find(|state| state.spec == *mount) {
            None => format!("mount {mount} is missing"),
            Some(MountState { fault: Some(fault), .. }) => format!("mount {mount} {fault}"),
            Some(MountState { fault: None, .. }) => continue,
        };
        found.note(Remedy::SetMounts, words);
    }
    for state in running.iter().filter(|state| !new.contains(&state.spec)) {
        found.note(Remedy::SetMounts, format!("mount {} is left over", state.spec));
    }
}
